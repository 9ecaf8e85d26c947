//! The losses of a finished model on a whole dataset, sample by sample: for comparing models, where training
//! compares moments of one run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_diffusion::generate::attach_loras;
use fairhuman_diffusion::pipeline::{ModelFolder, Pipeline, TextEncoders};
use fairhuman_diffusion::unet::UNet;
use fairhuman_engine::{Backend, Tape, Var};

use crate::batch::Batch;
use crate::data::{CaptionUse, Data, DataError, DenoisingSource, Sampling, Variant};
use crate::denoising::{Denoiser, Denoising, DenoisingInputs, predict_with_text_encoders};
use crate::error::TrainError;
use crate::held_out::{HeldOut, SampleLosses};
use crate::method::Setup;
use crate::recipe::Recipe;

/// The losses of all samples: each picture of the dataset at `validation.draws` time steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The objectives in the order of the losses; the background is the last where there are regions.
    pub objectives: Vec<String>,
    /// Time steps of the noise schedule.
    pub steps: usize,
    /// The samples: the draws of a picture follow each other.
    pub samples: Vec<SampleLosses>,
}

struct Network<B: Backend> {
    unet: UNet<B>,
    text: TextEncoders<B>,
}

impl<B: Backend> Denoiser<B> for Network<B> {
    type Inputs = DenoisingInputs;

    fn predict<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        batch: &Batch<DenoisingInputs>,
    ) -> Result<Var<B>, String> {
        predict_with_text_encoders(&self.unet, &self.text, tape, batch)
    }
}

/// Losses of the recipe's model with LoRA files, each times its weight, on all pictures of the recipe's
/// dataset, with the fixed noise and time steps of held-out losses: a function of `validation.seed` and the
/// picture, so that models are compared by pairs. None where it is told to stop. `progress` is given the
/// samples that are done, and all.
///
/// # Errors
/// Faults of recipe, data, model or LoRA files.
pub fn evaluate<B: Backend>(
    backend: &B,
    recipe: &Recipe,
    loras: &[(PathBuf, f32)],
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Option<Evaluation>, TrainError> {
    let model = ModelFolder::open(recipe.model.folder())?;
    let setup = Setup { min_snr_gamma: None, ..Setup::of(backend, model, recipe) };
    let uses = (CaptionUse::Tokens, Sampling::default());
    let open = |dataset: &_| DenoisingSource::open(&setup, dataset, uses, &mut |_, _, _| Ok(()));
    let mut data = Data::open_held_out(backend.exact(), recipe, open)?;
    let mut pipeline = Pipeline::open(backend, recipe.model.folder()).map_err(DataError::from)?;
    let steps = pipeline.schedule.steps();
    let params = attach_loras(backend, &mut pipeline, loras).map_err(DataError::from)?;
    let network = Network { unet: pipeline.unet, text: pipeline.text };
    let mut sums = HeldOut::new(&recipe.objective, false);
    let objectives = sums.objectives();
    let total = data.held_out().len() * recipe.validation.draws;
    let mut samples = Vec::with_capacity(total);
    let looked = data.validate(recipe.batch, Variant::Plain, |_| true, &mut |_, batch| {
        if stop.load(Ordering::SeqCst) {
            return Err(DataError::Stopped);
        }
        let measured = sums.measure(backend, &Denoising(&network), &params, batch);
        samples.extend(sums.add(measured.map_err(DataError::Problem)?));
        progress(samples.len(), total);
        Ok(())
    });
    match looked {
        Err(DataError::Stopped) => Ok(None),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Some(Evaluation { objectives, steps, samples })),
    }
}
