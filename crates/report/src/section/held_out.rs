//! Held-out losses before and after training, and the run with the lowest of each where runs can be compared.

use maud::{Markup, html};

use super::section;
use crate::chart::{LineChart, Point, Scale};
use crate::number::{change, listed, short, tick};
use crate::recipe;
use crate::view::{View, ends, grid, held_out as losses};

/// Losses that differ by less than this share are called equal.
const EQUAL: f64 = 5e-4;

/// First and last held-out loss of an objective, for each run.
struct Row {
    objective: String,
    runs: Vec<Option<(Point, Point)>>,
    /// True if all runs define the objective in the same way.
    comparable: bool,
}

impl Row {
    /// The run with the lowest last loss, if the losses are comparable and the difference is clear.
    fn lowest(&self) -> Option<usize> {
        let mut last: Vec<(usize, f64)> =
            self.runs.iter().enumerate().filter_map(|(r, e)| Some((r, e.as_ref()?.1.1))).collect();
        last.sort_by(|a, b| a.1.total_cmp(&b.1));
        match last.as_slice() {
            [best, second, ..] if self.comparable && best.1 < second.1 * (1.0 - EQUAL) => Some(best.0),
            _ => None,
        }
    }

    /// True if at least two runs have it.
    fn shared(&self) -> bool {
        self.runs.iter().flatten().count() > 1
    }
}

/// Relative change from first to last.
fn relative((first, last): &(Point, Point)) -> f64 {
    last.1 / first.1 - 1.0
}

/// The section; where nothing was held out, a sentence on how to do that.
pub fn held_out(view: &View<'_>) -> Markup {
    let rows = rows(view);
    let title = "Held-out losses";
    if rows.is_empty() {
        let text = "No losses of held-out pictures are known. Hold some out with `share = 0.1` under [validation] in \
                    the recipe: losses of training steps are noisy, because every step draws other pictures and time \
                    steps.";
        return section("held-out", title, text, html! {});
    }
    let lead = "Pictures that were never trained on, always at the same noise and time steps. Lower is better; an \
                objective such as face or hand counts only the pixels of its region.";
    let body = html! {
        (table(view, &rows))
        @for sentence in verdict(view, &rows) { p.verdict { (sentence) } }
        @let cautions = recipe::cautions(view);
        @if !cautions.is_empty() { ul.cautions { @for caution in cautions { li { (caution) } } } }
        (charts(view, &rows))
    };
    section("held-out", title, lead, body)
}

fn rows(view: &View<'_>) -> Vec<Row> {
    let row = |name: &String| {
        let of = |run: &crate::model::Run| {
            let k = run.objectives().iter().position(|other| other == name)?;
            ends(&losses(run, k))
        };
        let runs: Vec<_> = view.runs.iter().map(of).collect();
        let comparable = recipe::same_objective(view, name);
        runs.iter().any(Option::is_some).then(|| Row { objective: name.clone(), runs, comparable })
    };
    view.objectives.iter().filter_map(row).collect()
}

/// True if all runs start from the same losses: one column is enough then.
fn same_start(rows: &[Row]) -> bool {
    rows.iter().all(|row| {
        let mut firsts = row.runs.iter().flatten().map(|(first, _)| first);
        let one = firsts.next();
        firsts.all(|f| one.is_some_and(|o| o.0 == f.0 && (o.1 - f.1).abs() <= 1e-6 * o.1.abs()))
    })
}

fn table(view: &View<'_>, rows: &[Row]) -> Markup {
    let same = same_start(rows);
    let cell = |row: &Row, r: usize| match &row.runs[r] {
        None => html! { td.none { "–" } },
        Some(ends) => html! {
            td.best[row.lowest() == Some(r)] {
                @if !same { span.from { (short(ends.0.1)) " → " } }
                span.value { (short(ends.1.1)) }
                @if ends.1.0 > ends.0.0 {
                    span.change.worse[relative(ends) > 0.0] { (change(relative(ends))) }
                } @else { span.change { "one look" } }
                @if row.lowest() == Some(r) { span.mark { "lowest" } }
            }
        },
    };
    html! {
        div.scroll { table.numbers {
            thead { tr {
                th scope="col" { "Objective" }
                @if same { th scope="col" { "Before" } }
                @for (r, run) in view.runs.iter().enumerate() {
                    th scope="col" {
                        @if view.compares() { i class={ "chip s" (r % 10) } {} (run.name) } @else { "After" }
                    }
                }
            } }
            tbody {
                @for row in rows {
                    tr {
                        th scope="row" { (row.objective) }
                        @if same { td { (row.runs.iter().flatten().next().map_or("–".into(), |e| short(e.0.1))) } }
                        @for r in 0..view.runs.len() { (cell(row, r)) }
                    }
                }
                @if rows.len() > 1 {
                    tr.foot {
                        th scope="row" { "Gained least" }
                        @if same { td {} }
                        @for r in 0..view.runs.len() { td { (least(rows, r)) } }
                    }
                }
            }
        } }
    }
}

/// The objective that improved least in a run, which fair weights are to help.
fn least(rows: &[Row], r: usize) -> String {
    let changes = rows.iter().filter_map(|row| {
        let ends = row.runs[r].as_ref().filter(|(first, last)| last.0 > first.0)?;
        Some((&row.objective, relative(ends))).filter(|(_, change)| change.is_finite())
    });
    let worst = changes.max_by(|a, b| a.1.total_cmp(&b.1));
    worst.map_or("–".into(), |(name, by)| format!("{name} {}", change(by)))
}

/// The table in sentences, true for any numbers.
fn verdict(view: &View<'_>, rows: &[Row]) -> Vec<String> {
    if !view.compares() {
        let told = rows.iter().filter_map(|row| {
            let ends = row.runs[0].as_ref().filter(|(first, last)| last.0 > first.0)?;
            let by = relative(ends);
            let word = match by {
                by if by.abs() < EQUAL => return Some(format!("{} stayed as it was", row.objective)),
                by if by < 0.0 => "fell",
                _ => "rose",
            };
            Some(format!("{} {word} by {}", row.objective, crate::number::percent(by.abs())))
        });
        let told: Vec<String> = told.collect();
        return if told.is_empty() {
            Vec::new()
        } else {
            vec![format!("Held-out losses: {}.", listed(&told))]
        };
    }
    let shared: Vec<&Row> = rows.iter().filter(|row| row.shared()).collect();
    let names = |list: &mut dyn Iterator<Item = &&Row>| -> Vec<String> {
        list.map(|row| row.objective.clone()).collect()
    };
    let mut said = Vec::new();
    let wins: Vec<Vec<String>> = (0..view.runs.len())
        .map(|r| names(&mut shared.iter().filter(|row| row.lowest() == Some(r))))
        .collect();
    let winners = view.runs.iter().zip(&wins).filter(|(_, wins)| !wins.is_empty());
    let winners: Vec<String> =
        winners.map(|(run, wins)| format!("{} for {}", run.name, listed(wins))).collect();
    if !winners.is_empty() {
        said.push(format!("Lowest at the end: {}.", winners.join("; ")));
    }
    let none: Vec<String> = view
        .runs
        .iter()
        .zip(&wins)
        .filter(|(_, wins)| wins.is_empty())
        .map(|(run, _)| run.name.clone())
        .collect();
    if !winners.is_empty() && !none.is_empty() {
        let verb = if none.len() == 1 { "is" } else { "are" };
        said.push(format!("{} {verb} lowest for none.", listed(&none)));
    }
    let equal = names(&mut shared.iter().filter(|row| row.comparable && row.lowest().is_none()));
    if !equal.is_empty() {
        said.push(format!("No clear lowest (within 0.05 %): {}.", listed(&equal)));
    }
    if !said.is_empty() {
        said.push(
            "This is one run each: another seed would move the numbers, so small differences may be chance."
                .into(),
        );
    }
    vec![said.join(" ")].into_iter().filter(|text| !text.is_empty()).collect()
}

/// Change since the first validation in percent, all objectives on one axis.
fn charts(view: &View<'_>, rows: &[Row]) -> Markup {
    let lines = view.per_objective("", |_| true, |_, _| None, losses);
    let mut drawn: Vec<(String, Vec<crate::chart::Series>)> = Vec::new();
    for line in lines.iter().filter(|line| rows.iter().any(|row| row.objective == line.title)) {
        let changes = line.series.iter().filter_map(|raw| {
            let (first, last) = ends(&raw.dots).filter(|(first, last)| last.0 > first.0)?;
            let _ = last;
            let mut series = raw.draw();
            series.dots.iter_mut().for_each(|point| point.1 = 100.0 * (point.1 / first.1 - 1.0));
            Some(series)
        });
        drawn.push((line.title.clone(), changes.collect()));
    }
    let values = drawn.iter().flat_map(|(_, series)| series).flat_map(|s| &s.dots).map(|p| p.1);
    let y = Scale::linear(values);
    grid(drawn.into_iter().map(|(title, series)| LineChart {
        title,
        unit: "held-out, change in %".into(),
        x: view.x,
        y,
        reference: Some(0.0),
        series,
        value: |percent| change(percent / 100.0),
        tick: |percent| format!("{}%", tick(percent)),
    }))
}
