//! Everything needed to repeat a run: notes, advice, recipes, versions.

use fairhuman_train::events::{Event, StepOutcome};
use maud::{Markup, html};

use super::section;
use crate::model::{Advice, Report, Run};
use crate::number::count;
use crate::recipe::differences;
use crate::view::{View, state};

/// Refused steps that are listed one by one.
const REFUSED: usize = 3;

/// Notes on each run; a note that holds for several is written once.
pub fn notes(view: &View<'_>) -> Markup {
    let mut told: Vec<(String, Vec<&str>)> = Vec::new();
    for run in view.runs {
        for note in of(run) {
            match told.iter_mut().find(|(other, _)| *other == note) {
                Some((_, runs)) => runs.push(&run.name),
                None => told.push((note, vec![&run.name])),
            }
        }
    }
    html! { @if !told.is_empty() { ul.cautions #notes {
        @for (note, runs) in &told { li {
            @if view.compares() && runs.len() < view.runs.len() { b { (runs.join(", ")) ": " } }
            (note)
        } }
    } } }
}

fn of(run: &Run) -> Vec<String> {
    let mut notes = Vec::new();
    if run.events.is_empty() {
        notes.push(
            "Nothing is recorded yet: the run was not begun, or was cut off before its first line.".into(),
        );
    } else if run.steps().next().is_none() {
        notes.push("No step is done yet.".into());
    }
    let refused: Vec<(u64, &String)> = run
        .steps()
        .filter_map(|step| match &step.outcome {
            StepOutcome::Refused(why) => Some((step.step, why)),
            _ => None,
        })
        .collect();
    if !refused.is_empty() {
        notes.push(format!("{} refused, the parameters stayed as they were:", were(refused.len(), "step")));
        notes.extend(refused.iter().take(REFUSED).map(|(step, why)| format!("step {step}: {why}")));
        if refused.len() > REFUSED {
            notes.push(format!("and {} more", refused.len() - REFUSED));
        }
    }
    let absent = run.steps().filter(|step| step.outcome == StepOutcome::AllAbsent).count();
    if absent > 0 {
        notes.push(format!(
            "{} without a pixel of any objective: nothing was learnt there.",
            were(absent, "step")
        ));
    }
    let starts = run.events.iter().filter(|event| matches!(event, Event::Start(_))).count();
    if starts > 1 {
        notes.push(format!("Resumed {}.", count(starts - 1, "time")));
    }
    if let Some(cut) = run.start().map(|start| start.truncated_captions).filter(|&n| n > 0) {
        notes.push(format!(
            "{} longer than the text encoder reads.",
            match cut {
                1 => "1 caption is".to_owned(),
                n => format!("{n} captions are"),
            }
        ));
    }
    notes.extend(run.start().into_iter().flat_map(|start| start.notes.iter().cloned()));
    notes.extend(run.notes.iter().cloned());
    notes
}

fn were(n: usize, noun: &str) -> String {
    format!("{} {}", count(n, noun), if n == 1 { "was" } else { "were" })
}

/// Suggested next steps.
pub fn next(advice: &[Advice]) -> Markup {
    if advice.is_empty() {
        return html! {};
    }
    let body = html! { ol.next { @for advice in advice {
        li { (advice.text) @if let Some(command) = &advice.command { pre { code { (command) } } } }
    } } };
    section("next", "What to do next", "", body)
}

/// Recipes and versions.
pub fn details(report: &Report, view: &View<'_>) -> Markup {
    let differing = differences(view.runs);
    let body = html! {
        (facts(report, view))
        @if !differing.is_empty() {
            h3 { "What differs between the recipes" }
            div.scroll { table.numbers.keys {
                thead { tr {
                    th scope="col" { "Key" }
                    @for (r, run) in view.runs.iter().enumerate() { th scope="col" { i class={ "chip s" (r % 10) } {} (run.name) } }
                } }
                tbody { @for (key, values) in &differing { tr {
                    th scope="row" { code { (key) } }
                    @for value in values { td { code { (value.as_deref().unwrap_or("–")) } } }
                } } }
            } }
        }
        @for run in view.runs { @if !run.recipe.is_empty() {
            details {
                summary { "Resolved recipe" @if view.compares() { " of " (run.name) } }
                pre { code { (run.recipe) } }
            }
        } }
    };
    section("details", "Recipes and versions", "Everything that is needed to run this again.", body)
}

fn facts(report: &Report, view: &View<'_>) -> Markup {
    let of = |run: &Run, write: &dyn Fn(&fairhuman_train::events::Start) -> String| {
        run.start().map_or("–".into(), write)
    };
    let versions = |run: &Run| {
        let mut all: Vec<&str> = Vec::new();
        for event in &run.events {
            if let Event::Start(start) = event
                && !all.contains(&start.version.as_str())
            {
                all.push(&start.version);
            }
        }
        if all.is_empty() { "–".into() } else { all.join(", ") }
    };
    let pictures = |s: &fairhuman_train::events::Start| {
        format!("{} + {} held out", s.training_samples, s.held_out.len())
    };
    let machine = |s: &fairhuman_train::events::Start| match s.machine.as_str() {
        "" => "not recorded".to_owned(),
        machine => machine.to_owned(),
    };
    let row = |name: &str, write: &dyn Fn(&Run) -> String| {
        html! {
            tr { th scope="row" { (name) } @for run in view.runs { td { (write(run)) } } }
        }
    };
    html! {
        @if !view.runs.is_empty() { div.scroll { table.numbers.words {
            thead { tr {
                th scope="col" { "" }
                @for (r, run) in view.runs.iter().enumerate() { th scope="col" { @if view.compares() { i class={ "chip s" (r % 10) } {} } (run.name) } }
            } }
            tbody {
                (row("State", &state))
                (row("Objectives", &|run| run.objectives().join(", ")))
                (row("Pictures", &|run| of(run, &pictures)))
                (row("Trained values", &|run| of(run, &|s| thousands(s.trained_values))))
                (row("fairhuman", &versions))
                (row("Machine", &|run| of(run, &machine)))
            }
        } } }
        @if !report.about.is_empty() {
            dl.about { @for (name, value) in &report.about { div { dt { (name) } dd { (value) } } } }
        }
    }
}

/// 1234567 as `1 234 567`, with thin spaces.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}
