//! Checks a dataset: reads everything, trains nothing, names every error, and tells what each objective will
//! see.
//!
//! [`Dataset::open`](crate::Dataset::open) refuses what cannot be trained on. A check goes on after the first
//! error, decodes every pixel, and also tells what would be trained on otherwise than meant.

mod components;
mod duplicates;
mod html;
mod inspect;
mod masks;
mod report;
mod summary;
mod text;
mod thumbnail;
mod tokens;
mod unused_files;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::controls;
use crate::dataset::{AT_ONCE, list};
use crate::decode::Decoder;
use crate::diagnostic::{Diagnostic, Diagnostics, Kind, Subject};
use crate::geometry::GeometrySpec;
use crate::item::Item;
use crate::layout::Listing;
use crate::spec::{DatasetSpec, Layout, Region};
pub use duplicates::{NEAR_BITS, NEAR_COLOUR};
pub use html::html;
use inspect::{Inspected, inspect};
pub use report::{Bucket, CaptionReport, Counts, ItemReport, KindCount, RegionReport, Report};
pub use text::text;
pub use thumbnail::COLOURS;
pub(crate) use thumbnail::thumbnail;

/// Options of a check.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The size that pictures are trained at. Crops are taken from the middle.
    pub geometry: GeometrySpec,
    /// Pixels per latent cell, in one direction; 8 for Stable Diffusion. The training size must be a
    /// multiple.
    pub latent_factor: usize,
    /// Pixels per cell of the masks, in one direction: those of a latent cell, or 1 where objectives are
    /// about pixels, as an autoencoder's.
    pub mask_cell: usize,
    /// The model's tokens of a text, begin and end included. Without it they are estimated, and the report
    /// says so.
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

/// Checks the dataset that `spec` describes; `base` is what a relative `spec.path` is relative to. `progress`
/// is told how many pictures have been looked at, from any thread.
pub fn check(
    base: &Path,
    spec: &DatasetSpec,
    regions: &[Region],
    options: &Options,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Report {
    let path = base.join(&spec.path);
    let spec = DatasetSpec { path: path.clone(), ..spec.clone() };
    let listing = match list(&path, &spec, regions) {
        Ok(listing) => listing,
        Err(errors) => return summary::unreadable(path, spec.layout, errors, options),
    };
    let mut diagnostics = Diagnostics::default();
    if let Err(error) = options.geometry.check(options.latent_factor) {
        diagnostics.push(Diagnostic::new(Kind::Recipe, error.to_string()));
    }
    let decoder = Decoder { root: listing.root.clone(), spec, regions: regions.to_vec() };
    let items = in_order(&listing);
    let done = std::sync::atomic::AtomicUsize::new(0);
    let (mut inspected, mut of_items) = (Vec::with_capacity(items.len()), Diagnostics::default());
    for part in items.chunks(AT_ONCE) {
        let found = part.par_iter().map(|(item, good)| {
            let inspected = inspect(&decoder, item, *good, options);
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, items.len());
            inspected
        });
        for mut one in found.collect::<Vec<Inspected>>() {
            let item = Some(inspected.len());
            of_items.extend(one.diagnostics.drain(..).map(|d| Diagnostic { item, ..d }));
            one.diagnostics = Vec::new();
            inspected.push(one);
        }
    }
    diagnostics.append(of_the_list(&listing, &items));
    diagnostics.extend(unused(&listing, &items, &decoder));
    diagnostics.extend(duplicates(&inspected));
    diagnostics.extend(controls::alike(&decoder, items.iter().map(|(item, _)| *item)));
    diagnostics.append(of_items);
    summary::report(&decoder, &listing, inspected, diagnostics, options)
}

/// All items in the order of their names or lines, each with true if it has no error so far.
pub(crate) fn in_order(listing: &Listing) -> Vec<(&Item, bool)> {
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

/// The diagnostics of the layout's reader, given to their items where they have one.
fn of_the_list(listing: &Listing, items: &[(&Item, bool)]) -> Diagnostics {
    let (mut by_line, mut by_name) = (HashMap::new(), HashMap::new());
    for (i, (item, _)) in items.iter().enumerate().filter(|(_, (_, good))| !good) {
        match &item.origin {
            Some(origin) => by_line.entry(origin).or_insert(i),
            None => by_name.entry(item.image.as_path()).or_insert(i),
        };
    }
    let with_item = |diagnostic: Diagnostic| {
        let of_line = diagnostic.origin.as_deref().and_then(|origin| by_line.get(origin));
        let item = of_line.or_else(|| by_name.get(diagnostic.picture.as_deref()?)).copied();
        Diagnostic { item, ..diagnostic }
    };
    listing.diagnostics.clone().map(with_item)
}

/// Files that belong to nothing.
fn unused(listing: &Listing, items: &[(&Item, bool)], decoder: &Decoder) -> Vec<Diagnostic> {
    let plain = |path: &Path| -> PathBuf {
        path.components().filter(|c| *c != std::path::Component::CurDir).collect()
    };
    let sources =
        |item: &Item| item.masks.iter().flatten().filter_map(|m| m.path().map(plain)).collect::<Vec<_>>();
    let pictures: HashSet<PathBuf> = items.iter().map(|(item, _)| plain(item.source.file())).collect();
    let masks: HashSet<PathBuf> = items.iter().flat_map(|(item, _)| sources(item)).collect();
    let controls = items.iter().filter_map(|(item, _)| Some(plain(item.conditioning.as_ref()?.file())));
    let others = listing.used.iter().chain(listing.errors().map(|e| &e.file)).map(|p| plain(p));
    let used = controls.chain(others).chain(pictures.clone()).chain(masks.clone()).collect();
    let (root, layout) = (&listing.root, listing.layout);
    let without_masks =
        (0..decoder.regions.len()).any(|r| items.iter().all(|(item, _)| item.masks[r].is_none()));
    let known =
        unused_files::Known { root, layout, used: &used, pictures: &pictures, masks: &masks, without_masks };
    unused_files::find(&known, &decoder.spec, &decoder.regions)
}

/// Pictures that occur twice.
fn duplicates(inspected: &[Inspected]) -> Vec<Diagnostic> {
    let hashes: Vec<_> = inspected.iter().map(|one| one.hash).collect();
    let exact = duplicates::exact(&hashes);
    let mut skip = vec![false; inspected.len()];
    exact.iter().for_each(|(i, _)| skip[*i] = true);
    let fingerprints: Vec<_> = inspected.iter().map(|one| one.fingerprint.clone()).collect();
    let near = duplicates::near(&fingerprints, &skip);
    let exact = exact.into_iter().map(|pair| (Kind::Duplicate, pair));
    let near = near.into_iter().map(|pair| (Kind::NearDuplicate, pair));
    let diagnostic = |(kind, (i, before)): (Kind, (usize, usize))| {
        let (name, first) = (&inspected[i].report.name, inspected[before].report.name.display());
        let text = match kind {
            Kind::Duplicate if *name == inspected[before].report.name => {
                "is listed more than once".to_owned()
            }
            Kind::Duplicate => format!("has the same bytes as {first}"),
            _ => format!("looks nearly like {first}"),
        };
        Diagnostic { item: Some(i), ..Diagnostic::new(kind, text).about(Subject::Picture, name) }
    };
    exact.chain(near).map(diagnostic).collect()
}

/// Infers the regions of a dataset for a check without a recipe, from columns whose name has `mask` in it,
/// `-masklabel.png` files, folders `masks/NAME` or `mask_NAME`, kohya's conditioning folders, and faces and
/// hands of COCO annotations. Regions that no picture has are left out.
pub fn infer_regions(base: &Path, spec: &DatasetSpec) -> Vec<Region> {
    let path = base.join(&spec.path);
    let regions = crate::layout::infer_regions::regions(&path, spec);
    let Ok(listing) = list(&path, spec, &regions) else { return regions };
    let has = |r: usize, region: &Region| {
        let subject = Subject::Mask(region.name.clone());
        let mut items = listing.items.iter().chain(&listing.broken);
        items.any(|item| item.masks[r].is_some())
            || listing.errors().any(|e| e.subject == subject && e.kind != Kind::RegionEmpty)
    };
    let found = regions.iter().enumerate().filter(|(r, region)| has(*r, region));
    found.map(|(_, region)| region.clone()).collect()
}
