//! The kind of model that a checkpoint file holds, by the names and shapes of its tensors, and what it is
//! where it is none that is read here.

use std::path::Path;

use crate::net::ModelError;
use crate::pipeline::Family;
use crate::weights::WeightFiles;

/// A text encoder in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextPart {
    /// The beginning of its tensors' names.
    pub prefix: &'static str,
    /// In open_clip's names.
    pub open_clip: bool,
}

/// The parts of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts {
    pub family: Family,
    /// SD 2.x: a larger text encoder whose last block is not read.
    pub is_sd2: bool,
    /// The autoencoder's prefix, if it is there.
    pub vae: Option<&'static str>,
    /// The text encoders that are there, in order.
    pub texts: Vec<TextPart>,
}

/// The beginning of a U-Net's names.
pub(super) const UNET: &str = "model.diffusion_model.";

/// Width of SD 2.x's text embeddings.
const SD2_TEXT: usize = 1024;

/// Marks of files that hold something else, and what it is.
const OTHERS: [(&str, &str); 20] = [
    ("model.diffusion_model.joint_blocks.", "a Stable Diffusion 3 model"),
    ("joint_blocks.", "a Stable Diffusion 3 model"),
    ("model.diffusion_model.double_blocks.", "a Flux model"),
    ("double_blocks.", "a Flux model"),
    ("clf.1.weight", "a Stable Cascade model"),
    ("control_model.", "a ControlNet: name it with --control"),
    ("controlnet_cond_embedding.", "a ControlNet: name it with --control"),
    ("adapter.body.", "a T2I-Adapter: name it with --control"),
    ("lora_unet_", "a LoRA: name it with --lora"),
    ("lora_te", "a LoRA: name it with --lora"),
    (
        "unet.down_blocks.",
        "weights of a U-Net with diffusers' names under \"unet.\", or a LoRA: name a LoRA with --lora",
    ),
    (
        "down_blocks.",
        "a U-Net or ControlNet in diffusers' names: name the folder of the model or network that it belongs to",
    ),
    ("input_blocks.", "a U-Net without model.diffusion_model. before its tensors' names"),
    ("string_to_param", "an embedding (textual inversion)"),
    ("clip_l", "an embedding (textual inversion)"),
    ("edm_mean", "a model trained by EDM (Playground 2.5), whose noise schedule is not known here"),
    ("edm_vpred.sigma_max", "a model trained by EDM (CosXL), whose noise schedule is not known here"),
    ("first_stage_model.", "an autoencoder, or a model without its U-Net"),
    ("encoder.conv_in.", "an autoencoder"),
    ("decoder.conv_in.", "an autoencoder"),
];

/// Recognises a file.
///
/// # Errors
/// Another kind of file, by its kind.
pub(super) fn recognise(path: &Path, files: &WeightFiles) -> Result<Parts, ModelError> {
    let refused = |what: &str| {
        let problem = format!("is {what}; expected a checkpoint of SD 1.x, SD 2.x or SDXL");
        Err(ModelError::Folder { path: path.into(), problem })
    };
    let has = |start: &str| files.names().any(|name| name.starts_with(start));
    let marked =
        |list: &[(&str, &'static str)]| list.iter().find(|(mark, _)| has(mark)).map(|(_, what)| *what);
    let unet = |name: &str| files.shape(&format!("{UNET}{name}"));
    // Marks that a whole model of another training has beside its U-Net.
    if let Some(what) = marked(&OTHERS[15..17]) {
        return refused(what);
    }
    let Some(first) = unet("input_blocks.0.0.weight") else {
        return refused(
            marked(&OTHERS).unwrap_or("not known: it has no model.diffusion_model.input_blocks.0.0.weight"),
        );
    };
    let label = unet("label_emb.0.0.weight").map(|shape| shape[1]);
    match first.get(1) {
        Some(4) => {}
        Some(8) => return refused("an instruct-pix2pix model, whose U-Net has 8 inputs"),
        Some(9) => return refused("an inpainting model, whose U-Net has 9 inputs: use its base"),
        Some(5) => return refused("a depth model, whose U-Net has 5 inputs"),
        _ => return refused("a model whose U-Net has not 4 inputs"),
    }
    if first[0] == 384
        || (label.is_some() && !has("conditioner.embedders.1.") && has("conditioner.embedders.0.model."))
    {
        return refused("SDXL's refiner, which only finishes pictures: use the base model");
    }
    if ["temporal_transformer.", "time_stack."]
        .iter()
        .any(|part| files.names().any(|name| name.contains(part)))
    {
        return refused("a video model");
    }
    let text = |prefix, open_clip| has(prefix).then_some(TextPart { prefix, open_clip });
    let (family, texts) = match label {
        Some(_) => (
            Family::Sdxl,
            vec![
                text("conditioner.embedders.0.transformer.", false),
                text("conditioner.embedders.1.model.", true),
            ],
        ),
        None => (
            Family::Sd,
            vec![
                text("cond_stage_model.transformer.", false)
                    .or_else(|| text("cond_stage_model.model.", true))
                    .or_else(|| text("conditioner.embedders.0.model.", true)),
            ],
        ),
    };
    let texts: Vec<TextPart> = texts.into_iter().flatten().collect();
    // A U-Net alone is told by the width of the text that it reads.
    let reads = files.names().find(|name| name.starts_with(UNET) && name.ends_with(".attn2.to_k.weight"));
    let is_wide = reads.and_then(|name| files.shape(name)?.get(1)) == Some(&SD2_TEXT);
    let is_sd2 =
        family == Family::Sd && (texts.iter().any(|text| text.open_clip) || (texts.is_empty() && is_wide));
    let vae = has("first_stage_model.").then_some("first_stage_model.");
    Ok(Parts { family, is_sd2, vae, texts })
}
