//! Options that name networks: a model, and those that control it.

use std::path::PathBuf;

use clap::Args;
use fairhuman_train::recipe::Prediction;

use super::{factor, share};

/// A model.
#[derive(Debug, Clone, Args)]
pub struct ModelChoice {
    /// Model folder in diffusers' layout, or one checkpoint file (Stable Diffusion 1.x, 2.x or XL) [default:
    /// the built-in model]
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// For a checkpoint file: a model folder for the parts that it lacks, and for settings that shapes do not
    /// say
    #[arg(long, value_name = "DIR", requires = "model")]
    pub base: Option<PathBuf>,
    /// For a checkpoint file: what the model predicts, epsilon or v, where the file does not say
    #[arg(long, value_name = "KIND", requires = "model", value_parser = prediction)]
    pub prediction: Option<Prediction>,
}

fn prediction(text: &str) -> Result<Prediction, String> {
    match text {
        "epsilon" => Ok(Prediction::Epsilon),
        "v" => Ok(Prediction::V),
        _ => Err("expected epsilon or v".into()),
    }
}

/// Control networks.
#[derive(Debug, Clone, Args)]
pub struct ControlChoice {
    /// A ControlNet or T2I-Adapter, a diffusers folder or one file; again for more, whose effects add up
    #[arg(long, value_name = "FILE|DIR")]
    pub control: Vec<PathBuf>,
    /// Weight of the control, once for each --control [default: 1]
    #[arg(long, value_name = "W", allow_negative_numbers = true, requires = "control", value_parser = factor::<f32>)]
    pub control_weight: Vec<f32>,
    /// Share of the steps after which the control begins, once for each --control [default: 0]
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "control")]
    pub control_start: Vec<f64>,
    /// Share of the steps after which the control ends, once for each --control [default: 1]
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "control")]
    pub control_end: Vec<f64>,
}
