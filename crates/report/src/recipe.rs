//! Recipes as tables of dotted keys: the differences between runs, and the comparisons that these rule out.

use std::collections::BTreeMap;

use fairhuman_train::aggregate::Weighting;
use fairhuman_train::recipe::flatten;
use serde::Deserialize;
use toml::{Table, Value};

use crate::model::Run;
use crate::number::listed;
use crate::view::View;

/// A recipe's keys, tables opened up; objectives by name. Empty where the text is no TOML.
pub fn flat(run: &Run) -> BTreeMap<String, String> {
    let name = |i: usize, entry: &Value| {
        entry.get("name").and_then(Value::as_str).map_or(i.to_string(), str::to_owned)
    };
    let keys = flatten(&run.recipe, &name).unwrap_or_default();
    keys.into_iter().map(|(key, value)| (key, value.to_string())).collect()
}

/// The weighting of a run's recipe, if it is known.
pub fn weighting(run: &Run) -> Option<Weighting> {
    let table = run.recipe.parse::<Table>().ok()?;
    Weighting::deserialize(table.get("weighting")?.clone()).ok()
}

/// Keys in which the runs differ, except their folders, with each run's value; none where a run does not have
/// the key.
pub fn differences(runs: &[Run]) -> Vec<(String, Vec<Option<String>>)> {
    let all: Vec<_> = runs.iter().filter(|run| !run.recipe.is_empty()).map(flat).collect();
    if all.len() < 2 || all.len() != runs.len() {
        return Vec::new();
    }
    let keys: std::collections::BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let values = |key: &&String| all.iter().map(|recipe| recipe.get(*key).cloned()).collect::<Vec<_>>();
    let rows = keys.into_iter().map(|key| (key.clone(), values(&key)));
    let rows = rows.filter(|(key, _)| !["out", "cache"].contains(&key.as_str()) && !key.ends_with("].name"));
    rows.filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1])).collect()
}

/// True if all runs that have the objective define it in the same way. Runs without a recipe are left out.
pub fn same_objective(view: &View<'_>, name: &str) -> bool {
    let prefix = format!("objective[{name}].");
    let of = |run: &Run| -> Vec<(String, String)> {
        flat(run).into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect()
    };
    let definitions: Vec<_> = view.runs.iter().map(of).filter(|keys| !keys.is_empty()).collect();
    definitions.windows(2).all(|pair| pair[0] == pair[1])
}

/// Warnings that a reader needs before comparing the runs.
pub fn cautions(view: &View<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if !view.compares() {
        return found;
    }
    let differing: Vec<String> =
        view.objectives.iter().filter(|name| !same_objective(view, name)).cloned().collect();
    if !differing.is_empty() {
        found.push(format!(
            "The runs define {} differently (see the recipes): their losses have different scales and are not \
             compared.",
            listed(&differing)
        ));
    }
    let differ = |of: &dyn Fn(&Run) -> Option<String>| {
        let values: Vec<String> = view.runs.iter().filter_map(of).collect();
        values.windows(2).any(|pair| pair[0] != pair[1])
    };
    if differ(&|run| run.start().map(|start| format!("{:?}", start.held_out))) {
        found.push(
            "The runs held out different pictures: their held-out losses are of different things.".into(),
        );
    }
    let key = |key: &'static str| move |run: &Run| flat(run).get(key).cloned();
    let seed = |run: &Run| key("validation.seed")(run).or_else(|| key("seed")(run));
    if differ(&seed) || differ(&key("validation.draws")) {
        found.push(
            "The held-out noise or time steps differ between the runs (validation.seed or validation.draws)."
                .into(),
        );
    }
    if differ(&key("model.path")) {
        found.push("The runs start from different models.".into());
    }
    if differ(&|run| run.events.last().map(|event| event.step().to_string())) {
        found.push(
            "The runs are not at the same step: the last losses are after different amounts of training."
                .into(),
        );
    }
    found
}
