//! Checkpoints: the trained values and their averages, what AdamW remembers, and where the run is, in one
//! safetensors file.
//!
//! A checkpoint holds a digest of itself (see [`crate::sealed`]), so that a damaged one is noticed before
//! anything of it is used. It is written to a temporary name, synced and renamed, so a file with a
//! checkpoint's name is whole. Older ones are deleted only after the new one is in place.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_diffusion::weights::{TensorBytes, WeightError, WeightFiles};
use fairhuman_engine::{Backend, Params};
use fairhuman_fairness::State;

use serde_json::json;

use crate::average::Averages;
use crate::group::ShardedGroup;
use crate::optimizer::Moments;
use crate::sealed;

/// The position of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// Steps done, refused ones included.
    pub step: u64,
    /// Refused steps in a row, up to now.
    pub bad_in_a_row: u64,
    /// The weighting's memory.
    pub weighting: State,
}

/// The identity of a run: what must be the same for it to go on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// The resolved recipe (TOML).
    pub recipe: String,
    /// Hash of the dataset's list: names, captions, masks and sizes, in order.
    pub dataset: String,
    /// Fingerprint of the model's files.
    pub model: String,
}

/// Why a checkpoint could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// Reading or writing the file.
    #[error(transparent)]
    File(#[from] WeightError),
    /// The file is not a checkpoint of this run.
    #[error("{}: {problem}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The mismatch: expected and found.
        problem: String,
    },
    /// The trained values are not finite.
    #[error(
        "the trained values of \"{name}\" are not finite after step {step}: the run can go on from its checkpoint before; \
         a lower optimizer.learning_rate or another optimizer.eps may help"
    )]
    NotFinite {
        /// The parameter.
        name: String,
        /// Steps done.
        step: u64,
    },
    /// Checkpoints, and all are damaged.
    #[error(
        "no checkpoint in {} is whole: {problem}; put a copy back to go on, or start anew with another --out",
        folder.display()
    )]
    NoneWhole {
        /// The folder.
        folder: PathBuf,
        /// The problem of the newest.
        problem: String,
    },
    /// The folder of checkpoints.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}

const PREFIX: &str = "step-";
const SUFFIX: &str = ".safetensors";
const FIRST: &str = "adamw.first.";
const SECOND: &str = "adamw.second.";
const AVERAGE: &str = "ema.";

/// The file name of the checkpoint after `step` steps.
pub fn file_name(step: u64) -> String {
    format!("{PREFIX}{step:08}{SUFFIX}")
}

/// Writes a checkpoint into `folder` and returns its path.
///
/// # Errors
/// Values that are not finite, a file that cannot be written; nothing is left of it then.
pub fn save<B: Backend>(
    backend: &B,
    folder: &Path,
    params: &Params<B>,
    averages: Option<&Averages<B>>,
    moments: &Moments<B>,
    progress: &Progress,
    identity: &Identity,
) -> Result<PathBuf, CheckpointError> {
    let finite = |values: &[&B::Tensor]| backend.norm(values).is_finite();
    if !finite(&params.iter().map(|param| &param.value).collect::<Vec<_>>())
        && let Some(param) = params.iter().find(|param| !finite(&[&param.value]))
    {
        return Err(CheckpointError::NotFinite { name: param.name.clone(), step: progress.step });
    }
    fairhuman_files::make_folder(folder)
        .map_err(|source| CheckpointError::Io { path: folder.into(), source })?;
    let groups = params.iter().zip(moments.first.iter().zip(&moments.second));
    let tensors = groups.flat_map(|(param, (first, second))| {
        let name = &param.name;
        let first = first.iter().map(move |first| (format!("{FIRST}{name}"), first));
        let second = second.iter().map(move |second| (format!("{SECOND}{name}"), second));
        [(name.clone(), &param.value)].into_iter().chain(first).chain(second)
    });
    let averages = averages.iter().flat_map(|averages| {
        params.iter().zip(&averages.values).map(|(param, value)| (format!("{AVERAGE}{}", param.name), value))
    });
    let (names, tensors): (Vec<String>, Vec<&B::Tensor>) = tensors.chain(averages).unzip();
    let held = backend.read_many(&tensors);
    let views = names.into_iter().zip(tensors.iter().zip(&held));
    let views = views.map(|(name, (tensor, values))| (name, TensorBytes::f32(B::shape(tensor), values)));
    let metadata = BTreeMap::from([
        ("format".to_owned(), "fairhuman checkpoint 1".to_owned()),
        ("step".to_owned(), progress.step.to_string()),
        ("bad_in_a_row".to_owned(), progress.bad_in_a_row.to_string()),
        ("updates".to_owned(), moments.updates.to_string()),
        ("weighting".to_owned(), json!(progress.weighting).to_string()),
        ("recipe".to_owned(), identity.recipe.clone()),
        ("dataset".to_owned(), identity.dataset.clone()),
        ("model".to_owned(), identity.model.clone()),
    ]);
    let path = folder.join(file_name(progress.step));
    sealed::write(&path, &views.collect(), metadata)?;
    Ok(path)
}

/// The checkpoints in `folder` with their steps, oldest first. Temporary and foreign files are passed over.
///
/// # Errors
/// A folder that is there and cannot be read.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, CheckpointError> {
    let fail = |source| CheckpointError::Io { path: folder.into(), source };
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(fail)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(fail)?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let step =
            name.strip_prefix(PREFIX).and_then(|n| n.strip_suffix(SUFFIX)).and_then(|n| n.parse().ok());
        found.extend(step.map(|step| (step, path.clone())));
    }
    found.sort();
    Ok(found)
}

/// Deletes all checkpoints but the newest `keep` (0: none is deleted).
///
/// # Errors
/// A file that cannot be deleted.
pub fn prune(folder: &Path, keep: usize) -> Result<(), CheckpointError> {
    let found = list(folder)?;
    let old = if keep == 0 { 0 } else { found.len().saturating_sub(keep) };
    for (_, path) in &found[..old] {
        std::fs::remove_file(path).map_err(|source| CheckpointError::Io { path: path.clone(), source })?;
    }
    Ok(())
}

/// Deletes the checkpoints after `step`: of steps that are taken back.
///
/// # Errors
/// A file that cannot be deleted.
pub fn delete_after(folder: &Path, step: u64) -> Result<(), CheckpointError> {
    for (_, path) in list(folder)?.into_iter().filter(|(at, _)| *at > step) {
        std::fs::remove_file(&path).map_err(|source| CheckpointError::Io { path, source })?;
    }
    Ok(())
}

/// A checkpoint that has been opened: its header is read, its tensors are not yet.
pub struct Saved {
    path: PathBuf,
    files: WeightFiles,
    updates: u64,
    /// The position of the run.
    pub progress: Progress,
    /// The run's identity.
    pub identity: Identity,
}

/// The newest checkpoint in `folder` that is whole, and a note for each newer one that is damaged; none where
/// there are no checkpoints.
///
/// # Errors
/// A folder or file that cannot be read; checkpoints of which none is whole.
pub fn newest(folder: &Path) -> Result<(Option<Saved>, Vec<String>), CheckpointError> {
    let mut damaged = Vec::new();
    for (_, path) in list(folder)?.into_iter().rev() {
        match open(&path) {
            Ok(saved) => {
                let step = saved.progress.step;
                let note = |e: CheckpointError| format!("{e}: going on from the checkpoint of step {step}");
                return Ok((Some(saved), damaged.into_iter().map(note).collect()));
            }
            Err(CheckpointError::File(WeightError::Io { path, source })) => {
                return Err(CheckpointError::Io { path, source });
            }
            Err(error) => damaged.push(error),
        }
    }
    match damaged.into_iter().next() {
        None => Ok((None, Vec::new())),
        Some(newest) => {
            let (folder, problem) = (folder.into(), newest.to_string());
            Err(CheckpointError::NoneWhole { folder, problem })
        }
    }
}

/// Opens a checkpoint after its digest has been checked.
///
/// # Errors
/// A file that cannot be read, is damaged or is no checkpoint.
pub fn open(path: &Path) -> Result<Saved, CheckpointError> {
    let files = sealed::open(path)?;
    let text = |key: &str| -> Result<String, CheckpointError> {
        files.metadata().get(key).cloned().ok_or_else(|| CheckpointError::Foreign {
            path: path.into(),
            problem: format!("no checkpoint of this program: the header has no \"{key}\""),
        })
    };
    let number = |key: &str| -> Result<u64, CheckpointError> {
        let found = text(key)?;
        found.parse().map_err(|_| CheckpointError::Foreign {
            path: path.into(),
            problem: format!("\"{key}\" in the header is {found:?}, expected a number"),
        })
    };
    let weighting = text("weighting")?;
    let weighting = serde_json::from_str(&weighting).map_err(|e| CheckpointError::Foreign {
        path: path.into(),
        problem: format!("\"weighting\" in the header is {weighting:?}: {e}"),
    })?;
    let progress = Progress { step: number("step")?, bad_in_a_row: number("bad_in_a_row")?, weighting };
    if path.file_name().is_none_or(|name| name != file_name(progress.step).as_str()) {
        let problem = format!("its header says step {}", progress.step);
        return Err(CheckpointError::Foreign { path: path.into(), problem });
    }
    let identity = Identity { recipe: text("recipe")?, dataset: text("dataset")?, model: text("model")? };
    Ok(Saved { path: path.into(), updates: number("updates")?, progress, identity, files })
}

impl Saved {
    /// Puts the saved values into `params` and `averages` and returns AdamW's state, of the parameters that
    /// `processes` says are owned.
    ///
    /// # Errors
    /// Parameters that the file lacks, has in another shape, or has too many of: all or nothing is restored.
    pub fn restore<B: Backend>(
        &self,
        backend: &B,
        params: &mut Params<B>,
        averages: Option<&mut Averages<B>>,
        processes: &ShardedGroup<'_, B>,
    ) -> Result<Moments<B>, CheckpointError> {
        let get = |name: String, like: &B::Tensor| -> Result<B::Tensor, CheckpointError> {
            let shape = B::shape(like);
            Ok(backend.tensor(shape, &self.files.get(&name, shape)?.to_f32()))
        };
        let (mut values, mut elsewhere) = (Vec::new(), Vec::new());
        let mut moments = Moments::empty(params.len(), self.updates);
        let mut averaged = Vec::new();
        for (id, param) in params.ids().zip(params.iter()) {
            values.push(get(param.name.clone(), &param.value)?);
            let (first, second) = (format!("{FIRST}{}", param.name), format!("{SECOND}{}", param.name));
            if processes.owns(id) {
                moments.first[id.0] = Some(get(first, &param.value)?);
                moments.second[id.0] = Some(get(second, &param.value)?);
            } else {
                elsewhere.extend([first, second]);
            }
        }
        if averages.is_some() {
            for param in params.iter() {
                averaged.push(get(format!("{AVERAGE}{}", param.name), &param.value)?);
            }
        }
        self.files.finish(&elsewhere.iter().map(String::as_str).collect::<Vec<_>>())?;
        params.ids().zip(values).for_each(|(id, value)| params.set(id, value));
        if let Some(averages) = averages {
            averages.values = averaged;
        }
        Ok(moments)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
