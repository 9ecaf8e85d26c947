//! The words of `fairhuman refine`. Those that ADetailer has are called as there.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fairhuman_diffusion::sampler::Sampler;

use super::{
    Compute, ControlChoice, ControlStyle, LoraChoice, MOST_SAMPLING_STEPS, ModelChoice, RegionNetworks,
    guidance, sampler, seed, share, side, size,
};

/// `fairhuman refine`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman models get          # once: the detectors, 19 MB
  fairhuman refine pictures --out refined --model models/sdxl \\
      --prompt \"a woman waving\"
  fairhuman refine pictures --out refined --model models/sdxl --dry-run
  fairhuman refine photo.jpg --out refined --model models/sdxl \\
      --lora people.safetensors --hand-prompt \"an open hand\" \\
      --face-prompt \"a smiling woman [SEP] a man with a beard\"
  fairhuman refine photo.jpg --out refined --model models/sdxl \\
      --masks hand.png --prompt \"an open hand\"

Without --model the built-in model paints, which knows drawn people at 96 pixels and nothing else.

Each region is shown to the model in a crop of the model's size, painted with --denoising-strength, and pasted where its mask is; \
all other pixels keep their bytes. The detectors look again: a region that is lost, or scores lower by more than 0.1, keeps \
its original. The folder holds the pictures as PNG files, report.json, and index.html with before, after and mask. PNG files keep the texts \
of their originals (prompt, seed), and `fairhuman evaluate PICTURES REFINED` compares both.

A prompt list gives the first face the first prompt, and so on in the order that --dry-run prints; the last one is for all that \
are left. [SEP] separates prompts in one text, [PROMPT] is the picture's own, [SKIP] leaves a region out. A picture's own prompt is \
--prompt, else the caption in NAME.txt beside it, else what its file says that it was made of.

A JSON file of --regions names pictures by their paths in the folder, or by their file names: {\"photo.jpg\": [{\"kind\": \"hand\", \"box\": [412, 310, \
470, 381]}]}, the box being left, top, right and bottom in pixels; kind is face, hand or other; prompt and points (of a hand 21) may be added.

The same command again continues an interrupted one, and refines again only pictures that changed or were refined with other options, masks or \
weights. Files that cannot be read are listed and skipped. Exit code 1 if no picture could be refined, 130 if interrupted.")]
pub struct Refine {
    /// A picture, or a folder of pictures (PNG, JPEG, WebP; folders in it are searched too, the grid.png of
    /// `sample` is left out)
    pub pictures: PathBuf,
    /// The folder of the results
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    #[command(flatten)]
    pub model: ModelChoice,
    #[command(flatten)]
    pub loras: LoraChoice,
    /// For poses; a crop without landmarks runs without it
    #[command(flatten)]
    pub networks: ControlChoice,
    /// The width of a pose's lines
    #[arg(long, value_enum, default_value_t = ControlStyle::Classic, requires = "control")]
    pub control_style: ControlStyle,
    /// Prompt of all pictures [default: each picture's own]
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Prompt of faces; again for the next face [default: the picture's]
    #[arg(long, value_name = "TEXT")]
    pub face_prompt: Vec<String>,
    /// Prompt of hands; again for the next hand [default: the picture's]
    #[arg(long, value_name = "TEXT")]
    pub hand_prompt: Vec<String>,
    /// Negative prompt [default: empty]
    #[arg(long, value_name = "TEXT")]
    pub negative: Option<String>,
    /// Regions by hand: a JSON file, or a folder that `annotate` or `people` wrote, with pictures of the same
    /// names
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "masks")]
    pub regions: Option<PathBuf>,
    /// Masks by hand: a picture, or a folder with one for each picture, NAME.png; what is white is refined
    #[arg(long, value_name = "FILE|DIR")]
    pub masks: Option<PathBuf>,
    #[command(flatten)]
    pub finders: RegionNetworks,
    /// Show regions, order, prompts and masks; paint nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The way in which the model is shown regions: crops of single regions, several beside each other, the
    /// whole picture, or as the paper's refiner chooses
    #[arg(long, value_enum, default_value_t = RefineMode::Auto)]
    pub mode: RefineMode,
    /// Kinds of regions
    #[arg(long, value_enum, value_name = "KIND,...", value_delimiter = ',', default_value = "face,hand")]
    pub kinds: Vec<RegionKind>,
    /// Least score of a region that the detectors find
    #[arg(long, value_name = "SCORE", default_value_t = 0.5, value_parser = share)]
    pub confidence: f64,
    /// Refine the N largest regions of a picture; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = size(0..=1000))]
    pub mask_k: usize,
    /// Least share of the picture's area that a region covers
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share)]
    pub mask_min_ratio: f64,
    /// Largest share of the picture's area that a region covers; larger ones stay as they are [default: 0.125
    /// for faces, 1 for hands]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub mask_max_ratio: Option<f64>,
    /// Least length of a region's longer side in pixels
    #[arg(long, value_name = "PIXELS", default_value_t = 10, value_parser = size(0..=16384))]
    pub min_side: usize,
    /// Order of a picture's regions, which decides who gets which prompt
    #[arg(long, value_enum, default_value_t = RegionOrder::Left)]
    pub order: RegionOrder,
    /// Context that the model is shown, in lengths of a region's longer side [default: 2 for faces, 2.5 for
    /// hands]
    #[arg(long, value_name = "TIMES", value_parser = context)]
    pub context: Option<f64>,
    /// Width around a region that is painted, too, as a share of its longer side
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    pub mask_margin: f64,
    /// Width of the mask's soft edge, likewise
    #[arg(long, value_name = "SHARE", default_value_t = 0.15, value_parser = share)]
    pub mask_blur: f64,
    /// Denoising strength, from 0 (nothing changes) to 1 (little of the region stays)
    #[arg(long, visible_alias = "strength", value_name = "S", default_value_t = 0.4, value_parser = share)]
    pub denoising_strength: f64,
    /// Sampling steps, of which the strength's share is walked
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = size(1..=MOST_SAMPLING_STEPS))]
    pub steps: usize,
    /// Guidance scale (CFG); 1 or less: without guidance, in half the time
    #[arg(long, value_name = "G", default_value_t = 7.5, allow_negative_numbers = true, value_parser = guidance)]
    pub guidance: f64,
    /// Share of the contrast that guidance adds which is taken back, from 0 to 1: 0.7 for models with zero
    /// terminal SNR, whose pictures it makes too harsh
    #[arg(long, value_name = "PHI", default_value_t = 0.0, value_parser = share)]
    pub guidance_rescale: f64,
    /// Sampler
    #[arg(long, value_name = "NAME", default_value_t, value_parser = sampler())]
    pub sampler: Sampler,
    /// Width that gives, with --inpaint-height, the area of a crop for the model [default: the model's]
    #[arg(long, value_name = "PIXELS", value_parser = side())]
    pub inpaint_width: Option<usize>,
    /// Height, likewise [default: the model's]
    #[arg(long, value_name = "PIXELS", value_parser = side())]
    pub inpaint_height: Option<usize>,
    /// Seed of the noise, together with the picture's name and the region's number
    #[arg(long, value_name = "K", default_value_t = 0, allow_negative_numbers = true, value_parser = seed)]
    pub seed: u64,
    /// Skip the zoom pass, which finds small faces and hands
    #[arg(long)]
    pub no_zoom: bool,
    /// The folder with MediaPipe's networks [default: where `fairhuman models get` puts them]
    #[arg(long, value_name = "DIR", env = "FAIRHUMAN_MODELS", hide_env_values = true)]
    pub models: Option<PathBuf>,
    #[command(flatten)]
    pub compute: Compute,
}

fn context(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "expected a number from 1 to 10".to_owned())?;
    (1.0..=10.0).contains(&value).then_some(value).ok_or_else(|| "expected a number from 1 to 10".into())
}

/// Ways to show regions to the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RefineMode {
    /// By the share of faces and hands and the number of people, as in the paper's refiner
    Auto,
    /// The whole picture, once for each prompt
    Whole,
    /// A crop for each region; near ones with the same prompt share one
    Crops,
    /// Crops with the same prompt beside each other in one picture
    Mosaic,
}

/// Kinds of regions that detectors find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegionKind {
    /// Faces
    Face,
    /// Hands
    Hand,
}

/// Orders of regions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegionOrder {
    /// From left to right
    Left,
    /// The largest first
    Area,
    /// The most certain first
    Score,
}
