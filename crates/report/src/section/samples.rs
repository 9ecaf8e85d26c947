//! Pictures of the recipes' prompts: the runs beside each other after training, and each run over its steps.

use maud::{Markup, html};

use super::grids;
use crate::model::{Grid, Picture, Row, Run};
use crate::view::View;

/// The grids of all runs that have samples.
pub fn samples(view: &View<'_>) -> Markup {
    let with: Vec<&Run> = view.runs.iter().filter(|run| !run.samples.is_empty()).collect();
    let mut all = Vec::new();
    if with.len() > 1 {
        all.push(compared(&with));
    }
    all.extend(with.iter().map(|run| on_its_way(run, view.compares())));
    html! { (grids("samples", &all)) }
}

fn picture(run: &Run, set: usize, prompt: &str) -> Option<Picture> {
    let (_, image) = run.samples.get(set)?.pictures.iter().find(|(other, _)| other == prompt)?;
    Some(Picture { image: image.clone(), crops: Vec::new() })
}

/// Prompts of the runs, each once, in their order.
fn prompts(runs: &[&Run]) -> Vec<String> {
    let mut prompts: Vec<String> = Vec::new();
    for (prompt, _) in runs.iter().flat_map(|run| &run.samples).flat_map(|set| &set.pictures) {
        if !prompts.contains(prompt) {
            prompts.push(prompt.clone());
        }
    }
    prompts
}

fn compared(runs: &[&Run]) -> Grid {
    let last = |run: &Run| run.samples.len() - 1;
    let column = |run: &&Run| format!("{}, step {}", run.name, run.samples[last(run)].step);
    let row = |label: String| {
        let cells = runs.iter().map(|run| picture(run, last(run), &label)).collect();
        Row { label, cells }
    };
    Grid {
        title: "Samples side by side".into(),
        text: "The same prompts and the same noise, drawn by each run's network after its last step.".into(),
        columns: runs.iter().map(column).collect(),
        rows: prompts(runs).into_iter().map(row).collect(),
    }
}

fn on_its_way(run: &Run, named: bool) -> Grid {
    let row = |label: String| {
        let cells = (0..run.samples.len()).map(|set| picture(run, set, &label)).collect();
        Row { label, cells }
    };
    let of = if named { format!(" of {}", run.name) } else { String::new() };
    Grid {
        title: format!("Samples{of} while training"),
        text: "Every row starts from the same noise: what changes from left to right is what was learnt."
            .into(),
        columns: run.samples.iter().map(|set| format!("step {}", set.step)).collect(),
        rows: prompts(&[run]).into_iter().map(row).collect(),
    }
}
