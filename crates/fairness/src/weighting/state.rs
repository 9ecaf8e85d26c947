//! The memory of a weighting, written into checkpoints bit for bit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::WeightingError;

/// Named lists of numbers, such as moving averages of the losses. It is written as hexadecimal bit patterns
/// (`{"sum": "3ff0000000000000 4000000000000000"}`), so that reading it back gives the same bits in any
/// format.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct State(BTreeMap<String, Vec<f64>>);

type Written = BTreeMap<String, String>;

impl State {
    /// True before the first step, and always for weightings without memory.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The list of this name, if it was set.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        self.0.get(name).map(Vec::as_slice)
    }

    /// The list of this name with one number per objective, all of them `start` if it was not set.
    pub(crate) fn list(
        &self,
        name: &'static str,
        objectives: usize,
        start: f64,
    ) -> Result<Vec<f64>, WeightingError> {
        let list = self.get(name).map_or_else(|| vec![start; objectives], <[f64]>::to_vec);
        match list.len() {
            found if found != objectives => Err(WeightingError::State { name, expected: objectives, found }),
            _ => Ok(list),
        }
    }

    /// Sets the list of this name.
    pub fn set(&mut self, name: &str, values: Vec<f64>) {
        self.0.insert(name.to_owned(), values);
    }
}

impl From<State> for Written {
    fn from(state: State) -> Written {
        let words = |values: Vec<f64>| -> Vec<String> {
            values.iter().map(|v| format!("{:016x}", v.to_bits())).collect()
        };
        state.0.into_iter().map(|(name, values)| (name, words(values).join(" "))).collect()
    }
}

impl TryFrom<Written> for State {
    type Error = String;

    fn try_from(written: Written) -> Result<State, String> {
        let number = |name: &str, word: &str| {
            let digits = word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
            let bits = u64::from_str_radix(word, 16).ok().filter(|_| digits);
            let problem = || format!("\"{word}\" in the weighting's \"{name}\" is not 16 hexadecimal digits");
            bits.map(f64::from_bits).ok_or_else(problem)
        };
        let list = |(name, words): (String, String)| {
            let values: Result<Vec<f64>, String> =
                words.split_whitespace().map(|word| number(&name, word)).collect();
            Ok((name, values?))
        };
        Ok(State(written.into_iter().map(list).collect::<Result<_, String>>()?))
    }
}
