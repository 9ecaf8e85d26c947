//! Conflict: the cosines between the objectives' gradients.

use fairhuman_train::events::Step;
use maud::{Markup, html};

use super::section;
use crate::chart::{LineChart, Scale};
use crate::model::Run;
use crate::number::{percent, short, tick};
use crate::view::{Lines, Raw, View, grid, value};

/// With more objectives than this, pairs are a matrix instead of charts.
const CHARTED: usize = 4;

/// The cosine of two objectives of a run in a step where both had pixels.
fn cosine(step: &Step, i: usize, j: usize) -> Option<f64> {
    let there = |k: usize| step.present.get(k).is_some_and(|&lanes| lanes > 0);
    value(&step.cosines, i * step.present.len() + j).filter(|_| there(i) && there(j))
}

/// A pair over a whole run.
struct Pair {
    mean: f64,
    conflict: f64,
}

fn pair(run: &Run, i: usize, j: usize) -> Option<Pair> {
    let (mut n, mut sum, mut negative) = (0.0, 0.0, 0.0);
    for c in run.steps().filter_map(|step| cosine(step, i, j)) {
        n += 1.0;
        sum += c;
        negative += f64::from(c < 0.0);
    }
    (n > 0.0).then(|| Pair { mean: sum / n, conflict: negative / n })
}

/// The section; nothing with one objective.
pub fn conflict(view: &View<'_>) -> Markup {
    let names = &view.objectives;
    let pairs: Vec<(usize, usize)> =
        (0..names.len()).flat_map(|i| (i + 1..names.len()).map(move |j| (i, j))).collect();
    let of = |run: &Run, name: &str| run.objectives().iter().position(|other| other == name);
    let found = |run: &Run, &(i, j): &(usize, usize)| pair(run, of(run, &names[i])?, of(run, &names[j])?);
    if !view.runs.iter().any(|run| pairs.iter().any(|p| found(run, p).is_some())) {
        return html! {};
    }
    let lead = "The cosine between two objectives' gradients: 1 is the same direction, 0 is unrelated, below 0 a \
                step for one is a step against the other. Steps in which a region is absent do not count.";
    let body = html! {
        @if names.len() <= CHARTED {
            (charts(view, &pairs))
            div.scroll { table.numbers {
                thead { tr {
                    th scope="col" { "Pair" }
                    @for (r, run) in view.runs.iter().enumerate() {
                        th scope="col" {
                            @if view.compares() { i class={ "chip s" (r % 10) } {} (run.name) } @else { "Mean cosine" }
                        }
                    }
                } }
                tbody { @for p in &pairs { tr {
                    th scope="row" { (names[p.0]) " · " (names[p.1]) }
                    @for run in view.runs {
                        @match found(run, p) {
                            Some(pair) => td {
                                span.value { (short(pair.mean)) }
                                span.change { "opposed in " (percent(pair.conflict)) " of steps" }
                            },
                            None => td.none { "–" },
                        }
                    }
                } } }
            } }
        } @else {
            @for run in view.runs { (matrix(view, run, names, &found)) }
        }
    };
    section("conflict", "Conflict between objectives", lead, body)
}

fn charts(view: &View<'_>, pairs: &[(usize, usize)]) -> Markup {
    let lines = pairs.iter().map(|&(i, j)| {
        let series = view.runs.iter().enumerate().filter_map(|(r, run)| {
            let of = |o: usize| run.objectives().iter().position(|other| *other == view.objectives[o]);
            let (a, b) = (of(i)?, of(j)?);
            // Steps that made the gradient of a weighted sum alone are no gaps.
            let steps = run.steps().filter(|step| !step.cosines.is_empty());
            let points = steps.map(|step| (step.step as f64, cosine(step, a, b).unwrap_or(f64::NAN)));
            Some(Raw {
                name: run.name.clone(),
                colour: view.run_colour(r),
                points: points.collect(),
                dots: Vec::new(),
                noisy: true,
            })
        });
        let title = format!("{} · {}", view.objectives[i], view.objectives[j]);
        Lines { title, unit: "cosine", series: series.filter(|raw| !raw.is_empty()).collect() }
    });
    let drawn: Vec<(String, Vec<_>)> =
        lines.map(|line| (line.title, line.series.iter().map(Raw::draw).collect())).collect();
    let all = drawn.iter().flat_map(|(_, series): &(String, Vec<crate::chart::Series>)| series);
    let lowest = all.flat_map(|s| s.faint.iter().chain(&s.line)).map(|p| p.1).filter(|v| v.is_finite());
    // The upper end is 1; the lower shows zero at least.
    let lowest = lowest.fold(-0.1, f64::min);
    grid(drawn.into_iter().map(|(title, series)| LineChart {
        title,
        unit: "cosine".into(),
        x: view.x,
        y: Scale::exact(if lowest < -0.5 { -1.0 } else { -0.5 }, 1.0),
        reference: Some(0.0),
        series,
        value: short,
        tick,
    }))
}

/// Mean cosines of many objectives, a cell each; the shade is the size, the sign is written.
fn matrix(
    view: &View<'_>,
    run: &Run,
    names: &[String],
    found: &impl Fn(&Run, &(usize, usize)) -> Option<Pair>,
) -> Markup {
    let cell = |i: usize, j: usize| match if i == j { None } else { found(run, &(i.min(j), i.max(j))) } {
        None => html! { td.none { @if i == j { "1" } @else { "–" } } },
        Some(pair) => {
            let strength = format!("--m:{:.0}%", 100.0 * pair.mean.abs().min(1.0));
            html! {
                td.against[pair.mean < 0.0] style=(strength)
                    title={ (names[i]) " · " (names[j]) ": opposed in " (percent(pair.conflict)) " of steps" } {
                    (format!("{:.2}", pair.mean).replace('-', "−"))
                }
            }
        }
    };
    html! {
        @if view.compares() { h3 { (run.name) } }
        div.scroll { table.matrix {
            caption { "Mean cosine of each pair; orange cells are opposed on average." }
            thead { tr { td {} @for name in names { th scope="col" { (name) } } } }
            tbody { @for i in 0..names.len() { tr {
                th scope="row" { (names[i]) }
                @for j in 0..names.len() { (cell(i, j)) }
            } } }
        } }
    }
}
