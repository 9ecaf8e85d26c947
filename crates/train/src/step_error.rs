//! Why a training step must not be taken.

use fairhuman_engine::OutOfMemory;

use crate::objective::Objective;

/// Why a step must not be taken. The parameters are as they were.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StepError {
    /// Something that goes into the network is NaN or infinite.
    #[error("the {what} of {} is not finite", among(samples))]
    Input {
        /// Which input.
        what: &'static str,
        /// Positions in the step.
        samples: Vec<usize>,
    },
    /// A loss is NaN or infinite.
    #[error("the loss \"{objective}\" is not finite in {}", among(samples))]
    Loss {
        /// The objective.
        objective: String,
        /// Positions in the step.
        samples: Vec<usize>,
    },
    /// A gradient is NaN or infinite, or its products contradict each other.
    #[error("{problem}")]
    Gradient {
        /// The objective and what was found.
        problem: String,
    },
    /// The network cannot take the inputs.
    #[error("{problem}")]
    Shape {
        /// The mismatch.
        problem: String,
    },
    /// Memory that cannot be had.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// Another process of the group refused its part of the step.
    #[error("another process found inputs, losses or gradients that are not finite")]
    Elsewhere,
    /// The processes of the group could not be reached.
    #[error("{problem}")]
    Group {
        /// The failure.
        problem: String,
    },
}

fn among(samples: &[usize]) -> String {
    let list: Vec<String> = samples.iter().map(|n| format!("sample {n}")).collect();
    list.join(", ")
}

impl StepError {
    /// The same for samples of a micro-batch whose first one is number `first` of the step.
    pub(crate) fn shifted(mut self, first: usize) -> Self {
        if let StepError::Input { samples, .. } | StepError::Loss { samples, .. } = &mut self {
            samples.iter_mut().for_each(|n| *n += first);
        }
        self
    }

    /// The message with the names of the step's samples in place of their positions.
    pub fn named(&self, names: &[String]) -> String {
        let list = |samples: &[usize]| -> String {
            let name = |&n: &usize| names.get(n).map_or_else(|| format!("sample {n}"), Clone::clone);
            samples.iter().map(name).collect::<Vec<_>>().join(", ")
        };
        match self {
            StepError::Input { what, samples } => format!("the {what} of {} is not finite", list(samples)),
            StepError::Loss { objective, samples } => {
                format!("the loss \"{objective}\" is not finite in {}", list(samples))
            }
            StepError::Gradient { problem } => format!("{problem} (samples: {})", names.join(", ")),
            StepError::Shape { problem } | StepError::Group { problem } => problem.clone(),
            StepError::Memory(_) | StepError::Elsewhere => self.to_string(),
        }
    }

    /// True if no step of the run could succeed: the run ends.
    pub fn is_fatal(&self) -> bool {
        matches!(self, StepError::Shape { .. } | StepError::Group { .. } | StepError::Memory(_))
    }
}

/// # Errors
/// The first objective with a loss that is not finite, and the samples where it is not.
pub(crate) fn refuse_non_finite(objectives: &[Objective], losses: &[Vec<f64>]) -> Result<(), StepError> {
    for (objective, list) in objectives.iter().zip(losses) {
        let samples: Vec<usize> = (0..list.len()).filter(|&n| !list[n].is_finite()).collect();
        if !samples.is_empty() {
            return Err(StepError::Loss { objective: objective.name.clone(), samples });
        }
    }
    Ok(())
}
