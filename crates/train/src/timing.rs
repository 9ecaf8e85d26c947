//! The time of a step, measured by taking one on the first pictures of the dataset, whose result is thrown
//! away.

use std::path::Path;

use fairhuman_dataset::Dataset;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_engine::Backend;

use crate::aggregate::Position;
use crate::data::{Data, DataError, Preparing};
use crate::error::TrainError;
use crate::gradient::clip_factor;
use crate::group::ShardedGroup;
use crate::method::{Method, Settings, Setup, Visitor};
use crate::model::Model;
use crate::module::PassContext;
use crate::optimizer::{Moments, update};
use crate::recipe::Recipe;
use crate::step::step_direction;

/// The first step encodes its pictures, and touches memory for the first time; the second one is timed.
const TIMED: u64 = 2;

/// Seconds of a step with the gradients of all objectives, as `clock` tells them. Pictures and captions are
/// encoded into `folder`, an empty one; the run's own folders are not touched.
///
/// # Errors
/// Everything that a run is refused for at its start, and a step that cannot be taken.
pub fn step_seconds<B: Backend>(
    backend: &B,
    recipe: &Recipe,
    clock: &(dyn Fn() -> f64 + Sync),
    folder: &Path,
    preparing: Preparing<'_>,
) -> Result<f64, TrainError> {
    struct Time<'a, B: Backend>(&'a B, &'a Recipe, &'a (dyn Fn() -> f64 + Sync), Preparing<'a>);
    impl<'a, B: Backend> Visitor<'a> for Time<'_, B> {
        type Output = Result<f64, TrainError>;
        fn visit<S: Settings>(self, settings: &'a S) -> Self::Output {
            measure::<B, S::Network<B>>(self.0, self.1, settings, self.2, self.3)
        }
    }
    let mut recipe = recipe.clone();
    recipe.out = folder.to_path_buf();
    recipe.cache = folder.join("cache");
    (recipe.validation.share, recipe.validation.samples) = (None, None);
    let timed = || recipe.method.visit(Time(backend, &recipe, clock, preparing));
    backend
        .attempt(timed)
        .unwrap_or_else(|source| Err(TrainError::Memory { during: "the timed step".into(), source }))
}

fn measure<B: Backend, M: Method<B>>(
    backend: &B,
    recipe: &Recipe,
    settings: &M::Settings,
    clock: &(dyn Fn() -> f64 + Sync),
    preparing: Preparing<'_>,
) -> Result<f64, TrainError> {
    let setup = Setup::of(backend, ModelFolder::open(recipe.model.folder())?, recipe);
    let mut dataset =
        Dataset::open(Path::new(""), &recipe.dataset, &recipe.regions()).map_err(DataError::from)?;
    dataset.truncate(recipe.samples_per_step());
    let source = |dataset: &_| M::source(&setup, settings, dataset, preparing);
    let mut data = Data::of(backend.exact(), recipe, dataset, source)?;
    preparing("reading the model", 0, 1)?;
    let mut model = Model::<B, M>::open(&setup, settings, recipe.ema)?;
    let processes = ShardedGroup::single();
    let mut moments = Moments::new(backend, &model.params, &processes);
    let passes = PassContext {
        backend,
        checkpointing: recipe.activation_checkpointing,
        clock,
        observer: None,
        watcher: None,
    };
    let mut seconds = 0.0;
    for step in 1..=TIMED {
        preparing("making a step", step as usize - 1, TIMED as usize)?;
        let begin = clock();
        let read = data.step(step, step, |samples| 0..samples)?;
        let position = Position { seed: recipe.seed, step, state: &Default::default() };
        let batches = (&read.batches[..], read.first);
        let network = (&model.network, &model.params);
        let (_, direction) = step_direction(&passes, &processes, network, recipe.plan(), batches, position)
            .map_err(|error| TrainError::of_step(step, &error))?;
        let clip = clip_factor(direction.norm, recipe.max_grad_norm);
        let rate = recipe.optimizer.learning_rate * recipe.schedule.factor(step);
        update(backend, &mut model.params, &mut moments, &direction.combined, clip, &recipe.optimizer, rate);
        if let Some(averages) = &mut model.averages {
            averages.update(backend, &model.params, moments.updates);
        }
        backend.synchronize();
        seconds = clock() - begin;
    }
    Ok(seconds)
}
