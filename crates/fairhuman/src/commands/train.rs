//! `fairhuman train`: a recipe to a LoRA file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use fairhuman_engine::Backend;
use fairhuman_torch::Torch;
use fairhuman_train::error::TrainError;
use fairhuman_train::events::{Event, Reason};
use fairhuman_train::folder;
use fairhuman_train::group::Group;
use fairhuman_train::method::MethodSettings;
use fairhuman_train::recipe::{Device, Recipe, Validation};
use fairhuman_train::start;
use fairhuman_train::timing::step_seconds;
use fairhuman_train::train::{Environment, Reporter, Summary, train};

use crate::cli::Train;
use crate::commands::init::nothing_held_out;
use crate::commands::watch;
use crate::device::{self, Resources, Work};
use crate::interrupt::{self, INTERRUPTED};
use crate::memory::{self, Memory};
use crate::processes::{self, Crew};
use crate::profile::{Profile, StepTimes};
use crate::progress::Screen;
use crate::tensorboard::TensorBoard;
use crate::{clock, disk, machine, model_path, on_end, units};

/// Trains, alone or in several processes, and says where things are.
pub fn run(options: &Train) -> anyhow::Result<ExitCode> {
    let alone_only = options.dry_run.then_some("--dry-run");
    processes::run(&options.several, alone_only, |crew| run_in(crew, options))
}

fn run_in(crew: &Crew, options: &Train) -> anyhow::Result<ExitCode> {
    let mut recipe = Recipe::read(&options.recipe)?;
    if let Some(out) = &options.out {
        recipe.move_to(out)?;
    }
    crew.in_turn(|| model_path::settle(&mut recipe, &options.recipe))?;
    recipe.threads = options.threads.unwrap_or(recipe.threads);
    recipe.device = options.device.unwrap_or(recipe.device);
    recipe.precision = options.precision.or(recipe.precision);
    folder::ensure_apart_of_recipe(&recipe, &options.recipe)?;
    crew.settle(&mut recipe)?;
    let memory = crew.share_of(Memory::of(recipe.device), recipe.device);
    memory::settle_gradients(&mut recipe, memory);
    match options.verbose {
        true => outln!("{}", recipe.to_toml()),
        false => outln!("{}", in_short(&recipe)),
    }
    let Recipe { threads, precision, .. } = recipe;
    let resources = Resources { threads, precision, ..Resources::default() };
    if options.dry_run {
        outln!("{}", memory::table(&recipe, memory)?);
        return dry_run(&recipe, memory, resources);
    }
    memory::check(&recipe, memory)?;
    if let Ok(Some(warning)) = disk::warning(&recipe, 0)
        && crew.is_first()
    {
        errln!("warning: {warning}");
    }
    if options.watch && crew.is_first() {
        watch::beside(recipe.out.clone(), None)?;
    }
    let stop = interrupt::flag();
    device::run(recipe.device, resources, Training { recipe: &recipe, options, stop: &stop, crew })
}

/// Checks the start, and times a step where there is the memory for one.
fn dry_run(recipe: &Recipe, memory: Option<Memory>, resources: Resources) -> anyhow::Result<ExitCode> {
    let problems = start::problems(recipe);
    problems.iter().for_each(|problem| errln!("error: {problem}"));
    if !problems.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if memory::is_short(recipe, memory) {
        errln!("note: a step is not timed: there is not the memory for it");
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = device::run(recipe.device, resources, Timing { recipe })?;
    let all = units::duration(seconds * recipe.steps as f64);
    let steps = units::count(recipe.steps, "step");
    outln!(
        "a step takes {} s here; {steps} about {all}, without validation and pictures",
        units::short(seconds)
    );
    Ok(ExitCode::SUCCESS)
}

/// A step that is timed.
struct Timing<'a> {
    recipe: &'a Recipe,
}

impl Work for Timing<'_> {
    type Output = f64;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<f64> {
        let (clock, mut screen) = (clock::start(), Screen::new());
        let folder = tempfile::tempdir().context("a temporary folder")?;
        errln!("measuring the time of a step: two are made, and nothing of them is kept");
        let seconds = step_seconds(backend, self.recipe, &clock, folder.path(), &mut |what, done, total| {
            screen.preparing(what, done, total);
            Ok(())
        });
        Ok(seconds?)
    }
}

/// The recipe in three lines.
fn in_short(recipe: &Recipe) -> String {
    let names: Vec<&str> = recipe.objective.iter().map(|objective| objective.name.as_str()).collect();
    let what = match &recipe.method {
        MethodSettings::Lora(lora) => format!("a LoRA of rank {}", lora.rank),
        method => method.name().to_owned(),
    };
    let (width, height) = (recipe.geometry.width, recipe.geometry.height);
    let weights =
        if names.len() > 1 { format!(", {} weights", recipe.weighting.label()) } else { String::new() };
    let Validation { share, samples, .. } = &recipe.validation;
    let is_held_out =
        share.is_some_and(|share| share > 0.0) || samples.as_ref().is_some_and(|list| !list.is_empty());
    let held_out = match is_held_out {
        true => String::new(),
        false => format!("\n{}", nothing_held_out()),
    };
    let end = recipe.on_end.as_ref().map(|end| format!("\nwhen it ends: {}", end.command.join(" ")));
    let end = end.unwrap_or_default();
    format!(
        "{what} of {}\n{}{weights}; {width} x {height} pixels, {} steps of {}, rate {}{held_out}{end}",
        model_path::in_words(&recipe.model),
        names.join(", "),
        recipe.steps,
        recipe.batch * recipe.accumulation,
        units::short(recipe.optimizer.learning_rate)
    )
}

struct Training<'a> {
    recipe: &'a Recipe,
    options: &'a Train,
    stop: &'a AtomicBool,
    crew: &'a Crew,
}

impl Work for Training<'_> {
    type Output = ExitCode;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<ExitCode> {
        let group = self.crew.group();
        run_on(backend, self.recipe, self.options, self.stop, group)
    }

    fn on_torch(self, torch: &Torch) -> anyhow::Result<ExitCode> {
        match self.crew.cards(self.recipe.device)? {
            Some(cards) => run_on(torch, self.recipe, self.options, self.stop, &cards),
            None => self.on(torch),
        }
    }
}

fn run_on<B: Backend>(
    backend: &B,
    recipe: &Recipe,
    options: &Train,
    stop: &AtomicBool,
    group: &dyn Group<B>,
) -> anyhow::Result<ExitCode> {
    let clock = clock::start();
    let extent = Extent {
        until: options.steps,
        record: options.record,
        profile: options.profile,
        names_recipe: !options.verbose,
    };
    let trained = shown_on_screen(backend, recipe, stop, extent, group);
    match &trained {
        _ if group.rank() > 0 => {}
        Ok(summary) => on_end::run(recipe, on_end::status(summary), summary.step),
        // The run has not ended: another process is at it, and would be ended by a command that turns the
        // machine off.
        Err(error) if matches!(error.downcast_ref(), Some(TrainError::InUse { .. })) => {}
        Err(_) => on_end::run(recipe, "failed", folder::last_step(&recipe.out)),
    }
    let summary = trained?;
    let place = recipe.out.display();
    let time = units::duration(clock());
    match summary.reason {
        Reason::Stopped if summary.step == 0 => {
            outln!("stopped before a step was made ({time}); the same command goes on")
        }
        Reason::Stopped => {
            outln!("saved after step {} in {place} ({time}); the same command goes on", summary.step)
        }
        Reason::Done if summary.step < recipe.steps => outln!(
            "{} of {} steps done in {place} ({time}); the same command without --steps goes on",
            summary.step,
            recipe.steps
        ),
        _ => outln!("{} done in {place} ({time})", units::count(summary.step, "step")),
    }
    if let Some(step) = options.record.filter(|&step| step <= summary.step) {
        let recorded = folder::record(&recipe.out, step);
        outln!("  {}: for fairhuman replay", recorded.display());
    }
    for file in &summary.files {
        outln!("  {}", recipe.out.join(file).display());
    }
    if let Some(next) = next(recipe, &summary.files).filter(|_| summary.reason != Reason::Stopped) {
        errln!("next: {next}");
    }
    Ok(if summary.reason == Reason::Stopped { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

/// Commands that show what was learnt, one a line.
fn next(recipe: &Recipe, files: &[PathBuf]) -> Option<String> {
    let file = recipe.out.join(files.first()?);
    let (model, file) = (model_path::as_options(&recipe.model), file.display());
    let networks = match &recipe.method {
        MethodSettings::Lora(_) => format!("{model} --lora {file}"),
        MethodSettings::Full(_) | MethodSettings::Vae(_) => format!("--model {file}"),
        _ => return None,
    };
    Some(format!(
        "fairhuman sample {networks} --prompt \"...\" --out pictures\n      fairhuman report {}",
        recipe.out.display()
    ))
}

/// The screen, the log for TensorBoard where the recipe asks for one, and the times of steps.
struct Watched<'a> {
    screen: Screen,
    tensorboard: Option<TensorBoard>,
    /// False in all processes but the first.
    is_first: bool,
    steps: Option<StepTimes<'a>>,
    /// The resolved recipe, until it is named.
    recipe: Option<PathBuf>,
}

impl Reporter for Watched<'_> {
    fn event(&mut self, event: &Event) {
        if !self.is_first {
            return;
        }
        self.screen.event(event);
        // The run is open, and the file is there.
        if let Some(path) = self.recipe.take() {
            let text = format!("the recipe with every default is {}", path.display());
            self.screen.event(&Event::Note { step: event.step(), text });
        }
        if let (Some(steps), Event::Step(step)) = (&mut self.steps, event) {
            steps.add(&step.seconds);
        }
        if let Some(tensorboard) = &mut self.tensorboard {
            tensorboard.event(event);
            if let Some(text) = tensorboard.take_problem() {
                self.screen.event(&Event::Note { step: event.step(), text });
            }
        }
    }

    fn preparing(&mut self, what: &str, done: usize, total: usize) {
        if self.is_first {
            self.screen.preparing(what, done, total);
        }
    }
}

/// The extent of a command, and what it tells.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extent {
    /// The last step, as in [`Environment`].
    pub until: Option<u64>,
    /// The step to record, as in [`Environment`].
    pub record: Option<u64>,
    /// Print where the time of the steps goes.
    pub profile: bool,
    /// Say where the resolved recipe is.
    pub names_recipe: bool,
}

/// Trains with its progress on the screen.
pub fn shown_on_screen<B: Backend>(
    backend: &B,
    recipe: &Recipe,
    stop: &AtomicBool,
    extent: Extent,
    group: &dyn Group<B>,
) -> anyhow::Result<Summary> {
    let clock = clock::start();
    let is_first = group.rank() == 0;
    let Extent { until, record, profile, names_recipe } = extent;
    let operations = Profile::default();
    let steps = profile.then(|| StepTimes::new(&operations));
    let tensorboard = (recipe.log.tensorboard && is_first).then(|| TensorBoard::new(recipe));
    let resolved = names_recipe.then(|| folder::recipe(&recipe.out));
    let mut screen = Watched { screen: Screen::new(), tensorboard, is_first, steps, recipe: resolved };
    let environment = Environment {
        clock: &clock,
        peak_memory: &machine::peak_memory_mib,
        machine: &device::description(recipe),
        stop,
        reporter: &mut screen,
        observer: profile.then_some(&operations),
        group,
        until,
        record,
    };
    let summary = train(backend, recipe, environment)?;
    if let Some(steps) = screen.steps {
        if recipe.device != Device::Cpu {
            errln!(
                "note: with --profile every operation is waited for, so that steps take longer than without"
            );
        }
        // The pool's threads are idle by now.
        match steps.table(|| backend.measure_peak(&clock)) {
            Some(table) => outln!("{table}"),
            None => errln!("note: --profile leaves out a command's first step, and there was no other"),
        }
    }
    Ok(summary)
}
