//! Regions: the share of pictures that have each, their size, and examples.

use maud::{Markup, html};

use super::section;
use crate::model::{Masked, Run};
use crate::number::percent;
use crate::picture::{cut, data, overlay, places, region_colour};
use crate::view::{NEUTRAL, View, value};

/// Enlarged places of one region of one picture.
const PLACES: usize = 2;

/// Share of the pictures seen in training that have an objective, and its mean share of their area.
fn share(run: &Run, k: usize) -> Option<(f64, f64)> {
    let (mut seen, mut with, mut area) = (0usize, 0usize, 0.0);
    for step in run.steps() {
        if let (Some(&lanes), Some(a)) = (step.present.get(k), value(&step.area, k)) {
            seen += step.samples.len();
            with += lanes;
            area += a * step.samples.len() as f64;
        }
    }
    (seen > 0).then(|| (with as f64 / seen as f64, area / seen as f64))
}

/// Frequency and size of each objective's region.
pub fn regions(view: &View<'_>) -> Markup {
    let rows: Vec<_> = view
        .objectives
        .iter()
        .map(|name| {
            let of = |(r, run): (usize, &Run)| {
                let k = run.objectives().iter().position(|other| other == name)?;
                share(run, k).map(|shares| (r, shares))
            };
            (name, view.runs.iter().enumerate().filter_map(of).collect::<Vec<_>>())
        })
        .collect();
    if rows.iter().all(|(_, runs)| runs.is_empty()) {
        return html! {};
    }
    // Runs over the same pictures need one bar.
    let alike = |runs: &[(usize, (f64, f64))]| {
        view.compares()
            && runs
                .windows(2)
                .all(|w| (w[0].1.0 - w[1].1.0).abs() < 0.005 && (w[0].1.1 - w[1].1.1).abs() < 0.005)
    };
    let lead = "What training saw: the share of its pictures that have each region, and how much of the area it is. \
                A region that is small or rare hardly moves a loss that is a mean over the picture.";
    let body = html! {
        div.bars {
            @for (o, (name, runs)) in rows.iter().enumerate() {
                @let alike = alike(runs);
                @let shown = if alike { runs.len().min(1) } else { runs.len() };
                @for (i, &(r, (present, area))) in runs[..shown].iter().enumerate() {
                    div.bar-name { @if i == 0 { (name) } @if shown > 1 { span.sub { (view.runs[r].name) } } }
                    div.bar { div class={ "s" (if alike { NEUTRAL } else { view.colour(r, o) % 10 }) } style=(format!("width:{:.1}%", 100.0 * present.min(1.0))) {} }
                    div.bar-value { (percent(present)) span.sub { "of pictures, " (percent(area)) " of the area" } }
                }
                @if runs.is_empty() { div.bar-name { (name) } div.bar {} div.bar-value { "never seen" } }
            }
        }
        @for (name, runs) in &rows {
            @if runs.iter().any(|(_, (present, _))| *present == 0.0) {
                p.note { "No picture had " (name) " in training: its mask column or its masks may be wrong." }
            }
        }
    };
    section("regions", "Regions in the training pictures", lead, body)
}

/// Some pictures of the dataset with their masks, those of the run that has the most to show.
pub fn masks(view: &View<'_>) -> Markup {
    let masks = |run: &&Run| run.pictures.iter().map(|picture| picture.regions.len()).sum::<usize>();
    let with = view.runs.iter().filter(|run| !run.pictures.is_empty());
    let Some(run) = with.rev().max_by_key(masks) else { return html! {} };
    let number = |name: &str| view.objectives.iter().position(|other| other == name).unwrap_or(0);
    let mut shown: Vec<&str> = Vec::new();
    for region in run.pictures.iter().flat_map(|picture| &picture.regions) {
        if !shown.contains(&region.name.as_str()) {
            shown.push(&region.name);
        }
    }
    let lead = "Pictures of the dataset as the network sees them, with each region's mask on top; what lies under the \
                masks is enlarged below. Point at a picture, or touch it, to take the masks off.";
    let body = html! {
        ul.legend aria-label="Regions" {
            @for name in &shown { li { i style={ "background:" (region_colour(number(name))) } {} (name) } }
        }
        div.masked { @for picture in &run.pictures { (masked(picture, &number)) } }
    };
    section("masks", "Masks", lead, body)
}

fn masked(picture: &Masked, number: &impl Fn(&str) -> usize) -> Markup {
    let layers: Vec<_> = picture.regions.iter().map(|region| (number(&region.name), &region.mask)).collect();
    let names: Vec<String> = picture.regions.iter().map(|region| region.name.clone()).collect();
    let crops = picture.regions.iter().flat_map(|region| places(&region.name, &region.mask, PLACES));
    let crops: Vec<_> =
        crops.filter_map(|crop| Some((crop.name.clone(), cut(&picture.image, &crop)?))).collect();
    let seen = if names.is_empty() { "no region".to_owned() } else { crate::number::listed(&names) };
    html! {
        figure {
            div.layers tabindex="0" {
                img src=(data(&picture.image)) alt=(picture.caption);
                @if !layers.is_empty() { img.over src=(overlay(&layers)) alt={ "masks: " (seen) }; }
            }
            @if !crops.is_empty() { div.crops {
                @for (name, crop) in &crops {
                    img src=(data(crop)) alt={ (name) ", enlarged" } title=(name)
                        style={ "border-color:" (region_colour(number(name))) };
                }
            } }
            figcaption {
                (picture.caption)
                span.sub { (picture.name) " · " @if picture.held_out { "held out" } @else { "trained on" } " · " (seen) }
            }
        }
    }
}
