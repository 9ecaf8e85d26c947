//! The recipe's keys: the schema takes every recipe that is shipped and no other key; a key that there is not
//! is told with the place of the one that was meant.

use std::path::Path;

use fairhuman_train::recipe::{Recipe, schema};
use serde_json::Value;

const SMALL: &str = r#"
steps = 10
model.path = "m"
dataset.path = "d"
objective = [{ name = "global" }]
"#;

fn problems(text: &str) -> String {
    Recipe::parse(Path::new("small.toml"), text).unwrap_err().to_string()
}

/// The first place where a value is not as a schema says: the part of JSON Schema that ours uses.
fn violation(value: &Value, rules: &Value, path: &str) -> Option<String> {
    if let Some(choices) = rules["anyOf"].as_array() {
        return choices.iter().all(|rules| violation(value, rules, path).is_some()).then(|| path.to_owned());
    }
    let wrong = |what: &str| Some(format!("{path}: {what}"));
    if rules["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        return wrong("not one of the choices");
    }
    let is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("{path}: a kind {other}"),
    };
    let kinds: Vec<&str> = match &rules["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !kinds.is_empty() && !kinds.iter().any(|kind| is(kind)) {
        return wrong("another type");
    }
    if value.as_f64() < rules["minimum"].as_f64() && value.is_number() {
        return wrong("too small");
    }
    if let Some(list) = value.as_array() {
        return list.iter().find_map(|value| violation(value, &rules["items"], path));
    }
    let table = value.as_object()?;
    let required = rules["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(key) = required.into_iter().find(|key| !table.contains_key(*key)) {
        return wrong(&format!("without {key}"));
    }
    table.iter().find_map(|(key, value)| match rules["properties"].get(key) {
        Some(rules) => violation(value, rules, &format!("{path}.{key}")),
        None => (rules["additionalProperties"] == false).then(|| format!("{path}.{key}: no such key")),
    })
}

fn check(text: &str) -> Option<String> {
    let value: toml::Table = text.parse().unwrap();
    violation(&serde_json::to_value(value).unwrap(), &schema(), "")
}

#[test]
fn the_schema_takes_the_recipes_that_are_shipped() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../recipes");
    let mut count = 0;
    for folder in [folder.clone(), folder.join("small-model")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                // `inf` is a number of TOML and none of JSON.
                let whole = text.replace("#? ", "").replace("= inf", "= 1e9");
                for text in [text.replace("= inf", "= 1e9"), whole] {
                    let tables = text.parse::<toml::Table>();
                    if tables.is_ok() {
                        assert_eq!(check(&text), None, "{}", path.display());
                        count += 1;
                    }
                }
            }
        }
    }
    assert!(count > 6, "{count} recipes");
}

#[test]
fn the_schema_refuses_what_the_parser_refuses() {
    assert_eq!(check(SMALL), None);
    for (wrong, at) in [
        ("stepz = 1", ".stepz"),
        ("[lora]\nranks = 4", ".lora.ranks"),
        ("[optimizer]\nlr = 4", ".optimizer.lr"),
        ("dataset.captions.drop = 0.1", ".dataset.captions.drop"),
        ("method = \"dreambooth\"", ".method"),
        ("[schedule]\ndecay = \"sine\"", ".schedule.decay"),
        ("[full]\ndtype = \"f64\"", ".full.dtype"),
        ("batch = \"two\"", ".batch"),
        ("[validation]\nevery = -1", ".validation.every"),
    ] {
        let text = match wrong.starts_with('[') {
            true => format!("{SMALL}\n{wrong}"),
            false => format!("{wrong}\n{SMALL}"),
        };
        let found = check(&text);
        assert!(found.as_ref().is_some_and(|found| found.starts_with(at)), "{wrong}: {found:?}");
    }
}

#[test]
fn every_key_of_the_schema_says_what_it_is() {
    fn walk(node: &Value, path: &str, silent: &mut Vec<String>) {
        let table = node.get("items").unwrap_or(node);
        for (key, node) in table["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            if !path.starts_with(".weighting.") && node["description"].as_str().is_none_or(str::is_empty) {
                silent.push(path.clone());
            }
            walk(node, &path, silent);
        }
    }
    let mut silent = Vec::new();
    walk(&schema(), "", &mut silent);
    assert_eq!(silent, [""; 0]);
}

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_one_that_was_meant() {
    for (extra, line, words) in [
        // A slip of the finger, in its table and at the top.
        ("[lora]\nrnak = 4", 7, "unknown key `rnak` in [lora]: did you mean `rank`?"),
        ("stpes = 4", 1, "did you mean `steps`?"),
        // The right key in the wrong place.
        ("learning_rate = 1e-4", 1, "here it is `learning_rate` in [optimizer]"),
        ("rank = 4", 1, "it is `rank` in [lora]"),
        ("[lora]\nbatch = 4", 7, "it is `batch`, before the first [table]"),
        ("tag_dropout = 0.1", 1, "it is `tag_dropout` in [dataset.captions]"),
        // Other trainers' names: kohya, diffusers, ai-toolkit, OneTrainer.
        ("network_dim = 16", 1, "here it is `rank` in [lora]"),
        ("max_train_epochs = 10", 1, "a run is as long as `steps` says"),
        ("train_batch_size = 2", 1, "here it is `batch`, before the first [table]"),
        ("mixed_precision = \"bf16\"", 1, "here it is `precision`"),
        ("[optimizer]\nlr = 4", 7, "here it is `learning_rate` in [optimizer]"),
        ("linear_alpha = 16", 1, "here it is `alpha` in [lora]"),
        ("base_model_name = \"x\"", 1, "here it is `path` in [model]"),
        ("min_bucket_reso = 256", 1, "here it is `min_side` in [geometry.buckets]"),
        ("num_repeats = 10", 1, "here it is `repeats` in [[dataset.folders]]"),
        ("[train]\nsteps = 4", 6, "keys of training come before the first [table]"),
        // Tables whose names are another trainer's keys.
        ("[checkpoint]\nevery = 4", 6, "did you mean `checkpoints`?"),
        ("[scheduler]\nwarmup = 4", 6, "did you mean `schedule`?"),
        // Nothing like it.
        ("[schedule]\nzzzzzzzz = 4", 7, "known are `decay`"),
    ] {
        let text = match extra.starts_with('[') {
            true => format!("{}{extra}", SMALL.trim_start().to_owned() + "\n"),
            false => format!("{extra}{SMALL}"),
        };
        let message = problems(&text);
        assert!(message.contains(words), "{extra}: {message}");
        assert!(message.contains(&format!("line {line}: ")), "{extra}: {message}");
        assert!(message.lines().count() == 2, "{message}");
    }
}

#[test]
fn all_unknown_keys_are_told_at_once() {
    let message = problems(&format!("epochs = 3\nlearning_rate = 1.0{SMALL}\n[lora]\nrnak = 4"));
    assert_eq!(message.lines().count(), 4, "{message}");
    let message = problems(&format!("lr = 1.0\nepochs = 3{SMALL}"));
    assert!(message.find("`lr`") < message.find("`epochs`"), "in the order of lines: {message}");
}

#[test]
fn rates_beyond_every_use_are_noted() {
    let notes =
        |extra: &str| Recipe::parse(Path::new("small.toml"), &format!("{SMALL}\n{extra}")).unwrap().notes();
    assert_eq!(notes("optimizer.learning_rate = 1e-3"), [""; 0]);
    assert!(notes("optimizer.learning_rate = 1e3")[0].contains("10000000 times"));
    assert!(notes("optimizer.learning_rate = 0")[0].contains("next to nothing"));
    assert!(notes("optimizer.weight_decay = 100")[0].contains("weight_decay"));
    assert!(notes("schedule.warmup = 10")[0].contains("it never gets to 0.0001"));
    assert_eq!(notes("schedule = { decay = \"cosine\", decay_steps = 10 }"), [""; 0]);
    assert_eq!(notes("schedule = { decay_steps = 7 }"), [""; 0], "a constant rate has no end");
    assert!(notes("schedule = { decay = \"linear\", decay_steps = 7 }")[0].contains("0 after step 7"));
    assert!(notes("dataset.captions.dropout = 0.9")[0].contains("left out"));
}
