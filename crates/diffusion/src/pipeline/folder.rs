//! `model_index.json`: what kind of model a folder holds.

use std::path::{Path, PathBuf};

use crate::config_check::Config;
use crate::net::ModelError;
use crate::unet::UNetConfig;

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
    /// What kind of model it holds.
    pub family: Family,
    /// Whether an absent negative prompt means zeros instead of the empty text (SDXL base).
    pub zeros_for_empty_prompt: bool,
}

impl ModelFolder {
    /// Reads `model_index.json`.
    ///
    /// # Errors
    /// No such file, a pipeline of another class, components of other classes.
    pub fn open(path: &Path) -> Result<Self, ModelError> {
        let mut index = Config::read(&path.join("model_index.json"))?;
        let class = index.string("_class_name")?.unwrap_or_default();
        let variant = |start: &str| {
            class.strip_prefix(start).is_some_and(|rest| matches!(rest, "Pipeline" | "Img2ImgPipeline"))
        };
        let family = match () {
            () if variant("StableDiffusionXL") => Family::Sdxl,
            () if variant("StableDiffusion") => Family::Sd,
            () => {
                let supported = "StableDiffusionXLPipeline, StableDiffusionPipeline";
                return Err(index.unsupported("_class_name", class, supported).into());
            }
        };
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
        Ok(Self { path: path.into(), family, zeros_for_empty_prompt })
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

    /// Whether the U-Net reads what the text encoders write: widths of the embeddings and of the pooled one.
    ///
    /// # Errors
    /// Widths that differ, by the U-Net's key.
    pub fn check_text(
        &self,
        unet: &UNetConfig,
        width: usize,
        pooled: Option<usize>,
    ) -> Result<(), ModelError> {
        let wrong = |key: &str, expected: String, found: usize| {
            let path = self.unet().join("config.json");
            Err(crate::config_check::ConfigError::Value {
                path,
                key: key.into(),
                expected,
                found: found.to_string(),
            }
            .into())
        };
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
            (None, _, Family::Sdxl) => Err(crate::config_check::ConfigError::Value {
                path: self.unet().join("config.json"),
                key: "addition_embed_type".into(),
                expected: "\"text_time\" in an SDXL model".into(),
                found: "null".into(),
            }
            .into()),
            _ => Ok(()),
        }
    }
}
