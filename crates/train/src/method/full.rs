//! `method = "full"`: every weight of the U-Net, and of the text encoders if asked.

use std::path::{Path, PathBuf};

use fairhuman_dataset::Dataset;
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::pipeline::TextEncoders;
use fairhuman_diffusion::unet::UNet;
use fairhuman_engine::{Backend, DType, Params, Tape, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::whole_model::{NETWORK, TEXT_ENCODER, write_layers, write_model};
use super::{Method, Painter, Settings, Setup};
use crate::batch::Batch;
use crate::data::{CaptionUse, Data, DataError, DenoisingSource, Preparing, Sampling};
use crate::denoising::{Denoiser, DenoisingInputs, predict_with_text_encoders};
use crate::error::TrainError;
use crate::memory::Trained;
use crate::problems::Problems;

/// `[full]`: the run folder gets a whole model folder, `model`, in which the U-Net is the trained one.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Train the text encoders with it. Default false. Their captions are then read anew at every
    /// step instead of coming from the cache.
    pub text_encoders: Option<bool>,
    /// Type of the written weights: `"f32"` (default), `"f16"` or `"bf16"`.
    #[serde(default)]
    #[schemars(schema_with = "crate::recipe::schema::stored_type")]
    pub dtype: Option<DType>,
}

/// Settings of a whole network.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Full {
    /// Train the text encoders, too.
    pub text_encoders: bool,
    /// Type of the written weights.
    pub dtype: DType,
}

impl Settings for Full {
    const NAME: &'static str = "full";
    const WRITES: &'static [&'static str] = &["model"];
    const FREE_KEYS: &'static [&'static str] = &["dtype"];
    type Table = Table;
    type Network<B: Backend> = Whole<B>;

    fn resolve(table: Table, _: &Path, _: &mut Problems) -> Self {
        Self { text_encoders: table.text_encoders.unwrap_or(false), dtype: table.dtype.unwrap_or_default() }
    }

    fn trained(&self) -> Trained {
        Trained::UNet { text_encoders: self.text_encoders }
    }
}

/// A whole U-Net, and the text encoders if they are trained with it.
pub struct Whole<B: Backend> {
    unet: UNet<B>,
    text: Option<TextEncoders<B>>,
}

impl<B: Backend> Denoiser<B> for Whole<B> {
    type Inputs = DenoisingInputs;

    fn predict<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        batch: &Batch<DenoisingInputs>,
    ) -> Result<Var<B>, String> {
        match &self.text {
            Some(text) => predict_with_text_encoders(&self.unet, text, tape, batch),
            None => self.unet.predict(tape, batch),
        }
    }
}

impl<B: Backend> Method<B> for Whole<B> {
    type Settings = Full;
    type Source = DenoisingSource<B>;

    fn source(
        setup: &Setup<'_, B>,
        full: &Full,
        dataset: &Dataset,
        preparing: Preparing<'_>,
    ) -> Result<Self::Source, DataError> {
        let captions = if full.text_encoders { CaptionUse::Tokens } else { CaptionUse::Embedded };
        DenoisingSource::open(setup, dataset, (captions, Sampling::default()), preparing)
    }

    fn open(setup: &Setup<'_, B>, full: &Full, params: &mut Params<B>) -> Result<Self, ModelError> {
        let unet = UNet::load(setup.backend, &setup.model.unet(), Trainable::All(params))?;
        let text = match full.text_encoders {
            true => Some(TextEncoders::load_trained(setup.backend, &setup.model, params)?),
            false => None,
        };
        Ok(Self { unet, text })
    }

    fn painter(&self) -> Option<Painter<'_, B>> {
        Some(Painter { unet: &self.unet, text: self.text.as_ref(), control: None })
    }

    fn export(
        &self,
        setup: &Setup<'_, B>,
        full: &Full,
        params: &Params<B>,
        _: &Data<'_, B, Self::Source>,
    ) -> Result<Vec<PathBuf>, TrainError> {
        let mut components = vec![("unet", self.unet.layers(), NETWORK)];
        let encoders = self.text.iter().flat_map(|text| &text.encoders).map(|(_, encoder)| encoder.layers());
        let encoders = ["text_encoder", "text_encoder_2"].into_iter().zip(encoders);
        components.extend(encoders.map(|(name, layers)| (name, layers, TEXT_ENCODER)));
        let names: Vec<&str> = components.iter().map(|(name, ..)| *name).collect();
        write_model(setup, &names, |component, to| {
            let Some((_, layers, stem)) = components.iter().find(|(name, ..)| *name == component) else {
                return Ok(());
            };
            write_layers(setup, layers, params, component, (to, stem), full.dtype)
        })
    }
}
