//! The `fairhuman` command: parse, run, exit code. The only crate that prints, reads the clock or hears
//! Ctrl-C.

#[macro_use]
mod output;

mod activations;
mod bfloat16;
mod cache;
mod cli;
mod clock;
mod commands;
mod device;
mod disk;
mod hub;
mod interrupt;
mod libtorch;
mod machine;
mod memory;
mod meter;
mod model_path;
mod on_end;
mod processes;
mod profile;
mod progress;
mod signals;
mod tensorboard;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use fairhuman_engine::OutOfMemory;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    signals::prefer_errors();
    let cli = Cli::parse_from(arguments(std::env::args_os()));
    libtorch::look_in(cli.libtorch);
    if let Err(error) = interrupt::listen() {
        errln!("note: {error:#}");
    }
    // Training is worth finishing although nobody watches; its results are files.
    let prints_results = !matches!(cli.command, Command::Train(_) | Command::Quickstart(_));
    if processes::are_copies(&cli.command) {
        return ExitCode::FAILURE;
    }
    let result = OutOfMemory::catch(|| match cli.command {
        Command::Quickstart(options) => commands::quickstart::run(&options),
        Command::Train(options) => commands::train::run(&options),
        Command::Annotate(options) => commands::annotate::run(&options),
        Command::Caption(options) => commands::caption::run(&options),
        Command::Edit(options) => commands::edit::run(&options),
        Command::Init(options) => commands::init::run(&options),
        Command::Check(options) => commands::check::run(&options),
        Command::Control(options) => commands::control::run(&options),
        Command::Refine(options) => commands::refine::run(&options),
        Command::Evaluate(options) => commands::evaluate::run(&options),
        Command::Sample(options) => commands::sample::run(&options),
        Command::Merge(options) => commands::merge::run(&options),
        Command::Convert(options) => commands::convert::run(&options),
        Command::Report(options) => commands::report::run(&options),
        Command::Watch(options) => commands::watch::run(&options),
        Command::Replay(options) => commands::replay::run(&options),
        Command::People(options) => commands::people::run(&options),
        Command::InitModel(options) => commands::init_model::run(&options),
        Command::InitControl(options) => commands::init_control::run(&options),
        Command::Models(options) => commands::models::run(&options),
        Command::Schema => commands::text::schema(),
        Command::Completions(options) => commands::text::completions(&options),
        Command::Man(options) => commands::text::man(&options),
        Command::Version => commands::version::run(),
    });
    match (result.unwrap_or_else(|error| Err(error.into())), output::failure()) {
        (Ok(_), Some(problem)) if prints_results => {
            errln!("error: {problem}");
            ExitCode::FAILURE
        }
        (Ok(code), _) => code,
        (Err(error), _) => {
            errln!("error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The command line, in which `help --help` is `help`: clap takes the option for a command's name there.
fn arguments(all: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut all: Vec<OsString> = all.collect();
    if matches!(&all[..], [_, help, option] if help == "help" && (option == "--help" || option == "-h")) {
        all.pop();
    }
    all
}

/// An error and its causes, each once: a cause that its error already told is left out.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let start = if text.is_empty() { "" } else { "\n  because: " };
            text.push_str(&format!("{start}{cause}"));
        }
    }
    text
}
