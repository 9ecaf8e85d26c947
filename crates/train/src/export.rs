//! What a run leaves for other programs: LoRA files, or a whole model folder.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::lora::AdaptedModule;
use fairhuman_diffusion::lora_file::{
    BaseModel, Convention, LoraAbout, UnetLayout, kohya_metadata, write_lora,
};
use fairhuman_diffusion::net::{Layers, ModelError};
use fairhuman_diffusion::pipeline::copy_model;
use fairhuman_diffusion::schedule::Prediction;
use fairhuman_diffusion::unet::UNet;
use fairhuman_diffusion::weights::{WeightError, write_json};
use fairhuman_engine::{Backend, DType, Params};
use serde_json::{Value, json};

use crate::data::Data;
use crate::error::TrainError;
use crate::folder;
use crate::model::{Model, Network};
use crate::recipe::{Format, Lora, Method, Recipe, StoredType, VaePart};

/// The file that diffusers keeps its networks' weights in.
const STEM: &str = "diffusion_pytorch_model";

/// Writes what the run has learnt into its folder; returns the paths.
///
/// # Errors
/// Files that cannot be read or written.
pub fn export<B: Backend>(
    backend: &B,
    recipe: &Recipe,
    model: &Model<B>,
    data: &mut Data<'_, B>,
) -> Result<Vec<PathBuf>, TrainError> {
    let params = model.shown();
    let base = |component: &str| recipe.model.path.join(component);
    match (&model.network, &recipe.method) {
        (Network::Adapted { unet, modules }, Method::Lora { lora }) => {
            adapter(backend, recipe, lora, (unet, modules), &params, data.prediction()?)
        }
        (Network::Whole { unet, text }, Method::Full { full }) => {
            let dtype = full.dtype;
            let encoders = text.iter().flat_map(|text| &text.encoders).map(|(_, encoder)| encoder.layers());
            let encoders: Vec<_> = ["text_encoder", "text_encoder_2"].into_iter().zip(encoders).collect();
            let replaced: Vec<&str> =
                std::iter::once("unet").chain(encoders.iter().map(|(name, _)| *name)).collect();
            let write = |component: &str, to: &Path| match encoders
                .iter()
                .find(|(name, _)| *name == component)
            {
                Some((_, layers)) => {
                    write_layers(backend, layers, &params, &base(component), (to, "model"), dtype)
                }
                None => write_layers(backend, unet.layers(), &params, &base(component), (to, STEM), dtype),
            };
            whole(recipe, &replaced, write)
        }
        (Network::Autoencoder(autoencoder), Method::Vae { vae }) => {
            // What makes latents about as large as the noise, as SD's 0.18215 does; a fixed encoder's are as they were.
            let factor = match vae.part {
                VaePart::All => Some(1.0 / data.latent_deviation(&autoencoder.vae, &params)?),
                VaePart::Decoder => None,
            };
            let write = |component: &str, to: &Path| {
                let layers = autoencoder.vae.layers();
                write_layers(backend, layers, &params, &base(component), (to, STEM), vae.dtype)?;
                factor.map_or(Ok(()), |factor| set_scaling_factor(&to.join("config.json"), factor))
            };
            whole(recipe, &["vae"], write)
        }
        // A session opens its network by its recipe.
        _ => Ok(Vec::new()),
    }
}

fn write_layers<B: Backend>(
    backend: &B,
    layers: &Layers<B>,
    params: &Params<B>,
    base: &Path,
    (to, stem): (&Path, &str),
    dtype: StoredType,
) -> Result<(), ModelError> {
    let dtype = match dtype {
        StoredType::F32 => DType::F32,
        StoredType::F16 => DType::F16,
        StoredType::Bf16 => DType::BF16,
    };
    layers.write(backend, params, base, to, stem, dtype)
}

/// The base's folder with components replaced.
fn whole(
    recipe: &Recipe,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<Vec<PathBuf>, TrainError> {
    let to = folder::model(&recipe.out);
    copy_model(&recipe.model.path, &to, replaced, write)?;
    Ok(vec![to])
}

fn set_scaling_factor(path: &Path, factor: f64) -> Result<(), ModelError> {
    let io = |source| ModelError::Weights(WeightError::Io { path: path.into(), source });
    let text = std::fs::read(path).map_err(io)?;
    let mut config: Value = serde_json::from_slice(&text).map_err(|e| io(e.into()))?;
    config["scaling_factor"] = json!(factor);
    if config.get("shift_factor").is_some() {
        config["shift_factor"] = json!(0.0);
    }
    Ok(write_json(path, &config)?)
}

/// The adapter in every format of the recipe.
fn adapter<B: Backend>(
    backend: &B,
    recipe: &Recipe,
    settings: &Lora,
    (unet, modules): (&UNet<B>, &[AdaptedModule]),
    params: &Params<B>,
    prediction: Prediction,
) -> Result<Vec<PathBuf>, TrainError> {
    let mut lora = unet.export_lora(backend, params, modules, DType::F32)?;
    let layout: UnetLayout = unet.config().lora_layout();
    let about = LoraAbout {
        title: recipe.out.file_name().map_or("lora".into(), |n| n.to_string_lossy().into_owned()),
        base: match (layout.sdxl, unet.config().text_width) {
            (true, _) => BaseModel::Sdxl,
            (false, 1024) => BaseModel::Sd2,
            (false, _) => BaseModel::Sd1,
        },
        prediction,
        resolution: (recipe.geometry.width as usize, recipe.geometry.height as usize),
    };
    lora.metadata = kohya_metadata(&lora, &about);
    let mut files = Vec::new();
    for &format in &settings.formats {
        let path = folder::lora_file(&recipe.out, format);
        let convention = match format {
            Format::Kohya => Convention::Kohya,
            Format::Peft => Convention::Peft,
        };
        write_lora(&path, &lora, convention, &layout)?;
        files.push(path);
    }
    Ok(files)
}
