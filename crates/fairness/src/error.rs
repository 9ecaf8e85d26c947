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
    /// A loss that a weighting by losses cannot use.
    #[error("the loss of \"{objective}\" is {value}; weightings that read losses need positive ones")]
    Loss {
        /// The objective.
        objective: String,
        /// Its loss.
        value: f64,
    },
    /// The memory is that of another number of objectives.
    #[error(
        "the weighting's \"{name}\" has {found} numbers for {expected} objectives; its memory is another run's"
    )]
    State {
        /// The list in the memory.
        name: &'static str,
        /// Number of objectives.
        expected: usize,
        /// Number of values in the list.
        found: usize,
    },
}
