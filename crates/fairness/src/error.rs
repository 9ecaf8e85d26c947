//! Errors of weightings, in a module of their own because both the table of weightings and the solvers return
//! them.

/// A weighting that cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightingError {
    /// A parameter has a value that the method does not take.
    #[error("{problem}")]
    Parameter {
        /// Its name in a recipe.
        name: &'static str,
        /// The rule and the value found.
        problem: String,
    },
    /// Not one loss per objective.
    #[error("{found} losses for {expected} objectives")]
    Losses {
        /// Number of objectives.
        expected: usize,
        /// Number of losses.
        found: usize,
    },
}
