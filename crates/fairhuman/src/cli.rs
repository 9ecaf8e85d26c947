//! The command line's options; `commands` does what they say.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use fairhuman_diffusion::sampler::Sampler;
use fairhuman_people::Style;
use fairhuman_train::recipe::{Device, Precision, bounds};

mod compute;
mod data;
mod edit;
mod evaluate;
mod init;
mod model;
mod networks;
mod refine;
mod sample;
mod several;
mod text;
mod watch;
pub use compute::Compute;
use compute::{device, precision};
pub use data::{
    Annotate, Caption, Check, Control, ControlImage, ControlStyle, GetModels, Models, ModelsAction, Shape,
};
pub use edit::Edit;
pub use evaluate::{Evaluate, JudgeChoice, Losses};
pub use init::{Aim, Init};
pub use model::{ControlKind, Convert, Dtype, InitControl, InitModel, Merge, Preset};
pub use networks::{ControlChoice, LoraChoice, ModelChoice, Network, RegionNetworks};
pub use refine::{Refine, RefineMode, RegionKind, RegionOrder};
pub use sample::Sample;
pub use several::Several;
pub use text::{Completions, Man};
pub use watch::Watch;

/// Fine-tune text-to-image diffusion models so that faces, hands and any other named region are learnt as
/// fairly as the whole picture.
#[derive(Debug, Parser)]
#[command(
    name = "fairhuman",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
To begin, without a download or a GPU, in a few minutes:
  fairhuman quickstart

Exit codes: 0 done, 1 error, 2 wrong usage, 130 interrupted by Ctrl-C, SIGTERM or SIGHUP (training: saved first)."
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
    /// The folder of libtorch's libraries, .../torch/lib [default: that of $VIRTUAL_ENV or python3]
    #[arg(long, value_name = "DIR", global = true, env = "FAIRHUMAN_LIBTORCH", hide_env_values = true)]
    pub libtorch: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// See in minutes what fair fine-tuning does: built-in model, drawn people, one page of pictures and
    /// curves
    Quickstart(Quickstart),
    /// Fine-tune as a recipe says; the same command again resumes
    Train(Train),
    /// Find faces, hands and people in photographs: masks, control images and a contact sheet
    Annotate(Annotate),
    /// Write captions of pictures: tags, by a WD14 network of yours
    Caption(Caption),
    /// Read a whole dataset and train nothing: every fault by name, and what each objective will see
    Check(Check),
    /// Paint masks and change captions of a dataset by hand, on a page in the browser
    Edit(Edit),
    /// Write a recipe for a dataset, a model and the memory there is
    Init(Init),
    /// Make control images: poses, edges; for training a control network or drawing with one
    Control(Control),
    /// Make pictures of prompts with a model and LoRA files
    Sample(Box<Sample>),
    /// Score folders of pictures, and compare them
    Evaluate(Box<Evaluate>),
    /// Paint faces and hands of pictures again, and keep the better
    Refine(Box<Refine>),
    /// Make a model folder with LoRA files merged into it, for programs without LoRA
    Merge(Merge),
    /// Write a model as one checkpoint file, or as a folder
    Convert(Convert),
    /// Show training runs on one web page, several side by side
    Report(Report),
    /// Follow training runs on a page in the browser: curves, pictures, warnings, as they come
    Watch(Watch),
    /// Run one training step from recorded tensors, and time it
    Replay(Replay),
    /// Draw a dataset of people with exact masks, key points and captions
    People(People),
    /// Write a complete random model in SDXL's layout, to try, test and measure with
    InitModel(InitModel),
    /// Write a control network for a model, as training starts it or random: a ControlNet or T2I-Adapter
    InitControl(InitControl),
    /// Get models of the Hugging Face Hub, and the detectors of faces, hands and people
    Models(Models),
    /// Print the recipe's keys as a JSON schema, for editors
    Schema,
    /// Print a script that completes fairhuman's commands in a shell
    Completions(Completions),
    /// Write man pages
    Man(Man),
    /// Print version and machine
    Version,
}

/// `fairhuman quickstart`
#[derive(Debug, Args)]
#[command(after_help = "\
Draws people, fine-tunes three LoRAs from the built-in model (the plain loss; the sum of all losses; Minimum \
Potential Delay) for the same steps on the same pictures with the same noise, and compares them with the base: \
held-out losses of picture, faces and hands, and pictures of the same prompts. The folder holds the recipes, the \
runs and report.html.")]
pub struct Quickstart {
    /// The folder of everything that is made; the same command goes on where it was stopped
    #[arg(long, value_name = "DIR", default_value = "quickstart")]
    pub out: PathBuf,
    /// People to draw; a fifth of them is held out
    #[arg(long, value_name = "N", default_value_t = 240, value_parser = whole(10..=MOST_PICTURES))]
    pub people: u64,
    /// Steps of each fine-tuning
    #[arg(long, value_name = "N", default_value_t = 160, value_parser = whole(1..=MOST_STEPS))]
    pub steps: u64,
    /// Sampling steps of the pictures
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole(1..=MOST_SAMPLING_STEPS))]
    pub sampling_steps: u64,
    #[command(flatten)]
    pub compute: Compute,
}

/// `fairhuman train`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman train recipes/smoke.toml
  fairhuman train people.toml --out runs/second-try
  fairhuman train people.toml --steps 100   # stop there; without --steps go on
  mpirun -n 4 fairhuman train people.toml   # four processes, one run

Ctrl-C saves and leaves after the step in progress (twice: leaves at once). The run folder holds the resolved \
recipe (which this command takes, too, in the same folder), events.jsonl with everything of every step, checkpoints, and the LoRA file or the whole model folder. \
A step's `weights` in it are as the method gives them (times `factor` they multiply the gradients); the screen and \
TensorBoard show them divided by their sum, as the fixed weights that `fairhuman report` prints are.

In several processes (mpirun, srun, torchrun --no-python, or --rank, --world and --master) a step is that of one process: its \
samples are dealt among them. A signal to any one of them stops all after the \
step. After Ctrl-C Open MPI's mpirun waits a second, sends the signal, and kills a second later: `--mca odls_base_sigkill_timeout 20` \
makes both 20 s, the second of which is for the step and saving. FAIRHUMAN_MPI names MPI's library where another one is found.")]
pub struct Train {
    /// The recipe, a TOML file
    pub recipe: PathBuf,
    /// Stop after this step in all, instead of the recipe's last; learning-rate schedules stay the recipe's
    #[arg(long, value_name = "N", value_parser = whole(1..=MOST_STEPS))]
    pub steps: Option<u64>,
    /// The run folder [default: the recipe's `out`, or runs/NAME for NAME.toml]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only check the recipe, model and pictures, and print an estimate of the memory that the run needs on
    /// its device and the time of a step, which is measured; with --verbose also the whole recipe
    #[arg(long, conflicts_with_all = ["steps", "record"])]
    pub dry_run: bool,
    /// Print the whole recipe, every default written out, as it is saved in the run folder
    #[arg(long)]
    pub verbose: bool,
    /// Also serve a page that follows the run, as `fairhuman watch` does, and print its address
    #[arg(long, conflicts_with = "dry_run")]
    pub watch: bool,
    /// Also write the inputs and results of this step as files that `fairhuman replay` reads
    #[arg(long, value_name = "STEP", value_parser = whole(1..=MOST_STEPS))]
    pub record: Option<u64>,
    /// Also print where the time of the steps goes, per phase and operation; the first step is not counted
    #[arg(long, conflicts_with = "dry_run")]
    pub profile: bool,
    /// Where to compute: cpu, or by libtorch cuda, cuda:N, torch-cpu [default: the recipe's, or cpu]
    #[arg(long, value_name = "DEVICE", value_parser = device())]
    pub device: Option<Device>,
    /// Type of activations and frozen weights [default: the recipe's `precision`, or bf16 on cuda, else f32]
    #[arg(long, value_name = "TYPE", value_parser = precision())]
    pub precision: Option<Precision>,
    /// Threads [default: the recipe's `threads`, or all cores; of several processes on a machine each its
    /// share]
    #[arg(long, value_name = "T")]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub several: Several,
}

fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    (0.0..=1.0).contains(&value).then_some(value).ok_or_else(|| "expected a number from 0 to 1".into())
}

/// Steps of training, as in recipes.
const MOST_STEPS: u64 = bounds::STEPS;
/// Steps from noise to picture, as in recipes.
const MOST_SAMPLING_STEPS: u64 = bounds::SAMPLING_STEPS as u64;
/// Pictures in a batch, as in recipes.
const MOST_IN_BATCH: u64 = bounds::BATCH as u64;
/// Pictures that `sample` makes at once: all are on one sheet.
pub const MOST_MADE: u64 = 10_000;
/// Pictures of a dataset that is drawn, and those that are shown.
const MOST_PICTURES: u64 = 1_000_000;
/// Factors, as guidance in recipes.
const MOST_FACTOR: f64 = bounds::GUIDANCE;

fn side() -> RangedU64ValueParser<usize> {
    size(1..=u64::from(bounds::SIDE))
}

/// A whole number in a range.
fn whole(range: RangeInclusive<u64>) -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(range)
}

/// The same for sizes in memory.
fn size(range: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(range)
}

/// A number of no size that nobody means.
fn factor<T: FromStr + Into<f64> + Copy>(text: &str) -> Result<T, String> {
    let wrong = || format!("expected a number from -{MOST_FACTOR} to {MOST_FACTOR}");
    let value: T = text.parse().map_err(|_| wrong())?;
    if (-MOST_FACTOR..=MOST_FACTOR).contains(&value.into()) { Ok(value) } else { Err(wrong()) }
}

/// A scale of guidance. One that is no number is refused with the other settings of sampling.
fn guidance(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_nan() => Ok(scale),
        _ => factor(text),
    }
}

/// A seed. To other programs -1 is a random one.
fn seed(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("expected a whole number from 0 to {}; there is no random seed", u64::MAX))
}

fn sampler() -> impl TypedValueParser<Value = Sampler> {
    PossibleValuesParser::new(Sampler::ALL.map(Sampler::name)).try_map(|name| name.parse::<Sampler>())
}

/// `fairhuman report`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman report runs/smoke
  fairhuman report runs/plain runs/mpd --name Plain --name MPD --out both.html

The page is one file without network: losses, fairness weights, conflict, regions, masks, time, recipes. \
Runs in progress are shown as far as they are. Run it in the folder that the training ran in, so that the \
dataset's pictures are found.")]
pub struct Report {
    /// Run folders; the first has the first colour
    #[arg(value_name = "RUN", required = true)]
    pub runs: Vec<PathBuf>,
    /// Names for the runs, one for each, in their order [default: the folders' names]
    #[arg(long, value_name = "TEXT")]
    pub name: Vec<String>,
    /// The page; a file of this name is replaced
    #[arg(long, value_name = "FILE", default_value = "report.html")]
    pub out: PathBuf,
    /// Pictures of the dataset to show with their masks
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = size(0..=MOST_PICTURES))]
    pub pictures: usize,
}

/// `fairhuman replay`
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fairhuman replay --model models/mini --inputs inputs.safetensors \\
      --outputs outputs.safetensors --repeat 7

The last line on stdout is one JSON object: forward_ms, backward_ms, solve_ms, update_ms, step_ms (medians), \
activations_mb (MiB that the forward pass saves for the backward pass) and peak_rss_mb (null where the system does not \
tell).")]
pub struct Replay {
    /// Model folder in diffusers' layout; its unet/ is used
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The control network of the step, a folder or a file, if it trained one
    #[arg(long, value_name = "DIR|FILE")]
    pub control: Option<PathBuf>,
    /// The recorded step
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// Where to write what the step gives
    #[arg(long, value_name = "FILE")]
    pub outputs: PathBuf,
    /// A file of what the step should give, such as expected.safetensors beside the inputs: prints the
    /// differences
    #[arg(long, value_name = "FILE")]
    pub expected: Option<PathBuf>,
    /// The largest difference from --expected that passes, relative to a tensor's norm
    #[arg(long, value_name = "SHARE", default_value_t = 1e-3, requires = "expected", value_parser = share)]
    pub tolerance: f64,
    /// Time the step: two runs to warm up, then the medians of N [default: one run, without warm-up]
    #[arg(long, value_name = "N", value_parser = whole(1..=MOST_PICTURES))]
    pub repeat: Option<u64>,
    #[command(flatten)]
    pub compute: Compute,
    /// Recompute activations in the backward pass: less memory, more time, the same numbers
    #[arg(long)]
    pub checkpointing: bool,
    /// Keep no gradients: a second backward pass makes the combined one. Less memory, more time, the same
    /// numbers but for rounding
    #[arg(long)]
    pub two_passes: bool,
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
    /// Number of pictures
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = whole(1..=MOST_PICTURES))]
    pub count: u64,
    /// Side of the pictures in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 128)]
    pub size: u32,
    /// Seed
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub seed: u64,
    /// People in a picture at most, 1 to 3
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub figures: u32,
    /// Percentage of the pictures of one person that are close-ups
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub near: u32,
    /// The way to draw: "soft", as what the built-in model has learnt, or "ink", which is new to it
    #[arg(long, value_name = "STYLE", default_value = "soft")]
    pub style: Style,
    /// The dataset's folder
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    /// The text below the options in the help of a command and its subcommands, by the command's name.
    fn after_helps(command: &clap::Command, found: &mut Vec<(String, String)>) {
        let texts = [command.get_after_help(), command.get_after_long_help()];
        found.extend(texts.into_iter().flatten().map(|text| (command.get_name().into(), text.to_string())));
        command.get_subcommands().for_each(|command| after_helps(command, found));
    }

    #[test]
    fn help_reads_well_on_a_terminal_of_80_columns() {
        let mut found = Vec::new();
        after_helps(&Cli::command(), &mut found);
        assert!(found.len() > 8, "{} help texts", found.len());
        for (command, text) in found {
            let lines: Vec<&str> = text.lines().collect();
            // An example that is wrapped cannot be copied.
            let wrapped = lines.iter().find(|line| line.starts_with(' ') && line.chars().count() > 80);
            assert_eq!(wrapped, None, "{command}: continue the example on a new line after a backslash");
            // A paragraph with line ends of its own is ragged where the terminal is narrower.
            let prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
            let ragged = lines.windows(2).find(|pair| prose(pair[0]) && prose(pair[1]));
            assert_eq!(ragged, None, "{command}: one line for each paragraph; clap wraps it");
        }
    }
}
