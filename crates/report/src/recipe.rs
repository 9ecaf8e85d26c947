//! Recipes as tables of dotted keys: what differs between runs, and what that forbids to compare.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::model::Run;
use crate::number::listed;
use crate::view::View;

/// A recipe's keys, tables opened up; objectives by name. Empty where the text is no TOML.
pub fn flat(run: &Run) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    if let Ok(table) = run.recipe.parse::<Table>() {
        open("", &Value::Table(table), &mut keys);
    }
    keys
}

fn open(prefix: &str, value: &Value, keys: &mut BTreeMap<String, String>) {
    let join = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| open(&join(key), value, keys)),
        Value::Array(list) if !list.is_empty() && list.iter().all(Value::is_table) => {
            for (i, value) in list.iter().enumerate() {
                let name = value.get("name").and_then(Value::as_str).map_or(i.to_string(), str::to_owned);
                open(&format!("{prefix}[{name}]"), value, keys);
            }
        }
        other => {
            keys.insert(prefix.to_owned(), other.to_string());
        }
    }
}

/// Keys in which the runs differ, except where they lie, with each run's value; none where a run does not have the key.
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

/// Whether all runs that have the objective define it in the same way. Unknown recipes are trusted.
pub fn same_objective(view: &View<'_>, name: &str) -> bool {
    let prefix = format!("objective[{name}].");
    let of = |run: &Run| -> Vec<(String, String)> {
        flat(run).into_iter().filter(|(key, _)| key.starts_with(&prefix)).collect()
    };
    let definitions: Vec<_> = view.runs.iter().map(of).filter(|keys| !keys.is_empty()).collect();
    definitions.windows(2).all(|pair| pair[0] == pair[1])
}

/// What a reader must know before comparing the runs.
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
    if differ(&key("seed")) || differ(&key("validation.draws")) {
        found.push(
            "The held-out noise or time steps differ between the runs (seed or validation.draws).".into(),
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
