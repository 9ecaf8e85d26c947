//! Reads the pictures of a step: all that needs no device.

use std::sync::Arc;

use fairhuman_dataset::{Dataset, Draw, GeometrySpec, LatentMask, Sample, draw};

use super::{DataError, DrawKey, Picture, Reader};

/// A dataset and the reader of its pictures.
pub(super) struct Loader<R> {
    pub dataset: Dataset,
    pub reader: Arc<R>,
    pub seed: u64,
    pub geometry: GeometrySpec,
}

/// The pictures of a step.
pub(super) struct Plan {
    pub step: u64,
    /// Those of this process, as micro-batches.
    pub micro_batches: Vec<Vec<usize>>,
    /// Number of the first of them in the step.
    pub first: usize,
    /// The names of all pictures of the step.
    pub names: Vec<String>,
}

/// A picture that has been read.
pub(super) struct Loaded<T> {
    /// The method's part.
    pub read: T,
    /// One entry per region.
    pub masks: Vec<Option<LatentMask>>,
    pub name: String,
    /// The dataset's weight.
    pub weight: f64,
}

impl<R: Reader> Loader<R> {
    /// The pictures of a step, as micro-batches.
    pub fn step(&self, plan: &Plan) -> Result<Vec<Vec<Loaded<R::Read>>>, DataError> {
        let mut slot = plan.first as u64;
        let mut read = |&i: &usize| {
            let loaded = self.in_step(i, plan.step, slot);
            slot += 1;
            loaded
        };
        plan.micro_batches.iter().map(|indices| indices.iter().map(&mut read).collect()).collect()
    }

    fn in_step(&self, i: usize, step: u64, slot: u64) -> Result<Loaded<R::Read>, DataError> {
        let item = self.dataset.item(i);
        let draw = draw(&self.geometry, item.size, self.seed, step, slot);
        let mut sample = self.sample(i, &draw)?;
        sample.caption = self.dataset.caption(i, self.seed, step, slot);
        let loaded = self.picture(i, &draw, &sample, DrawKey::Step { step, slot })?;
        Ok(Loaded { weight: f64::from(item.weight), ..loaded })
    }

    /// The caption of a picture, and the parts of its sample that the method wants.
    pub fn sample(&self, i: usize, draw: &Draw) -> Result<Sample, DataError> {
        Ok(self.dataset.load(i, draw, self.reader.mask_cell(), self.reader.wanted())?)
    }

    /// The method's part of a picture whose sample was loaded, with weight 1.
    pub fn picture(
        &self,
        index: usize,
        draw: &Draw,
        sample: &Sample,
        key: DrawKey,
    ) -> Result<Loaded<R::Read>, DataError> {
        let picture = Picture { dataset: &self.dataset, index, draw, sample };
        let read = self.reader.read(&picture, key)?;
        Ok(Loaded { read, masks: sample.masks.clone(), name: self.name(index), weight: 1.0 })
    }

    /// The name of a picture.
    pub fn name(&self, i: usize) -> String {
        self.dataset.item(i).image.display().to_string()
    }
}
