//! From a dataset and a model folder to batches: what a step sees is a function of (seed, step, slot).
//!
//! [`Data`] walks through the dataset, draws each picture's geometry once for pixels and masks, and leaves
//! the rest to the training method's [`Source`]. A denoiser's ([`DenoisingSource`]) encodes pictures by the
//! autoencoder, whose posterior is kept (mean and log-variance) and sampled anew at every step, and captions
//! by the text encoders, once, before the first step. Both are cached on disk; latents only where the crop is
//! not random.

mod choice;
mod control;
mod denoising;
mod error;
mod latents;
mod loader;
mod noise;
mod prefetch;
mod source;
mod text;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use fairhuman_dataset::{Crop, Dataset, GeometrySpec, ImageSource, MaskSource, Wanted, draw};
use fairhuman_engine::Backend;

use crate::batch::{Batch, Inputs};
use crate::cache::Key;
use crate::order::Order;
use crate::recipe::{Recipe, Validation};
pub(crate) use choice::choose_training;
use choice::order;
pub use control::ControlSource;
pub use denoising::{CaptionUse, DenoisingSource, Sampling, check_clean_weight};
pub use error::{DataError, Preparing};
use loader::{Loaded, Loader, Plan};
pub use noise::{Noised, Timesteps, noised};
use prefetch::Prefetch;
pub use source::{DrawKey, Picture, Reader, Source, Variant};

/// The data of one step.
#[derive(Debug, Clone)]
pub struct StepData<I> {
    /// The micro-batches of this process. With aspect-ratio buckets each has a size of its own.
    pub batches: Vec<Batch<I>>,
    /// Number of the first sample of this process in the step.
    pub first: usize,
    /// The names of all pictures of the step.
    pub names: Vec<String>,
}

impl<I: Inputs> StepData<I> {
    /// The time steps of this process's samples; none for a network without.
    pub fn timesteps(&self) -> Vec<usize> {
        self.batches.iter().flat_map(|batch| batch.inputs.timesteps().iter().copied()).collect()
    }

    /// All samples as one batch.
    ///
    /// # Errors
    /// Samples of different sizes.
    pub fn whole(&self) -> Result<Batch<I>, DataError> {
        let several =
            "this step has pictures of several sizes: with accumulation = 1 a step can be one batch";
        Batch::join(&self.batches).map_err(|_| DataError::Problem(several.into()))
    }
}

/// Receives batches one after the other, with their numbers.
pub type Each<'a, I> = &'a mut dyn FnMut(usize, &Batch<I>) -> Result<(), DataError>;

/// The part of a picture that a source's reader reads.
type Read<B, S> = <<S as Source<B>>::Reader as Reader>::Read;

/// The pictures of a step that have been read, as micro-batches.
type ReadStep<B, S> = Result<Vec<Vec<Loaded<Read<B, S>>>>, DataError>;

/// The data of a run.
pub struct Data<'b, B: Backend, S: Source<B>> {
    backend: &'b B,
    loader: Arc<Loader<S::Reader>>,
    /// Per objective the index of its region, none for the whole picture.
    regions: Vec<Option<usize>>,
    order: Order,
    training: Vec<usize>,
    held_out: Vec<usize>,
    validation: Validation,
    source: S,
    next: Prefetch<ReadStep<B, S>>,
}

impl<'b, B: Backend, S: Source<B>> Data<'b, B, S> {
    /// Opens the dataset, checks it against the recipe, and opens the method's source of samples by `source`.
    ///
    /// # Errors
    /// Everything that is wrong with the dataset, files of the model that are missing or do not fit.
    pub fn open(
        backend: &'b B,
        recipe: &Recipe,
        source: impl FnOnce(&Dataset) -> Result<S, DataError>,
    ) -> Result<Self, DataError> {
        let dataset = Dataset::open(Path::new(""), &recipe.dataset, &recipe.regions())?;
        Self::of(backend, recipe, dataset, source)
    }

    /// The same of an opened dataset.
    ///
    /// # Errors
    /// As [`Data::open`].
    pub fn of(
        backend: &'b B,
        recipe: &Recipe,
        dataset: Dataset,
        source: impl FnOnce(&Dataset) -> Result<S, DataError>,
    ) -> Result<Self, DataError> {
        let chosen = choose_training(&dataset, recipe)?;
        Self::with(backend, recipe, dataset, chosen, source)
    }

    /// The same with all pictures held out, for a model that is finished.
    ///
    /// # Errors
    /// As [`Data::open`].
    pub fn open_held_out(
        backend: &'b B,
        recipe: &Recipe,
        source: impl FnOnce(&Dataset) -> Result<S, DataError>,
    ) -> Result<Self, DataError> {
        let dataset = Dataset::open(Path::new(""), &recipe.dataset, &recipe.regions())?;
        let all: Vec<usize> = (0..dataset.len()).collect();
        Self::with(backend, recipe, dataset, (all.clone(), all), source)
    }

    fn with(
        backend: &'b B,
        recipe: &Recipe,
        dataset: Dataset,
        (training, held_out): (Vec<usize>, Vec<usize>),
        source: impl FnOnce(&Dataset) -> Result<S, DataError>,
    ) -> Result<Self, DataError> {
        let source = source(&dataset)?;
        let order = order(&dataset, recipe, &training);
        let mut next = 0;
        let regions = recipe.objective.iter().map(|o| {
            o.mask.as_ref().map(|_| {
                next += 1;
                next - 1
            })
        });
        let (reader, seed, geometry) = (source.reader().clone(), recipe.seed, recipe.geometry);
        Ok(Self {
            backend,
            loader: Arc::new(Loader { dataset, reader, seed, geometry }),
            regions: regions.collect(),
            order,
            training,
            held_out,
            validation: recipe.validation.clone(),
            source,
            next: Prefetch::new(),
        })
    }

    /// Number of pictures that are trained on.
    pub fn training_samples(&self) -> usize {
        self.training.len()
    }

    /// Names of the held-out pictures.
    pub fn held_out(&self) -> Vec<String> {
        self.held_out.iter().map(|&i| self.loader.name(i)).collect()
    }

    /// Notes for a person about the dataset: what was skipped or is not used.
    pub fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> =
            self.loader.dataset.diagnostics().iter().map(ToString::to_string).collect();
        notes.extend(self.loader.dataset.fit(&self.loader.geometry).notes());
        match (self.loader.dataset.spec().conditioning.is_some(), self.loader.reader.wanted().conditioning) {
            (true, true) => notes.extend(self.loader.dataset.alike_controls().map(|doubt| doubt.to_string())),
            (true, false) => notes.push(
                "dataset.conditioning: control images are checked, and not used: methods that train a control network \
                 read them"
                    .into(),
            ),
            (false, _) => {}
        }
        notes
    }

    /// Captions that were cut off.
    pub fn truncated_captions(&self) -> usize {
        self.source.truncated_captions(&self.loader.dataset)
    }

    /// The method's source of samples.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Hash of the list of samples, in order, and of the lengths of their files: a run goes on with the list
    /// that it was started with. (Not of their content: thousands of pictures would be read for every start.)
    pub fn fingerprint(&self) -> String {
        let mut key = Key::new("dataset");
        let length =
            |path: &Path| self.loader.dataset.root().join(path).metadata().map_or(0, |data| data.len());
        for item in self.loader.dataset.items() {
            let masks = item.masks.iter().flatten().filter_map(MaskSource::path);
            let control = item.conditioning.iter().map(ImageSource::file);
            for file in [item.source.file()].into_iter().chain(masks).chain(control) {
                key = key.with(&length(file).to_le_bytes());
            }
            key = key.with(item.image.to_string_lossy().as_bytes()).with(item.caption.as_bytes());
            for mask in &item.masks {
                key =
                    key.with(mask.as_ref().map_or_else(Default::default, |m| m.to_string_lossy()).as_bytes());
            }
            if let Some(control) = &item.conditioning {
                key = key.with(b"control").with(control.name().to_string_lossy().as_bytes());
            }
            key = key.with(&item.repeats.to_le_bytes()).with(&item.weight.to_le_bytes());
            key = key.with(&item.size.0.to_le_bytes()).with(&item.size.1.to_le_bytes());
        }
        key.digits()
    }

    /// The data of `step`, from 1: of its samples those in `share`, a function of their number. The pictures
    /// of the step after it are then read while this one is computed, unless it is beyond `last`.
    ///
    /// # Errors
    /// A file that has changed or cannot be read any more.
    pub fn step(
        &mut self,
        step: u64,
        last: u64,
        share: impl Fn(usize) -> Range<usize>,
    ) -> Result<StepData<S::Inputs>, DataError> {
        let plan = self.plan(step, &share);
        let read = self.next.take(step).unwrap_or_else(|| self.loader.step(&plan))?;
        let mut batches = Vec::with_capacity(read.len());
        for pictures in read {
            let samples =
                pictures.into_iter().map(|picture| self.one(picture)).collect::<Result<Vec<_>, _>>()?;
            batches.push(Batch::join(&samples).map_err(DataError::Problem)?);
        }
        if step < last {
            let (next, loader) = (self.plan(step + 1, &share), self.loader.clone());
            self.next.begin(step + 1, move || loader.step(&next));
        }
        Ok(StepData { batches, first: plan.first, names: plan.names })
    }

    fn plan(&mut self, step: u64, share: impl Fn(usize) -> Range<usize>) -> Plan {
        let all = self.order.step(step);
        let own = share(all.iter().map(Vec::len).sum());
        let names = all.iter().flatten().map(|&i| self.loader.name(i)).collect();
        let mut micro_batches = Vec::new();
        let mut begin = 0;
        for samples in all {
            let place = |at: usize| at.saturating_sub(begin).min(samples.len());
            let part = place(own.start)..place(own.end);
            begin += samples.len();
            if !part.is_empty() {
                micro_batches.push(samples[part].to_vec());
            }
        }
        Plan { step, micro_batches, first: own.start, names }
    }

    /// Batches of held-out pictures at fixed noise and time steps, one after the other to `each`, with their
    /// numbers: those that `wanted` says by number. The latents are the posterior's mean, the crop the
    /// middle, nothing is mirrored, captions are as written, min-SNR and weights are off. `variant`: the
    /// inputs beside latents and captions.
    ///
    /// # Errors
    /// As [`Data::step`], and what `each` returns.
    pub fn validate(
        &mut self,
        batch: usize,
        variant: Variant,
        wanted: impl Fn(usize) -> bool,
        each: Each<'_, S::Inputs>,
    ) -> Result<(), DataError> {
        let (geometry, loader, held_out) =
            (self.fixed_geometry(), self.loader.clone(), self.held_out.clone());
        let draws = self.source.validation_draws(self.validation.draws);
        let drawn = |i: usize| draw(&geometry, loader.dataset.item(i).size, loader.seed, 0, 0);
        let mut last = None;
        for (number, places) in self.held_out_batches(batch).iter().enumerate().filter(|(n, _)| wanted(*n)) {
            let mut samples = Vec::with_capacity(places.len());
            for &(position, j) in places {
                let i = held_out[position];
                let (drawn, sample) = match last.take() {
                    Some((at, drawn, sample)) if at == position => (drawn, sample),
                    _ => {
                        let drawn = drawn(i);
                        let sample = loader.sample(i, &drawn)?;
                        (drawn, sample)
                    }
                };
                let (of, next) = (held_out.len(), held_out[(position + 1) % held_out.len()]);
                let (seed, draw) = (self.validation.seed, (j, draws));
                let key = DrawKey::HeldOut { seed, position, of, draw, variant, next };
                samples.push(self.one(loader.picture(i, &drawn, &sample, key)?)?);
                last = Some((position, drawn, sample));
            }
            each(number, &Batch::join(&samples).map_err(DataError::Problem)?)?;
        }
        Ok(())
    }

    /// The batches of [`Data::validate`], each a list of positions among the held-out pictures and numbers
    /// of draws, of one size.
    pub fn held_out_batches(&self, batch: usize) -> Vec<Vec<(usize, usize)>> {
        let geometry = self.fixed_geometry();
        let draws = self.source.validation_draws(self.validation.draws);
        let mut batches: Vec<Vec<(usize, usize)>> = Vec::new();
        let mut size = None;
        for (position, &i) in self.held_out.iter().enumerate() {
            let drawn = draw(&geometry, self.loader.dataset.item(i).size, self.loader.seed, 0, 0);
            let of_picture = Some((drawn.width, drawn.height));
            for j in 0..draws {
                match batches.last_mut() {
                    Some(last) if last.len() < batch && size == of_picture => last.push((position, j)),
                    _ => batches.push(vec![(position, j)]),
                }
                size = of_picture;
            }
        }
        batches
    }

    /// The names of the pictures of such a batch.
    pub fn held_out_names(&self, places: &[(usize, usize)]) -> Vec<String> {
        places.iter().map(|&(position, _)| self.loader.name(self.held_out[position])).collect()
    }

    /// The other inputs that held-out losses are computed with; those of another picture need a second one.
    pub fn variants(&self) -> impl Iterator<Item = Variant> {
        let several = self.held_out.len() > 1;
        let all = self.source.variants().iter().copied();
        all.filter(move |&variant| several || variant != Variant::Shuffled)
    }

    /// True if pictures are held out.
    pub fn validates(&self) -> bool {
        !self.held_out.is_empty()
    }

    /// The first `count` training pictures without random crops, `[1, height, width, 3]`, as shape and
    /// values.
    pub fn pictures(
        &self,
        count: usize,
    ) -> impl Iterator<Item = Result<([usize; 4], Vec<f32>), DataError>> + '_ {
        let geometry = self.fixed_geometry();
        self.training.iter().take(count).map(move |&i| {
            let drawn = draw(&geometry, self.loader.dataset.item(i).size, self.loader.seed, 0, 0);
            let pixels = self.loader.dataset.load(i, &drawn, 1, Wanted::IMAGE)?.image;
            Ok(([1, drawn.height as usize, drawn.width as usize, 3], pixels))
        })
    }

    fn fixed_geometry(&self) -> GeometrySpec {
        GeometrySpec { crop: Crop::Center, flip: 0.0, ..self.loader.geometry }
    }

    /// A batch of one sample.
    fn one(&mut self, picture: Loaded<Read<B, S>>) -> Result<Batch<S::Inputs>, DataError> {
        let Loaded { read, masks, name, weight } = picture;
        let mut batch = self.source.sample(self.backend, read)?;
        let targets = &mut batch.targets;
        let mask = |region: usize| match &masks[region] {
            Some(mask) => mask.cells.clone(),
            None => vec![0.0; targets.height * targets.width],
        };
        targets.masks = self.regions.iter().map(|r| r.map(mask)).collect();
        targets.names = vec![name];
        targets.weights[0] *= weight;
        Ok(batch)
    }
}
