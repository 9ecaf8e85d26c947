//! Writing a model as one checkpoint file, in the names that A1111, ComfyUI and the model sites know.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_engine::{Activation, DType, WeightData};

use super::family::UNET;
use super::names;
use crate::clip::{self, ClipConfig};
use crate::net::{ModelError, TensorSpec};
use crate::pipeline::{Family, ModelFolder};
use crate::schedule::{NoiseSchedule, Prediction};
use crate::unet::{self, UNetConfig};
use crate::vae::{self, VaeConfig};
use crate::weights::{Part, TensorBytes, WeightError, WeightFiles, sha256_of, write_safetensors};

/// Strings for the header, as Stability's ModelSpec 1.0.1 names them.
#[derive(Debug, Clone)]
pub struct About {
    /// The model's name.
    pub title: String,
    /// The time of writing, ISO 8601.
    pub date: String,
    /// Width and height of the pictures that the model was made for.
    pub resolution: (usize, usize),
}

/// Writes the model in `folder`, which may itself be a view of a checkpoint file, to the file `to`: every
/// tensor in its own type. A file that is there already is replaced when the new one is complete.
///
/// # Errors
/// A model that cannot be read, a tensor that is missing, a file that cannot be written.
pub fn write_file(folder: &Path, to: &Path, about: &About) -> Result<(), ModelError> {
    let model = ModelFolder::open(folder)?;
    let schedule = NoiseSchedule::read(&model.schedule())?;
    let mut file = Tensors::default();
    file.add_unet(&model.unet())?;
    file.add_vae(&model.vae())?;
    let mut is_sd2 = false;
    for (i, (_, encoder, _)) in model.texts().into_iter().enumerate() {
        let config = ClipConfig::open(&encoder.join("config.json"))?;
        let is_first = i == 0;
        match model.family {
            Family::Sdxl if is_first => {
                file.add_text(&encoder, &config, "conditioner.embedders.0.transformer.")?
            }
            Family::Sdxl => file.add_open_clip(&encoder, &config, "conditioner.embedders.1.model.")?,
            // SD 1.x has OpenAI's encoder, whose activation no other has.
            Family::Sd if config.activation == Activation::QuickGelu => {
                file.add_text(&encoder, &config, "cond_stage_model.transformer.")?;
            }
            Family::Sd => {
                is_sd2 = true;
                let prefix = "cond_stage_model.model.";
                file.add_open_clip(&encoder, &config, prefix)?;
                file.add_unread(prefix, &config);
            }
        }
    }
    let is_v = schedule.prediction() == Prediction::Velocity;
    let markers = [("v_pred", is_v && model.family == Family::Sdxl), ("ztsnr", schedule.has_zero_snr())];
    for (name, _) in markers.into_iter().filter(|(_, is_set)| *is_set) {
        file.add(name.into(), vec![0], DType::F32, Content::Made(Vec::new()));
    }
    let architecture = match model.family {
        Family::Sdxl => "stable-diffusion-xl-v1-base",
        Family::Sd if is_sd2 && is_v => "stable-diffusion-v2-768-v",
        Family::Sd if is_sd2 => "stable-diffusion-v2-512",
        Family::Sd => "stable-diffusion-v1",
    };
    file.write(to, about, architecture, if is_v { "v" } else { "epsilon" })
}

/// The tensors of a file, by their names there.
#[derive(Default)]
struct Tensors(BTreeMap<String, Stored>);

struct Stored {
    shape: Vec<usize>,
    dtype: DType,
    content: Content,
}

enum Content {
    /// As it lies in the model's file.
    Mapped(WeightData),
    Made(Vec<u8>),
}

impl Tensors {
    fn add(&mut self, name: String, shape: Vec<usize>, dtype: DType, content: Content) {
        self.0.insert(name, Stored { shape, dtype, content });
    }

    fn add_mapped(&mut self, name: String, shape: Vec<usize>, data: WeightData) {
        let dtype = data.dtype();
        self.add(name, shape, dtype, Content::Mapped(data));
    }

    fn add_unet(&mut self, folder: &Path) -> Result<(), ModelError> {
        let config = UNetConfig::open(&folder.join("config.json"))?;
        let (files, layout) = (WeightFiles::open(folder)?, config.lora_layout());
        for tensor in unet::plan(&config).tensors() {
            let stored = tensor
                .name
                .rsplit_once('.')
                .and_then(|(module, leaf)| Some(format!("{UNET}{}.{leaf}", layout.sgm_path(module)?)));
            let name = stored.ok_or_else(|| unnamed(folder, &tensor))?;
            self.add_mapped(name, tensor.shape, files.get_any_shape(&tensor.name)?);
        }
        Ok(())
    }

    fn add_vae(&mut self, folder: &Path) -> Result<(), ModelError> {
        let config = VaeConfig::open(&folder.join("config.json"))?;
        let files = WeightFiles::open(folder)?;
        for tensor in vae::plan(&config).tensors() {
            let name =
                names::vae(&tensor.name, config.channels.len()).ok_or_else(|| unnamed(folder, &tensor))?;
            let data = files.get_any_shape(&tensor.name).or_else(|error| {
                // Folders from before 2023.
                let old = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")];
                let old = old.iter().find(|(new, _)| tensor.name.contains(&format!(".{new}.")));
                old.map_or(Err(error), |(new, old)| files.get_any_shape(&tensor.name.replace(new, old)))
            })?;
            // Its attention is made of convolutions there.
            let is_attention = name.contains(".attn_1.") && tensor.shape.len() == 2;
            let shape = if is_attention { [tensor.shape, vec![1, 1]].concat() } else { tensor.shape };
            self.add_mapped(format!("first_stage_model.{name}"), shape, data);
        }
        Ok(())
    }

    fn add_text(&mut self, folder: &Path, config: &ClipConfig, prefix: &str) -> Result<(), ModelError> {
        let files = clip::open_weights(folder)?;
        for tensor in clip::plan(config).tensors() {
            let data = files.get_any_shape(&tensor.name)?;
            self.add_mapped(format!("{prefix}{}", tensor.name), tensor.shape, data);
        }
        Ok(())
    }

    fn add_open_clip(&mut self, folder: &Path, config: &ClipConfig, prefix: &str) -> Result<(), ModelError> {
        let files = clip::open_weights(folder)?;
        let mut thirds: BTreeMap<String, [Option<WeightData>; 3]> = BTreeMap::new();
        for tensor in clip::plan(config).tensors() {
            let (name, part) = names::open_clip(&tensor.name).ok_or_else(|| unnamed(folder, &tensor))?;
            let (name, data) = (format!("{prefix}{name}"), files.get_any_shape(&tensor.name)?);
            match part {
                Part::Whole => self.add_mapped(name, tensor.shape, data),
                Part::FirstInputs => return Err(unnamed(folder, &tensor)),
                Part::Third(k) => thirds.entry(name).or_default()[k] = Some(data),
                Part::Transposed => {
                    let [rows, columns] = tensor.shape[..] else { return Err(unnamed(folder, &tensor)) };
                    let bytes = crate::weights::transposed(data.bytes(), rows, columns);
                    self.add(name, vec![columns, rows], data.dtype(), Content::Made(bytes));
                }
            }
        }
        for (name, parts) in thirds {
            let [Some(q), Some(k), Some(v)] = parts else {
                return Err(WeightError::Missing { path: folder.into(), tensor: name }.into());
            };
            let mut shape = q.shape().to_vec();
            shape[0] *= 3;
            // One type for what is one tensor there.
            let same = k.dtype() == q.dtype() && v.dtype() == q.dtype();
            let (dtype, bytes) = match same {
                true => (q.dtype(), [q.bytes(), k.bytes(), v.bytes()].concat()),
                false => {
                    let values = [q.to_f32(), k.to_f32(), v.to_f32()].concat();
                    (DType::F32, values.iter().flat_map(|value| value.to_le_bytes()).collect())
                }
            };
            self.add(name, shape, dtype, Content::Made(bytes));
        }
        Ok(())
    }

    /// Parts of SD 2.x's text encoder that nobody reads and strict readers want: its last block, a
    /// projection, a scale.
    fn add_unread(&mut self, prefix: &str, config: &ClipConfig) {
        let block = |n: usize| format!("{prefix}transformer.resblocks.{n}.");
        let (last, own) = (block(config.layers - 1), block(config.layers));
        let copies: Vec<(String, Stored)> = (self.0.iter())
            .filter_map(|(name, stored)| {
                Some((format!("{own}{}", name.strip_prefix(&last)?), stored.clone()))
            })
            .collect();
        self.0.extend(copies);
        let zeros = vec![0; 4 * config.width * config.width];
        self.add(format!("{prefix}text_projection"), vec![config.width; 2], DType::F32, Content::Made(zeros));
        // CLIP's logit scale at the end of its training: the logarithm of 100.
        let scale = 100f32.ln().to_le_bytes().to_vec();
        self.add(format!("{prefix}logit_scale"), Vec::new(), DType::F32, Content::Made(scale));
    }

    fn write(
        &self,
        to: &Path,
        about: &About,
        architecture: &str,
        prediction: &str,
    ) -> Result<(), ModelError> {
        let tensors: BTreeMap<String, TensorBytes<'_>> =
            self.0.iter().map(|(name, s)| (name.clone(), s.bytes())).collect();
        let (width, height) = about.resolution;
        let header = [
            ("format", "pt".to_owned()),
            ("modelspec.sai_model_spec", "1.0.1".into()),
            ("modelspec.architecture", architecture.into()),
            ("modelspec.implementation", "https://github.com/Stability-AI/generative-models".into()),
            ("modelspec.title", about.title.clone()),
            ("modelspec.date", about.date.clone()),
            ("modelspec.resolution", format!("{width}x{height}")),
            ("modelspec.prediction_type", prediction.into()),
            ("modelspec.hash_sha256", format!("0x{}", sha256_of(&tensors))),
        ];
        let header = header.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Ok(write_safetensors(to, &tensors, &header)?)
    }
}

impl Stored {
    fn bytes(&self) -> TensorBytes<'_> {
        let bytes = match &self.content {
            Content::Mapped(data) => data.bytes(),
            Content::Made(bytes) => bytes,
        };
        TensorBytes { dtype: self.dtype, shape: &self.shape, bytes }
    }
}

impl Clone for Stored {
    fn clone(&self) -> Self {
        let content = match &self.content {
            Content::Mapped(data) => Content::Mapped(data.clone()),
            Content::Made(bytes) => Content::Made(bytes.clone()),
        };
        Self { shape: self.shape.clone(), dtype: self.dtype, content }
    }
}

/// A network that checkpoint files have no names for.
fn unnamed(folder: &Path, tensor: &TensorSpec) -> ModelError {
    let problem = format!("its tensor {} has no name in a checkpoint file", tensor.name);
    ModelError::Folder { path: folder.into(), problem }
}
