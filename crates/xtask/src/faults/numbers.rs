//! Absurd numbers in every key of a recipe and of a model's configuration: refused by name, or harmless,
//! within seconds and with bounded memory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value as Json;
use toml::Value;

use super::scene::{Scene, WHOLE};
use super::{Count, Random, child};

/// Numbers that no key means; the first are tried with `--quick`.
const NUMBERS: [&str; 8] =
    ["2147483648", "-1", "0", "9223372036854775807", "4294967296", "1e308", "nan", "1000000000000"];

/// The longest time that a command may take to refuse a number, or to show that it is harmless.
const LIMIT: Duration = Duration::from_secs(60);

/// Address space of a command, in KiB: what a number would need must not be taken.
const MEMORY: u32 = 6 << 20;

pub(super) fn run(scene: &Scene, _: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let numbers = &NUMBERS[..(2 * times).min(NUMBERS.len())];
    let mut recipes = Count::new("absurd number in a recipe: refused by name or harmless");
    // The recipe as the run wrote it: with every key.
    let text = std::fs::read_to_string(scene.path(WHOLE).join("recipe.toml"))?;
    let whole: Value = toml::from_str(&text)?;
    let mut keys = Vec::new();
    leaves(&whole, &mut Vec::new(), &mut keys);
    for key in &keys {
        for number in numbers {
            let name = format!("{} = {number}", key.join("."));
            recipes.add(&name, recipe(scene, &whole, key, number));
        }
    }
    let mut models = Count::new("absurd number in a model's config.json: refused by name or harmless");
    for part in ["unet", "vae", "text_encoder", "scheduler"] {
        let file = if part == "scheduler" { "scheduler_config.json" } else { "config.json" };
        let path = format!("tiny/{part}/{file}");
        let before = std::fs::read(scene.path(&path))?;
        let config: Json = serde_json::from_slice(&before)?;
        for (key, value) in config.as_object().context("a configuration is a table")? {
            for number in numbers {
                if let Some(changed) = json_changed(value, number) {
                    let mut config = config.clone();
                    config[key] = changed;
                    std::fs::write(scene.path(&path), config.to_string())?;
                    models.add(&format!("{part}: {key} = {number}"), model(scene, key));
                }
            }
        }
        std::fs::write(scene.path(&path), before)?;
    }
    Ok(vec![recipes, models])
}

/// Paths of all numbers in a recipe.
fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match value {
        Value::Integer(_) | Value::Float(_) => found.push(path.clone()),
        Value::Table(table) => {
            for (key, value) in table {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

fn recipe(scene: &Scene, whole: &Value, key: &[String], number: &str) -> anyhow::Result<()> {
    let mut changed = whole.clone();
    let mut place = &mut changed;
    for part in key {
        place = place.get_mut(part).context("the key is there")?;
    }
    let integer = number.parse().map(Value::Integer);
    *place = integer.or_else(|_| number.parse().map(Value::Float))?;
    std::fs::write(scene.path("absurd.toml"), toml::to_string(&changed)?)?;
    scene.remove("absurd")?;
    let name = key.last().context("a key")?;
    command(scene, &["train", "absurd.toml", "--out", "absurd", "--steps", "1"], name)
}

/// `number` in the place of a number, or of the first one of a list.
fn json_changed(value: &Json, number: &str) -> Option<Json> {
    let number: Json = serde_json::from_str(number).ok()?;
    match value {
        Json::Number(_) => Some(number),
        Json::Array(list) if list.first().is_some_and(Json::is_number) => {
            let mut list = list.clone();
            list[0] = number;
            Some(Json::Array(list))
        }
        _ => None,
    }
}

fn model(scene: &Scene, key: &str) -> anyhow::Result<()> {
    scene.remove("absurd")?;
    command(scene, &["train", "recipe.toml", "--out", "absurd", "--steps", "1"], key)
}

/// Runs a command in bounded memory: exit 0, or 1 with a message that names the key.
fn command(scene: &Scene, arguments: &[&str], key: &str) -> anyhow::Result<()> {
    let words: Vec<String> = arguments.iter().map(|word| format!("'{word}'")).collect();
    let script = format!("ulimit -v {MEMORY}; exec '{}' {}", scene.binary.display(), words.join(" "));
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(scene.path(Path::new("")));
    let ended = child::run(bash.env("XDG_CACHE_HOME", scene.path("user-cache")), &scene.panics, LIMIT)?;
    if !ended.status.success() {
        ended.expect(1)?;
        ensure!(ended.said.contains(key), "{key} is not in its message: {}", ended.said);
    }
    Ok(())
}
