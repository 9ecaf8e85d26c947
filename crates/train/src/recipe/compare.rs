//! The differences between two recipes: a run is resumed with its own recipe, or not at all.

use toml::{Table, Value};

use super::Device;
use crate::method::MethodSettings;

/// Keys that may change when a run is resumed, because they do not change what is learnt: how long, where,
/// how fast; nor do the keys of `[samples]` and those that methods name. (The paths of model, dataset and
/// replayed run may change with the folders: the model's files, the dataset's list and the digest of the
/// weights are compared themselves. `validation.draws` may not: held-out losses at other noise are other
/// numbers, and a curve of both would show a change that nothing has learnt.)
const FREE: [&str; 20] = [
    "steps",
    "device",
    "threads",
    "activation_checkpointing",
    "gradients",
    "out",
    "cache",
    "model.path",
    "model.base",
    "model.vae",
    "dataset.path",
    "weighting.run",
    "checkpoints.every",
    "checkpoints.keep",
    "log.tensorboard",
    "on_end.command",
    "stop_after_bad_steps",
    "validation.every",
    "validation.pictures",
    "validation.at_start",
];

/// One key with two values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The key, such as `optimizer.learning_rate`.
    pub key: String,
    /// The value that the run was started with.
    pub before: String,
    /// The value now.
    pub now: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} -> {}", self.key, self.before, self.now)
    }
}

/// The keys in which two resolved recipes (TOML) differ, without those that may change on resuming.
///
/// # Errors
/// Invalid TOML in either.
pub fn differences(before: &str, now: &str) -> Result<Vec<Difference>, toml::de::Error> {
    let number = |i: usize, _: &Value| i.to_string();
    let (before, now) = (flatten(before, &number)?, flatten(now, &number)?);
    let keys: std::collections::BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let show = |value: Option<&Value>| value.map_or("(not set)".to_owned(), |v| v.to_string());
    // A constant rate has no end that could move.
    let constant = |flat: &Table| flat.get("schedule.decay").and_then(Value::as_str) == Some("constant");
    let endless = constant(&before) && constant(&now);
    let of_methods = MethodSettings::free_keys();
    let free = |key: &str| {
        FREE.contains(&key)
            || of_methods.iter().any(|free| free == key)
            || key.starts_with("samples.")
            || (endless && key == "schedule.decay_steps")
    };
    let differing = keys.into_iter().filter(|key| !free(key)).filter_map(|key| {
        let (a, b) = (before.get(key), now.get(key));
        (a != b).then(|| Difference { key: key.clone(), before: show(a), now: show(b) })
    });
    Ok(differing.collect())
}

/// A recipe with its tables opened up to dotted keys. `entry` names the entries of lists of tables, by index
/// and value: `objective[0].scale` or `objective[face].scale`.
///
/// # Errors
/// Text that is no TOML.
pub fn flatten(text: &str, entry: &dyn Fn(usize, &Value) -> String) -> Result<Table, toml::de::Error> {
    let mut flat = Table::new();
    open("", Value::Table(text.parse::<Table>()?), entry, &mut flat);
    Ok(flat)
}

/// The device that a run was on, if it goes on with another.
pub fn other_device(before: &str, now: Device) -> Option<Device> {
    let before = before.parse::<Table>().ok()?;
    let device = before.get("device").and_then(Value::as_str)?.parse().ok()?;
    (device != now).then_some(device)
}

fn open(prefix: &str, value: Value, entry: &dyn Fn(usize, &Value) -> String, flat: &mut Table) {
    let join = |key: &str| if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    match value {
        Value::Table(table) => {
            table.into_iter().for_each(|(key, value)| open(&join(&key), value, entry, flat));
        }
        Value::Array(list) if list.iter().all(Value::is_table) && !list.is_empty() => {
            for (i, value) in list.into_iter().enumerate() {
                open(&format!("{prefix}[{}]", entry(i, &value)), value, entry, flat);
            }
        }
        other => {
            flat.insert(prefix.to_owned(), other);
        }
    }
}
