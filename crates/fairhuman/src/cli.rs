//! The command line's words. What they mean is in `commands`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Fine-tune text-to-image diffusion models so that faces, hands and any other named region are learnt as fairly
/// as the whole picture.
#[derive(Debug, Parser)]
#[command(
    name = "fairhuman",
    version,
    arg_required_else_help = true,
    after_help = "\
To try everything without a download:
  fairhuman people --count 200 --size 128 --out data/people
  fairhuman init-model --preset tiny --out models/tiny
  fairhuman train recipes/smoke.toml

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted (training: saved first)."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Fine-tune as a recipe says; the same command again resumes
    Train(Train),
    /// Run one training step from recorded tensors, and time it
    Replay(Replay),
    /// Draw a dataset of people with exact masks, key points and captions
    People(People),
    /// Write a complete random model in SDXL's layout, to try, test and measure with
    InitModel(InitModel),
    /// Print version and machine
    Version,
}

/// `fairhuman train`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman train recipes/smoke.toml
  fairhuman train people.toml --out runs/second-try
  fairhuman train people.toml --steps 100        # stop after step 100; without --steps it then goes on

Ctrl-C saves and leaves after the step in progress (twice: leaves at once). The run folder holds the resolved
recipe, events.jsonl with everything of every step, checkpoints and the LoRA file.")]
pub struct Train {
    /// The recipe, a TOML file
    pub recipe: PathBuf,
    /// Stop after this step in all, instead of the recipe's last; learning-rate schedules stay the recipe's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: Option<u64>,
    /// The run folder [default: the recipe's `out`, or runs/NAME for NAME.toml]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Also write the inputs and results of this step as files that `fairhuman replay` reads
    #[arg(long, value_name = "STEP")]
    pub record: Option<u64>,
    /// Threads [default: the recipe's `threads`, or all cores]
    #[arg(long, value_name = "T")]
    pub threads: Option<usize>,
}

/// `fairhuman replay`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fairhuman replay --model models/mini --inputs inputs.safetensors --outputs outputs.safetensors --repeat 7

The last line on stdout is one JSON object: forward_ms, backward_ms, solve_ms, update_ms, step_ms (medians) and
peak_rss_mb (null where the system does not tell).")]
pub struct Replay {
    /// Model folder in diffusers' layout; its unet/ is used
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The recorded step
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// Where to write what the step gives
    #[arg(long, value_name = "FILE")]
    pub outputs: PathBuf,
    /// Time the step: two runs to warm up, then the medians of N [default: one run, without warm-up]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub repeat: Option<u64>,
    /// Threads; 0 for all cores
    #[arg(long, value_name = "T", default_value_t = 0)]
    pub threads: usize,
    /// Recompute activations in the backward pass: less memory, more time, the same numbers
    #[arg(long)]
    pub checkpointing: bool,
    /// Print where the time goes, per operation
    #[arg(long)]
    pub profile: bool,
}

/// `fairhuman people`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fairhuman people --count 200 --size 128 --seed 1 --out data/people

The same command again continues an interrupted one. Recipes name the masks `mask_face` and `mask_hand`.")]
pub struct People {
    /// How many pictures
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub count: u64,
    /// Side of the pictures in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 128)]
    pub size: u32,
    /// Decides what is drawn
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// The dataset's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `fairhuman init-model`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fairhuman init-model --preset mini --out models/mini

The weights are random: the model draws nothing. It has every part of an SDXL folder, and trains.")]
pub struct InitModel {
    /// Size of the model
    #[arg(long, value_enum, default_value_t = Preset::Tiny)]
    pub preset: Preset,
    /// The model's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Decides the weights
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// Type of the stored weights
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
}

/// Sizes of random models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// 2 million parameters in the U-Net: tests in seconds
    Tiny,
    /// 37 million: SDXL's shape at a size that trains on a laptop
    Mini,
    /// SDXL's own sizes, 2.6 billion (bf16: 7 GB on disk)
    Sdxl,
}

/// Types of stored weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Dtype {
    /// 32 bits
    F32,
    /// 16 bits, IEEE
    F16,
    /// 16 bits, bfloat
    Bf16,
}
