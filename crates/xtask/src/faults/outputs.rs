//! Outputs that are lost: a reader that left, a full disk behind them. Training goes on; other commands end
//! with a message and exit 1.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::scene::Scene;
use super::{Count, Random};

/// Commands that print something that somebody asked for.
const PRINTING: [&[&str]; 4] =
    [&["check", "recipe.toml", "--json"], &["check", "recipe.toml"], &["version"], &["models", "builtin"]];

pub(super) fn run(scene: &Scene, _: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let mut training =
        Count::new("screen lost while it trains (closed pipe, full disk): trained to the same bits");
    let mut printing = Count::new("output of another command lost: a message, exit 1");
    for _ in 0..times {
        training.add("closed pipe", train(scene, &closed_pipe));
        training.add("/dev/full", train(scene, &full));
        for arguments in PRINTING {
            for (name, output) in [("closed pipe", &closed_pipe as Output<'_>), ("/dev/full", &full)] {
                printing
                    .add(&format!("{} to a {name}", arguments.join(" ")), print(scene, arguments, output));
            }
        }
    }
    Ok(vec![training, printing])
}

type Output<'a> = &'a dyn Fn() -> anyhow::Result<Stdio>;

/// A pipe that nobody reads.
fn closed_pipe() -> anyhow::Result<Stdio> {
    let mut reader = Command::new("true").stdin(Stdio::piped()).spawn()?;
    let pipe = reader.stdin.take().context("no pipe")?;
    reader.wait()?;
    Ok(pipe.into())
}

fn full() -> anyhow::Result<Stdio> {
    Ok(OpenOptions::new().write(true).open("/dev/full")?.into())
}

fn train(scene: &Scene, output: Output<'_>) -> anyhow::Result<()> {
    scene.remove("unseen")?;
    let mut command = scene.command(&["train", "recipe.toml", "--out", "unseen"]);
    let status = command.stdin(Stdio::null()).stdout(output()?).stderr(output()?).status()?;
    scene.panics.check(status, "")?;
    ensure!(status.success(), "{status}");
    scene.expect_same("unseen")
}

/// Only stdout is lost: the message goes to stderr.
fn print(scene: &Scene, arguments: &[&str], output: Output<'_>) -> anyhow::Result<()> {
    let mut command = scene.command(arguments);
    let child = command.stdin(Stdio::null()).stdout(output()?).stderr(Stdio::piped()).spawn()?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    scene.panics.check(output.status, &said)?;
    ensure!(output.status.code() == Some(1), "expected exit 1, found {}", output.status);
    ensure!(said.contains("error: "), "no message: {said:?}");
    // The same with both lost: nothing can be said, but nothing may panic.
    let both = scene.command(arguments).stdin(Stdio::null()).stdout(full()?).stderr(full()?).status()?;
    scene.panics.check(both, "")?;
    Ok(())
}
