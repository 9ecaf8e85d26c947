//! Options of `fairhuman evaluate`.

use std::path::{Path, PathBuf};

use clap::Args;

use fairhuman_dataset::Region;

use super::data::region;
use super::networks::network;
use super::{Compute, LoraChoice, ModelChoice, seed, size};

/// `fairhuman evaluate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman evaluate pictures/base pictures/mpd --out evaluation
  fairhuman evaluate pictures/base pictures/mpd --judge detection \\
      --judge drawn --out evaluation
  fairhuman evaluate --losses --dataset data/held-out \\
      --lora runs/people/lora.safetensors --out losses
  fairhuman evaluate a b --judge clip=openai/clip-vit-large-patch14 \\
      --judge dino=facebook/dinov2-small --reference photos --out evaluation

Pictures are paired by prompt and noise, which those of `fairhuman sample` and `refine` carry, or where no two have these in common by file name; the first folder is the one that the others \
are compared with. For other pictures --prompts names a text file, whose prompts are dealt to the pictures by order of name, or a \
list of JSON lines {\"picture\": \"name.png\", \"prompt\": \"...\"}, which may also have seed, index, faces and hands (numbers that \
are expected).

Judges: detection (faces and hands that MediaPipe's networks find; `fairhuman models get`), drawn (people that `fairhuman people` \
draws and the built-in model has learnt); with weights, a folder, safetensors file or name on the Hub: clip (CLIP score), \
aesthetic (beside clip=), pick (PickScore), hps (HPS v2.1), imagereward; of sets, beside --reference: dino (FD, KID, also of faces and hands; \
diversity), cmmd, fid (clean). docs/evaluate.md says what each is, and where its weights are.

The folder gets scores.jsonl (every picture's scores; the same command again goes on), features.jsonl (those that sets are compared by), reference.jsonl (what is found in photographs of --reference), summary.json and report.html. Missing pictures \
and missing detections are counted.")]
pub struct Evaluate {
    /// Folders of pictures; the first is what the others are compared with
    #[arg(value_name = "FOLDER", required_unless_present = "losses")]
    pub folders: Vec<PathBuf>,
    #[command(flatten)]
    pub losses: Losses,
    /// The folder of the results
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Prompts: a text file with one on every line, or a list of pictures as JSON lines
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// A judge, NAME or NAME=PATH; again for more [default: detection]
    #[arg(long, value_name = "NAME[=PATH]", value_parser = judge)]
    pub judge: Vec<JudgeChoice>,
    /// A folder of real or drawn pictures, with what should be in those of the same prompts or control images
    #[arg(long, value_name = "DIR")]
    pub reference: Option<PathBuf>,
    /// Metric by which pairs are sorted on the page [default: the first that has differences]
    #[arg(long, value_name = "METRIC")]
    pub sort: Option<String>,
    /// Pairs of pictures on the page
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = size(0..=10_000))]
    pub pairs: usize,
    /// detection: skip the zoom pass, which finds small faces and hands
    #[arg(long)]
    pub no_zoom: bool,
    /// The folder with MediaPipe's networks [default: where `fairhuman models get` puts them]
    #[arg(long, value_name = "DIR", env = "FAIRHUMAN_MODELS", hide_env_values = true)]
    pub models: Option<PathBuf>,
    #[command(flatten)]
    pub compute: Compute,
}

/// Options of held-out losses.
#[derive(Debug, Args)]
pub struct Losses {
    /// Instead of pictures: held-out losses of --model (with --lora, beside it without) on all of --dataset,
    /// for each objective and band of time steps
    #[arg(long, requires = "dataset", conflicts_with_all = ["folders", "prompts", "judge", "reference", "sort"])]
    pub losses: bool,
    /// losses: a dataset that the model was not trained on, a folder or a list as in recipes
    #[arg(long, value_name = "PATH", requires = "losses")]
    pub dataset: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelChoice,
    #[command(flatten)]
    pub loras: LoraChoice,
    /// losses: a region and where its masks are, as recipes have it [default: guessed]
    #[arg(long = "region", value_name = "NAME=MASK", value_parser = region, requires = "losses")]
    pub regions: Vec<Region>,
    /// losses: side of the pictures in pixels [default: the model's]
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(8..=16384), requires = "losses")]
    pub size: Option<u32>,
    /// losses: bands of time steps, of equal width
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = size(1..=100))]
    pub bands: usize,
    /// losses: time steps of each picture in each band
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = size(1..=1000))]
    pub draws: usize,
    /// losses: seed of the noise; the same one gives all models the same noise
    #[arg(long, value_name = "K", default_value_t = 0, allow_negative_numbers = true, value_parser = seed)]
    pub seed: u64,
    /// losses: samples of one pass
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = size(1..=u64::from(u16::MAX)))]
    pub batch: usize,
}

/// A judge that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JudgeChoice {
    /// MediaPipe's networks.
    Detection,
    /// The detector of drawn people.
    Drawn,
    /// CLIP score.
    Clip(PathBuf),
    /// LAION's aesthetic predictor, beside CLIP.
    Aesthetic(PathBuf),
    /// PickScore.
    Pick(PathBuf),
    /// HPS v2.1.
    Hps(PathBuf),
    /// ImageReward.
    ImageReward(PathBuf),
    /// Sets by DINOv2's features.
    Dino(PathBuf),
    /// Sets by CLIP's features.
    Cmmd(PathBuf),
    /// Sets by Inception's features: clean FID.
    Fid(PathBuf),
}

impl JudgeChoice {
    /// The file or folder of its weights; none where they are not named.
    pub fn weights(&self) -> Option<&Path> {
        match self {
            Self::Detection | Self::Drawn => None,
            Self::Clip(path)
            | Self::Aesthetic(path)
            | Self::Pick(path)
            | Self::Hps(path)
            | Self::ImageReward(path)
            | Self::Dino(path)
            | Self::Cmmd(path)
            | Self::Fid(path) => Some(path),
        }
    }

    /// True for judges of sets, which compare features.
    pub fn is_of_sets(&self) -> bool {
        matches!(self, Self::Dino(_) | Self::Cmmd(_) | Self::Fid(_))
    }
}

/// Names of judges with weights of their own.
const WITH_WEIGHTS: &str = "clip, aesthetic, pick, hps, imagereward, dino, cmmd, fid";

fn judge(text: &str) -> Result<JudgeChoice, String> {
    let (name, path) = text.split_once('=').map_or((text, None), |(name, path)| (name, Some(path)));
    let path = path.map(located).transpose()?;
    match (name, path) {
        ("detection", None) => Ok(JudgeChoice::Detection),
        ("drawn", None) => Ok(JudgeChoice::Drawn),
        ("detection", Some(_)) => Err("its networks are found by --models DIR".into()),
        ("drawn", Some(_)) => Err("its weights are part of the program".into()),
        ("clip", Some(path)) => Ok(JudgeChoice::Clip(path)),
        ("aesthetic", Some(path)) => Ok(JudgeChoice::Aesthetic(path)),
        ("pick", Some(path)) => Ok(JudgeChoice::Pick(path)),
        ("hps", Some(path)) => Ok(JudgeChoice::Hps(path)),
        ("imagereward", Some(path)) => Ok(JudgeChoice::ImageReward(path)),
        ("dino", Some(path)) => Ok(JudgeChoice::Dino(path)),
        ("cmmd", Some(path)) => Ok(JudgeChoice::Cmmd(path)),
        ("fid", Some(path)) => Ok(JudgeChoice::Fid(path)),
        (name, None) if WITH_WEIGHTS.split(", ").any(|known| known == name) => {
            Err(format!("expected {name}=PATH, its weights; see docs/evaluate.md for where they are"))
        }
        _ => Err(format!("expected detection, drawn, or NAME=PATH with one of {WITH_WEIGHTS}")),
    }
}

/// A path, or a name on the Hub.
fn located(text: &str) -> Result<PathBuf, String> {
    if Path::new(text).exists() { Ok(text.into()) } else { Ok(network(text)?.path) }
}
