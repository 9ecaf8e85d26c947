//! Reads everything, trains nothing: every fault of a dataset by name, and what each objective will see.
//!
//! [`Dataset::open`](crate::Dataset::open) refuses what cannot be trained on. A check goes on after the first
//! fault, decodes every pixel, and also tells what would be trained on otherwise than meant.

mod duplicates;
mod html;
mod inspect;
mod masks;
mod parts;
mod report;
mod stray;
mod summary;
mod text;
mod thumbnail;
mod tokens;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::dataset::Dataset;
use crate::geometry::GeometrySpec;
use crate::layout::{Doubt, Item, Listing};
use crate::problem::{Fault, Problem, Subject};
use crate::spec::{DatasetSpec, Layout, Region};
pub use duplicates::{NEAR_BITS, NEAR_COLOUR};
pub use html::html;
use inspect::{Looked, look};
pub use report::{Bucket, CaptionReport, Counts, Finding, ItemReport, Kind, RegionReport, Report, Severity};
pub use text::text;
pub use thumbnail::COLOURS;

/// How a check is made.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The size that pictures are trained at. Crops are taken from the middle.
    pub geometry: GeometrySpec,
    /// Pixels per latent cell, in one direction; 8 for Stable Diffusion. The training size must be a multiple.
    pub latent_factor: usize,
    /// Pixels per cell of the masks, in one direction: those of a latent cell, or 1 where objectives are about pixels,
    /// as an autoencoder's.
    pub mask_cell: usize,
    /// The model's tokens of a text, begin and end included. Without it they are estimated, and the report says so.
    pub tokens: Option<&'a (dyn Fn(&str) -> usize + Sync)>,
    /// Longer side in pixels of the thumbnails for [`html`]; 0 for none.
    pub thumbnails: u32,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            geometry: GeometrySpec::default(),
            latent_factor: 8,
            mask_cell: 8,
            tokens: None,
            thumbnails: 0,
        }
    }
}

/// Checks the dataset that `spec` describes; `base` is what a relative `spec.path` is relative to. `progress` is
/// told how many pictures have been looked at, from any thread.
pub fn check(
    base: &Path,
    spec: &DatasetSpec,
    regions: &[Region],
    options: &Options,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Report {
    let path = base.join(&spec.path);
    let spec = DatasetSpec { path: path.clone(), ..spec.clone() };
    let listing = match Dataset::list(&path, &spec, regions) {
        Ok(listing) => listing,
        Err(problems) => return summary::unreadable(path, spec.layout, &problems, options),
    };
    let mut findings = Vec::new();
    if let Err(error) = options.geometry.check(options.latent_factor) {
        findings.push(Finding::new(Kind::Recipe, &Subject::Dataset, PathBuf::new(), error.to_string()));
    }
    let dataset = Dataset::of(&listing, &spec, regions);
    let items = in_order(&listing);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let looked: Vec<Looked> = items
        .par_iter()
        .map(|(item, good)| {
            let looked = look(&dataset, item, *good, options);
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, items.len());
            looked
        })
        .collect();
    findings.extend(of_the_list(&listing, &items));
    let doubt = |d: &Doubt| Finding::new(Kind::Doubtful, &Subject::Dataset, &d.file, d.text.clone());
    findings.extend(listing.doubts.iter().map(doubt));
    findings.extend(strays(&listing, &items, &spec, regions));
    findings.extend(twice(&looked));
    summary::report(dataset, &listing, looked, findings, options)
}

/// All items in the order of their names or lines, and whether nothing is wrong with them so far.
fn in_order(listing: &Listing) -> Vec<(&Item, bool)> {
    let good = listing.items.iter().map(|i| (i, true));
    let mut items: Vec<_> = good.chain(listing.broken.iter().map(|i| (i, false))).collect();
    items.sort_by(|(a, _), (b, _)| {
        let line = |i: &Item| i.origin.as_ref().map(|o| (o.list.clone(), o.line));
        line(a)
            .cmp(&line(b))
            .then_with(|| if a.origin.is_none() { a.image.cmp(&b.image) } else { a.size.cmp(&b.size) })
    });
    items
}

/// The problems that the layout's reader found, given to their items where they have one.
fn of_the_list(listing: &Listing, items: &[(&Item, bool)]) -> Vec<Finding> {
    let (mut by_line, mut by_name) = (HashMap::new(), HashMap::new());
    for (i, (item, _)) in items.iter().enumerate().filter(|(_, (_, good))| !good) {
        match &item.origin {
            Some(origin) => by_line.entry(origin).or_insert(i),
            None => by_name.entry(item.image.as_path()).or_insert(i),
        };
    }
    let finding = |problem: &Problem| {
        let Problem { origin, item, .. } = problem;
        let of_line = origin.as_deref().and_then(|origin| by_line.get(origin));
        let item = of_line.or_else(|| by_name.get(item.as_deref()?)).copied();
        Finding { item, ..Finding::from(problem) }
    };
    listing.problems.iter().map(finding).collect()
}

/// Files that belong to nothing.
fn strays(
    listing: &Listing,
    items: &[(&Item, bool)],
    spec: &DatasetSpec,
    regions: &[Region],
) -> Vec<Finding> {
    let plain = |path: &Path| -> PathBuf {
        path.components().filter(|c| *c != std::path::Component::CurDir).collect()
    };
    let sources =
        |item: &Item| item.masks.iter().flatten().filter_map(|m| m.path().map(plain)).collect::<Vec<_>>();
    let pictures: HashSet<PathBuf> = items.iter().map(|(item, _)| plain(item.source.file())).collect();
    let masks: HashSet<PathBuf> = items.iter().flat_map(|(item, _)| sources(item)).collect();
    let controls = items.iter().filter_map(|(item, _)| Some(plain(item.conditioning.as_ref()?.file())));
    let others = listing.used.iter().chain(listing.problems.iter().map(|p| &p.file)).map(|p| plain(p));
    let used = controls.chain(others).chain(pictures.clone()).chain(masks.clone()).collect();
    let (root, layout) = (&listing.root, listing.layout);
    let without_masks = (0..regions.len()).any(|r| items.iter().all(|(item, _)| item.masks[r].is_none()));
    let known = stray::Known { root, layout, used: &used, pictures: &pictures, masks: &masks, without_masks };
    stray::strays(&known, spec, regions)
}

/// Pictures that are there twice.
fn twice(looked: &[Looked]) -> Vec<Finding> {
    let hashes: Vec<_> = looked.iter().map(|l| l.hash).collect();
    let same = duplicates::same(&hashes);
    let mut skip = vec![false; looked.len()];
    same.iter().for_each(|(i, _)| skip[*i] = true);
    let looks: Vec<_> = looked.iter().map(|l| l.looks.clone()).collect();
    let near = duplicates::alike(&looks, &skip);
    let exact = same.into_iter().map(|pair| (Kind::Duplicate, pair));
    let near = near.into_iter().map(|pair| (Kind::NearDuplicate, pair));
    let finding = |(kind, (i, before)): (Kind, (usize, usize))| {
        let (name, first) = (&looked[i].report.name, looked[before].report.name.display());
        let text = match kind {
            Kind::Duplicate if *name == looked[before].report.name => "is listed more than once".to_owned(),
            Kind::Duplicate => format!("has the same bytes as {first}"),
            _ => format!("looks nearly like {first}"),
        };
        Finding { item: Some(i), ..Finding::new(kind, &Subject::Picture, name, text) }
    };
    exact.chain(near).map(finding).collect()
}

/// The regions that a folder seems to have masks for, for a check without a recipe: columns whose name has `mask` in
/// it, `-masklabel.png` files, folders `masks/NAME` or `mask_NAME`, kohya's conditioning folders, faces and hands of
/// COCO annotations. What no picture has is no guess.
pub fn guess_regions(base: &Path, spec: &DatasetSpec) -> Vec<Region> {
    let path = base.join(&spec.path);
    let regions = crate::layout::guess::regions(&path, spec);
    if let Ok(listing) = Dataset::list(&path, spec, &regions) {
        let has = |r: usize, region: &Region| {
            let subject = Subject::Mask(region.name.clone());
            let is_fault = |p: &Problem| p.subject == subject && !matches!(p.fault, Fault::NoRegion(_));
            let mut items = listing.items.iter().chain(&listing.broken);
            items.any(|item| item.masks[r].is_some()) || listing.problems.iter().any(is_fault)
        };
        let found = regions.into_iter().enumerate().filter(|(r, region)| has(*r, region));
        return found.map(|(_, region)| region).collect();
    }
    regions
}
