//! Sums up the inspected pictures: what each objective will see.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::inspect::{Inspected, TOKENS};
use super::report::{Bucket, CaptionReport, Counts, KindCount, RegionReport, Report};
use super::{Layout, Listing, Options};
use crate::decode::Decoder;
use crate::diagnostic::{Diagnostic, Diagnostics, Kind, Severity, Subject};
use crate::fit::Fit;

/// The report of a dataset that cannot be opened at all.
pub(super) fn unreadable(
    path: PathBuf,
    layout: Layout,
    diagnostics: Vec<Diagnostic>,
    options: &Options,
) -> Report {
    let diagnostics: Diagnostics = diagnostics.into_iter().collect();
    Report {
        dataset: path,
        layout,
        geometry: options.geometry,
        mask_cell: options.mask_cell,
        counts: counts(&diagnostics),
        kinds: kinds(&diagnostics),
        pictures: 0,
        epoch: 0,
        regions: Vec::new(),
        captions: CaptionReport { estimated: options.tokens.is_none(), limit: TOKENS, longest: 0, over: 0 },
        buckets: Vec::new(),
        fit: Fit::default(),
        diagnostics: diagnostics.into_kept(),
        items: Vec::new(),
    }
}

/// The report; `diagnostics` are those about the list and about several pictures.
pub(super) fn report(
    decoder: &Decoder,
    listing: &Listing,
    inspected: Vec<Inspected>,
    mut diagnostics: Diagnostics,
    options: &Options,
) -> Report {
    let regions: Vec<RegionReport> =
        (0..decoder.regions.len()).map(|r| region(decoder, r, &inspected, options)).collect();
    for (r, region) in regions.iter().enumerate() {
        // Without a single mask it is an error, which the list's reader has told.
        if region.pictures == 0 && inspected.iter().any(|l| l.regions[r].is_some()) {
            let subject = Subject::Mask(region.name.clone());
            let text =
                "no picture has a cell of it: all masks are black, too small, or lie outside of the crop";
            diagnostics.push(Diagnostic::new(Kind::RegionEmpty, text).about(subject, ""));
        }
    }
    let mut buckets = BTreeMap::new();
    for one in &inspected {
        if let Some(draw) = one.draw {
            *buckets.entry((draw.width, draw.height)).or_insert(0) += one.report.repeats as usize;
        }
    }
    let tokens = || inspected.iter().map(|l| l.report.tokens);
    let captions = CaptionReport {
        estimated: options.tokens.is_none(),
        limit: TOKENS,
        longest: tokens().max().unwrap_or(0),
        over: tokens().filter(|t| *t > TOKENS).count(),
    };
    let mut items = Vec::with_capacity(inspected.len());
    items.extend(inspected.into_iter().map(|one| one.report));
    // A size that is refused fits nothing.
    let usable =
        items.iter().filter(|item| item.repeats > 0 && options.geometry.check(options.latent_factor).is_ok());
    let fit = Fit::of(usable.filter_map(|item| Some((&item.name, item.size?))), &options.geometry);
    let (counts, kinds) = (counts(&diagnostics), kinds(&diagnostics));
    let mut diagnostics = diagnostics.into_kept();
    diagnostics.sort_by_key(|d| (d.item, d.severity, d.kind));
    Report {
        dataset: listing.root.clone(),
        layout: listing.layout,
        geometry: options.geometry,
        mask_cell: options.mask_cell,
        counts,
        kinds,
        pictures: items.len(),
        epoch: items.iter().map(|i| i.repeats as usize).sum(),
        regions,
        captions,
        buckets: buckets
            .into_iter()
            .map(|((width, height), pictures)| Bucket { width, height, pictures })
            .collect(),
        fit,
        diagnostics,
        items,
    }
}

fn counts(diagnostics: &Diagnostics) -> Counts {
    Counts {
        errors: diagnostics.count(Severity::Error),
        warnings: diagnostics.count(Severity::Warning),
        notes: diagnostics.count(Severity::Note),
    }
}

fn kinds(diagnostics: &Diagnostics) -> Vec<KindCount> {
    let counts = diagnostics.counts().iter();
    counts.map(|(&(severity, kind), &count)| KindCount { severity, kind, count }).collect()
}

fn region(decoder: &Decoder, r: usize, inspected: &[Inspected], options: &Options) -> RegionReport {
    let usable = || inspected.iter().filter_map(|l| Some((l.draw?, l.regions[r].clone())));
    let factor = options.mask_cell.max(1);
    let (mut all, mut inside, mut present, mut pictures) = (0usize, 0usize, 0usize, 0usize);
    let mut sizes = Vec::new();
    let (mut vanishing, mut cropped, mut visible_at) = (0, 0, None);
    for (draw, region) in usable() {
        let cells = (draw.width as usize / factor) * (draw.height as usize / factor);
        all += cells;
        let Some(region) = region else { continue };
        inside += region.cells;
        if region.cells > 0 {
            present += cells;
            pictures += 1;
        }
        sizes.extend(region.components);
        vanishing += region.vanishing;
        cropped += region.cropped;
        visible_at = visible_at.max(region.visible_at);
    }
    sizes.sort_unstable();
    let mut histogram = [0; 5];
    for size in &sizes {
        let class = [4, 16, 64, 256].iter().position(|limit| size < limit).unwrap_or(4);
        histogram[class] += 1;
    }
    let share = |some: usize, of: usize| if of == 0 { 0.0 } else { some as f64 / of as f64 };
    let grown = |n: u32, eighths: u32| n * eighths / 8;
    let geometry = options.geometry;
    let named = decoder.regions[r].clone();
    RegionReport {
        name: named.name,
        mask: named.mask,
        pictures,
        share_of_pictures: share(pictures, usable().count()),
        share_of_cells: share(inside, all),
        share_of_cells_where_present: share(inside, present),
        parts: sizes.len() + vanishing + cropped,
        cells: sizes.first().zip(sizes.last()).map(|(a, b)| [*a, sizes[sizes.len() / 2], *b]),
        histogram,
        vanishing,
        visible_at: visible_at.map(|e| (grown(geometry.width, e), grown(geometry.height, e))),
        cropped,
    }
}
