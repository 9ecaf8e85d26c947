//! Samples of a control network: those of a denoiser, with control images.

use std::sync::Arc;

use fairhuman_dataset::{Crop, Dataset, Draw, GeometrySpec, Wanted, draw};
use fairhuman_engine::Backend;

use super::denoising::{DenoisingRead, DenoisingReader};
use super::{
    CaptionUse, DataError, DenoisingSource, DrawKey, Picture, Preparing, Reader, Sampling, Source, Variant,
};
use crate::batch::Batch;
use crate::controlled::ControlledInputs;
use crate::method::Setup;
use crate::random::{Purpose, stream, unit};

/// Reads a denoiser's pictures and their control images.
pub struct ControlReader {
    denoising: Arc<DenoisingReader>,
    seed: u64,
    dropout: f64,
}

impl ControlReader {
    fn is_dropped(&self, step: u64, slot: u64) -> bool {
        unit(&mut stream(self.seed, Purpose::ControlDropout, step, slot)) < self.dropout
    }

    /// The control image of picture `index`, cut to the size of `like`.
    fn control_of(&self, dataset: &Dataset, index: usize, like: &Draw) -> Result<Vec<f32>, DataError> {
        let (width, height) = (like.width, like.height);
        let geometry = GeometrySpec { width, height, buckets: None, crop: Crop::Center, flip: 0.0 };
        let draw = draw(&geometry, dataset.item(index).size, self.seed, 0, 0);
        let sample = dataset.load(index, &draw, self.denoising.mask_cell(), CONTROL)?;
        sample.conditioning.ok_or_else(|| missing(dataset, index))
    }
}

/// The control image alone.
const CONTROL: Wanted = Wanted { conditioning: true, ..Wanted::NOTHING };

fn missing(dataset: &Dataset, index: usize) -> DataError {
    let name = dataset.item(index).image.display();
    DataError::Problem(format!("{name}: its control image is gone"))
}

impl Reader for ControlReader {
    /// The denoiser's part, and the control image.
    type Read = (DenoisingRead, Vec<f32>);

    fn mask_cell(&self) -> usize {
        self.denoising.mask_cell()
    }

    fn wanted(&self) -> Wanted {
        Wanted { conditioning: true, ..self.denoising.wanted() }
    }

    fn read(&self, picture: &Picture<'_>, key: DrawKey) -> Result<Self::Read, DataError> {
        let Picture { dataset, index, draw, sample } = *picture;
        let own = || sample.conditioning.clone().ok_or_else(|| missing(dataset, index));
        let control = match key {
            DrawKey::Step { step, slot } if self.is_dropped(step, slot) => vec![0.0; own()?.len()],
            DrawKey::Step { .. } | DrawKey::HeldOut { variant: Variant::Plain, .. } => own()?,
            DrawKey::HeldOut { variant: Variant::Shuffled, next, .. } => {
                self.control_of(dataset, next, draw)?
            }
            DrawKey::HeldOut { variant: Variant::Uncontrolled, .. } => Vec::new(),
        };
        Ok((self.denoising.read(picture, key)?, control))
    }
}

/// A denoiser's source, and the control images of the dataset.
pub struct ControlSource<B: Backend> {
    denoising: DenoisingSource<B>,
    reader: Arc<ControlReader>,
}

impl<B: Backend> ControlSource<B> {
    /// Opens it. `dropout`: the share of samples whose control image is black.
    ///
    /// # Errors
    /// As [`DenoisingSource::open`]; pictures without a control image.
    pub fn open(
        setup: &Setup<'_, B>,
        dataset: &Dataset,
        sampling: (CaptionUse, Sampling),
        dropout: f64,
        preparing: Preparing<'_>,
    ) -> Result<Self, DataError> {
        let without = dataset.items().iter().filter(|item| item.conditioning.is_none());
        let without: Vec<String> = without.map(|item| item.image.display().to_string()).collect();
        if !without.is_empty() {
            return Err(DataError::Problem(format!(
                "dataset.conditioning: {} of {} pictures have no control image: {}{}",
                without.len(),
                dataset.len(),
                without[..without.len().min(5)].join(", "),
                if without.len() > 5 { ", ..." } else { "" },
            )));
        }
        let denoising = DenoisingSource::open(setup, dataset, sampling, preparing)?;
        let reader = ControlReader { denoising: denoising.reader().clone(), seed: setup.seed, dropout };
        Ok(Self { denoising, reader: Arc::new(reader) })
    }
}

impl<B: Backend> Source<B> for ControlSource<B> {
    type Inputs = ControlledInputs;
    type Reader = ControlReader;

    fn reader(&self) -> &Arc<ControlReader> {
        &self.reader
    }

    fn variants(&self) -> &'static [Variant] {
        &[Variant::Shuffled, Variant::Uncontrolled]
    }

    fn sample(
        &mut self,
        backend: &B,
        (read, control): (DenoisingRead, Vec<f32>),
    ) -> Result<Batch<ControlledInputs>, DataError> {
        let reduction = self.reader.mask_cell();
        let Batch { targets, inputs } = self.denoising.sample(backend, read)?;
        Ok(Batch { targets, inputs: ControlledInputs { denoising: inputs, control, reduction } })
    }

    fn take_damaged(&self) -> usize {
        self.denoising.take_damaged()
    }

    fn truncated_captions(&self, dataset: &Dataset) -> usize {
        Source::<B>::truncated_captions(&self.denoising, dataset)
    }
}
