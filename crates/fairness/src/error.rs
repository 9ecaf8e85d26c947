//! Why a weighting cannot be used, below both the table of weightings and their solvers.

/// Why a weighting cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WeightingError {
    /// A parameter has a value that the method does not take.
    #[error("{problem}")]
    Parameter {
        /// Its name in a recipe.
        name: &'static str,
        /// What was expected and what was found.
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
