//! Reading configuration files so that no key is overlooked.
//!
//! A key that this program does not know may change the mathematics, and a model that is silently computed
//! otherwise than it was trained is worse than an error. So reading a key takes it out of the file's
//! object, and [`Config::finish`] names whatever is left.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use fairhuman_files::json;
use serde_json::{Map, Value};

/// A remedy for a file that is not there.
fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            "; the model's folder is not whole: take the file from where the model is from (`fairhuman models get ORG/NAME`)"
        }
        _ => "",
    }
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The operating system refused the file.
    #[error("{}: {source}{}", path.display(), advice(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not a JSON object.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// A value of the wrong type or out of its range, or a required key that is absent.
    #[error("{}: \"{key}\": expected {expected}, found {found}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Accepted values.
        expected: String,
        /// The file's value.
        found: String,
    },
    /// A key or value that changes the mathematics in a way that is not implemented.
    #[error("{}: \"{key}\": {found} is not supported (supported: {supported})", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The file's value.
        found: String,
        /// Implemented values.
        supported: String,
    },
    /// Keys that are not known here and so may change the mathematics.
    #[error("{}: unknown keys {}: they may change what the model computes, so it is not loaded", path.display(), keys.join(", "))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The keys with their values.
        keys: Vec<String>,
    },
}

/// Accepted ranges of whole numbers, by key. Far above every published model, and low enough that no size
/// that follows from them overflows, or takes much memory before the first missing tensor is found.
const BOUNDS: [(&str, RangeInclusive<usize>); 34] = [
    ("addition_time_embed_dim", WIDTH),
    ("attention_head_dim", WIDTH),
    ("block_out_channels", WIDTH),
    ("channels", WIDTH),
    ("conditioning_channels", CHANNELS),
    ("conditioning_embedding_out_channels", WIDTH),
    ("conv_in_kernel", 1..=31),
    ("conv_out_kernel", 1..=31),
    ("cross_attention_dim", WIDTH),
    ("downscale_factor", 1..=256),
    ("hidden_size", WIDTH),
    ("in_channels", CHANNELS),
    ("intermediate_size", WIDTH),
    ("latent_channels", CHANNELS),
    ("layers_per_block", 1..=32),
    ("max_position_embeddings", WIDTH),
    ("norm_num_groups", WIDTH),
    ("num_attention_heads", WIDTH),
    ("num_control_type", 1..=64),
    ("num_hidden_layers", 1..=256),
    ("num_proj_channel", WIDTH),
    ("num_res_blocks", 1..=32),
    ("num_train_timesteps", 1..=1_000_000),
    ("num_trans_channel", WIDTH),
    ("num_trans_layer", 0..=32),
    ("out_channels", CHANNELS),
    ("projection_class_embeddings_input_dim", 1..=1 << 20),
    ("projection_dim", WIDTH),
    ("reverse_transformer_layers_per_block", DEPTH),
    // Latents of pictures of 16,384 pixels a side.
    ("sample_size", 1..=2048),
    ("steps_offset", 0..=1_000_000),
    ("time_embedding_dim", WIDTH),
    ("transformer_layers_per_block", DEPTH),
    ("vocab_size", 1..=1 << 20),
];
const WIDTH: RangeInclusive<usize> = 1..=65_536;
const CHANNELS: RangeInclusive<usize> = 1..=4096;
const DEPTH: RangeInclusive<usize> = 0..=64;
/// The size of other numbers at most.
const MOST: f64 = 1e6;
/// Blocks of a network at most; each halves the picture.
const BLOCKS: usize = 16;

/// Range of the whole numbers of a key.
fn bounds(key: &str) -> RangeInclusive<usize> {
    let known = BOUNDS.iter().find(|(name, _)| *name == key);
    known.map_or(0..=u32::MAX as usize, |(_, range)| range.clone())
}

/// A JSON object whose keys are taken out one by one. A `null` counts as an absent key everywhere.
#[derive(Debug, Clone)]
pub struct Config {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// A file that cannot be read or is not a JSON object.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_value(path, Self::parse(path)?)
    }

    /// A JSON file, as Python writes it: a `NaN` or an infinity, which no configuration that is read here
    /// can mean, is an error only where its key is asked for.
    ///
    /// # Errors
    /// A file that cannot be read or is not JSON.
    pub(crate) fn parse(path: &Path) -> Result<Value, ConfigError> {
        let text =
            fairhuman_files::read(path).map_err(|source| ConfigError::Io { path: path.into(), source })?;
        serde_json::from_slice(&json::with_marks(&text))
            .map_err(|e| ConfigError::Malformed { path: path.into(), problem: format!("not JSON: {e}") })
    }

    /// A configuration that is already parsed; `path` serves the messages.
    ///
    /// # Errors
    /// A value that is not an object.
    pub fn from_value(path: &Path, value: Value) -> Result<Self, ConfigError> {
        match value {
            Value::Object(mut map) => {
                map.retain(|_, value| !value.is_null());
                Ok(Self { path: path.into(), map })
            }
            other => Err(ConfigError::Malformed {
                path: path.into(),
                problem: format!("expected a JSON object, found {other}"),
            }),
        }
    }

    /// The file, for messages of the caller's own.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every key that is left, with its value.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.map.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Takes a key out as it is.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        self.map.remove(key)
    }

    /// A whole number within the bounds of its key.
    ///
    /// # Errors
    /// Another type of value, or a number out of bounds.
    pub fn usize(&mut self, key: &str) -> Result<Option<usize>, ConfigError> {
        self.typed(key, &whole(key), |v| bounded(key, v))
    }

    /// A number whose size is at most a million.
    ///
    /// # Errors
    /// Another type of value, or a larger number.
    pub fn f64(&mut self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(key, &format!("a number from -{MOST} to {MOST}"), |v| {
            v.as_f64().filter(|number| number.abs() <= MOST)
        })
    }

    /// A constant that a normalisation adds to the variance.
    ///
    /// # Errors
    /// Another type of value, a negative number, or one beyond 1.
    pub fn eps(&mut self, key: &str) -> Result<Option<f64>, ConfigError> {
        self.typed(key, "a number from 0 to 1", |v| v.as_f64().filter(|eps| (0.0..=1.0).contains(eps)))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// Another type of value.
    pub fn bool(&mut self, key: &str) -> Result<Option<bool>, ConfigError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A string.
    ///
    /// # Errors
    /// Another type of value.
    pub fn string(&mut self, key: &str) -> Result<Option<String>, ConfigError> {
        self.typed(key, "a string", |v| v.as_str().map(str::to_owned))
    }

    /// A list of strings.
    ///
    /// # Errors
    /// Another type of value.
    pub fn strings(&mut self, key: &str) -> Result<Option<Vec<String>>, ConfigError> {
        self.typed(key, "a list of strings", |v| list(v, |v| v.as_str().map(str::to_owned)))
    }

    /// A list of finite numbers.
    ///
    /// # Errors
    /// Another type of value.
    pub fn f64s(&mut self, key: &str) -> Result<Option<Vec<f64>>, ConfigError> {
        self.typed(key, "a list of numbers", |v| list(v, Value::as_f64))
    }

    /// A list of whole numbers within the bounds of their key, one per block.
    ///
    /// # Errors
    /// Another type of value, a number out of bounds, or more than 16 blocks.
    pub fn usizes(&mut self, key: &str) -> Result<Option<Vec<usize>>, ConfigError> {
        let expected = format!("a list of at most {BLOCKS}, each {}", whole(key));
        self.typed(key, &expected, |v| list(v, |v| bounded(key, v)).filter(|l| l.len() <= BLOCKS))
    }

    /// One whole number for all of `count` blocks, or a list of `count`: one per block.
    ///
    /// # Errors
    /// Another type of value, a number out of the key's bounds, or a list of another length.
    pub fn usize_per_block(&mut self, key: &str, count: usize) -> Result<Option<Vec<usize>>, ConfigError> {
        self.typed(key, &format!("{} or a list of {count}", whole(key)), |v| match bounded(key, v) {
            Some(one) => Some(vec![one; count]),
            None => list(v, |v| bounded(key, v)).filter(|l| l.len() == count),
        })
    }

    /// One flag for all of `count` blocks, or a list of `count`: one per block.
    ///
    /// # Errors
    /// Another type of value, or a list of another length.
    pub fn bool_per_block(&mut self, key: &str, count: usize) -> Result<Option<Vec<bool>>, ConfigError> {
        self.typed(key, &format!("true, false or a list of {count}"), |v| match v.as_bool() {
            Some(one) => Some(vec![one; count]),
            None => list(v, Value::as_bool).filter(|l| l.len() == count),
        })
    }

    /// Takes a key that must be absent or one of `supported`: for keys that select what is not implemented.
    ///
    /// # Errors
    /// [`ConfigError::Unsupported`] naming the key and both values.
    pub fn only(&mut self, key: &str, supported: &[Value]) -> Result<(), ConfigError> {
        match self.map.remove(key) {
            Some(found) if !supported.contains(&found) => {
                let supported: Vec<String> = supported.iter().map(Value::to_string).collect();
                let supported = if supported.is_empty() { "absent".into() } else { supported.join(", ") };
                Err(self.unsupported(key, shown(&found), supported))
            }
            _ => Ok(()),
        }
    }

    /// Takes keys out that do not change what is computed here.
    pub fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.map.remove(*key);
        }
    }

    /// Ends the reading. Keys that begin with `_` are notes of the program that wrote the file.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`] with every key that nobody took.
    pub fn finish(self) -> Result<(), ConfigError> {
        let left = self.map.iter().filter(|(key, _)| !key.starts_with('_'));
        let keys: Vec<String> = left.map(|(key, value)| format!("\"{key}\" = {}", shown(value))).collect();
        if keys.is_empty() { Ok(()) } else { Err(ConfigError::Unknown { path: self.path, keys }) }
    }

    /// The error for a required key or a value out of its range.
    pub fn wrong(
        &self,
        key: &str,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> ConfigError {
        ConfigError::Value {
            path: self.path.clone(),
            key: key.into(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// The error for a value that is not implemented.
    pub fn unsupported(
        &self,
        key: &str,
        found: impl std::fmt::Display,
        supported: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Unsupported {
            path: self.path.clone(),
            key: key.into(),
            found: found.to_string(),
            supported: supported.into(),
        }
    }

    fn typed<T>(
        &mut self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        match self.map.remove(key) {
            None => Ok(None),
            Some(value) => match read(&value) {
                Some(value) => Ok(Some(value)),
                None => Err(self.wrong(key, expected, shown(&value))),
            },
        }
    }
}

/// A value as its file has it, abridged where it is long.
fn shown(value: &Value) -> String {
    let text = value.as_str().and_then(json::marked).map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn whole(key: &str) -> String {
    let range = bounds(key);
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// A whole number within the bounds of its key.
pub(crate) fn bounded(key: &str, value: &Value) -> Option<usize> {
    as_usize(value).filter(|number| bounds(key).contains(number))
}

/// Also 4.0: some programs write whole numbers so.
fn as_usize(value: &Value) -> Option<usize> {
    match value.as_u64() {
        Some(n) => usize::try_from(n).ok(),
        None => value.as_f64().filter(|f| f.fract() == 0.0 && (0.0..1e15).contains(f)).map(|f| f as usize),
    }
}

fn list<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    value.as_array()?.iter().map(read).collect()
}
