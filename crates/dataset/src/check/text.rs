//! The report for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::report::{RegionReport, Report};
use crate::diagnostic::{Diagnostic, Severity};

/// Number of diagnostics of one kind that are printed; the rest is counted.
const SHOWN: usize = 8;

/// The report as readable text.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut out, report);
    out
}

fn write(out: &mut String, report: &Report) -> std::fmt::Result {
    let geometry = &report.geometry;
    writeln!(
        out,
        "{} ({}): {}, {} in an epoch, trained at {}",
        report.dataset.display(),
        layout(report),
        count(report.pictures, "picture"),
        report.epoch,
        match &report.buckets[..] {
            [one] => format!("{} x {}", one.width, one.height),
            [] => format!("{} x {}", geometry.width, geometry.height),
            more => format!("{} sizes", more.len()),
        }
    )?;
    if report.buckets.len() > 1 {
        let sizes = report.buckets.iter().map(|b| format!("{} x {}: {}", b.width, b.height, b.pictures));
        writeln!(out, "  {}", sizes.collect::<Vec<_>>().join(",  "))?;
    }
    for line in [report.fit.enlargement(), report.fit.cropping()].into_iter().flatten() {
        writeln!(out, "Size: {line}")?;
    }
    let captions = &report.captions;
    if report.pictures > 0 {
        writeln!(
            out,
            "Captions: the longest has {}{} of {} tokens",
            if captions.estimated { "about " } else { "" },
            captions.longest,
            captions.limit
        )?;
    }
    if !report.regions.is_empty() {
        writeln!(
            out,
            "\nWhat the objectives see, in {}:",
            match report.mask_cell {
                1 => "pixels of the training size".to_owned(),
                n => format!("latent cells of {n} x {n} pixels"),
            }
        )?;
        writeln!(
            out,
            "  {:<12} {:>9} {:>9} {:>11} {:>7}   {:<22} 1-3 / 4-15 / 16-63 / 64-255 / more",
            "region", "pictures", "cells", "where seen", "parts", "cells per part",
        )?;
        for region in &report.regions {
            writeln!(out, "{}", line(region))?;
        }
        for region in &report.regions {
            if let Some((width, height)) = region.visible_at {
                writeln!(
                    out,
                    "  {}: {} of {} parts vanish at this size; at about {width} x {height} none would",
                    region.name, region.vanishing, region.parts
                )?;
            }
            if region.cropped > 0 {
                writeln!(
                    out,
                    "  {}: {} lie outside of the crop",
                    region.name,
                    count(region.cropped, "part")
                )?;
            }
        }
    }
    for (name, severity) in
        [("ERROR", Severity::Error), ("warning", Severity::Warning), ("note", Severity::Note)]
    {
        let mut kinds: BTreeMap<_, Vec<&Diagnostic>> = BTreeMap::new();
        for diagnostic in report.diagnostics.iter().filter(|f| f.severity == severity) {
            kinds.entry(diagnostic.kind).or_default().push(diagnostic);
        }
        for (kind, diagnostics) in kinds {
            let count = report.count(severity, kind);
            writeln!(out, "\n{name}: {} ({count})", kind.title())?;
            for diagnostic in diagnostics.iter().take(SHOWN) {
                writeln!(out, "  {diagnostic}")?;
            }
            if count > SHOWN {
                let listed = match diagnostics.len() {
                    all if all == count => "them all".to_owned(),
                    some => format!("the first {some}"),
                };
                writeln!(out, "  ... and {} more (--json and --html have {listed})", count - SHOWN)?;
            }
        }
    }
    let counts = report.counts;
    writeln!(
        out,
        "\n{}, {}, {}{}",
        count(counts.errors, "error"),
        count(counts.warnings, "warning"),
        count(counts.notes, "note"),
        if report.has_errors() { ": training would refuse this dataset" } else { "" }
    )
}

fn line(region: &RegionReport) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let sizes = region
        .cells
        .map_or_else(|| "none".into(), |[least, middle, most]| format!("{least} to {most}, half {middle}"));
    let histogram = region.histogram.map(|n| n.to_string()).join(" / ");
    format!(
        "  {:<12} {:>9} {:>9} {:>11} {:>7}   {:<22} {}",
        region.name,
        percent(region.share_of_pictures),
        percent(region.share_of_cells),
        percent(region.share_of_cells_where_present),
        region.parts,
        sizes,
        histogram
    )
}

fn layout(report: &Report) -> String {
    format!("{:?}", report.layout).to_lowercase()
}

/// A number and its noun.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}
