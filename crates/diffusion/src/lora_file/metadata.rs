//! The header of a LoRA file beside its tensors: alpha for PEFT, and the handful of strings by
//! which other programs show and sort files. Never the training captions: headers grown to megabytes by
//! tag statistics are a known reason why files do not open elsewhere.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::{LoraFile, LoraModule};
use crate::schedule::Prediction;

/// Header key under which diffusers keeps the PEFT configurations.
pub(super) const ADAPTER_KEY: &str = "lora_adapter_metadata";

/// Header key under which kohya's scripts note alpha.
pub(super) const NETWORK_ALPHA: &str = "ss_network_alpha";

/// The model family a LoRA was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseModel {
    /// Stable Diffusion 1.x.
    Sd1,
    /// Stable Diffusion 2.x.
    Sd2,
    /// Stable Diffusion XL.
    Sdxl,
}

/// Description that is written into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoraAbout {
    /// Shown by model browsers.
    pub title: String,
    /// Family of the base model.
    pub base: BaseModel,
    /// Prediction type of the base model.
    pub prediction: Prediction,
    /// Width and height in pixels of the training images.
    pub resolution: (usize, usize),
}

/// Header strings as kohya's scripts and Stability's ModelSpec 1.0.0 name them.
pub fn kohya_metadata(lora: &LoraFile, about: &LoraAbout) -> BTreeMap<String, String> {
    let (version, architecture) = match (about.base, about.prediction) {
        (BaseModel::Sd1, Prediction::Velocity) => ("sd_v1_v", "stable-diffusion-v1/lora"),
        (BaseModel::Sd1, _) => ("sd_v1", "stable-diffusion-v1/lora"),
        (BaseModel::Sd2, Prediction::Velocity) => ("sd_v2_v", "stable-diffusion-v2-768-v/lora"),
        (BaseModel::Sd2, _) => ("sd_v2", "stable-diffusion-v2-512/lora"),
        (BaseModel::Sdxl, _) => ("sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora"),
    };
    let prediction = match about.prediction {
        Prediction::Epsilon => "epsilon",
        Prediction::Velocity => "v",
        Prediction::Sample => "sample",
    };
    let (width, height) = about.resolution;
    [
        ("ss_network_module", "networks.lora".into()),
        ("ss_network_dim", common(&lora.modules, |m| m.rank().to_string())),
        (NETWORK_ALPHA, network_alpha(&lora.modules)),
        ("ss_base_model_version", version.into()),
        ("ss_v2", if about.base == BaseModel::Sd2 { "True" } else { "False" }.into()),
        ("modelspec.sai_model_spec", "1.0.0".into()),
        ("modelspec.architecture", architecture.into()),
        ("modelspec.implementation", "diffusers".into()),
        ("modelspec.title", about.title.clone()),
        ("modelspec.prediction_type", prediction.into()),
        ("modelspec.resolution", format!("{width}x{height}")),
    ]
    .into_iter()
    .map(|(key, value): (&str, String)| (key.to_owned(), value))
    .collect()
}

/// Alpha of all modules, as kohya's scripts note it.
pub(super) fn network_alpha(modules: &BTreeMap<String, LoraModule>) -> String {
    common(modules, |m| format!("{:?}", m.alpha))
}

fn common(modules: &BTreeMap<String, LoraModule>, value: impl Fn(&LoraModule) -> String) -> String {
    let mut values = modules.values().map(value);
    let first = values.next().unwrap_or_else(|| "0".into());
    // kohya's own word for files whose modules differ.
    if values.all(|v| v == first) { first } else { "Dynamic".into() }
}

/// The PEFT configuration of every component, as diffusers packs them into one JSON string.
pub(super) fn adapter_json(modules: &BTreeMap<String, LoraModule>) -> String {
    let mut by_component: BTreeMap<&str, Vec<(&str, &LoraModule)>> = BTreeMap::new();
    for (path, module) in modules {
        if let Some((component, rest)) = path.split_once('.') {
            by_component.entry(component).or_default().push((rest, module));
        }
    }
    let mut packed = Map::new();
    for (component, modules) in by_component {
        let rank = most_common(modules.iter().map(|(_, m)| m.rank() as f64));
        let alpha = most_common(modules.iter().map(|(_, m)| f64::from(m.alpha)));
        let pattern = |value: &dyn Fn(&LoraModule) -> f64, common: f64| -> Map<String, Value> {
            let others = modules.iter().filter(|(_, m)| value(m) != common);
            others.map(|(path, m)| ((*path).to_owned(), number(value(m)))).collect()
        };
        let targets: Vec<&str> = modules.iter().map(|(path, _)| *path).collect();
        for (key, value) in [
            ("r", number(rank)),
            ("lora_alpha", number(alpha)),
            ("rank_pattern", pattern(&|m| m.rank() as f64, rank).into()),
            ("alpha_pattern", pattern(&|m| f64::from(m.alpha), alpha).into()),
            ("target_modules", targets.into()),
        ] {
            packed.insert(format!("{component}.{key}"), value);
        }
    }
    Value::Object(packed).to_string()
}

/// Whole numbers as integers, which PEFT expects of ranks.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 { json!(value as i64) } else { json!(value) }
}

fn most_common(values: impl Iterator<Item = f64>) -> f64 {
    let mut counts: Vec<(f64, usize)> = Vec::new();
    for value in values {
        match counts.iter_mut().find(|(v, _)| *v == value) {
            Some((_, count)) => *count += 1,
            None => counts.push((value, 1)),
        }
    }
    // The first of the most common ones.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(0.0, |(value, _)| *value)
}

/// Alpha of PEFT modules by the configuration that came with them.
pub(super) struct PeftAlpha {
    config: Map<String, Value>,
}

impl PeftAlpha {
    /// From the header's JSON string. In a pipeline's file every key begins with its component; what
    /// diffusers' U-Net saves by itself (`save_lora_adapter`) is PEFT's own configuration, as the tensors
    /// then have no component either.
    pub(super) fn parse(json: &str) -> Result<Self, String> {
        match serde_json::from_str(json) {
            Ok(Value::Object(config)) if config.contains_key("lora_alpha") || config.contains_key("r") => {
                Ok(Self::from_adapter_config(&config, "unet"))
            }
            Ok(Value::Object(config)) => Ok(Self { config }),
            Ok(other) => Err(format!("{ADAPTER_KEY}: expected an object, found {other}")),
            Err(e) => Err(format!("{ADAPTER_KEY}: not JSON: {e}")),
        }
    }

    /// From PEFT's own `adapter_config.json`, which describes one component.
    pub(super) fn from_adapter_config(config: &Map<String, Value>, component: &str) -> Self {
        Self { config: config.iter().map(|(k, v)| (format!("{component}.{k}"), v.clone())).collect() }
    }

    /// The alpha that gives module `path` its scale, or `None` where the configuration states none. `norms`
    /// says whether the file has the norms of a DoRA for it.
    pub(super) fn of(&self, path: &str, rank: usize, norms: bool) -> Result<Option<f32>, String> {
        let Some((component, _)) = path.split_once('.') else { return Ok(None) };
        let key = |name: &str| self.config.get(&format!("{component}.{name}"));
        let truthy = |name: &str| matches!(key(name), Some(Value::Bool(true)));
        if truthy("use_dora") && !norms {
            return Err(format!(
                "{ADAPTER_KEY}: \"{component}.use_dora\" is true, but the file has no lora_magnitude_vector of {path}"
            ));
        }
        for (name, other) in [("peft_type", "LORA"), ("fan_in_fan_out", "false")] {
            let found = key(name).filter(|found| !found.is_null());
            let found = found.map(|found| found.as_str().map_or_else(|| found.to_string(), str::to_owned));
            if let Some(found) = found.filter(|found| found != other) {
                return Err(format!("{ADAPTER_KEY}: \"{component}.{name}\" is {found}; expected {other}"));
            }
        }
        let alpha = self.number(path, "lora_alpha", "alpha_pattern")?;
        // Rank-stabilised LoRA divides by the root of the rank instead.
        let stabilised = if truthy("use_rslora") { (rank as f64).sqrt() } else { 1.0 };
        Ok(alpha.map(|a| (a * stabilised) as f32))
    }

    /// The scale of a LoHa or LoKr at `path`: alpha over the configuration's rank, which a LoKr's tensors
    /// need not have. `None` where the configuration does not state both.
    pub(super) fn scale_of(&self, path: &str) -> Result<Option<f32>, String> {
        let alpha = self.number(path, "alpha", "alpha_pattern")?;
        let rank = self.number(path, "r", "rank_pattern")?.filter(|rank| *rank > 0.0);
        Ok(alpha.zip(rank).map(|(alpha, rank)| (alpha / rank) as f32))
    }

    /// The number under `key` of the component of `path`, or that of the first pattern that names the module.
    fn number(&self, path: &str, key: &str, by_pattern: &str) -> Result<Option<f64>, String> {
        let Some((component, rest)) = path.split_once('.') else { return Ok(None) };
        let get = |name: &str| self.config.get(&format!("{component}.{name}"));
        let mut found = get(key);
        if let Some(Value::Object(patterns)) = get(by_pattern) {
            for (pattern, value) in patterns {
                // PEFT: the pattern matches the end of the path, from a dot on.
                let regex = Regex::new(&format!(r"^(?:.*\.)?(?:{pattern})$"))
                    .map_err(|e| format!("{ADAPTER_KEY}: {by_pattern} {pattern:?}: {e}"))?;
                if regex.is_match(rest) {
                    found = Some(value);
                    break;
                }
            }
        }
        let Some(value) = found.filter(|value| !value.is_null()) else { return Ok(None) };
        value
            .as_f64()
            .map(Some)
            .ok_or_else(|| format!("{ADAPTER_KEY}: {key} of \"{component}\" is {value}; expected a number"))
    }
}
