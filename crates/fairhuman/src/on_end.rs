//! The command that a recipe has run when training ends.

use std::process::{Command, Stdio};

use fairhuman_train::recipe::Recipe;
use fairhuman_train::train::Summary;

/// Runs the recipe's command and waits for it. A command that fails is told, and nothing else: training has
/// ended as it has.
pub fn run(recipe: &Recipe, status: &str, step: u64) {
    let Some((program, arguments)) = recipe.on_end.as_ref().and_then(|end| end.command.split_first()) else {
        return;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.env("RUN", &recipe.out).env("STATUS", status).env("STEP", step.to_string());
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => errln!("note: on_end: {program} ended with {status}"),
        Err(error) => errln!("note: on_end: {program}: {error}"),
    }
}

/// The word for the end of a command that trained.
pub fn status(summary: &Summary) -> &'static str {
    use fairhuman_train::events::Reason;
    match summary.reason {
        Reason::Done => "done",
        Reason::Stopped => "stopped",
        Reason::TooManyBadSteps => "failed",
    }
}
