//! Agreement among the processes of a group: that they are of one run, that they hold the same values, and on
//! requests, which reach some of them and not others.

use fairhuman_engine::{Backend, Params};
use serde::{Deserialize, Serialize};

use super::Group;
use crate::error::TrainError;
use crate::recipe::differences;

/// All that must be the same in the processes of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// The resolved recipe (TOML).
    pub recipe: String,
    /// Fingerprint of the dataset's list.
    pub dataset: String,
    /// Fingerprint of the model's files.
    pub model: String,
    /// The place from which the run goes on: the checkpoint's step and digest.
    pub checkpoint: String,
    /// The network and its trained values.
    pub values: String,
}

impl Facts {
    /// The first fact in which a process differs from rank 0, in words.
    fn difference(&self, first: &Self) -> Option<String> {
        let of = |what: &str, own: &str, first: &str| {
            (own != first).then(|| format!("has another {what} than rank 0: {own}, and rank 0 {first}"))
        };
        let recipe = || match differences(&first.recipe, &self.recipe) {
            Ok(list) if list.is_empty() => None,
            Ok(list) => {
                let list: Vec<String> = list.iter().map(ToString::to_string).collect();
                Some(format!("has another recipe than rank 0: {}", list.join("; ")))
            }
            Err(problem) => Some(format!("has a recipe that rank 0 cannot read: {problem}")),
        };
        recipe()
            .or_else(|| of("dataset (fingerprint of its list of pictures)", &self.dataset, &first.dataset))
            .or_else(|| of("model (fingerprint of its files)", &self.model, &first.model))
            .or_else(|| {
                of("checkpoint (run folders are shared, or copies)", &self.checkpoint, &first.checkpoint)
            })
            .or_else(|| of("start (digest of the trained values)", &self.values, &first.values))
    }
}

/// Compares the facts of all processes.
///
/// # Errors
/// [`TrainError::Disagreement`] with the first rank that differs from rank 0, the same in all processes.
pub(crate) fn check_facts<B: Backend>(group: &dyn Group<B>, own: &Facts) -> Result<(), TrainError> {
    let lost = |problem| TrainError::Group { step: 0, problem };
    let own = serde_json::to_vec(own).map_err(|e| lost(e.to_string()))?;
    let all = group.gather(&own).map_err(lost)?;
    let all: Result<Vec<Facts>, _> = all.iter().map(|bytes| serde_json::from_slice(bytes)).collect();
    let all = all.map_err(|e| lost(format!("a rank sent something else than its facts: {e}")))?;
    let different = all.iter().enumerate().find_map(|(rank, facts)| Some((rank, facts.difference(&all[0])?)));
    different.map_or(Ok(()), |(rank, problem)| Err(TrainError::Disagreement { rank, problem }))
}

/// Digest of the trained values.
pub(crate) fn digest<B: Backend>(backend: &B, params: &Params<B>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for param in params.iter() {
        hasher.update(bytemuck::cast_slice(&backend.read(&param.value)));
    }
    hasher.finalize()
}

/// Compares the trained values of all processes after a step.
///
/// # Errors
/// [`TrainError::Disagreement`] with the first rank whose values are not those of rank 0.
pub(crate) fn check_values<B: Backend>(
    group: &dyn Group<B>,
    backend: &B,
    params: &Params<B>,
    step: u64,
) -> Result<(), TrainError> {
    let own = digest(backend, params);
    let all = group.gather(own.as_bytes()).map_err(|problem| TrainError::Group { step, problem })?;
    let different = all.iter().position(|other| *other != all[0]);
    different.map_or(Ok(()), |rank| {
        let problem = format!(
            "has other trained values than rank 0 after step {step}: its memory or its connection is damaged; \
             the last checkpoint is from before, or from rank 0"
        );
        Err(TrainError::Disagreement { rank, problem })
    })
}

/// True for each question that any process says yes to.
///
/// # Errors
/// A process that cannot be reached.
pub(crate) fn any<B: Backend, const N: usize>(
    group: &dyn Group<B>,
    own: [bool; N],
    step: u64,
) -> Result<[bool; N], TrainError> {
    if group.size() == 1 {
        return Ok(own);
    }
    let mut sums = own.map(|yes| f64::from(u8::from(yes)));
    group.sum_numbers(&mut sums).map_err(|problem| TrainError::Group { step, problem })?;
    Ok(sums.map(|sum| sum > 0.0))
}
