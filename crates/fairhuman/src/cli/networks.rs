//! Options that name networks: a model, and those that control it.

use std::path::{Path, PathBuf};

use clap::Args;
use fairhuman_diffusion::controlnet;
use fairhuman_train::recipe::Prediction;

use super::data::score;
use super::{factor, share};
use crate::hub;
use crate::model_path::BUILTIN;

/// A network that the command line names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// As it was named, for what is written down: a name on the Hub stays one.
    pub named: PathBuf,
    /// Where it is.
    pub path: PathBuf,
}

impl Network {
    /// Its name in words.
    pub fn shown(&self) -> String {
        self.named.display().to_string()
    }
}

/// A model.
#[derive(Debug, Clone, Args)]
pub struct ModelChoice {
    /// Model folder in diffusers' layout, one checkpoint file (Stable Diffusion 1.x, 2.x or XL), or the name
    /// of either on the Hugging Face Hub, once downloaded (`fairhuman models get`) [default: the built-in
    /// model]
    #[arg(long, value_name = "DIR|FILE|NAME", value_parser = network)]
    pub model: Option<Network>,
    /// For a checkpoint file: another model for the parts that it lacks, and for settings that shapes do not
    /// say
    #[arg(long, value_name = "DIR|FILE|NAME", requires = "model", value_parser = network)]
    pub base: Option<Network>,
    /// For a checkpoint file: what the model predicts, epsilon or v, where the file does not say
    #[arg(long, value_name = "KIND", requires = "model", value_parser = prediction)]
    pub prediction: Option<Prediction>,
    /// Another autoencoder: a folder, one file of it, or a model that has it
    #[arg(long, value_name = "DIR|FILE|NAME", value_parser = network)]
    pub vae: Option<Network>,
    /// The layer of the text encoder that is read, from its end: 2 for most anime models of SD 1.x; not for
    /// SDXL
    #[arg(long, value_name = "N", value_parser = super::size(1..=fairhuman_train::recipe::bounds::CLIP_SKIP as u64))]
    pub clip_skip: Option<usize>,
}

impl ModelChoice {
    /// The paths that are read, with their names.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let named =
            [("the model", &self.model), ("the base model", &self.base), ("the autoencoder", &self.vae)];
        named.into_iter().filter_map(|(what, network)| Some((what, &*network.as_ref()?.path)))
    }
}

/// LoRA files.
#[derive(Debug, Clone, Args)]
pub struct LoraChoice {
    /// A LoRA file, by kohya, PEFT or diffusers; again for more, which add up
    #[arg(long, value_name = "FILE|NAME", value_parser = network)]
    pub lora: Vec<Network>,
    /// Weight of the LoRA, once for each --lora [default: 1]
    #[arg(long, value_name = "W", allow_negative_numbers = true, value_parser = factor::<f32>)]
    pub lora_weight: Vec<f32>,
}

/// A path of a network, or its name on the Hub.
pub(super) fn network(text: &str) -> Result<Network, String> {
    let named = PathBuf::from(text);
    let path = match text {
        BUILTIN => named.clone(),
        _ => hub::located(&named).map_err(|e| format!("{e:#}"))?,
    };
    Ok(Network { named, path })
}

pub(super) fn prediction(text: &str) -> Result<Prediction, String> {
    match text {
        "epsilon" => Ok(Prediction::Epsilon),
        "v" => Ok(Prediction::V),
        _ => Err("expected epsilon or v".into()),
    }
}

/// Types of the control images of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlTypes(pub Vec<usize>);

fn control_types(text: &str) -> Result<ControlTypes, String> {
    if text == "none" {
        return Ok(ControlTypes(Vec::new()));
    }
    let types = text.split(',').map(|name| {
        let expected =
            || format!("expected {}, a number from 0, or none", controlnet::control_types(usize::MAX));
        controlnet::control_type(name.trim()).ok_or_else(expected)
    });
    types.collect::<Result<_, _>>().map(ControlTypes)
}

/// Control networks.
#[derive(Debug, Clone, Args)]
pub struct ControlChoice {
    /// A ControlNet, ControlNetUnion or T2I-Adapter, a diffusers folder or one file, or builtin, the built-in
    /// model's own, which follows poses; again for more, whose effects add up
    #[arg(long, value_name = "FILE|DIR|NAME", value_parser = network)]
    pub control: Vec<Network>,
    /// For a ControlNetUnion: the type of its control image, such as openpose, depth, hed, canny, normal,
    /// segment, tile, repaint, or its number from 0; several images of one network: again, or TYPE,TYPE. With
    /// several networks once for each --control, none for those that are no union
    #[arg(long, value_name = "TYPE", requires = "control", value_parser = control_types)]
    pub control_type: Vec<ControlTypes>,
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

/// Networks that find regions in place of MediaPipe's.
#[derive(Debug, Clone, Args)]
pub struct RegionNetworks {
    /// A YOLOv8 or YOLO11 detection network as ONNX, to find faces instead of MediaPipe's
    #[arg(long, value_name = "FILE")]
    pub faces: Option<PathBuf>,
    /// Classes of --faces that are faces, by name or number; needed if it knows more than one
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', requires = "faces")]
    pub face_class: Vec<String>,
    /// A YOLOv8 or YOLO11 detection network as ONNX, to find hands instead of MediaPipe's
    #[arg(long, value_name = "FILE")]
    pub hands: Option<PathBuf>,
    /// Classes of --hands that are hands, by name or number; needed if it knows more than one
    #[arg(long, value_name = "CLASS,...", value_delimiter = ',', requires = "hands")]
    pub hand_class: Vec<String>,
    /// Score from which a box of --faces or --hands counts (the paper has 0.5)
    #[arg(long, value_name = "SCORE", default_value_t = 0.25, value_parser = score)]
    pub threshold: f32,
}
