//! The training loop. It is the only place where parameters change.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_engine::Backend;
use fairhuman_engine::observe::Observer;

use crate::aggregate::Position;
use crate::data::{DataError, Source};
use crate::error::TrainError;
use crate::events::{Event, Reason, Seconds};
use crate::gradient::clip_factor;
use crate::group::{self, Group, agreement};
use crate::method::{Method, Settings, Visitor};
use crate::model::Model;
use crate::module::PassContext;
use crate::optimizer::update;
use crate::recipe::{GradientUse, Recipe};
use crate::record;
use crate::requests::Request;
use crate::session::Session;
use crate::step::step_direction;
use crate::step_event::step_event;

/// Steps of a group after which its processes compare their trained values.
const VALUES_CHECKED_EVERY: u64 = 50;

/// Receives the events of a run as plain data.
pub trait Reporter {
    /// Something happened; the same goes to `events.jsonl`.
    fn event(&mut self, event: &Event);
    /// Before the first step: what is being done, how many are done, of how many.
    fn preparing(&mut self, what: &str, done: usize, total: usize);
}

/// Everything that a run needs from outside, and how far this command goes.
pub struct Environment<'a, B: Backend> {
    /// Seconds since some moment.
    pub clock: &'a (dyn Fn() -> f64 + Sync),
    /// The most memory that the process has held so far, in MiB; none where the system does not tell.
    pub peak_memory: &'a dyn Fn() -> Option<f64>,
    /// The machine, in words, for the log.
    pub machine: &'a str,
    /// Set to save and leave after the step in progress.
    pub stop: &'a AtomicBool,
    /// Receives the events.
    pub reporter: &'a mut dyn Reporter,
    /// Observes every operation, for profiles.
    pub observer: Option<&'a dyn Observer>,
    /// The processes that take each step together.
    pub group: &'a dyn Group<B>,
    /// End after this step instead of the recipe's last. The learning rate's schedule stays the recipe's.
    pub until: Option<u64>,
    /// Write this step as files.
    pub record: Option<u64>,
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Steps done, all commands together.
    pub step: u64,
    /// The reason.
    pub reason: Reason,
    /// LoRA files or the model folder, relative to the run folder.
    pub files: Vec<PathBuf>,
}

/// Trains as `recipe` says; goes on where the run folder's last checkpoint is.
///
/// # Errors
/// [`TrainError`]: what is wrong with data, model or run folder, or too many steps that had to be refused.
/// The steps done until then are saved.
pub fn train<'a, B: Backend>(
    backend: &'a B,
    recipe: &'a Recipe,
    environment: Environment<'a, B>,
) -> Result<Summary, TrainError> {
    struct Train<'a, B: Backend>(&'a B, &'a Recipe, Environment<'a, B>);
    impl<'a, B: Backend> Visitor<'a> for Train<'a, B> {
        type Output = Result<Summary, TrainError>;
        fn visit<S: Settings>(self, settings: &'a S) -> Self::Output {
            run::<B, S::Network<B>>(self.0, self.1, settings, self.2)
        }
    }
    recipe.method.visit(Train(backend, recipe, environment))
}

fn run<B: Backend, M: Method<B>>(
    backend: &B,
    recipe: &Recipe,
    settings: &M::Settings,
    environment: Environment<'_, B>,
) -> Result<Summary, TrainError> {
    let Environment { clock, peak_memory, machine, stop, reporter, observer, group, until, record } =
        environment;
    let until = until.unwrap_or(recipe.steps);
    let passes = PassContext {
        backend,
        checkpointing: recipe.activation_checkpointing,
        clock,
        observer,
        watcher: None,
    };
    let cut_short = false;
    let mut command =
        Command { recipe, passes, group, until, record, stop, peak_memory, reporter, cut_short };
    command.check()?;
    let opened = backend.attempt(|| command.open::<M>(settings));
    let no_memory = |source| Err(TrainError::Memory { during: "opening the run".into(), source });
    let mut run = match opened.unwrap_or_else(no_memory) {
        // Nothing has been done yet that could be saved.
        Err(TrainError::Data(DataError::Stopped)) => {
            return Ok(Summary { step: 0, reason: Reason::Stopped, files: Vec::new() });
        }
        opened => opened?,
    };
    let start = run.start(until, machine);
    command.emit(&mut run, start)?;
    if let Err(error) = command.begin(&mut run).and_then(|()| command.steps(&mut run)) {
        // What was learnt is kept, if it can be (the processes of a group may be at different places); the
        // error that ended it is the one to tell.
        if group.size() == 1
            && let Ok(saved) = run.save(backend)
        {
            let _ = command.emit(&mut run, saved);
        }
        return Err(error);
    }

    let saved = run.save(backend)?;
    command.emit(&mut run, saved)?;
    let step = run.progress.step;
    let files = if step > 0 { run.export()? } else { Vec::new() };
    // Told to stop in the last validation, the run is not done: the same command makes up for it.
    let reason = if step < until || command.cut_short { Reason::Stopped } else { Reason::Done };
    command.emit(&mut run, Event::End { step, reason, files: files.clone() })?;
    run.sync()?;
    Ok(Summary { step, reason, files })
}

/// One command of a run: how far it goes, and whom it tells.
struct Command<'a, 'r, B: Backend> {
    recipe: &'a Recipe,
    passes: PassContext<'a, B>,
    group: &'a dyn Group<B>,
    until: u64,
    record: Option<u64>,
    stop: &'a AtomicBool,
    peak_memory: &'a dyn Fn() -> Option<f64>,
    reporter: &'r mut dyn Reporter,
    /// True if a validation or previews were interrupted.
    cut_short: bool,
}

impl<'a, B: Backend> Command<'a, '_, B> {
    fn check(&self) -> Result<(), TrainError> {
        if let Some(step) = self.record {
            record::validate(self.recipe, step, self.until)
                .and_then(|()| match self.group.size() {
                    1 => Ok(()),
                    size => Err(format!("a step is recorded by one process, and this run has {size}")),
                })
                .map_err(|problem| TrainError::RecordStep { step, problem })?;
        }
        let (size, samples) = (self.group.size(), self.recipe.samples_per_step());
        if samples < size {
            return Err(TrainError::Processes { size, samples });
        }
        if size > 1 && self.recipe.gradients == GradientUse::Twice {
            return Err(TrainError::KeepsNoGradients { size });
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// The requests to save and to stop that any process has, beside those `asked` of this one; that to stop
    /// is then known to all.
    fn agree<M: Method<B>>(
        &self,
        run: &Session<'_, B, M>,
        [save, stop]: [bool; 2],
    ) -> Result<[bool; 2], TrainError> {
        let agreed = agreement::any(self.group, [save, stop || self.stopped()], run.progress.step)?;
        self.stop.fetch_or(agreed[1], Ordering::SeqCst);
        Ok(agreed)
    }

    /// A part of the run, which ends with an error if there is no memory for it. Parameters are changed by
    /// whole steps or not at all, so the steps before it can be saved.
    fn attempt<'s, M: Method<B>, T>(
        &mut self,
        run: &mut Session<'s, B, M>,
        during: String,
        work: impl FnOnce(&mut Self, &mut Session<'s, B, M>) -> Result<T, TrainError>,
    ) -> Result<T, TrainError> {
        let backend = self.passes.backend;
        let done = backend.attempt(|| work(self, run));
        done.unwrap_or_else(|source| Err(TrainError::Memory { during, source }))
    }

    fn open<M: Method<B>>(&mut self, settings: &'a M::Settings) -> Result<Session<'a, B, M>, TrainError> {
        let (stop, reporter, group) = (self.stop, &mut *self.reporter, self.group);
        let backend = self.passes.backend;
        let opened = group::in_turn(group, || {
            Session::open(backend, self.recipe, settings, group, &mut |what, done, total| {
                reporter.preparing(what, done, total);
                if stop.load(Ordering::SeqCst) { Err(DataError::Stopped) } else { Ok(()) }
            })
        });
        let mut run: Session<'a, B, M> =
            opened.map_err(|problem| TrainError::Group { step: 0, problem })??;
        run.agree(backend)?;
        match self.record {
            Some(step) if step <= run.progress.step => {
                let done = run.progress.step;
                let problem =
                    format!("{done} steps are done already; record a later step, or use another --out");
                Err(TrainError::RecordStep { step, problem })
            }
            _ => Ok(run),
        }
    }

    /// Validation and previews before the first step of this command: those of the untrained network, and
    /// those that an earlier command was interrupted in.
    fn begin<M: Method<B>>(&mut self, run: &mut Session<'_, B, M>) -> Result<(), TrainError> {
        let resumed = run.resumed.clone();
        if self.validates_after(run.progress.step) && !resumed.validated {
            self.validate(run)?;
        }
        if self.previews_after(run.progress.step) && !resumed.previewed {
            self.sample(run)?;
        }
        Ok(())
    }

    /// Steps until the last one of this command, or until it is told to stop.
    fn steps<M: Method<B>>(&mut self, run: &mut Session<'_, B, M>) -> Result<(), TrainError> {
        let first = run.progress.step;
        let [_, mut stopping] = self.agree(run, [false; 2])?;
        while run.progress.step < self.until && !stopping {
            let number = run.progress.step + 1;
            let failure = self.attempt(run, format!("step {number}"), Self::step)?;
            let step = run.progress.step;
            self.note_damage(run)?;
            let last = step == self.until;
            if self.validates_after(step) && !self.validate(run)? && last {
                return Err(match run.find_damaged_weights() {
                    Some(source) => {
                        TrainError::DamagedModel { step, count: run.progress.bad_in_a_row, source }
                    }
                    None => TrainError::Diverged { step },
                });
            }
            if self.previews_after(step) {
                self.sample(run)?;
            }
            // A run whose later half could not be taken has failed, however few its steps were.
            let most = self.recipe.stop_after_bad_steps;
            let patience = if last { most.min((self.until - first).div_ceil(2)) } else { most };
            if let Some(why) = failure.filter(|_| run.progress.bad_in_a_row >= patience) {
                return Err(self.give_up(run, why)?);
            }
            if run.is_asked(Request::Sample) && !self.previews_after(step) {
                self.sample(run)?;
            }
            let asked = [Request::Save, Request::Stop].map(|request| run.is_asked(request));
            let [save, stop] = self.agree(run, asked)?;
            stopping = stop;
            if save || step.is_multiple_of(self.recipe.checkpoints.every) {
                let saved = run.save(self.passes.backend)?;
                self.emit(run, saved)?;
            }
        }
        Ok(())
    }

    /// One step; why it was refused, if it was.
    fn step<M: Method<B>>(&mut self, run: &mut Session<'_, B, M>) -> Result<Option<String>, TrainError> {
        let (recipe, passes) = (self.recipe, &self.passes);
        let (backend, clock) = (passes.backend, passes.clock);
        let step = run.progress.step + 1;
        let begin = clock();
        let data = run.data.step(step, self.until, |count| group::share(self.group, count))?;
        let learning_rate = recipe.optimizer.learning_rate * recipe.schedule.factor(step);
        let loaded = clock();

        let network = (&run.model.network, &run.model.params);
        let batches = (&data.batches[..], data.first);
        let position = Position { seed: recipe.seed, step, state: &run.progress.weighting };
        let found = step_direction(passes, &run.processes, network, recipe.plan(), batches, position);
        let solved = clock();
        match &found {
            Ok((gradients, direction)) => {
                let clip = clip_factor(direction.norm, recipe.max_grad_norm);
                if self.record == Some(step) {
                    run.record(&data, learning_rate, (gradients, direction), clip)?;
                }
                if gradients.present.iter().any(|&lanes| lanes > 0) {
                    let (Model { params, averages, .. }, moments) = (&mut run.model, &mut run.moments);
                    let (optimizer, gradient) = (&recipe.optimizer, &direction.combined);
                    update(backend, params, moments, gradient, clip, optimizer, learning_rate);
                    let shared = run.processes.share_values(backend, params);
                    shared.map_err(|error| TrainError::of_step(step, &error))?;
                    run.progress.weighting = direction.state.clone();
                    if let Some(averages) = averages {
                        averages.update(backend, params, moments.updates);
                    }
                }
                run.progress.bad_in_a_row = 0;
            }
            Err(error) if error.is_fatal() => return Err(TrainError::of_step(step, error)),
            Err(_) => run.progress.bad_in_a_row += 1,
        }
        run.progress.step = step;
        if let Ok((gradients, _)) = &found {
            run.look_back(passes, &data, gradients)?;
        }
        if self.group.size() > 1 && step.is_multiple_of(VALUES_CHECKED_EVERY) {
            agreement::check_values(self.group, backend, &run.model.params, step)?;
        }
        let end = clock();

        let seconds =
            Seconds { data: loaded - begin, update: end - solved, total: end - begin, ..Seconds::default() };
        let mut event =
            step_event(recipe, step, &data.names, data.timesteps(), learning_rate, &found, seconds);
        event.peak_memory_mib = (self.peak_memory)();
        self.emit(run, Event::Step(Box::new(event)))?;
        let failure = found.err().map(|refused| refused.named(&data.names));
        match &failure {
            Some(why) if self.record == Some(step) => {
                let problem = format!("the step was refused, because {why}");
                Err(TrainError::RecordStep { step, problem })
            }
            _ => Ok(failure),
        }
    }

    /// Tells of damaged entries of the cache that were met since this was last asked.
    fn note_damage<M: Method<B>>(&mut self, run: &mut Session<'_, B, M>) -> Result<(), TrainError> {
        let (step, damaged) = (run.progress.step, run.data.source().take_damaged());
        if damaged == 0 {
            return Ok(());
        }
        let text = format!("damaged entries of the cache, made anew: {damaged}");
        self.emit(run, Event::Note { step, text })
    }

    fn validates_after(&self, step: u64) -> bool {
        let validation = &self.recipe.validation;
        let due = step.is_multiple_of(validation.every) && (step > 0 || validation.at_start);
        due || step == self.until
    }

    fn previews_after(&self, step: u64) -> bool {
        let every = self.recipe.samples.as_ref().map(|samples| samples.every);
        every.is_some_and(|every| step.is_multiple_of(every) || step == self.until)
    }

    /// Held-out losses; false where they are no finite numbers.
    fn validate<M: Method<B>>(&mut self, run: &mut Session<'_, B, M>) -> Result<bool, TrainError> {
        let during = format!("validation after step {}", run.progress.step);
        let validation = self.attempt(run, during, |this, run| run.validate(&this.passes, this.stop))?;
        self.cut_short |= validation.is_none() && run.validates();
        let first = match &validation {
            Some(Event::Validation(validation)) => validation.losses.first().copied(),
            _ => None,
        };
        self.emit(run, validation)?;
        Ok(first.is_none_or(f64::is_finite))
    }

    fn sample<M: Method<B>>(&mut self, run: &mut Session<'_, B, M>) -> Result<(), TrainError> {
        let during = format!("[samples] after step {}", run.progress.step);
        let pictures = self.attempt(run, during, |this, run| run.render_previews(&this.passes, this.stop))?;
        self.cut_short |= pictures.is_none() && self.stopped();
        self.emit(run, pictures)
    }

    /// Writes an event, if there is one, and tells the reporter.
    fn emit<M: Method<B>>(
        &mut self,
        run: &mut Session<'_, B, M>,
        event: impl Into<Option<Event>>,
    ) -> Result<(), TrainError> {
        if let Some(event) = event.into() {
            run.log(&event)?;
            self.reporter.event(&event);
        }
        Ok(())
    }

    /// Takes the bad steps back, so that the same command, perhaps with mended pictures, tries them again,
    /// and says why the run ends.
    fn give_up<M: Method<B>>(
        &mut self,
        run: &mut Session<'_, B, M>,
        last: String,
    ) -> Result<TrainError, TrainError> {
        let (step, count) = (run.progress.step, run.progress.bad_in_a_row);
        self.emit(run, Event::End { step, reason: Reason::TooManyBadSteps, files: Vec::new() })?;
        run.take_back(self.passes.backend, count)?;
        Ok(match run.find_damaged_weights() {
            Some(source) => TrainError::DamagedModel { step, count, source },
            None => TrainError::BadSteps { step, count, last },
        })
    }
}
