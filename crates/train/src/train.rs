//! The training loop. It is the only place where parameters change.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_engine::Backend;
use fairhuman_engine::observe::Observer;

use crate::error::TrainError;
use crate::events::{Event, Reason, Seconds, Step, StepOutcome};
use crate::gradient::{Direction, Gradients, Refused, Run, clip_factor, fair_direction, objective_gradients};
use crate::model::Model;
use crate::optimizer::update;
use crate::recipe::Recipe;
use crate::session::Session;

/// Told what happens, as plain data.
pub trait Reporter {
    /// Something happened; the same goes to `events.jsonl`.
    fn event(&mut self, event: &Event);
    /// Before the first step: what is being done, how many are done, of how many.
    fn preparing(&mut self, what: &str, done: usize, total: usize);
}

/// What a run needs from outside, and how far this command goes.
pub struct Surroundings<'a> {
    /// Seconds since some moment.
    pub clock: &'a (dyn Fn() -> f64 + Sync),
    /// The most memory that the process has held so far, in MiB; none where the system does not tell.
    pub peak_memory: &'a dyn Fn() -> Option<f64>,
    /// What the run runs on, in words, for its log.
    pub machine: &'a str,
    /// Set to save and leave after the step in progress.
    pub stop: &'a AtomicBool,
    /// Told what happens.
    pub reporter: &'a mut dyn Reporter,
    /// Told about every operation, for profiles.
    pub observer: Option<&'a dyn Observer>,
    /// End after this step instead of the recipe's last. The learning rate's schedule stays the recipe's.
    pub until: Option<u64>,
    /// Write this step as files.
    pub record: Option<u64>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Steps done, all commands together.
    pub step: u64,
    /// Why it ended.
    pub reason: Reason,
    /// LoRA files or the model folder, relative to the run folder.
    pub files: Vec<PathBuf>,
}

/// Trains as `recipe` says; goes on where the run folder's last checkpoint is.
///
/// # Errors
/// [`TrainError`]: what is wrong with data, model or run folder, or too many steps that had to be refused.
pub fn train<B: Backend>(
    backend: &B,
    recipe: &Recipe,
    around: Surroundings<'_>,
) -> Result<Summary, TrainError> {
    let Surroundings { clock, peak_memory, machine, stop, reporter, observer, until, record } = around;
    let until = until.unwrap_or(recipe.steps);
    let mut run =
        Session::open(backend, recipe, &mut |what, done, total| reporter.preparing(what, done, total))?;
    let passes = Run { backend, checkpointing: recipe.activation_checkpointing, clock, observer };
    check_record(record, run.progress.step, until)?;
    let start = run.start(until, machine);
    emit(&mut run, reporter, start)?;
    if run.progress.step == 0 {
        let first = run.validate(&passes)?;
        emit(&mut run, reporter, first)?;
        let pictures = run.sample(&passes)?;
        emit(&mut run, reporter, pictures)?;
    }

    let first = run.progress.step;
    while run.progress.step < until && !stop.load(Ordering::SeqCst) {
        let step = run.progress.step + 1;
        let begin = clock();
        let data = run.data.step(step)?;
        let learning_rate = recipe.optimizer.learning_rate * recipe.schedule.factor(step);
        let loaded = clock();

        let Model { network, params, .. } = &run.model;
        let found = objective_gradients(&passes, network, params, &recipe.objective, &data.batches).and_then(
            |gradients| {
                let direction = fair_direction(&passes, &recipe.objective, &recipe.weighting, &gradients)?;
                Ok((gradients, direction))
            },
        );
        let solved = clock();
        match &found {
            Ok((gradients, direction)) => {
                let clip = clip_factor(direction.norm, recipe.max_grad_norm);
                if record == Some(step) {
                    run.record(backend, &data, learning_rate, gradients, direction, clip)?;
                }
                if gradients.present.iter().any(|&lanes| lanes > 0) {
                    let (Model { params, averages, .. }, moments) = (&mut run.model, &mut run.moments);
                    let (optimizer, gradient) = (&recipe.optimizer, &direction.combined);
                    update(backend, params, moments, gradient, clip, optimizer, learning_rate);
                    if let Some(averages) = averages {
                        averages.follow(backend, params, moments.updates);
                    }
                }
                run.progress.bad_in_a_row = 0;
            }
            Err(Refused::Shape { problem }) => {
                return Err(TrainError::Misfit { step, problem: problem.clone() });
            }
            Err(_) => run.progress.bad_in_a_row += 1,
        }
        run.progress.step = step;
        let end = clock();

        let seconds =
            Seconds { data: loaded - begin, update: end - solved, total: end - begin, ..Seconds::default() };
        let mut event =
            step_event(recipe, step, &data.names, data.timesteps(), learning_rate, &found, seconds);
        event.peak_memory_mib = peak_memory();
        let failure = found.err().map(|refused| refused.named(&data.names));
        emit(&mut run, reporter, Event::Step(Box::new(event)))?;
        if step.is_multiple_of(recipe.validation.every) || step == until {
            let validation = run.validate(&passes)?;
            emit(&mut run, reporter, validation)?;
        }
        if recipe.samples.as_ref().is_some_and(|samples| step.is_multiple_of(samples.every)) || step == until
        {
            let pictures = run.sample(&passes)?;
            emit(&mut run, reporter, pictures)?;
        }
        // A run that could take none of its steps has failed, however few they were.
        let patience = if step == until {
            (until - first).min(recipe.stop_after_bad_steps)
        } else {
            recipe.stop_after_bad_steps
        };
        if let Some(last) = failure.filter(|_| run.progress.bad_in_a_row >= patience) {
            return Err(give_up(&mut run, backend, reporter, last)?);
        }
        if step.is_multiple_of(recipe.checkpoints.every) {
            let saved = run.save(backend)?;
            emit(&mut run, reporter, saved)?;
        }
    }

    let saved = run.save(backend)?;
    emit(&mut run, reporter, saved)?;
    let files = run.export(backend)?;
    let step = run.progress.step;
    let reason = if step < until { Reason::Stopped } else { Reason::Done };
    emit(&mut run, reporter, Event::End { step, reason, files: files.clone() })?;
    run.folder.sync()?;
    Ok(Summary { step, reason, files })
}

/// Writes an event, if there is one, and tells the reporter.
fn emit<B: Backend>(
    run: &mut Session<'_, B>,
    reporter: &mut dyn Reporter,
    event: impl Into<Option<Event>>,
) -> Result<(), TrainError> {
    if let Some(event) = event.into() {
        run.folder.write(&event)?;
        reporter.event(&event);
    }
    Ok(())
}

/// Saves what was learnt before the bad steps, and says why the run ends.
fn give_up<B: Backend>(
    run: &mut Session<'_, B>,
    backend: &B,
    reporter: &mut dyn Reporter,
    last: String,
) -> Result<TrainError, TrainError> {
    let (step, count) = (run.progress.step, run.progress.bad_in_a_row);
    // The same command, perhaps with mended pictures, may try again.
    run.progress.bad_in_a_row = 0;
    let saved = run.save(backend)?;
    emit(run, reporter, saved)?;
    emit(run, reporter, Event::End { step, reason: Reason::TooManyBadSteps, files: Vec::new() })?;
    run.folder.sync()?;
    Ok(TrainError::BadSteps { step, count, last })
}

fn check_record(record: Option<u64>, done: u64, until: u64) -> Result<(), TrainError> {
    match record {
        Some(step) if step <= done => {
            let problem = format!("{done} steps are done already; record a later step, or use another --out");
            Err(TrainError::RecordStep { step, problem })
        }
        Some(step) if step > until => {
            Err(TrainError::RecordStep { step, problem: format!("this command ends after step {until}") })
        }
        _ => Ok(()),
    }
}

fn step_event<B: Backend>(
    recipe: &Recipe,
    step: u64,
    samples: &[String],
    timesteps: Vec<usize>,
    learning_rate: f64,
    found: &Result<(Gradients<B>, Direction<B>), Refused>,
    seconds: Seconds,
) -> Step {
    let mut event = Step {
        step,
        outcome: StepOutcome::Updated,
        samples: samples.to_vec(),
        timesteps,
        losses: Vec::new(),
        weights: Vec::new(),
        rates: Vec::new(),
        gram: Vec::new(),
        cosines: Vec::new(),
        solve: None,
        present: Vec::new(),
        area: Vec::new(),
        grad_norm: None,
        clip: None,
        learning_rate,
        seconds,
        peak_memory_mib: None,
    };
    match found {
        Err(refused) => event.outcome = StepOutcome::Refused(refused.named(samples)),
        Ok((gradients, direction)) => {
            if gradients.present.iter().all(|&lanes| lanes == 0) {
                event.outcome = StepOutcome::AllAbsent;
            }
            event.losses = gradients.losses.clone();
            event.weights = direction.solution.weights.clone();
            event.rates = direction.solution.rates.clone();
            event.gram = direction.gram.clone();
            event.cosines = direction.cosines.clone();
            event.solve = Some(direction.solution.outcome);
            event.present = gradients.present.clone();
            event.area = gradients.area.clone();
            event.grad_norm = Some(direction.norm);
            event.clip = Some(clip_factor(direction.norm, recipe.max_grad_norm));
            event.seconds.forward = gradients.forward;
            event.seconds.backward = gradients.backward;
            event.seconds.solve = direction.seconds;
        }
    }
    event
}
