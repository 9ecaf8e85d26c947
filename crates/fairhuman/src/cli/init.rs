//! The words of `fairhuman init`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fairhuman_train::recipe::{Device, Prediction};

use super::device;

/// `fairhuman init`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman init data/people              # for the built-in model, to try it
  fairhuman init data/people --model stabilityai/stable-diffusion-xl-base-1.0
  fairhuman init data/people --model dream.safetensors --preset hands \\
      --memory 12

The recipe's size is the model's own; its objectives are the regions that the dataset has masks of; batch, rank and \
checkpointing are what fits into memory by the estimate of `train --dry-run`. Comments say \
what the numbers are for: change what you like, then `fairhuman check` and `fairhuman train` it.")]
pub struct Init {
    /// The dataset: a folder or list, as `fairhuman check` takes it
    #[arg(value_name = "DATASET")]
    pub dataset: PathBuf,
    /// The model: a folder, a checkpoint file, a name on the Hugging Face Hub that was downloaded, or builtin
    #[arg(long, value_name = "DIR|FILE|NAME", default_value = crate::model_path::BUILTIN)]
    pub model: String,
    /// For a checkpoint file: another model for the parts that it lacks
    #[arg(long, value_name = "DIR|FILE|NAME")]
    pub base: Option<String>,
    /// For a checkpoint file: what the model predicts, epsilon or v, where the file does not say
    #[arg(long, value_name = "KIND", value_parser = super::networks::prediction)]
    pub prediction: Option<Prediction>,
    /// The kind of recipe
    #[arg(long, value_enum, default_value_t = Aim::Portrait)]
    pub preset: Aim,
    /// GiB of memory that training may take [default: four fifths of what the device has]
    #[arg(long, value_name = "GIB", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub memory: Option<u16>,
    /// Where it will be trained
    #[arg(long, value_name = "DEVICE", value_parser = device(), default_value = "cpu")]
    pub device: Device,
    /// The recipe's file, a new one [default: the dataset's name, in the current folder]
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
}

/// Presets of recipes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Aim {
    /// People: every region that has masks, fair beside the whole picture
    Portrait,
    /// People: hands have twice the priority of the rest
    Hands,
    /// A style: the whole picture has twice the priority of its regions
    Style,
    /// The values of the FairHuman paper: rank 256 and a rate of 1e-5, for tens of thousands of steps
    Paper,
}
