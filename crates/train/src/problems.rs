//! Problems of a recipe's values, collected so that all are told at once.

use std::fmt::{Debug, Display};
use std::ops::RangeInclusive;

/// Problems found so far, one line each, with their key.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Adds a problem unless the value is fine.
    pub fn check(&mut self, fine: bool, key: &str, expected: &str, found: impl Display) {
        if !fine {
            self.0.push(format!("{key}: expected {expected}, found {found}"));
        }
    }

    /// Adds a problem unless the value lies in the range; NaN lies in none.
    pub fn within<T: PartialOrd + Debug>(&mut self, range: RangeInclusive<T>, key: &str, found: T) {
        // `Debug` writes 1e-300 in six characters.
        let expected = match found < *range.start() {
            true => format!("at least {:?}", range.start()),
            false => format!("at most {:?}", range.end()),
        };
        self.check(range.contains(&found), key, &expected, format!("{found:?}"));
    }

    /// Adds a problem.
    pub fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    /// `value`, or the problems where there are some.
    ///
    /// # Errors
    /// The problems.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<String>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}
