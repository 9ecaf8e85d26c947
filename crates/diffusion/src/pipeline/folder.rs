//! `model_index.json`: what kind of model a folder holds.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config_check::{Config, ConfigError};
use crate::net::ModelError;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;

/// Ends of the names of pipelines with the same model. Their control networks are not read from here.
const VARIANTS: [&str; 7] = [
    "Pipeline",
    "Img2ImgPipeline",
    "InpaintPipeline",
    "ControlNetPipeline",
    "ControlNetImg2ImgPipeline",
    "ControlNetInpaintPipeline",
    "AdapterPipeline",
];

/// Kinds of models, by how they read text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// One text encoder, whose last state is read: SD 1.5, SD 2.x.
    Sd,
    /// Two text encoders, whose last states but one are read, and sizes as conditions: SDXL.
    Sdxl,
}

/// A model folder whose index was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder.
    pub path: PathBuf,
    /// Kind of model.
    pub family: Family,
    /// True if an absent negative prompt means zeros instead of the empty text (SDXL base).
    pub zeros_for_empty_prompt: bool,
    /// Sub-folders that the index names, those that are not read here included.
    pub components: Vec<String>,
}

impl ModelFolder {
    /// Reads `model_index.json`.
    ///
    /// # Errors
    /// Anything but such a folder, a pipeline of another class, components of other classes.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let file = path.join("model_index.json");
        if let Some(problem) = not_a_model(path, &file) {
            return Err(ModelError::Folder { path: path.into(), problem });
        }
        let mut index = Config::read(&file)?;
        // [library, class]; both are null where there is no such component.
        let present = |entry: &Value| entry.as_array().is_some_and(|e| e.iter().all(Value::is_string));
        let components = index.entries().filter(|(_, entry)| present(entry)).map(|(name, _)| name.to_owned());
        let components: Vec<String> = components.collect();
        let has = |name: &str| components.iter().any(|component| component == name);
        let class = index.string("_class_name")?.unwrap_or_default();
        let variant = |start: &str| class.strip_prefix(start).is_some_and(|rest| VARIANTS.contains(&rest));
        let family = if variant("StableDiffusionXL") {
            Family::Sdxl
        } else if variant("StableDiffusion") {
            Family::Sd
        } else {
            let supported = "StableDiffusionXLPipeline, StableDiffusionPipeline";
            return Err(index.unsupported("_class_name", class, supported).into());
        };
        let refines = index.bool("requires_aesthetics_score")?.unwrap_or(false);
        if family == Family::Sdxl && (refines || (!has("text_encoder") && has("text_encoder_2"))) {
            let problem =
                "is SDXL's refiner, which only finishes pictures; use the base model instead".into();
            return Err(ModelError::Folder { path: path.into(), problem });
        }
        let text = ["CLIPTextModel", "CLIPTextModelWithProjection"];
        let mut expected =
            vec![("unet", "UNet2DConditionModel"), ("vae", "AutoencoderKL"), ("text_encoder", text[0])];
        if family == Family::Sdxl {
            expected.push(("text_encoder_2", text[1]));
        }
        for (component, class) in expected {
            let entry = index.strings(component)?.unwrap_or_default();
            match entry.get(1) {
                Some(found) if found == class => {}
                Some(found) => return Err(index.unsupported(component, found, class).into()),
                None => {
                    return Err(index
                        .wrong(component, format!("a component of class {class}"), "none")
                        .into());
                }
            }
        }
        let zeros_for_empty_prompt =
            index.bool("force_zeros_for_empty_prompt")?.unwrap_or(family == Family::Sdxl);
        Ok(Self { path: path.into(), family, zeros_for_empty_prompt, components })
    }

    /// True for a component that is read here.
    pub fn is_read(&self, component: &str) -> bool {
        let texts = self.texts();
        let mut folders = texts.iter().flat_map(|(tokenizer, encoder, _)| [tokenizer, encoder]);
        matches!(component, "unet" | "vae" | "scheduler") || folders.any(|folder| folder.ends_with(component))
    }

    /// The folder, its components and their files: any of them may be a link to another place.
    pub fn places(&self) -> Vec<PathBuf> {
        let entries = |folder: &Path| -> Vec<PathBuf> {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|entry| entry.path()).collect()
        };
        let components = entries(&self.path);
        let files: Vec<PathBuf> = components.iter().flat_map(|component| entries(component)).collect();
        [self.path.clone()].into_iter().chain(components).chain(files).collect()
    }

    /// `unet/`.
    pub fn unet(&self) -> PathBuf {
        self.path.join("unet")
    }

    /// `vae/`.
    pub fn vae(&self) -> PathBuf {
        self.path.join("vae")
    }

    /// `scheduler/scheduler_config.json`.
    pub fn schedule(&self) -> PathBuf {
        self.path.join("scheduler").join("scheduler_config.json")
    }

    /// Folders of each tokenizer and its text encoder, and the component's name.
    pub fn texts(&self) -> Vec<(PathBuf, PathBuf, &'static str)> {
        let pair =
            |tokenizer, encoder: &'static str| (self.path.join(tokenizer), self.path.join(encoder), encoder);
        match self.family {
            Family::Sd => vec![pair("tokenizer", "text_encoder")],
            Family::Sdxl => vec![pair("tokenizer", "text_encoder"), pair("tokenizer_2", "text_encoder_2")],
        }
    }

    /// Checks that the U-Net takes the text encoders' outputs: widths of the embeddings and of the pooled
    /// one.
    ///
    /// # Errors
    /// Widths that differ, by the U-Net's key.
    pub fn check_text(
        &self,
        unet: &UNetConfig,
        width: usize,
        pooled: Option<usize>,
    ) -> Result<(), ModelError> {
        let wrong = |key, expected, found: usize| Err(self.unfit(key, expected, found.to_string()));
        if unet.text_width != width {
            let expected = format!("{width}, the width of the text encoders together");
            return wrong("cross_attention_dim", expected, unet.text_width);
        }
        match (unet.added, pooled, self.family) {
            (Some(added), Some(pooled), _) if added.pooled != pooled => {
                let expected = format!("{} for pooled text of {pooled}", 6 * added.time_dim + pooled);
                let found = 6 * added.time_dim + added.pooled;
                wrong("projection_class_embeddings_input_dim", expected, found)
            }
            (None, _, Family::Sdxl) => {
                let expected = "\"text_time\" in an SDXL model".into();
                Err(self.unfit("addition_embed_type", expected, "null".into()))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the U-Net takes and predicts the autoencoder's latents.
    ///
    /// # Errors
    /// Channels that differ, by the U-Net's key.
    pub fn check_latents(&self, unet: &UNetConfig, vae: &VaeConfig) -> Result<(), ModelError> {
        for (key, found) in [("in_channels", unet.in_channels), ("out_channels", unet.out_channels)] {
            if found != vae.latent_channels {
                let expected = format!(
                    "{}, the latent_channels of {} (models for inpainting, which see more, only sample)",
                    vae.latent_channels,
                    self.vae().join("config.json").display()
                );
                return Err(self.unfit(key, expected, found.to_string()));
            }
        }
        Ok(())
    }

    /// As [`Self::check_latents`], but the U-Net may be one for inpainting, which is given a mask and the
    /// latents of a blanked picture beside its own: 9 channels for 4.
    ///
    /// # Errors
    /// Channels that differ, by the U-Net's key.
    pub fn check_sampled_latents(&self, unet: &UNetConfig, vae: &VaeConfig) -> Result<(), ModelError> {
        match unet.in_channels == 2 * vae.latent_channels + 1 {
            true => self.check_latents(&UNetConfig { in_channels: vae.latent_channels, ..unet.clone() }, vae),
            false => self.check_latents(unet, vae),
        }
    }

    /// The U-Net's configuration does not fit the other components.
    fn unfit(&self, key: &str, expected: String, found: String) -> ModelError {
        ConfigError::Value { path: self.unet().join("config.json"), key: key.into(), expected, found }.into()
    }
}

/// Why a path is no model folder, whose index would be `index`.
fn not_a_model(path: &Path, index: &Path) -> Option<String> {
    if path.is_file() {
        Some("is a file; expected a folder in diffusers' layout, or a .safetensors checkpoint of SD 1.x, SD 2.x or SDXL".into())
    } else if !path.exists() {
        let is_file = path.extension().is_some_and(|end| end == "safetensors" || end == "ckpt");
        let is_name = path.is_relative() && path.components().count() == 2;
        let name = if is_name { path.to_string_lossy() } else { "ORG/NAME".into() };
        Some(match is_file {
            true => "there is no such file".into(),
            false => format!(
                "there is no such folder; `fairhuman models get {name}` downloads a model from the Hugging Face Hub"
            ),
        })
    } else if !index.exists() {
        Some(
            "is not a diffusers model folder: expected model_index.json in it, beside unet/, vae/, ..."
                .into(),
        )
    } else {
        None
    }
}
