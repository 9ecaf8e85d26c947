//! The recipe's keys as a JSON schema: for editors, and for messages about keys that there are not.

use fairhuman_fairness as fairness;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

use super::{Device, RawRecipe};
use crate::aggregate::{GradDrop, Replay, Weighting};
use crate::method::MethodSettings;

/// The schema of recipes, in JSON Schema's draft 4, which editors of TOML read. The comments of the keys are
/// its descriptions.
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft07().with(|s| s.inline_subschemas = true).into_generator();
    let mut root = generator.root_schema_for::<RawRecipe>().to_value();
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        let names = MethodSettings::NAMES;
        let about = "The training method; its settings are in the table of its name.";
        properties.insert("method".into(), json!({"enum": names, "default": names[0], "description": about}));
        for (name, table) in MethodSettings::tables(&mut generator) {
            properties.insert(name.to_owned(), table.to_value());
        }
    }
    simplify(&mut root);
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".into(), "http://json-schema.org/draft-04/schema#".into());
        root.insert("title".into(), "A recipe of fairhuman train".into());
        root.insert("description".into(), "Relative paths are relative to the recipe's folder.".into());
    }
    root
}

/// `dtype`: the type of written weights.
pub(crate) fn stored_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"enum": ["f32", "f16", "bf16"]})
}

impl JsonSchema for Device {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Device".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^(cpu|torch-cpu|cuda(:[0-9]+)?)$"})
    }
}

impl JsonSchema for Weighting {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Weighting".into()
    }

    /// The kinds, and the keys that several of them have; the others are the kinds' own.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let kinds: Vec<&str> =
            fairness::Weighting::KINDS.iter().copied().chain([GradDrop::KIND, Replay::KIND]).collect();
        json_schema!({
            "type": "object",
            "required": ["kind"],
            "properties": {
                "kind": {"enum": kinds},
                "every": {"type": "integer", "minimum": 1},
                "average": {"type": "integer", "minimum": 1},
                "priority": {"type": ["array", "object"]}
            }
        })
    }
}

/// Takes out what says nothing of TOML (`null`, the widths of numbers), and makes lists of constants of
/// choices between them.
fn simplify(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(simplify),
        Value::Object(object) => {
            for key in ["format", "title"] {
                if object.get(key).is_some_and(Value::is_string) {
                    object.remove(key);
                }
            }
            if object.get("default").is_some_and(Value::is_null) {
                object.remove("default");
            }
            without_null(object);
            constants(object);
            object.values_mut().for_each(simplify);
        }
        _ => {}
    }
}

/// `null` is no value of TOML: an absent key takes its place.
fn without_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [one] = &types[..] {
            let one = one.clone();
            object.insert("type".into(), one);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(choices)) = object.get("anyOf") else { return };
    let others: Vec<Value> = choices.iter().filter(|choice| choice["type"] != "null").cloned().collect();
    if let [Value::Object(only)] = &others[..] {
        let only = only.clone();
        object.remove("anyOf");
        for (key, value) in only {
            object.entry(key).or_insert(value);
        }
    }
}

/// `oneOf` of constants with their meanings, as an `enum` whose description has them.
fn constants(object: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = object.get("oneOf") else { return };
    let (mut values, mut meanings) = (Vec::new(), Vec::new());
    for choice in choices {
        let several = choice["enum"].as_array().cloned().unwrap_or_default();
        let one = choice.get("const").cloned().into_iter().chain(several);
        for value in one {
            if let (Some(name), Some(text)) = (value.as_str(), choice["description"].as_str()) {
                meanings.push(format!("\"{name}\": {text}"));
            }
            values.push(value);
        }
    }
    if values.is_empty() {
        return;
    }
    let about = object.get("description").and_then(Value::as_str).map(str::to_owned);
    let about: Vec<String> = about.into_iter().chain(meanings).collect();
    object.remove("oneOf");
    object.insert("enum".into(), values.into());
    object.insert("description".into(), about.join("\n").into());
}
