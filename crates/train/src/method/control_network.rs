//! Methods that train a control network through a frozen U-Net: what a ControlNet and a T2I-Adapter have in
//! common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_dataset::Dataset;
use fairhuman_diffusion::control::ControlNetwork;
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::unet::UNet;
use fairhuman_engine::{Backend, DType, Params};

use super::{Method, Painter, Settings, Setup};
use crate::batch::Batch;
use crate::controlled::{Controlled, ControlledInputs};
use crate::data::{CaptionUse, ControlSource, Data, DataError, Preparing, Sampling};
use crate::error::TrainError;
use crate::problems::Problems;
use crate::recipe::Recipe;
use crate::recorded::{Tensor, TensorFile};

/// The settings of a method that trains a control network.
pub trait ControlSettings: Settings {
    /// Time steps and weights of its samples.
    fn sampling(&self) -> Sampling;
    /// Share of samples whose control image is black.
    fn dropout(&self) -> f64;
    /// Type of the written weights.
    fn dtype(&self) -> DType;
}

/// A control network that can be trained.
pub trait TrainedControl<B: Backend>: ControlNetwork<B> + Sized {
    /// The method's settings.
    type Settings: ControlSettings;

    /// Opens the network with all its weights trained, or makes a new one.
    ///
    /// # Errors
    /// Files that cannot be read or do not fit the model.
    fn open(
        setup: &Setup<'_, B>,
        settings: &Self::Settings,
        params: &mut Params<B>,
    ) -> Result<Self, ModelError>;

    /// Figures about the trained values that say how far it has come, by name.
    fn measures(_backend: &B, _params: &Params<B>) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// The checks of a recipe that have to do with control images. `sided`: mirroring makes other images of them.
pub(super) fn check(recipe: &Recipe, name: &str, sided: bool, problems: &mut Problems) {
    problems.check(
        recipe.dataset.conditioning.is_some(),
        "dataset.conditioning",
        "the column or folder of the control images",
        "none",
    );
    let flip = recipe.geometry.flip;
    if sided && flip > 0.0 {
        problems.add(format!(
            "geometry.flip: a mirrored skeleton has its left arm's colours on the right: 0, or {name}.sided = false if \
             the control images have no sides, as edges and depth have none; found {flip}"
        ));
    }
}

impl<B: Backend, C: TrainedControl<B>> Method<B> for Controlled<B, C> {
    type Settings = C::Settings;
    type Source = ControlSource<B>;

    fn source(
        setup: &Setup<'_, B>,
        settings: &C::Settings,
        dataset: &Dataset,
        preparing: Preparing<'_>,
    ) -> Result<Self::Source, DataError> {
        ControlSource::open(
            setup,
            dataset,
            (CaptionUse::Embedded, settings.sampling()),
            settings.dropout(),
            preparing,
        )
    }

    fn open(
        setup: &Setup<'_, B>,
        settings: &C::Settings,
        params: &mut Params<B>,
    ) -> Result<Self, ModelError> {
        let unet = UNet::load(setup.backend, &setup.model.unet(), Trainable::None)?;
        let control = C::open(setup, settings, params)?;
        Ok(Self { unet, control })
    }

    fn painter(&self) -> Option<Painter<'_, B>> {
        Some(Painter { unet: &self.unet, text: None, control: Some(self.control.by_ref()) })
    }

    /// `RUN/NAME/`, as diffusers has it, and `RUN/NAME.safetensors` for other programs.
    fn export(
        &self,
        setup: &Setup<'_, B>,
        settings: &C::Settings,
        params: &Params<B>,
        _: &Data<'_, B, Self::Source>,
    ) -> Result<Vec<PathBuf>, TrainError> {
        let folder = setup.out.join(C::Settings::NAME);
        let file = setup.out.join(format!("{}.safetensors", C::Settings::NAME));
        let (backend, dtype) = (setup.backend, settings.dtype());
        self.control.write(backend, params, &folder, dtype)?;
        self.control.write_file(backend, params, &file, dtype)?;
        Ok(vec![folder, file])
    }

    fn measures(&self, backend: &B, params: &Params<B>) -> Vec<(&'static str, f64)> {
        C::measures(backend, params)
    }

    fn record_inputs(&self, _: &C::Settings, batch: &Batch<ControlledInputs>) -> TensorFile {
        let Batch { targets, inputs } = batch;
        let denoising = Batch { targets: targets.clone(), inputs: inputs.denoising.clone() };
        let mut file = crate::record::denoising_inputs(&denoising);
        let [height, width] = [targets.height, targets.width].map(|side| side * inputs.reduction);
        let shape = [targets.size, 3, height, width];
        let control = crate::recorded::channels_first(&inputs.control, shape);
        file.tensors.insert("control".into(), Tensor::f32(&shape, control));
        file.metadata.insert("kind".into(), C::Settings::NAME.into());
        file
    }

    /// The network's folder, `control`, takes the place of the values.
    fn record_start(
        &self,
        backend: &B,
        params: &Params<B>,
        folder: &Path,
        _: &mut TensorFile,
    ) -> Result<(), String> {
        self.control.write(backend, params, &folder.join("control"), DType::F32).map_err(|e| e.to_string())
    }

    /// `control.<tensor>`, by diffusers' names and in its shapes.
    fn record_values(&self, backend: &B, params: &Params<B>) -> Result<BTreeMap<String, Tensor>, String> {
        let values = self.control.layers().trained_values(backend, params).map_err(|e| e.to_string())?;
        let tensor = |(name, shape, values): (String, Vec<usize>, Vec<f32>)| {
            (format!("control.{name}"), Tensor::f32(&shape, values))
        };
        Ok(values.into_iter().map(tensor).collect())
    }
}
