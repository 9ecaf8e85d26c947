//! Cost: the time of a step by its parts and over the run, and memory.

use fairhuman_train::events::Seconds;
use maud::{Markup, html};

use super::section;
use crate::model::Run;
use crate::number::{duration, memory, percent, short};
use crate::view::{Axes, View};

/// Parts of a step: name and seconds.
type Part = (&'static str, fn(&Seconds) -> f64);
const PARTS: [Part; 5] = [
    ("data", |s| s.data),
    ("forward", |s| s.forward),
    ("backward", |s| s.backward),
    ("fair weights", |s| s.solve),
    ("optimiser", |s| s.update),
];

/// Totals of a run.
struct Totals {
    median: f64,
    total: f64,
    parts: [f64; 5],
    validation: f64,
    peak: Option<f64>,
}

fn totals(run: &Run) -> Option<Totals> {
    let mut times: Vec<f64> = run.steps().map(|s| s.seconds.total).filter(|t| t.is_finite()).collect();
    if times.is_empty() {
        return None;
    }
    let total: f64 = times.iter().sum();
    times.sort_by(f64::total_cmp);
    let part = |(_, of): Part| run.steps().map(|s| of(&s.seconds)).filter(|t| t.is_finite()).sum();
    let peak = run.steps().filter_map(|s| s.peak_memory_mib).reduce(f64::max);
    let validation = run.validations().map(|v| v.seconds).sum();
    Some(Totals { median: times[times.len() / 2], total, parts: PARTS.map(part), validation, peak })
}

/// The section; nothing without steps.
pub fn cost(view: &View<'_>) -> Markup {
    let all: Vec<_> = view.runs.iter().map(totals).collect();
    if all.iter().all(Option::is_none) {
        return html! {};
    }
    let lead = "One forward and one backward pass serve all objectives; \"fair weights\" is everything from their \
                gradients to the combined one. Peak memory is of the whole program so far.";
    let longest = all.iter().flatten().map(|t| t.median).fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let time = view.per_run("Time of a step", "seconds", true, |step| Some(step.seconds.total));
    let peak = view.per_run("Peak memory", "MiB", false, |step| step.peak_memory_mib);
    let body = html! {
        ul.legend aria-label="Parts of a step" { @for (i, (name, _)) in PARTS.iter().enumerate() { li class={ "p" (i) } { i {} (name) } } }
        div.bars {
            @for (run, totals) in view.runs.iter().zip(&all) { @if let Some(t) = totals {
                div.bar-name { @if view.compares() { (run.name) } @else { "a step" } }
                div.bar { div.stack style=(format!("width:{:.1}%", 100.0 * t.median / longest)) {
                    @for (i, part) in t.parts.iter().enumerate() {
                        div class={ "p" (i) } style=(format!("flex-grow:{:.4}", part.max(0.0) / t.total.max(1e-12)))
                            title={ (PARTS[i].0) " " (percent(part / t.total)) } {}
                    }
                } }
                div.bar-value { (duration(t.median)) span.sub { "median" } }
            } }
        }
        div.scroll { table.numbers {
            thead { tr {
                th scope="col" { "" }
                @for (r, run) in view.runs.iter().enumerate() {
                    th scope="col" { @if view.compares() { i class={ "chip s" (r % 10) } {} (run.name) } @else { "This run" } }
                }
            } }
            tbody {
                (row("Steps per second", &all, |t| short(1.0 / t.median)))
                (row("All steps", &all, |t| duration(t.total)))
                (row("Looks at held-out pictures", &all, |t| duration(t.validation)))
                (row("Fair weights", &all, |t| format!("{} of a step", percent(t.parts[3] / t.total))))
                (row("Peak memory", &all, |t| t.peak.map_or("not recorded".into(), memory)))
            }
        } }
        (view.charts(&[time, peak], Axes::Own))
    };
    section("cost", "Time and memory", lead, body)
}

fn row(name: &str, all: &[Option<Totals>], write: impl Fn(&Totals) -> String) -> Markup {
    html! { tr {
        th scope="row" { (name) }
        @for totals in all { td { (totals.as_ref().map_or("–".into(), &write)) } }
    } }
}
