//! The state of a run between steps: opened anew or from its last checkpoint, saved, looked at, exported.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::weights::{WeightError, WeightFiles};
use fairhuman_engine::Backend;

use crate::aggregate::{Direction, Position};
use crate::checkpoint::{self, Identity, Progress, Saved};
use crate::data::{Data, DataError, Preparing, StepData, Variant};
use crate::error::TrainError;
use crate::events::{Event, Resumed, Start, Validation, VariantLosses};
use crate::file_hashes::FileHashes;
use crate::fingerprint;
use crate::folder::{self, RunFolder};
use crate::gradient::Gradients;
use crate::group::agreement::{self, Facts};
use crate::group::{Group, ShardedGroup};
use crate::held_out::{self, HeldOut, Losses};
use crate::method::{Method, Setup};
use crate::model::Model;
use crate::module::PassContext;
use crate::optimizer::Moments;
use crate::previews::Previews;
use crate::recipe::{Recipe, other_device};
use crate::record;
use crate::requests::Request;
use crate::size;
use crate::start;
use crate::step::look_back;

/// A run between two steps.
pub struct Session<'a, B: Backend, M: Method<B>> {
    recipe: &'a Recipe,
    settings: &'a M::Settings,
    setup: Setup<'a, B>,
    /// Pictures and captions.
    pub data: Data<'a, B, M::Source>,
    /// Network and trained values.
    pub model: Model<B, M>,
    /// AdamW's state.
    pub moments: Moments<B>,
    /// The processes that take its steps.
    pub processes: ShardedGroup<'a, B>,
    /// The position of the run.
    pub progress: Progress,
    /// Its folder; none where another process of the group owns it.
    folder: Option<RunFolder>,
    /// Renders prompts, where the recipe has some.
    previews: Option<Previews<B>>,
    identity: Identity,
    /// The last checkpoint's step; none before the first.
    saved: Option<u64>,
    /// The log's content about the step after which the run goes on.
    pub resumed: Resumed,
    /// Notes about what was found in the run folder.
    notes: Vec<String>,
}

impl<'a, B: Backend, M: Method<B>> Session<'a, B, M> {
    /// Opens the run folder (if this process is rank 0 of the group), data and model; goes on from the newest
    /// checkpoint where there is one.
    ///
    /// # Errors
    /// Faults of recipe, data, model or checkpoint.
    pub fn open(
        backend: &'a B,
        recipe: &'a Recipe,
        settings: &'a M::Settings,
        group: &'a dyn Group<B>,
        preparing: Preparing<'_>,
    ) -> Result<Self, TrainError> {
        let owner = group.rank() == 0;
        let folder = ModelFolder::open(recipe.model.folder())?;
        start::check_apart(recipe, &folder, settings)?;
        let lock = if owner { Some(RunFolder::lock(&recipe.out)?) } else { None };
        let (saved, mut notes) = checkpoint::newest(&folder::checkpoints(&recipe.out))?;
        if owner && saved.is_none() {
            folder::ensure_new(recipe)?;
        }
        start::check_recipe(recipe, saved.as_ref())?;
        let model = check_model(recipe, saved.as_ref(), &mut notes)?;
        notes.extend(saved.as_ref().and_then(|saved| moved(recipe, saved)));
        notes.extend(saved.as_ref().and_then(|saved| begun_already(recipe, saved)));
        let setup = Setup::of(backend, folder, recipe);
        let source = |dataset: &_| M::source(&setup, settings, dataset, preparing);
        let data = Data::open(backend.exact(), recipe, source)?;
        let identity = Identity { recipe: recipe.to_toml(), dataset: data.fingerprint(), model };
        if saved.as_ref().is_some_and(|saved| saved.identity.dataset != identity.dataset) {
            return Err(TrainError::DatasetChanged { path: recipe.out.clone() });
        }
        preparing("reading the model", 0, 1)?;
        let mut model = Model::<B, M>::open(&setup, settings, recipe.ema)?;
        let previews =
            recipe.samples.as_ref().map(|samples| Previews::open(backend, recipe.model.folder(), samples));
        let previews = previews.transpose()?;
        let processes = ShardedGroup::new(group, &model.params, recipe.objective.len());
        let (moments, progress) = match &saved {
            Some(saved) => (
                {
                    let Model { params, averages, .. } = &mut model;
                    saved.restore(backend, params, averages.as_mut(), &processes)?
                },
                saved.progress.clone(),
            ),
            None => (Moments::new(backend, &model.params, &processes), Progress::default()),
        };
        let open = |lock| RunFolder::open(&recipe.out, lock, recipe, progress.step);
        let (folder, resumed) = lock.map(open).transpose()?.unzip();
        let resumed = resumed.unwrap_or_default();
        if !resumed.damaged.is_empty() {
            let lines: Vec<String> = resumed.damaged.iter().map(usize::to_string).collect();
            notes.push(format!("events.jsonl: damaged lines, left out, by number: {}", lines.join(", ")));
        }
        if resumed.irregular > 0 {
            notes.push(format!(
                "events.jsonl: the steps before {} are not all there, each once: in {} places lines are missing, or \
                 doubled ones were left out; training is not changed by that, curves of the report are",
                progress.step + 1,
                resumed.irregular
            ));
        }
        notes.extend(size::note(&setup.model, &recipe.geometry));
        let saved = saved.map(|saved| saved.progress.step);
        Ok(Self {
            recipe,
            settings,
            setup,
            data,
            model,
            moments,
            processes,
            progress,
            folder,
            previews,
            identity,
            saved,
            resumed,
            notes,
        })
    }

    /// Compares this process with the others of its group before the first step.
    ///
    /// # Errors
    /// A process of another run; one that cannot be reached.
    pub fn agree(&mut self, backend: &B) -> Result<(), TrainError> {
        let (group, step) = (self.processes.group(), self.progress.step);
        if group.size() > 1 {
            let Identity { recipe, dataset, model } = self.identity.clone();
            let values = agreement::digest(backend, &self.model.params).to_string();
            let checkpoint = if step == 0 { "none".to_owned() } else { format!("step {step}") };
            agreement::check_facts(group, &Facts { recipe, dataset, model, checkpoint, values })?;
            // Rank 0 alone has the log.
            [self.resumed.validated] = agreement::any(group, [self.resumed.validated], step)?;
        }
        Ok(())
    }

    /// The event that begins a command.
    pub fn start(&self, until: u64, machine: &str) -> Event {
        Event::Start(Start {
            step: self.progress.step,
            until,
            objectives: self.recipe.objective.iter().map(|o| o.name.clone()).collect(),
            training_samples: self.data.training_samples(),
            held_out: self.data.held_out(),
            trained_values: self.model.params.values(),
            truncated_captions: self.data.truncated_captions(),
            first_losses: self.resumed.first_losses.clone(),
            notes: [self.notes.clone(), self.recipe.notes_until(until), self.data.notes()].concat(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine: machine.to_owned(),
        })
    }

    /// Saves a checkpoint, unless this state is saved already or not a step is done, and deletes those beyond
    /// the recipe's number.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn save(&mut self, backend: &B) -> Result<Option<Event>, TrainError> {
        let written = self.write(backend)?;
        if self.folder.is_none() {
            return Ok(None);
        }
        checkpoint::prune(&folder::checkpoints(&self.recipe.out), self.recipe.checkpoints.keep)?;
        Ok(written)
    }

    /// Goes back by `count` steps that changed nothing: their checkpoint is written, later ones are deleted.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn take_back(&mut self, backend: &B, count: u64) -> Result<(), TrainError> {
        self.progress.step = self.progress.step.saturating_sub(count);
        self.progress.bad_in_a_row = 0;
        self.write(backend)?;
        if self.folder.is_none() {
            return Ok(());
        }
        let folder = folder::checkpoints(&self.recipe.out);
        checkpoint::delete_after(&folder, self.progress.step)?;
        checkpoint::prune(&folder, self.recipe.checkpoints.keep)?;
        Ok(())
    }

    fn write(&mut self, backend: &B) -> Result<Option<Event>, TrainError> {
        let step = self.progress.step;
        if step == 0 || self.saved == Some(step) {
            return Ok(None);
        }
        let Model { params, averages, .. } = &self.model;
        let moments = self.processes.gather_moments(backend, params, &self.moments);
        let moments = moments.map_err(|problem| TrainError::Group { step, problem })?;
        self.saved = Some(step);
        let (Some(run), Some(moments)) = (&self.folder, moments) else { return Ok(None) };
        run.sync()?;
        let folder = folder::checkpoints(&self.recipe.out);
        let (averages, progress, identity) = (averages.as_ref(), &self.progress, &self.identity);
        let saved = checkpoint::save(backend, &folder, params, averages, &moments, progress, identity);
        // What could not be written may be tried again.
        let path = saved.inspect_err(|_| self.saved = None)?;
        Ok(Some(Event::Checkpoint { step, file: run.relative(&path) }))
    }

    /// True if a request has come from another process since this was last asked.
    pub fn is_asked(&self, request: Request) -> bool {
        self.folder.as_ref().is_some_and(|folder| request.take(folder.path()))
    }

    /// True if there are held-out pictures.
    pub fn validates(&self) -> bool {
        self.data.validates()
    }

    /// The held-out losses of the network as it is, or of its averages, each process those of its own
    /// batches; none without held-out pictures, and where any process is told to stop.
    ///
    /// # Errors
    /// Files that cannot be read, a network that cannot take the data.
    pub fn validate(
        &mut self,
        context: &PassContext<'_, B>,
        stop: &AtomicBool,
    ) -> Result<Option<Event>, TrainError> {
        if !self.validates() {
            return Ok(None);
        }
        let start = (context.clock)();
        let Some(plain) = self.held_out_losses(context, Variant::Plain, stop)? else {
            return Ok(None);
        };
        let Losses { losses, present, background, pictures } = plain;
        let mut variants = Vec::new();
        for variant in self.data.variants().collect::<Vec<_>>() {
            let Some(other) = self.held_out_losses(context, variant, stop)? else { return Ok(None) };
            variants.push(VariantLosses { name: variant.name().into(), losses: other.losses });
        }
        let measures = self.model.network.measures(context.backend, &self.model.eval_params());
        let measures = measures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (step, seconds) = (self.progress.step, (context.clock)() - start);
        Ok(Some(Event::Validation(Validation {
            step,
            losses,
            present,
            background,
            pictures,
            seconds,
            variants,
            measures,
        })))
    }

    /// The held-out losses of one kind of inputs; none where it is told to stop.
    fn held_out_losses(
        &mut self,
        context: &PassContext<'_, B>,
        variant: Variant,
        stop: &AtomicBool,
    ) -> Result<Option<Losses>, TrainError> {
        let (network, params) = (&self.model.network, self.model.eval_params());
        let pictures = self.recipe.validation.pictures && variant == Variant::Plain;
        let sums = HeldOut::new(&self.recipe.objective, pictures);
        let (group, batch) = (self.processes.group(), self.recipe.batch);
        let mut own = Vec::new();
        let dealt = |number: usize| number % group.size() == group.rank();
        let looked = self.data.validate(batch, variant, dealt, &mut |number, batch| {
            if stop.load(Ordering::SeqCst) {
                return Err(DataError::Stopped);
            }
            let measured = sums.measure(context.backend, network, &params, batch);
            own.push((number, measured.map_err(DataError::Problem)?));
            Ok(())
        });
        let own = match looked {
            Err(DataError::Stopped) => None,
            looked => looked.map(|()| Some(own))?,
        };
        let places = self.data.held_out_batches(batch);
        let names = |number: usize| self.data.held_out_names(&places[number]);
        let all = held_out::gather(group, own, sums.objectives().len(), places.len(), names);
        let step = self.progress.step;
        Ok(all.map_err(|problem| TrainError::Group { step, problem })?.map(|all| sums.of(all)))
    }

    /// Renders the recipe's prompts by the network as it is, or by its averages; none without `[samples]`,
    /// where it is told to stop, and in processes that do not own the run folder.
    ///
    /// # Errors
    /// See [`Previews::render`].
    pub fn render_previews(
        &self,
        context: &PassContext<'_, B>,
        stop: &AtomicBool,
    ) -> Result<Option<Event>, TrainError> {
        let (Some(previews), Some(folder)) = (&self.previews, &self.folder) else { return Ok(None) };
        let (start, step) = ((context.clock)(), self.progress.step);
        let trained = (&self.model.network, &*self.model.eval_params());
        let files = previews.render(context.backend, trained, folder.path(), step, stop)?;
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let files = files.iter().map(|path| folder.relative(path)).collect();
        Ok(Some(Event::Samples { step, files, seconds: (context.clock)() - start }))
    }

    /// Writes what was learnt for other programs; paths relative to the run folder.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn export(&self) -> Result<Vec<PathBuf>, TrainError> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let params = self.model.eval_params();
        let files = self.model.network.export(&self.setup, self.settings, &params, &self.data)?;
        Ok(files.iter().map(|path| folder.relative(path)).collect())
    }

    /// Shows the weighting the losses of the step that was just taken again, with the new values, if it asks
    /// for them.
    ///
    /// # Errors
    /// A step that no other could be made after. Losses that the weighting cannot use leave its memory as it
    /// is: where they are not finite the next step says so.
    pub fn look_back(
        &mut self,
        context: &PassContext<'_, B>,
        data: &StepData<M::Inputs>,
        gradients: &Gradients<B>,
    ) -> Result<(), TrainError> {
        if !self.recipe.weighting.looks_back() || gradients.present.iter().all(|&lanes| lanes == 0) {
            return Ok(());
        }
        let (step, network) = (self.progress.step, (&self.model.network, &self.model.params));
        let position = Position { seed: self.recipe.seed, step, state: &self.progress.weighting };
        let (plan, batches) = (self.recipe.plan(), (&data.batches[..], data.first));
        match look_back(context, &self.processes, network, plan, batches, (gradients, position)) {
            Ok(state) => self.progress.weighting = state,
            Err(error) if error.is_fatal() => return Err(TrainError::of_step(step, &error)),
            Err(_) => {}
        }
        Ok(())
    }

    /// Writes the step in progress as files, see [`record::write`].
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn record(
        &self,
        data: &StepData<M::Inputs>,
        learning_rate: f64,
        found: (&Gradients<B>, &Direction<B>),
        clip: f64,
    ) -> Result<(), TrainError> {
        let (backend, step) = (self.setup.backend, self.progress.step + 1);
        let trained = (&self.model, self.settings);
        let at = (step, &self.progress.weighting);
        record::write(backend, self.recipe, trained, at, &data.whole()?, found, (learning_rate, clip))
    }

    /// The first of the model's weights that is no finite number: for steps that cannot be made. Reads all of
    /// them.
    pub fn find_damaged_weights(&self) -> Option<WeightError> {
        let model = &self.setup.model;
        let texts = model.texts().into_iter().map(|(_, encoder, _)| encoder);
        let mut folders = [model.vae(), model.unet()].into_iter().chain(texts);
        folders.find_map(|folder| WeightFiles::open(&folder).ok()?.find_not_finite())
    }

    /// Writes an event to the log.
    ///
    /// # Errors
    /// The system's error.
    pub fn log(&mut self, event: &Event) -> Result<(), TrainError> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.write(event))
    }

    /// Waits until all events are on the disk.
    ///
    /// # Errors
    /// The system's error.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.folder.as_ref().map_or(Ok(()), RunFolder::sync)
    }
}

/// Compares the model with that of a checkpoint before the long work of opening the data; returns its
/// fingerprint.
fn check_model(
    recipe: &Recipe,
    saved: Option<&Saved>,
    notes: &mut Vec<String>,
) -> Result<String, TrainError> {
    let mut hashes = FileHashes::open(&recipe.cache);
    notes.extend(hashes.note());
    let model = fingerprint::of_model(recipe.model.folder(), &mut hashes)?;
    if saved.is_some_and(|saved| saved.identity.model != model) {
        let (path, model) = (recipe.out.clone(), recipe.model.path.clone());
        return Err(TrainError::ModelChanged { path, model });
    }
    Ok(model)
}

/// A note where a run that goes on is given another LoRA to begin with.
fn begun_already(recipe: &Recipe, saved: &Saved) -> Option<String> {
    let from = |recipe: &str| -> Option<String> {
        Some(recipe.parse::<toml::Table>().ok()?.get("lora")?.get("from")?.as_str()?.to_owned())
    };
    let now = from(&recipe.to_toml())?;
    let is_other = from(&saved.identity.recipe).as_ref() != Some(&now);
    is_other.then(|| format!("lora.from: {now} changes nothing: this run goes on with what it has learnt"))
}

/// A note where a run goes on with another device than before.
fn moved(recipe: &Recipe, saved: &Saved) -> Option<String> {
    let before = other_device(&saved.identity.recipe, recipe.device)?;
    let (step, now) = (saved.progress.step, recipe.device);
    Some(format!(
        "device: {before} up to step {step}, {now} from then on: the steps' bits are not those of one device"
    ))
}
