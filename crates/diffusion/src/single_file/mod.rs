//! Checkpoints in one file, as people share them (SD 1.x, SD 2.x, SDXL): [`write_folder`] makes a model
//! folder in diffusers' layout of which the weights are a view of the file. Nothing is converted or copied,
//! and whatever reads a model folder reads the file. [`write_file`] makes such a file of a folder.

mod configs;
mod family;
mod names;
mod prediction;
mod variant;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fairhuman_files::PartialFolder;
use serde_json::Value;

use crate::clip::{self, ClipConfig};
use crate::net::{ModelError, Plan};
use crate::pipeline::{Family, ModelFolder};
use crate::tokenizer::{PadToken, write_tokenizer_of};
use crate::unet::{self, UNetConfig};
use crate::vae::{self, VaeConfig};
use crate::weights::{Part, VIEW, View, Viewed, WeightError, WeightFiles, write_json};
use family::{Parts, TextPart, UNET, recognise};
pub use names::open_clip as open_clip_name;
pub use prediction::{Predicts, yaml_says_v};
pub use variant::{Changes, write_variant};
pub use write::{About, write_file};

/// Ends of the names of the numbers that scale eight-bit weights, by age.
const SCALES: [&str; 2] = [".scale_weight", ".weight_scale"];
/// Ends of names that such files have besides, which change nothing here.
const BESIDE_SCALES: [&str; 6] =
    [".scale_weight", ".weight_scale", ".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8"];

/// All that a file does not say.
#[derive(Debug, Clone, Copy)]
pub struct Missing<'a> {
    /// A model folder for the parts that the file lacks, and for the settings of networks that have not the
    /// sizes of a published family.
    pub base: Option<&'a Path>,
    /// An autoencoder in the place of the file's, or of none: as [`Changes::vae`].
    pub vae: Option<&'a Path>,
    /// The model's prediction, if the file is not to be asked.
    pub predicts: Option<Predicts>,
    /// CLIP's merges, by rank; with a base, its tokenizers are taken.
    pub merges: &'a [(String, String)],
}

/// Makes the folder `out` for the checkpoint `file`; says what was found.
///
/// # Errors
/// A file that is no such checkpoint, by name; parts that it lacks; tensors that are missing, left over or of
/// another shape.
pub fn write_folder(file: &Path, missing: &Missing<'_>, out: &Path) -> Result<String, ModelError> {
    let named = file;
    let file = file.canonicalize().map_err(|source| ModelError::Io { path: file.into(), source })?;
    let files = WeightFiles::open_file(&file)?;
    let parts = recognise(&file, &files)?;
    let base = missing.base.map(ModelFolder::open).transpose()?;
    if let Some(base) = base.as_ref().filter(|base| base.family != parts.family) {
        let problem = format!("is no base for {}: it is of another family", file.display());
        return Err(ModelError::Folder { path: base.path.clone(), problem });
    }
    let prediction = prediction::of(named, (&files, &parts), missing.predicts, base.as_ref())?;
    let io = |source| ModelError::Io { path: out.into(), source };
    let partial = PartialFolder::new(out).map_err(io)?;
    let checkpoint = Checkpoint { file: &file, files: &files, parts: &parts, base: base.as_ref() };
    let to = |name: &str| partial.path().join(name);
    let sample = match parts.family {
        Family::Sdxl => 128,
        Family::Sd if parts.is_sd2 && prediction.predicts == Predicts::V => 96,
        Family::Sd => 64,
    };
    checkpoint.write_unet(&to("unet"), sample)?;
    match missing.vae {
        Some(vae) => variant::write_vae(vae, parts.family, &to("vae"))?,
        None => checkpoint.write_vae(&to("vae"), sample)?,
    }
    let names: &[&str] = match parts.family {
        Family::Sdxl => &["text_encoder", "text_encoder_2"],
        Family::Sd => &["text_encoder"],
    };
    for (i, name) in names.iter().enumerate() {
        checkpoint.write_text(&to(name), i, name)?;
        let tokenizer = name.replace("text_encoder", "tokenizer");
        let pad = if parts.is_sd2 || i == 1 { PadToken::Exclamation } else { PadToken::EndOfText };
        match &base {
            Some(base) => copy_files(&base.path.join(&tokenizer), &to(&tokenizer))?,
            None => {
                write_tokenizer_of(&to(&tokenizer), missing.merges.iter().cloned(), pad)?;
            }
        }
    }
    let scheduler = to("scheduler");
    std::fs::create_dir_all(&scheduler).map_err(io)?;
    let schedule = configs::scheduler(prediction.predicts == Predicts::V, prediction.zero_snr);
    write_json(&scheduler.join("scheduler_config.json"), &schedule)?;
    write_json(&to("model_index.json"), &configs::index(parts.family))?;
    partial.replace().map_err(io)?;
    let name = match parts.family {
        Family::Sdxl => "SDXL",
        Family::Sd if parts.is_sd2 => "SD 2.x",
        Family::Sd => "SD 1.x",
    };
    let predicts = if prediction.predicts == Predicts::V { "velocity (v)" } else { "noise (epsilon)" };
    Ok(format!("{}: {name}, predicts {predicts}: {}", file.display(), prediction.because))
}

/// A file that was recognised.
struct Checkpoint<'a> {
    file: &'a Path,
    files: &'a WeightFiles,
    parts: &'a Parts,
    base: Option<&'a ModelFolder>,
}

impl Checkpoint<'_> {
    fn write_unet(&self, to: &Path, sample: usize) -> Result<(), ModelError> {
        let config = self.config("unet", || configs::unet(self.files, self.parts, sample))?;
        let path = to.join("config.json");
        let unet = UNetConfig::from_value(&path, config.clone())?;
        let layout = unet.lora_layout();
        let stored = |name: &str| {
            let (module, leaf) = name.rsplit_once('.')?;
            Some((format!("{UNET}{}.{leaf}", layout.sgm_path(module)?), Part::Whole))
        };
        let view = self.view(&unet::plan(&unet), stored)?;
        let used: BTreeSet<&str> = view.tensors.values().map(|viewed| viewed.name.as_str()).collect();
        let left = self.files.names().filter(|name| name.starts_with(UNET) && !used.contains(name));
        let left = left.filter(|name| !BESIDE_SCALES.iter().any(|end| name.ends_with(end)));
        let tensors: Vec<String> = left.map(str::to_owned).collect();
        if !tensors.is_empty() {
            return Err(WeightError::Unused { path: self.file.into(), tensors }.into());
        }
        write_component(to, &config, &view)
    }

    fn write_vae(&self, to: &Path, sample: usize) -> Result<(), ModelError> {
        let Some(prefix) = self.parts.vae else { return self.write_of_base(to, "vae", "autoencoder") };
        let config = self.config("vae", || configs::vae(self.files, prefix, self.parts.family, sample))?;
        let vae = VaeConfig::from_value(&to.join("config.json"), config.clone())?;
        let levels = vae.channels.len();
        let stored = |name: &str| Some((format!("{prefix}{}", names::vae(name, levels)?), Part::Whole));
        let view = self.view(&vae::plan(&vae), stored)?;
        write_component(to, &config, &view)
    }

    fn write_text(&self, to: &Path, i: usize, name: &str) -> Result<(), ModelError> {
        let Some(part) = self.parts.texts.get(i) else { return self.write_of_base(to, name, "text encoder") };
        let config = self.config(name, || configs::text(self.files, part, self.parts))?;
        let text = ClipConfig::from_value(&to.join("config.json"), config.clone())?;
        let view = self.view(&clip::plan(&text), |name| self.stored_text(part, name))?;
        write_component(to, &config, &view)
    }

    fn stored_text(&self, part: &TextPart, name: &str) -> Option<(String, Part)> {
        let prefix = part.prefix;
        if !part.open_clip {
            let inner = configs::inner_prefix(self.files, prefix);
            let own = name.strip_prefix("text_model.").unwrap_or(name);
            return Some((format!("{prefix}{inner}{own}"), Part::Whole));
        }
        let whole = format!("{prefix}{name}");
        if name == "text_projection.weight" && self.files.contains(&whole) {
            // Some programs write the linear layer's weight.
            return Some((whole, Part::Whole));
        }
        let (stored, part) = names::open_clip(name)?;
        Some((format!("{prefix}{stored}"), part))
    }

    /// The settings of a component: the base's, or those that `found` makes of shapes.
    fn config(&self, name: &str, found: impl FnOnce() -> Option<Value>) -> Result<Value, ModelError> {
        if let Some(base) = self.base {
            return Ok(crate::config_check::Config::parse(&base.path.join(name).join("config.json"))?);
        }
        found().ok_or_else(|| ModelError::Folder {
            path: self.file.into(),
            problem: format!(
                "its {name} does not have the sizes of SD 1.x, SD 2.x or SDXL: name a model folder with the same networks \
                 (--base FOLDER; in a recipe `base` beside the model's `path`)"
            ),
        })
    }

    /// The name of the number that scales a tensor's eight-bit values, if there is one.
    fn scale_of(&self, name: &str) -> Option<String> {
        let module = name.strip_suffix(".weight")?;
        let names = SCALES.map(|end| format!("{module}{end}"));
        names.into_iter().find(|name| self.files.contains(name))
    }

    /// Every tensor of `plan` in the file.
    fn view(&self, plan: &Plan, stored: impl Fn(&str) -> Option<(String, Part)>) -> Result<View, ModelError> {
        let mut tensors = BTreeMap::new();
        for tensor in plan.tensors() {
            let place = stored(&tensor.name).filter(|(name, _)| self.files.contains(name));
            let Some((name, part)) = place else {
                let name = stored(&tensor.name).map_or(tensor.name, |(name, _)| name);
                return Err(WeightError::Missing { path: self.file.into(), tensor: name }.into());
            };
            let scale = self.scale_of(&name);
            tensors.insert(tensor.name, Viewed { name, shape: tensor.shape, part, scale });
        }
        let length = self.file.metadata().map_or(0, |data| data.len());
        Ok(View { source: self.file.into(), length, tensors })
    }

    /// A component that the file lacks, of the base.
    fn write_of_base(&self, to: &Path, name: &str, part: &str) -> Result<(), ModelError> {
        let Some(base) = self.base else {
            let other = if name == "vae" { ", or an autoencoder as vae" } else { "" };
            let problem = format!("has no {part}: name a model folder that has one as base{other}");
            return Err(ModelError::Folder { path: self.file.into(), problem });
        };
        let from = base.path.join(name);
        let from = from.canonicalize().map_err(|source| ModelError::Io { path: from, source })?;
        let config = crate::config_check::Config::parse(&from.join("config.json"))?;
        write_component(to, &config, &View { source: from, length: 0, tensors: BTreeMap::new() })
    }
}

/// Writes a component's folder: its configuration, and the view that its weights are.
fn write_component(to: &Path, config: &Value, view: &View) -> Result<(), ModelError> {
    std::fs::create_dir_all(to).map_err(|source| ModelError::Io { path: to.into(), source })?;
    write_json(&to.join("config.json"), config)?;
    let path = to.join(VIEW);
    let bytes =
        serde_json::to_vec(view).map_err(|e| ModelError::Io { path: path.clone(), source: e.into() })?;
    std::fs::write(&path, bytes).map_err(|source| ModelError::Io { path, source })
}

fn copy_files(from: &Path, to: &Path) -> Result<(), ModelError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ModelError::Io { path, source }
    };
    std::fs::create_dir_all(to).map_err(io(to))?;
    for entry in std::fs::read_dir(from).map_err(io(from))? {
        let path: PathBuf = entry.map_err(io(from))?.path();
        if let Some(name) = path.file_name().filter(|_| path.is_file()) {
            std::fs::copy(&path, to.join(name)).map_err(io(&path))?;
        }
    }
    Ok(())
}
