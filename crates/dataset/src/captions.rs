//! Captions that vary: tags in another order, tags left out, no caption at all for guidance without a prompt.
//!
//! A sample's caption is a function of (seed, step, sample), as its crop is: no state is kept.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Variation of captions: the `[dataset.captions]` table of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CaptionSpec {
    /// Puts the tags in a random order. Default `false`.
    pub shuffle: bool,
    /// The separator of tags. Default `","`.
    pub separator: String,
    /// Number of tags at the beginning that stay where they are and are never left out. Default 0.
    pub keep: usize,
    /// The probability, in [0, 1], that a tag is left out. Default 0.
    pub tag_dropout: f32,
    /// The probability, in [0, 1], that the caption is empty, which is what classifier-free guidance compares
    /// with (Ho and Salimans 2022; 0.1 there). Default 0.
    pub dropout: f32,
}

impl Default for CaptionSpec {
    fn default() -> Self {
        CaptionSpec { shuffle: false, separator: ",".into(), keep: 0, tag_dropout: 0.0, dropout: 0.0 }
    }
}

impl CaptionSpec {
    /// True if every sample's caption is the written one.
    pub fn is_fixed(&self) -> bool {
        self.dropout == 0.0 && self.is_whole()
    }

    /// True if every caption is the written one or none: no tag moves or is left out.
    pub fn is_whole(&self) -> bool {
        !self.shuffle && self.tag_dropout == 0.0
    }

    /// Errors in the values themselves.
    pub(crate) fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        for (key, value) in [("dropout", self.dropout), ("tag_dropout", self.tag_dropout)] {
            if !(0.0..=1.0).contains(&value) {
                errors.push(format!("captions.{key} is {value}: it is a probability, from 0 to 1"));
            }
        }
        if self.separator.is_empty() && !self.is_whole() {
            errors.push("captions.separator is empty: tags could not be told apart".into());
        }
        errors
    }
}

/// The caption that sample `sample` of step `step` sees, a pure function of its arguments.
///
/// The randomness is ChaCha8 under the 32-byte key `seed | step | sample | "captions"` (little-endian):
/// stream 0 decides about the whole caption, stream 1 about each tag, stream 2 about their order, so that
/// switching one option on or off leaves the others as they were.
pub fn caption(spec: &CaptionSpec, text: &str, seed: u64, step: u64, sample: u64) -> String {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[16..24].copy_from_slice(&sample.to_le_bytes());
    key[24..].copy_from_slice(b"captions");
    let stream = |number| {
        let mut rng = ChaCha8Rng::from_seed(key);
        rng.set_stream(number);
        rng
    };
    if happens(&mut stream(0), spec.dropout) {
        return String::new();
    }
    if spec.is_whole() || spec.separator.is_empty() {
        return text.to_owned();
    }
    let tags: Vec<&str> = text.split(&spec.separator).map(str::trim).filter(|t| !t.is_empty()).collect();
    let (kept, free) = tags.split_at(spec.keep.min(tags.len()));
    let mut drops = stream(1);
    let mut free: Vec<&str> =
        free.iter().copied().filter(|_| !happens(&mut drops, spec.tag_dropout)).collect();
    if spec.shuffle {
        shuffle(&mut stream(2), &mut free);
    }
    let tags: Vec<&str> = kept.iter().copied().chain(free).collect();
    tags.join(&format!("{} ", spec.separator.trim_end()))
}

fn happens(rng: &mut ChaCha8Rng, probability: f32) -> bool {
    ((rng.next_u64() >> 40) as f32) < probability * (1u32 << 24) as f32
}

/// Fisher and Yates; each index is uniform to one part in 2^32 or better.
pub(crate) fn shuffle<T>(rng: &mut ChaCha8Rng, list: &mut [T]) {
    for i in (1..list.len()).rev() {
        let j = ((u128::from(rng.next_u64()) * (i as u128 + 1)) >> 64) as usize;
        list.swap(i, j);
    }
}
