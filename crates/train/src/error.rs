//! Why a training run could not start, go on or end.

use std::path::PathBuf;

use fairhuman_diffusion::generate::GenerateError;
use fairhuman_diffusion::lora_file::LoraFileError;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::WeightError;
use fairhuman_engine::OutOfMemory;
use fairhuman_files::Overlap;

use crate::checkpoint::CheckpointError;
use crate::data::DataError;
use crate::recipe::Difference;
use crate::recorded::RecordError;
use crate::step_error::StepError;

/// Why a training run could not start, go on or end.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Pictures, captions, encoders.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The U-Net or the adapter.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Checkpoints.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The LoRA file.
    #[error(transparent)]
    LoraFile(#[from] LoraFileError),
    /// The recorded step.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The pictures of `[samples]`.
    #[error("[samples] after step {step}: {source}")]
    Samples {
        /// Steps done.
        step: u64,
        /// The cause.
        source: GenerateError,
    },
    /// The run folder.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file in the place of a folder that the run writes into.
    #[error("{0}")]
    NoFolder(std::io::Error),
    /// The run would write where it reads.
    #[error("out: {0}")]
    Overlap(#[from] Overlap),
    /// Another process trains in this folder.
    #[error("{} is in use by another training run; wait for it, or give this one another --out", path.display())]
    InUse {
        /// The run folder.
        path: PathBuf,
    },
    /// A new run's folder holds what is not the run's.
    #[error(
        "{} {problem}: a run in {} would replace it; move it away, or give the recipe another --out",
        path.display(), run.display()
    )]
    Taken {
        /// The file or folder that would be lost.
        path: PathBuf,
        /// The run folder.
        run: PathBuf,
        /// The reason why it is not the run's.
        problem: String,
    },
    /// A path of the recipe that leads nowhere.
    #[error("{key}: {}: there is no such file or folder; paths of a recipe are relative to its own folder", path.display())]
    Absent {
        /// The recipe's key.
        key: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// A control image of `[samples]` cannot be read.
    #[error("samples.control_images: {source}")]
    ControlImage {
        /// The file and its problem.
        source: fairhuman_pictures::photo::PhotoError,
    },
    /// The recipe is not the one that the run was started with.
    #[error(
        "the run in {} was started with another recipe:\n  {}\n\
         {}",
        path.display(), list(differences), ways(path, differences)
    )]
    RecipeChanged {
        /// The run folder.
        path: PathBuf,
        /// Keys and values.
        differences: Vec<Difference>,
    },
    /// The dataset is not the one that the run was started with.
    #[error(
        "the dataset (names, captions, masks, sizes or files) has changed since the run in {} was started; \
         put it back to go on with it, or start anew with another --out",
        path.display()
    )]
    DatasetChanged {
        /// The run folder.
        path: PathBuf,
    },
    /// The model is not the one that the run was started with.
    #[error(
        "the files of the model {} are not those that the run in {} was started with; \
         put them back to go on with it, or start anew with another --out",
        model.display(), path.display()
    )]
    ModelChanged {
        /// The run folder.
        path: PathBuf,
        /// The model's folder.
        model: PathBuf,
    },
    /// The last held-out losses are no numbers.
    #[error(
        "the held-out losses after step {step}, the last, are not finite: the training has diverged, and nothing was \
         written but the checkpoint; a lower optimizer.learning_rate, with another --out, may help"
    )]
    Diverged {
        /// The last step.
        step: u64,
    },
    /// Too many steps in a row had to be refused.
    #[error(
        "stopped at step {step}: {count} steps in a row were refused, the last because {last}; what was learnt before \
         them is saved, and the same command tries them again. A lower optimizer.learning_rate, or leaving these pictures out, may help"
    )]
    BadSteps {
        /// The last step.
        step: u64,
        /// Number of refused steps in a row.
        count: u64,
        /// Reason of the last refusal.
        last: String,
    },
    /// Losses are no finite numbers, and the model's weights are the reason.
    #[error("stopped at step {step} ({count} steps in a row were refused), because {source}")]
    DamagedModel {
        /// The last step.
        step: u64,
        /// Number of refused steps in a row.
        count: u64,
        /// The file, the tensor and what it holds.
        source: WeightError,
    },
    /// The network cannot take what the data gives: no step could ever be made.
    #[error("step {step}: {problem}; do the model's unet, vae and text encoders belong together?")]
    Misfit {
        /// The step.
        step: u64,
        /// The mismatch.
        problem: String,
    },
    /// The processes of the group lost touch.
    #[error("step {step}: {problem}")]
    Group {
        /// The step.
        step: u64,
        /// The failure.
        problem: String,
    },
    /// A process of the group is not of this run.
    #[error("rank {rank} {problem}")]
    Disagreement {
        /// The first such process.
        rank: usize,
        /// The difference from rank 0.
        problem: String,
    },
    /// A step cannot be dealt to the processes.
    #[error(
        "a step has {samples} samples (batch x accumulation), too few for {size} processes; start fewer, or set \
         batch or accumulation higher"
    )]
    Processes {
        /// Number of processes.
        size: usize,
        /// Samples of a step.
        samples: usize,
    },
    /// The recipe keeps no gradients.
    #[error(
        "gradients = \"twice\" keeps no gradients that {size} processes could sum up; take the line out, or start one process"
    )]
    KeepsNoGradients {
        /// Number of processes.
        size: usize,
    },
    /// Memory that cannot be had.
    #[error(
        "{during}: {source}. The steps before are saved. activation_checkpointing = true needs less memory and goes on with \
         them; so do, with another --out, a smaller batch with more accumulation, smaller pictures, and a smaller rank"
    )]
    Memory {
        /// Which part of the run needed it.
        during: String,
        /// The size of the allocation.
        source: OutOfMemory,
    },
    /// A step to be recorded that this command does not reach.
    #[error("--record {step}: {problem}")]
    RecordStep {
        /// The step.
        step: u64,
        /// The reason.
        problem: String,
    },
}

impl TrainError {
    /// A step error that ends the run.
    pub(crate) fn of_step(step: u64, error: &StepError) -> Self {
        match error {
            StepError::Group { problem } => TrainError::Group { step, problem: problem.clone() },
            StepError::Memory(source) => {
                TrainError::Memory { during: format!("step {step}"), source: *source }
            }
            other => TrainError::Misfit { step, problem: other.to_string() },
        }
    }
}

/// The ways on with a changed recipe. A decay ends at the last step unless the recipe says otherwise, and
/// nothing is learnt after it at a rate of 0: a new run is what helps.
fn ways(run: &std::path::Path, differences: &[Difference]) -> String {
    let lora = run.join("lora.safetensors");
    let from = lora.is_file().then(|| format!("lora.from = {:?}", lora.display().to_string()));
    if let [Difference { key, before, .. }] = differences
        && key == "schedule.decay_steps"
    {
        let from = from.map_or(String::new(), |from| format!(" and {from}, with what this one has learnt"));
        return format!(
            "the rate has decayed to 0 at step {before}: to learn longer, begin a new run with another --out{from}; to go on \
             with this one all the same, write decay_steps = {before} in [schedule] (without the key it is `steps`; after it the rate is 0)"
        );
    }
    let from =
        from.map_or(String::new(), |from| format!("; {from} then begins with what this run has learnt"));
    format!("{}to go on with it, or give the new recipe another --out{from}", way_back(differences))
}

/// The change of a recipe that gives the old values back.
fn way_back(differences: &[Difference]) -> String {
    if differences.iter().any(|difference| difference.key == "weighting.digest") {
        return "put the values back (weighting.digest: the log of weighting.run as it was) ".into();
    }
    match differences.iter().find(|difference| difference.key == "schedule.decay_steps") {
        None => "put the values back ".into(),
        Some(Difference { before, .. }) => format!(
            "put the values back and write decay_steps = {before} in [schedule] (without the key it is `steps`; after it \
             the rate is 0) "
        ),
    }
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("\n  ")
}
