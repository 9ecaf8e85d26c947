//! A model folder with another autoencoder, or whose text encoder is read before its last layers: again a
//! folder of views, in which nothing is copied but configurations and vocabularies.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_files::PartialFolder;
use serde_json::json;

use super::{configs, copy_files, names, write_component};
use crate::clip::ClipConfig;
use crate::config_check::Config;
use crate::net::ModelError;
use crate::pipeline::{Family, ModelFolder};
use crate::vae::{self, VaeConfig};
use crate::weights::{Part, View, Viewed, WeightError, WeightFiles, write_json};

/// Beginnings of an autoencoder's names in files.
const PREFIXES: [&str; 3] = ["first_stage_model.", "vae.", ""];

/// The changes of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// Another autoencoder: its folder, a model folder that has it, or a file of it or of a whole checkpoint.
    pub vae: Option<&'a Path>,
    /// "Clip skip" as A1111 counts: 1 reads the text encoder's last layer, 2 the one before it.
    pub clip_skip: Option<usize>,
}

/// Makes the folder `out` of the model in `folder`, changed.
///
/// # Errors
/// Folders that cannot be read, an autoencoder that does not fit, a skip that the model has not.
pub fn write_variant(folder: &Path, changes: &Changes<'_>, out: &Path) -> Result<(), ModelError> {
    let folder = folder.canonicalize().map_err(|source| ModelError::Io { path: folder.into(), source })?;
    let model = ModelFolder::open(&folder)?;
    let io = |source| ModelError::Io { path: out.into(), source };
    let partial = PartialFolder::new(out).map_err(io)?;
    let to = |name: &str| partial.path().join(name);
    let mut components = vec![model.unet()];
    match changes.vae {
        Some(vae) => write_vae(vae, model.family, &to("vae"))?,
        None => components.push(model.vae()),
    }
    for (tokens, encoder, name) in model.texts() {
        copy_files(&tokens, &to(&tokens.file_name().unwrap_or_default().to_string_lossy()))?;
        match changes.clip_skip {
            Some(skip) if skip > 1 => skip_layers(&model, &encoder, skip, &to(name))?,
            _ => components.push(encoder),
        }
    }
    for component in components {
        let config = Config::parse(&component.join("config.json"))?;
        let name = component.file_name().unwrap_or_default().to_string_lossy().into_owned();
        write_component(&to(&name), &config, &whole(&component))?;
    }
    let scheduler = model.schedule();
    copy_files(scheduler.parent().unwrap_or(&folder), &to("scheduler"))?;
    let index = folder.join("model_index.json");
    write_json(&to("model_index.json"), &Config::parse(&index)?)?;
    partial.replace().map_err(io)
}

/// A component as it is.
fn whole(component: &Path) -> View {
    View { source: component.into(), length: 0, tensors: BTreeMap::new() }
}

/// A text encoder that is read before its last `skip` - 1 layers.
fn skip_layers(model: &ModelFolder, encoder: &Path, skip: usize, to: &Path) -> Result<(), ModelError> {
    let path = encoder.join("config.json");
    let mut config = Config::parse(&path)?;
    let layers = ClipConfig::open(&path)?.layers;
    let refused = |problem: String| Err(ModelError::Folder { path: model.path.clone(), problem });
    if model.family == Family::Sdxl {
        return refused("clip_skip: SDXL always reads its text encoders before the last layer".into());
    }
    if skip > layers {
        return refused(format!("clip_skip is {skip}, and the text encoder has {layers} layers"));
    }
    config["clip_skip"] = json!(skip);
    write_component(to, &config, &whole(encoder))
}

/// An autoencoder from elsewhere, as a component's folder.
pub(super) fn write_vae(from: &Path, family: Family, to: &Path) -> Result<(), ModelError> {
    let from = from.canonicalize().map_err(|source| ModelError::Io { path: from.into(), source })?;
    if from.is_dir() {
        let inner = from.join("vae");
        let folder = if inner.is_dir() { inner } else { from };
        let config = Config::parse(&folder.join("config.json"))?;
        vae::check_files(&folder)?;
        return write_component(to, &config, &whole(&folder));
    }
    let files = WeightFiles::open_file(&from)?;
    let Some(prefix) =
        PREFIXES.into_iter().find(|prefix| files.contains(&format!("{prefix}decoder.conv_in.weight")))
    else {
        let problem = "is no autoencoder, and has none: it has no decoder.conv_in.weight".into();
        return Err(ModelError::Folder { path: from, problem });
    };
    let in_diffusers_names =
        files.names().any(|name| name.starts_with(&format!("{prefix}decoder.up_blocks.")));
    let config = match in_diffusers_names {
        true => None,
        false => configs::vae(&files, prefix, family, 64),
    };
    let Some(config) = config else {
        let problem =
            "its autoencoder has not the form of SD 1.x, SD 2.x or SDXL: name a folder with its config.json"
                .into();
        return Err(ModelError::Folder { path: from, problem });
    };
    let vae = VaeConfig::from_value(&to.join("config.json"), config.clone())?;
    let levels = vae.channels.len();
    let mut tensors = BTreeMap::new();
    for tensor in vae::plan(&vae).tensors() {
        let stored = names::vae(&tensor.name, levels).map(|name| format!("{prefix}{name}"));
        let Some(name) = stored.filter(|name| files.contains(name)) else {
            return Err(WeightError::Missing { path: from, tensor: tensor.name }.into());
        };
        tensors.insert(tensor.name, Viewed { name, shape: tensor.shape, part: Part::Whole, scale: None });
    }
    let length = from.metadata().map_or(0, |data| data.len());
    write_component(to, &config, &View { source: from, length, tensors })
}
