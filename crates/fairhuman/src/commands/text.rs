//! `fairhuman schema`, `completions` and `man`: texts that are made from the recipe's and the command line's
//! definitions.

use std::process::ExitCode;

use anyhow::Context;
use clap::{Command, CommandFactory};
use fairhuman_train::recipe;

use crate::cli::{Cli, Completions, Man};

const NAME: &str = "fairhuman";

/// Prints the schema of recipes.
pub fn schema() -> anyhow::Result<ExitCode> {
    outln!("{}", serde_json::to_string_pretty(&recipe::schema())?);
    Ok(ExitCode::SUCCESS)
}

/// Prints a shell's script.
pub fn completions(options: &Completions) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), NAME, &mut script);
    out!("{}", String::from_utf8(script)?);
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages, and says where they are.
pub fn man(options: &Man) -> anyhow::Result<ExitCode> {
    fairhuman_files::make_folder(&options.out)
        .with_context(|| format!("cannot make the folder {}", options.out.display()))?;
    let mut command = Cli::command();
    command.build();
    let pages = write(&command, options)?;
    outln!("{pages} pages in {}", options.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands, and says how many they are.
fn write(command: &Command, options: &Man) -> anyhow::Result<usize> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page).context("cannot make a page")?;
    let name = command.get_display_name().unwrap_or(command.get_name());
    let file = options.out.join(format!("{name}.1"));
    fairhuman_files::write_atomically(&file, &page)
        .with_context(|| format!("cannot write {}", file.display()))?;
    let mut pages = 1;
    for subcommand in command.get_subcommands().filter(|command| command.get_name() != "help") {
        pages += write(subcommand, options)?;
    }
    Ok(pages)
}
