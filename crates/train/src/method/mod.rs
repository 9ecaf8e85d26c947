//! Training methods: what is trained and how, one file each.
//!
//! A method is two types. Its [`Settings`] are its table of the recipe, with defaults and checks; its
//! [`Method`] is the network in training: where its samples come from, its losses and gradients, what draws
//! previews, and the files that it leaves. [`MethodSettings`] is the list of all methods: a new one is a file
//! and a line there.

mod control_network;
mod whole_model;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};

use fairhuman_dataset::{Dataset, GeometrySpec};
use fairhuman_diffusion::control::ControlRef;
use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::pipeline::{ModelFolder, TextEncoders};
use fairhuman_diffusion::unet::{UNet, UNetConfig};
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::{Backend, Params};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use toml::Spanned;
use toml::de::DeValue;

use crate::batch::Batch;
use crate::data::{Data, DataError, Preparing, Source};
use crate::error::TrainError;
use crate::memory::Trained;
use crate::module::TrainingModule;
use crate::problems::Problems;
use crate::recipe::Recipe;
use crate::recorded::{Tensor, TensorFile};

/// Declares the modules of a list of methods, the default first, and implements [`MethodSettings`] for them.
/// (`cargo fmt` does not look into modules that a macro declares: run `rustfmt` on a new file.)
macro_rules! methods {
    ($($module:ident::$variant:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The training method of a recipe, with its settings.
        #[derive(Debug, Clone, PartialEq)]
        pub enum MethodSettings {
            $(#[doc = concat!("See [`", stringify!($module), "::", stringify!($variant), "`].")] $variant($module::$variant),)+
        }

        impl MethodSettings {
            /// The methods' names, which are those of their tables, too; the first is the default.
            pub const NAMES: &[&str] = &[$($module::$variant::NAME),+];

            /// The schemas of the methods' tables, by name.
            pub(crate) fn tables(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
                vec![$(($module::$variant::NAME, generator.subschema_for::<<$module::$variant as Settings>::Table>()),)+]
            }

            /// The keys that may change when a run is resumed, such as `lora.formats`.
            pub fn free_keys() -> Vec<String> {
                let mut keys = Vec::new();
                $(keys.extend($module::$variant::FREE_KEYS.iter().map(|key| format!("{}.{key}", $module::$variant::NAME)));)+
                keys
            }

            /// The method `name` with the settings of its table, whose relative paths are relative to `base`.
            ///
            /// # Errors
            /// An unknown method, a table with unknown keys or values of another type.
            pub(crate) fn read(
                name: &str,
                table: Option<Spanned<DeValue<'_>>>,
                base: &Path,
                problems: &mut Problems,
            ) -> Result<Self, toml::de::Error> {
                $(if name == $module::$variant::NAME {
                    let table = read_table(table)?;
                    return Ok(Self::$variant($module::$variant::resolve(table, base, problems)));
                })+
                Err(serde::de::Error::unknown_variant(name, Self::NAMES))
            }

            /// Calls `visitor` with the settings of the method.
            pub fn visit<'a, V: Visitor<'a>>(&'a self, visitor: V) -> V::Output {
                match self {
                    $(Self::$variant(settings) => visitor.visit(settings),)+
                }
            }

            /// The method's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $module::$variant::NAME,)+
                }
            }

            /// The space of its losses.
            pub fn space(&self) -> LossSpace {
                match self {
                    $(Self::$variant(_) => $module::$variant::SPACE,)+
                }
            }

            /// The scale of an objective with a mask for which the recipe says none.
            pub fn region_scale(&self) -> f64 {
                match self {
                    $(Self::$variant(_) => $module::$variant::REGION_SCALE,)+
                }
            }

            /// The learning rate where the recipe says none.
            pub(crate) fn learning_rate(&self) -> f64 {
                match self {
                    $(Self::$variant(_) => $module::$variant::LEARNING_RATE,)+
                }
            }

            /// Checks the recipe's other keys against the method.
            pub(crate) fn check(&self, recipe: &Recipe, problems: &mut Problems) {
                match self {
                    $(Self::$variant(settings) => settings.check(recipe, problems),)+
                }
            }

            /// True if its gradients need not be kept, see [`crate::recipe::GradientUse`].
            pub fn wants_less(&self) -> bool {
                self.space() == LossSpace::Latents
            }

            /// Names of the files and folders in the run folder that hold what was learnt.
            pub fn writes(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant(_) => $module::$variant::WRITES,)+
                }
            }

            /// True if it trains a control network.
            pub fn is_controlled(&self) -> bool {
                match self {
                    $(Self::$variant(_) => $module::$variant::CONTROLLED,)+
                }
            }

            /// True if its steps can be recorded.
            pub fn records(&self) -> bool {
                match self {
                    $(Self::$variant(_) => $module::$variant::RECORDS,)+
                }
            }
        }

        /// The name under `method`, the settings in a table of that name.
        impl Serialize for MethodSettings {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("method", self.name())?;
                match self {
                    $(Self::$variant(settings) => map.serialize_entry($module::$variant::NAME, settings)?,)+
                }
                map.end()
            }
        }
    };
}

methods! {
    lora::Lora,
    full::Full,
    vae::Vae,
    controlnet::ControlNetSettings,
    t2i_adapter::AdapterSettings,
}

/// The settings of a training method: its table of the recipe, resolved.
pub trait Settings: Clone + Debug + PartialEq + Serialize + Sync + 'static {
    /// The method's name in recipes, and that of its table.
    const NAME: &'static str;
    /// The space of its losses.
    const SPACE: LossSpace = LossSpace::Latents;
    /// True if its steps can be recorded for `replay`.
    const RECORDS: bool = false;
    /// Names of the files and folders in the run folder that hold what was learnt.
    const WRITES: &'static [&'static str];
    /// True if it trains a control network.
    const CONTROLLED: bool = false;
    /// The scale of an objective with a mask for which the recipe says none.
    const REGION_SCALE: f64 = 5.0;
    /// The learning rate for which the recipe says none.
    const LEARNING_RATE: f64 = 1e-5;
    /// Keys of the table that may change when a run is resumed, because they do not change what is learnt.
    const FREE_KEYS: &'static [&'static str];

    /// The table as written.
    type Table: DeserializeOwned + Default + JsonSchema;
    /// The network in training.
    type Network<B: Backend>: Method<B, Settings = Self>;

    /// Fills in the defaults and checks every value; relative paths are relative to `base`.
    fn resolve(table: Self::Table, base: &Path, problems: &mut Problems) -> Self;

    /// Checks the recipe's other keys against these settings.
    fn check(&self, _recipe: &Recipe, _problems: &mut Problems) {}

    /// Checks these settings against the model, of which only configurations are read.
    ///
    /// # Errors
    /// Reasons for which [`Method::open`] would refuse.
    fn check_model(&self, _model: &ModelFolder, _: (&UNetConfig, &VaeConfig)) -> Result<(), TrainError> {
        Ok(())
    }

    /// Files and folders of the table that a run reads, by their keys.
    fn reads(&self) -> Vec<(&'static str, &Path)> {
        Vec::new()
    }

    /// The trained part of the model, for the estimate of memory.
    fn trained(&self) -> Trained;
}

/// The space that losses are computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossSpace {
    /// Noisy latents, by a denoiser: there are time steps and captions, and masks are in latent cells.
    Latents,
    /// Pictures: masks are in pixels.
    Pixels,
}

/// The networks that draw pictures of prompts.
pub struct Painter<'a, B: Backend> {
    /// The U-Net.
    pub unet: &'a UNet<B>,
    /// The text encoders, if they are trained.
    pub text: Option<&'a TextEncoders<B>>,
    /// The control network that is trained.
    pub control: Option<ControlRef<'a, B>>,
}

/// A network in training.
pub trait Method<B: Backend>: TrainingModule<B> + Sized {
    /// Its settings.
    type Settings: Settings;
    /// Where its samples come from.
    type Source: Source<B, Inputs = <Self as TrainingModule<B>>::Inputs>;

    /// Opens what makes its samples.
    ///
    /// # Errors
    /// Files of the model that are missing or do not fit.
    fn source(
        setup: &Setup<'_, B>,
        settings: &Self::Settings,
        dataset: &Dataset,
        preparing: Preparing<'_>,
    ) -> Result<Self::Source, DataError>;

    /// Reads the network and adds what is trained to `params`.
    ///
    /// # Errors
    /// Damaged or missing files, settings that do not fit the network.
    fn open(
        setup: &Setup<'_, B>,
        settings: &Self::Settings,
        params: &mut Params<B>,
    ) -> Result<Self, ModelError>;

    /// The networks that draw previews; none for a network that draws no pictures of prompts.
    fn painter(&self) -> Option<Painter<'_, B>>;

    /// Writes what was learnt into the run folder and returns the paths.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    fn export(
        &self,
        setup: &Setup<'_, B>,
        settings: &Self::Settings,
        params: &Params<B>,
        data: &Data<'_, B, Self::Source>,
    ) -> Result<Vec<PathBuf>, TrainError>;

    /// Figures about the trained values that say how far it has come, by name; logged with held-out losses.
    fn measures(&self, _backend: &B, _params: &Params<B>) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// The inputs of a batch as tensors and header keys of a recorded step, where [`Settings::RECORDS`].
    fn record_inputs(
        &self,
        _settings: &Self::Settings,
        _batch: &Batch<<Self as TrainingModule<B>>::Inputs>,
    ) -> TensorFile {
        TensorFile::default()
    }

    /// Adds the trained values that a recorded step starts from to its inputs, or writes them into its
    /// folder, where [`Settings::RECORDS`].
    ///
    /// # Errors
    /// Values that have no such name, files that cannot be written.
    fn record_start(
        &self,
        backend: &B,
        params: &Params<B>,
        _folder: &Path,
        inputs: &mut TensorFile,
    ) -> Result<(), String> {
        inputs.tensors.extend(self.record_values(backend, params)?);
        Ok(())
    }

    /// The trained values under the names of a recorded step, where [`Settings::RECORDS`].
    ///
    /// # Errors
    /// Values that have no such name.
    fn record_values(&self, _backend: &B, _params: &Params<B>) -> Result<BTreeMap<String, Tensor>, String> {
        Ok(BTreeMap::new())
    }
}

/// Something that is done with the settings of whichever method a recipe has.
pub trait Visitor<'a> {
    /// Its result.
    type Output;
    /// Does it.
    fn visit<S: Settings>(self, settings: &'a S) -> Self::Output;
}

/// The parts of a run that a method may depend on.
pub struct Setup<'a, B: Backend> {
    /// The backend.
    pub backend: &'a B,
    /// The model that is trained or trained from.
    pub model: ModelFolder,
    /// Seed of the run.
    pub seed: u64,
    /// Folder of encoded pictures and captions.
    pub cache: &'a Path,
    /// Size and crop of the pictures.
    pub geometry: &'a GeometrySpec,
    /// Gamma of min-SNR weighting.
    pub min_snr_gamma: Option<f64>,
    /// The run folder.
    pub out: &'a Path,
}

impl<'a, B: Backend> Setup<'a, B> {
    /// Those of a recipe, with its opened model.
    pub(crate) fn of(backend: &'a B, model: ModelFolder, recipe: &'a Recipe) -> Self {
        Self {
            backend,
            model,
            seed: recipe.seed,
            cache: &recipe.cache,
            geometry: &recipe.geometry,
            min_snr_gamma: recipe.min_snr_gamma,
            out: &recipe.out,
        }
    }
}

fn read_table<T: DeserializeOwned + Default>(
    table: Option<Spanned<DeValue<'_>>>,
) -> Result<T, toml::de::Error> {
    table.map_or_else(|| Ok(T::default()), |table| T::deserialize(toml::de::ValueDeserializer::from(table)))
}
