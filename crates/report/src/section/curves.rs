//! Curves over steps: training losses, fairness weights, gradient norms and learning rate.

use fairhuman_train::events::{Step, StepOutcome};
use maud::{Markup, html};

use super::section;
use crate::mean_weights::recommendation;
use crate::model::Run;
use crate::number::listed;
use crate::view::{Axes, Lines, Raw, View, held_out, present, value};

/// Training losses with held-out points.
pub fn losses(view: &View<'_>) -> Markup {
    let lines = view.per_objective("loss", |_| true, |step, k| present(step, &step.losses, k), held_out);
    if lines.iter().all(nothing) {
        return html! {};
    }
    let lead = "Faint: every step, with its own pictures and time steps; strong: the running mean; dots: held-out \
                pictures. A regional loss that falls more slowly than the whole picture's is what fair weights are for.";
    let body = html! { (view.charts(&lines, Axes::Own)) };
    section("losses", "Training losses", lead, body)
}

/// Fairness weights.
pub fn weights(view: &View<'_>) -> Markup {
    let lines = view.per_objective(
        "fairness weight",
        |_| true,
        // The weight of a single objective has no meaning.
        |step, k| value(&step.weights, k).filter(|&w| w > 0.0 && step.weights.len() > 1),
        |_, _| Vec::new(),
    );
    let without: Vec<String> =
        view.runs.iter().filter(|run| has_no_weights(run)).map(|run| run.name.clone()).collect();
    if view.objectives.len() < 2 || (lines.iter().all(nothing) && without.is_empty()) {
        return html! {};
    }
    let lead = "The factor of each objective's gradient in a step, as events.jsonl has it (the screen divides by the sum of \
                a step's factors). Fair weights are chosen so that every objective \
                gains its share: the longer its gradient, the smaller its factor, whatever it is of. Absent regions have \
                none. With the plain sum all are 1.";
    let body = html! {
        (view.charts(&together(view, lines, "Weights"), Axes::Shared))
        @for (run, line) in view.runs.iter().filter_map(|run| Some((run, recommendation(run)?))) {
            p.note {
                "In the mean" @if view.compares() { " of " (run.name) } ", as fixed weights with the sum 1 for a recipe: "
                code { (line) }
            }
        }
        @if !without.is_empty() {
            p.note {
                @if view.compares() { "Without weights: " (listed(&without)) "." } @else { "This method has no weights." }
                " The gradients are combined element by element."
            }
        }
    };
    section("weights", "Fairness weights", lead, body)
}

/// True for a run over several objectives whose method makes its gradient without weights.
fn has_no_weights(run: &Run) -> bool {
    let mut steps = run.steps().filter(|step| step.outcome == StepOutcome::Updated).peekable();
    run.objectives().len() > 1 && steps.peek().is_some() && steps.all(|step| step.weights.is_empty())
}

/// Gradient norms, the combined gradient and the learning rate.
pub fn gradients(view: &View<'_>) -> Markup {
    let norm = |step: &Step, k: usize| {
        let objectives = step.present.len();
        value(&step.gram, k * objectives + k).filter(|&square| square > 0.0).map(f64::sqrt)
    };
    let lines = view.per_objective("gradient norm", has_all_gradients, norm, |_, _| Vec::new());
    let combined = view.per_run("Combined gradient", "norm before clipping", true, |step| {
        step.grad_norm.filter(|&n| n > 0.0)
    });
    let rate = view.per_run("Learning rate", "", false, |step| Some(step.learning_rate));
    if lines.iter().all(nothing) && nothing(&combined) {
        return html! {};
    }
    let clipped = view.runs.iter().filter_map(|run| {
        let (mut taken, mut clipped) = (0usize, 0usize);
        for clip in run.steps().filter_map(|step| step.clip) {
            taken += 1;
            clipped += usize::from(clip < 1.0);
        }
        (taken > 0).then(|| {
            let share = crate::number::percent(clipped as f64 / taken as f64);
            if view.compares() {
                format!("{} in {share} of steps", run.name)
            } else {
                format!("in {share} of steps")
            }
        })
    });
    let clipped: Vec<String> = clipped.collect();
    let lead = "How strongly each objective pulls. In a plain sum the longest gradient decides where the step goes; the \
                combined gradient is what the optimiser is given, before clipping.";
    let body = html! {
        (view.charts(&together(view, lines, "Objectives"), Axes::Shared))
        (view.charts(&[combined, rate], Axes::Own))
        @if !clipped.is_empty() {
            p.note {
                "Clipped: " (clipped.join("; ")) ". With a small " code { "max_grad_norm" }
                " that is usual in every step: only the direction of the gradient counts then."
            }
        }
    };
    section("gradients", "Gradients", lead, body)
}

/// False for a step that made the gradient of a weighted sum alone.
fn has_all_gradients(step: &Step) -> bool {
    !step.gram.is_empty()
}

/// With one run, all objectives in one chart.
fn together(view: &View<'_>, lines: Vec<Lines>, title: &str) -> Vec<Lines> {
    if view.compares() || lines.len() < 2 {
        return lines;
    }
    let unit = lines.first().map_or("", |line| line.unit);
    let series: Vec<Raw> = lines.into_iter().flat_map(|line| line.series).collect();
    vec![Lines { title: title.to_owned(), unit, series }]
}

fn nothing(lines: &Lines) -> bool {
    lines.series.iter().all(Raw::is_empty)
}
