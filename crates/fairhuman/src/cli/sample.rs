//! The words of `fairhuman sample`.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use fairhuman_diffusion::sampler::Sampler;

use super::{
    Compute, ControlChoice, LoraChoice, MOST_IN_BATCH, MOST_MADE, MOST_SAMPLING_STEPS, ModelChoice, guidance,
    sampler, seed, share, side, size, whole,
};

/// `fairhuman sample`
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("asked").required(true).multiple(true))]
#[command(after_help = "\
Examples:
  fairhuman sample --prompt \"a woman with long red hair waves\" --out pictures
  fairhuman sample --model models/sdxl --prompt \"a woman waving\" --count 4 \\
      --out pictures
  fairhuman sample --model models/sdxl --lora runs/people/lora.safetensors \\
      --lora-weight 0.8 --prompts prompts.txt --negative \"blurry\" --seed 1 \\
      --out pictures
  fairhuman sample --model models/sdxl --init photo.jpg --strength 0.4 \\
      --prompt \"a woman waving\" --out pictures
  fairhuman sample --model models/sdxl --init photo.jpg --mask hand.png \\
      --strength 0.8 --prompt \"an open hand\" --out pictures
  fairhuman sample --control builtin --control-image pose.png \\
      --prompt \"a woman waves with an open hand\" --out pictures
  fairhuman sample --model models/sdxl --control models/openpose \\
      --control-image pose.png --control-weight 0.8 --control-end 0.8 \\
      --prompt \"a woman waving\" --out pictures

Prompts are plain words: weights such as (hat:1.2) and <lora:NAME:1> have no meaning in them, and what is longer than 77 tokens is cut off; \
notes say so. Picture i is a function of the options, its prompt, the seed and i: the pictures before it do not matter, and \
--index 7 --count 1 makes picture 7 of a longer run again. Every PNG file carries its settings as text \
(\"parameters\", which other programs read too, and \"fairhuman\" as JSON). grid.png shows all with their prompts.")]
pub struct Sample {
    #[command(flatten)]
    pub model: ModelChoice,
    /// Prompt; again for more pictures
    #[arg(long, value_name = "TEXT", group = "asked")]
    pub prompt: Vec<String>,
    /// A text file with a prompt on every line; empty lines and lines that begin with # do not count
    #[arg(long, value_name = "FILE", group = "asked")]
    pub prompts: Option<PathBuf>,
    /// Negative prompt [default: empty]
    #[arg(long, value_name = "TEXT")]
    pub negative: Option<String>,
    #[command(flatten)]
    pub loras: LoraChoice,
    #[command(flatten)]
    pub networks: ControlChoice,
    /// Control image of every picture, or a folder with one for each prompt, by order of name; once for each
    /// --control, for a union once for each of its types, or once for all. It is cropped to the shape of the
    /// new pictures
    #[arg(long, value_name = "FILE|DIR", requires = "control")]
    pub control_image: Vec<PathBuf>,
    /// ControlNets add less to finer resolutions, and nothing to the prediction without prompt ("guess mode")
    #[arg(long, requires = "control")]
    pub guess: bool,
    /// Sampling steps
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
    /// Width in pixels [default: the model's]
    #[arg(long, value_name = "PIXELS", value_parser = side())]
    pub width: Option<usize>,
    /// Height in pixels [default: the model's]
    #[arg(long, value_name = "PIXELS", value_parser = side())]
    pub height: Option<usize>,
    /// Seed of the noise, together with a picture's index
    #[arg(long, value_name = "K", default_value_t = 0, allow_negative_numbers = true, value_parser = seed)]
    pub seed: u64,
    /// Index of the first picture
    #[arg(long, value_name = "I", default_value_t = 0)]
    pub index: u64,
    /// Pictures of each prompt
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole(1..=MOST_MADE))]
    pub count: u64,
    /// Batch size: more memory, less time for each picture [default: 1; for small pictures as many as there
    /// are threads]
    #[arg(long, value_name = "N", value_parser = whole(1..=MOST_IN_BATCH))]
    pub batch: Option<u64>,
    #[command(flatten)]
    pub compute: Compute,
    /// Image to image: begin with this picture instead of noise, or with those of a folder, one for each
    /// prompt, by order of name; they are cropped to the shape of the new ones
    #[arg(long, value_name = "FILE|DIR")]
    pub init: Option<PathBuf>,
    /// Inpainting: of --init's picture only what is white in this one, of the same size, is painted anew;
    /// gray mixes. What is black stays, byte for byte. Without --width and --height the new pictures have the
    /// picture's size
    #[arg(long, value_name = "FILE", requires = "init")]
    pub mask: Option<PathBuf>,
    /// Denoising strength of --init, from 0 (the picture stays) to 1 (little of it does)
    #[arg(long, value_name = "S", default_value_t = 0.6, value_parser = share, requires = "init")]
    pub strength: f64,
    /// The folder of the pictures; files of the same names are replaced [default: pictures, or where it is
    /// there already the first of pictures-2, pictures-3, ... that is not]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}
