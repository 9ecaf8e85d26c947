//! From what was seen of every picture to what each objective will see.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::inspect::{Looked, TOKENS};
use super::report::{Bucket, CaptionReport, Counts, Finding, Kind, RegionReport, Report, Severity};
use super::{Dataset, Layout, Listing, Options};
use crate::problem::{Problem, Subject};

/// The report of a dataset that cannot be opened at all.
pub(super) fn unreadable(path: PathBuf, layout: Layout, problems: &[Problem], options: &Options) -> Report {
    let findings: Vec<Finding> = problems.iter().map(Finding::from).collect();
    Report {
        dataset: path,
        layout,
        geometry: options.geometry,
        mask_cell: options.mask_cell,
        counts: counts(&findings),
        pictures: 0,
        epoch: 0,
        regions: Vec::new(),
        captions: CaptionReport { estimated: options.tokens.is_none(), limit: TOKENS, longest: 0, over: 0 },
        buckets: Vec::new(),
        findings,
        notes: Vec::new(),
        items: Vec::new(),
    }
}

/// The report; `findings` are those about the list and about several pictures.
pub(super) fn report(
    dataset: Dataset,
    listing: &Listing,
    looked: Vec<Looked>,
    mut findings: Vec<Finding>,
    options: &Options,
) -> Report {
    let regions: Vec<RegionReport> =
        (0..dataset.regions().len()).map(|r| region(&dataset, r, &looked, options)).collect();
    for (r, region) in regions.iter().enumerate() {
        // Without a single mask it is an error, which the list's reader has told.
        if region.pictures == 0 && looked.iter().any(|l| l.regions[r].is_some()) {
            let subject = Subject::Mask(region.name.clone());
            let text =
                "no picture has a cell of it: all masks are black, too small, or lie outside of the crop";
            findings.push(Finding::new(Kind::RegionEmpty, &subject, "", text.into()));
        }
    }
    let mut buckets = BTreeMap::new();
    for one in &looked {
        if let Some(draw) = one.draw {
            *buckets.entry((draw.width, draw.height)).or_insert(0) += one.report.repeats as usize;
        }
    }
    let tokens = || looked.iter().map(|l| l.report.tokens);
    let captions = CaptionReport {
        estimated: options.tokens.is_none(),
        limit: TOKENS,
        longest: tokens().max().unwrap_or(0),
        over: tokens().filter(|t| *t > TOKENS).count(),
    };
    let mut items = Vec::with_capacity(looked.len());
    for (i, one) in looked.into_iter().enumerate() {
        findings.extend(one.findings.into_iter().map(|f| Finding { item: Some(i), ..f }));
        items.push(one.report);
    }
    findings.sort_by_key(|f| (f.item, f.severity, f.kind));
    Report {
        dataset: listing.root.clone(),
        layout: listing.layout,
        geometry: options.geometry,
        mask_cell: options.mask_cell,
        counts: counts(&findings),
        pictures: items.len(),
        epoch: items.iter().map(|i| i.repeats as usize).sum(),
        regions,
        captions,
        buckets: buckets
            .into_iter()
            .map(|((width, height), pictures)| Bucket { width, height, pictures })
            .collect(),
        findings,
        notes: listing.notes.clone(),
        items,
    }
}

fn counts(findings: &[Finding]) -> Counts {
    let count = |severity| findings.iter().filter(|f| f.severity == severity).count();
    Counts {
        errors: count(Severity::Error),
        warnings: count(Severity::Warning),
        notes: count(Severity::Note),
    }
}

fn region(dataset: &Dataset, r: usize, looked: &[Looked], options: &Options) -> RegionReport {
    let usable = || looked.iter().filter_map(|l| Some((l.draw?, l.regions[r].clone())));
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
        sizes.extend(region.parts);
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
    let share = |part: usize, of: usize| if of == 0 { 0.0 } else { part as f64 / of as f64 };
    let grown = |n: u32, eighths: u32| n * eighths / 8;
    let geometry = options.geometry;
    let named = dataset.regions()[r].clone();
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
