//! `fairhuman train`: a recipe to a LoRA file.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use fairhuman_engine::Backend;
use fairhuman_files::ensure_apart;
use fairhuman_train::events::Reason;
use fairhuman_train::folder;
use fairhuman_train::group::Single;
use fairhuman_train::method::MethodSettings;
use fairhuman_train::recipe::Recipe;
use fairhuman_train::train::{Environment, Summary, train};

use crate::cli::Train;
use crate::device::{self, Resources, Work};
use crate::interrupt::{self, INTERRUPTED};
use crate::memory::{self, Memory};
use crate::progress::Screen;
use crate::{clock, machine, model_path, units};

/// Trains, and says where things are.
pub fn run(options: &Train) -> anyhow::Result<ExitCode> {
    let mut recipe = Recipe::read(&options.recipe)?;
    if let Some(out) = &options.out {
        recipe.move_to(out)?;
    }
    model_path::settle(&mut recipe)?;
    recipe.threads = options.threads.unwrap_or(recipe.threads);
    recipe.device = options.device.unwrap_or(recipe.device);
    recipe.precision = options.precision.or(recipe.precision);
    ensure_apart(&folder::written(&recipe), &[("the recipe", &options.recipe)])?;
    let memory = Memory::of(recipe.device);
    memory::settle_gradients(&mut recipe, memory);
    match options.dry_run || options.verbose {
        true => outln!("{}", recipe.to_toml()),
        false => outln!("{}", in_short(&recipe)),
    }
    if options.dry_run {
        outln!("{}", memory::table(&recipe, memory)?);
        return Ok(ExitCode::SUCCESS);
    }
    memory::check(&recipe, memory)?;
    let stop = interrupt::flag();
    let Recipe { threads, precision, .. } = recipe;
    let resources = Resources { threads, precision, ..Resources::default() };
    device::run(recipe.device, resources, Training { recipe: &recipe, options, stop: &stop })
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
    format!(
        "{what} of {}\n{}{weights}; {width} x {height} pixels, {} steps of {}, rate {}\nthe recipe with every default: {}",
        recipe.model.path.display(),
        names.join(", "),
        recipe.steps,
        recipe.batch * recipe.accumulation,
        units::short(recipe.optimizer.learning_rate),
        recipe.out.join("recipe.toml").display()
    )
}

struct Training<'a> {
    recipe: &'a Recipe,
    options: &'a Train,
    stop: &'a AtomicBool,
}

impl Work for Training<'_> {
    type Output = ExitCode;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<ExitCode> {
        run_on(backend, self.recipe, self.options, self.stop)
    }
}

fn run_on(
    backend: &impl Backend,
    recipe: &Recipe,
    options: &Train,
    stop: &AtomicBool,
) -> anyhow::Result<ExitCode> {
    let clock = clock::start();
    let summary = shown_on_screen(backend, recipe, stop, options.steps, options.record)?;
    let place = recipe.out.display();
    let time = units::duration(clock());
    match summary.reason {
        Reason::Stopped if summary.step == 0 => {
            outln!("stopped before a step was made ({time}); the same command goes on")
        }
        Reason::Stopped => {
            outln!("saved after step {} in {place} ({time}); the same command goes on", summary.step)
        }
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

/// A command that shows what was learnt.
fn next(recipe: &Recipe, files: &[PathBuf]) -> Option<String> {
    let file = recipe.out.join(files.first()?);
    let (model, file) = (recipe.model.path.display(), file.display());
    let networks = match &recipe.method {
        MethodSettings::Lora(_) => format!("--model {model} --lora {file}"),
        MethodSettings::Full(_) | MethodSettings::Vae(_) => format!("--model {file}"),
        _ => return None,
    };
    Some(format!(
        "fairhuman sample {networks} --prompt \"...\" --out pictures; fairhuman report {}",
        recipe.out.display()
    ))
}

/// Trains until step `until` (none: the recipe's last) with its progress on the screen; `record` as in
/// [`Environment`].
pub fn shown_on_screen(
    backend: &impl Backend,
    recipe: &Recipe,
    stop: &AtomicBool,
    until: Option<u64>,
    record: Option<u64>,
) -> anyhow::Result<Summary> {
    let clock = clock::start();
    let mut screen = Screen::new();
    let environment = Environment {
        clock: &clock,
        peak_memory: &machine::peak_memory_mib,
        machine: &device::description(recipe),
        stop,
        reporter: &mut screen,
        observer: None,
        group: &Single,
        until,
        record,
    };
    Ok(train(backend, recipe, environment)?)
}
