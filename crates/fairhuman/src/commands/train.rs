//! `fairhuman train`: a recipe to a LoRA file.

use std::process::ExitCode;

use anyhow::Context;
use fairhuman_engine::Cpu;
use fairhuman_train::events::Reason;
use fairhuman_train::recipe::Recipe;
use fairhuman_train::train::{Surroundings, train};

use crate::cli::Train;
use crate::interrupt::{self, INTERRUPTED};
use crate::progress::Screen;
use crate::{clock, units};

/// Trains, and says where things are.
pub fn run(options: &Train) -> anyhow::Result<ExitCode> {
    let mut recipe = Recipe::read(&options.recipe)?;
    if let Some(out) = &options.out {
        recipe.move_to(out);
    }
    recipe.threads = options.threads.unwrap_or(recipe.threads);
    println!("{}", recipe.to_toml());
    let backend = Cpu::new(recipe.threads).context("cannot start the threads")?;
    let stop = interrupt::flag()?;
    let clock = clock::start();
    let mut screen = Screen::new();
    let around = Surroundings {
        clock: &clock,
        stop: &stop,
        reporter: &mut screen,
        observer: None,
        until: options.steps,
        record: options.record,
    };
    let summary = train(&backend, &recipe, around)?;
    let folder = recipe.out.display();
    let time = units::duration(clock());
    match summary.reason {
        Reason::Stopped => {
            println!("saved after step {} in {folder} ({time}); the same command goes on", summary.step)
        }
        _ => println!("{} steps done in {folder} ({time})", summary.step),
    }
    for file in &summary.files {
        println!("  {}", recipe.out.join(file).display());
    }
    Ok(if summary.reason == Reason::Stopped { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}
