//! The report as one HTML file: the diagnostics, the regions, and every picture with its regions drawn in.
//!
//! Nothing is loaded from elsewhere. Style and script lie beside this file.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::report::{ItemReport, RegionReport, Report};
use super::text::count;
use super::thumbnail::COLOURS;
use crate::diagnostic::{Diagnostic, Kind, Severity, Subject};

/// Letters of a caption that a card shows; the rest is in its tooltip.
const CAPTION: usize = 120;

/// A contact sheet of at most `limit` pictures: those with errors first, those with warnings next, then
/// others spread evenly. The report must have been made with thumbnails.
pub fn html(report: &Report, limit: usize) -> String {
    let mut by_item: BTreeMap<usize, Vec<&Diagnostic>> = BTreeMap::new();
    for diagnostic in &report.diagnostics {
        if let Some(i) = diagnostic.item {
            by_item.entry(i).or_default().push(diagnostic);
        }
    }
    let chosen = choose(report, &by_item, limit);
    let cards: String =
        chosen.iter().map(|&i| card(report, i, by_item.get(&i).map_or(&[][..], Vec::as_slice))).collect();
    let name = report.dataset.file_name().map_or_else(|| "dataset".into(), |n| n.to_string_lossy());
    let left_out = left_out(report, &by_item, &chosen);
    format!(
        "<!doctype html>\n<html lang=en><meta charset=utf-8>\
         <meta name=generator content=\"fairhuman {version}\">\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <title>{name} - check</title>\n<style>\n{css}</style>\n<main>\n<h1>{name}</h1>\n{head}{regions}{diagnostics}\
         <h2>Pictures</h2>\n{filter}{left_out}<div class=sheet>\n{cards}</div>\n</main>\n<script>\n{js}</script>\n",
        name = escape(&name),
        version = env!("CARGO_PKG_VERSION"),
        css = include_str!("sheet.css"),
        js = include_str!("sheet.js"),
        head = head(report),
        regions = regions(report),
        diagnostics = diagnostics(report),
        filter = filter(report),
    )
}

/// The severity of a picture's worst diagnostic, unless it has only notes.
fn worst(by_item: &BTreeMap<usize, Vec<&Diagnostic>>, i: usize) -> Option<Severity> {
    by_item.get(&i)?.iter().map(|f| f.severity).min().filter(|s| *s != Severity::Note)
}

/// A line about the pictures that are not shown.
fn left_out(report: &Report, by_item: &BTreeMap<usize, Vec<&Diagnostic>>, chosen: &[usize]) -> String {
    let hidden = || (0..report.items.len()).filter(|i| chosen.binary_search(i).is_err());
    let with = |severity| hidden().filter(|i| worst(by_item, *i) == Some(severity)).count();
    let faults = match (with(Severity::Error), with(Severity::Warning)) {
        (0, 0) => "without errors or warnings".to_owned(),
        (errors, warnings) => format!("{errors} of them with errors, {warnings} with warnings"),
    };
    match hidden().count() {
        0 => String::new(),
        n => format!("<p class=quiet>{} left out, {faults}.</p>", count(n, "picture")),
    }
}

/// The pictures that are shown, in their order.
fn choose(report: &Report, by_item: &BTreeMap<usize, Vec<&Diagnostic>>, limit: usize) -> Vec<usize> {
    let is_bad = |i: &usize| worst(by_item, *i).is_some();
    let (mut bad, rest): (Vec<usize>, Vec<usize>) = (0..report.items.len()).partition(is_bad);
    bad.sort_by_key(|i| worst(by_item, *i));
    bad.truncate(limit);
    let room = limit - bad.len();
    let step = (rest.len() as f64 / room.max(1) as f64).max(1.0);
    let spread = (0..room).map(|n| (n as f64 * step) as usize);
    let mut chosen = bad;
    chosen.extend(spread.map_while(|n| rest.get(n)));
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn head(report: &Report) -> String {
    let tile =
        |class: &str, n: usize, what: &str| format!("<div class=\"tile {class}\"><b>{n}</b>{what}</div>");
    let verdict = if report.has_errors() {
        "Training would refuse this dataset until the errors are mended."
    } else {
        "Nothing stands in the way of training."
    };
    let sizes: Vec<String> =
        report.buckets.iter().map(|b| format!("{} &times; {} ({})", b.width, b.height, b.pictures)).collect();
    format!(
        "<p class=quiet>{} &middot; layout {} &middot; trained at {}</p>\n<div class=tiles>{}{}{}{}</div>\n\
         <p>{verdict}</p>\n<p class=quiet>Captions: the longest has {}{} of {} tokens; {} cut off.</p>\n{}",
        escape(&report.dataset.display().to_string()),
        format!("{:?}", report.layout).to_lowercase(),
        sizes.join(", "),
        tile("", report.pictures, "pictures"),
        tile("error", report.counts.errors, "errors"),
        tile("warning", report.counts.warnings, "warnings"),
        tile("note", report.counts.notes, "notes"),
        if report.captions.estimated { "about " } else { "" },
        report.captions.longest,
        report.captions.limit,
        report.captions.over,
        [report.fit.enlargement(), report.fit.cropping()]
            .into_iter()
            .flatten()
            .map(|line| format!("<p class=quiet>{}.</p>\n", escape(&line)))
            .collect::<String>(),
    )
}

fn regions(report: &Report) -> String {
    if report.regions.is_empty() {
        return String::new();
    }
    let rows: String = report.regions.iter().enumerate().map(|(r, region)| region_row(r, region)).collect();
    format!(
        "<h2>What the objectives see</h2>\n<div class=scroll><table>\n<tr><th>region<th>pictures<th>cells\
         <th>cells where seen<th>parts<th>cells per part<th>parts by size in cells<th></tr>\n{rows}</table></div>\n\
         <p class=quiet>Cells are {}; crops from the middle. A part is a connected piece of a mask.</p>\n",
        match report.mask_cell {
            1 => "pixels of the training size".to_owned(),
            n => format!("latent cells of {n} &times; {n} pixels"),
        }
    )
}

fn region_row(r: usize, region: &RegionReport) -> String {
    let percent = |share: f64| format!("{:.1}&nbsp;%", 100.0 * share);
    let cells = region
        .cells
        .map_or_else(|| "none".into(), |[least, middle, most]| format!("{least} to {most}, half {middle}"));
    let most = region.histogram.iter().copied().max().unwrap_or(0).max(1);
    let labels = ["1-3", "4-15", "16-63", "64-255", "more"];
    let bars = region.histogram.iter().zip(labels).map(|(&n, label)| {
        let height = (40 * n).div_ceil(most);
        format!(
            "<span class=bar title=\"{n} parts of {label} cells\"><i style=\"height:{height}px;background:{}\"></i>\
             {label}</span>",
            colour(r)
        )
    });
    let lost = match (region.visible_at, region.cropped) {
        (None, 0) => String::new(),
        (at, cropped) => {
            let vanish = at.map(|(width, height)| {
                format!("{} vanish; none at about {width} &times; {height}. ", region.vanishing)
            });
            let cropped = if cropped > 0 { format!("{cropped} cropped away.") } else { String::new() };
            format!("{}{cropped}", vanish.unwrap_or_default())
        }
    };
    format!(
        "<tr><td><i class=dot style=\"background:{}\"></i>{}<td>{}<td>{}<td>{}<td>{}<td>{cells}<td class=bars>{}\
         <td>{lost}</tr>\n",
        colour(r),
        escape(&region.name),
        percent(region.share_of_pictures),
        percent(region.share_of_cells),
        percent(region.share_of_cells_where_present),
        region.parts,
        bars.collect::<String>(),
    )
}

fn diagnostics(report: &Report) -> String {
    let mut kinds: BTreeMap<(Severity, Kind), Vec<&Diagnostic>> = BTreeMap::new();
    for diagnostic in &report.diagnostics {
        kinds.entry((diagnostic.severity, diagnostic.kind)).or_default().push(diagnostic);
    }
    if kinds.is_empty() {
        return String::new();
    }
    let groups = kinds.into_iter().map(|((severity, kind), diagnostics)| {
        let lines: String = diagnostics
            .iter()
            .map(|f| match f.item {
                Some(i) => format!("<li><a href=\"#p{i}\">{}</a>", escape(&f.to_string())),
                None => format!("<li>{}", escape(&f.to_string())),
            })
            .collect();
        format!(
            "<details{}><summary><span class=\"tag {s}\">{s}</span> {} <span class=quiet>({})</span></summary>\
             <ul>{lines}</ul></details>\n",
            if severity == Severity::Error { " open" } else { "" },
            kind.title(),
            report.count(severity, kind),
            s = class(severity),
        )
    });
    format!("<h2>Errors, warnings and notes</h2>\n{}", groups.collect::<String>())
}

fn filter(report: &Report) -> String {
    let regions = report.regions.iter().enumerate().map(|(r, region)| {
        let name = escape(&region.name);
        format!("<button data-show=r{r}><i class=dot style=\"background:{}\"></i>{name}</button>", colour(r))
    });
    format!(
        "<div class=filter><button data-show=all class=on>all</button><button data-show=error>errors</button>\
         <button data-show=warning>warnings</button>{}</div>\n",
        regions.collect::<String>()
    )
}

fn card(report: &Report, i: usize, diagnostics: &[&Diagnostic]) -> String {
    let item = &report.items[i];
    let mut classes: Vec<String> = diagnostics.iter().map(|f| class(f.severity).to_owned()).collect();
    classes.dedup();
    let with = item.cells.iter().enumerate().filter(|(_, cells)| cells.is_some_and(|c| c > 0));
    classes.extend(with.map(|(r, _)| format!("r{r}")));
    let problems: String = diagnostics
        .iter()
        .map(|f| {
            let region = match &f.subject {
                Subject::Mask(region) => format!("{region}: "),
                _ => String::new(),
            };
            format!("<li class={}>{}{}", class(f.severity), escape(&region), escape(&f.message))
        })
        .collect();
    let cells: String = report
        .regions
        .iter()
        .zip(&item.cells)
        .enumerate()
        .filter_map(|(r, (region, cells))| {
            let colour = colour(r);
            let name = escape(&region.name);
            Some(format!("<span><i class=dot style=\"background:{colour}\"></i>{name} {}</span>", (*cells)?))
        })
        .collect();
    let size = item.size.map_or_else(String::new, |(w, h)| format!("{w} &times; {h}"));
    let repeats = if item.repeats > 1 { format!(" &middot; {} times", item.repeats) } else { String::new() };
    format!(
        "<figure id=p{i} class=\"{}\">{}<figcaption><b>{}</b><small>{size}{repeats}</small>\
         <p title=\"{}\">{}</p><div class=cells>{cells}</div><ul>{problems}</ul></figcaption></figure>\n",
        classes.join(" "),
        picture(item),
        escape(&item.name.display().to_string()),
        escape(&item.caption),
        escape(&shortened(&item.caption)),
    )
}

fn picture(item: &ItemReport) -> String {
    match &item.thumbnail {
        Some(jpeg) => {
            let name = escape(&item.name.display().to_string());
            format!(
                "<img loading=lazy alt=\"{name}\" src=\"data:image/jpeg;base64,{}\">",
                STANDARD.encode(jpeg)
            )
        }
        None => "<div class=none>cannot be shown</div>".into(),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CAPTION) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn colour(region: usize) -> String {
    let [r, g, b] = COLOURS[region % COLOURS.len()];
    format!("rgb({r},{g},{b})")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}
