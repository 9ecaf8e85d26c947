//! Our side: the release build of `fairhuman` and its `replay`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::measurements::Measurement;

/// Settings of a replayed step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Variant {
    /// Activations recomputed.
    pub checkpointing: bool,
    /// The profile's table, too.
    pub profile: bool,
}

/// The given binary, or that of this source, which is built.
pub(crate) fn binary(given: Option<&Path>, root: &Path) -> anyhow::Result<PathBuf> {
    given.map_or_else(|| build(root), |given| Ok(given.to_owned()))
}

/// Builds the binary and says where it is.
fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["build", "--release", "-p", "fairhuman", "--message-format=json-render-diagnostics"];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(output.status.success(), "fairhuman does not build");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let binary = messages
        .filter(|m| m["target"]["name"] == "fairhuman")
        .filter_map(|m| Some(PathBuf::from(m["executable"].as_str()?)))
        .next_back();
    binary.context("cargo does not say where it put the fairhuman binary")
}

/// The folder of the built-in model, which the program unpacks if need be.
pub(crate) fn builtin_model(binary: &Path) -> anyhow::Result<PathBuf> {
    let said = run(Command::new(binary).args(["models", "builtin"]))?;
    Ok(PathBuf::from(said.trim_end()))
}

/// Makes a random model with `fairhuman init-model`.
pub(crate) fn init_model(binary: &Path, preset: &str, folder: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(binary);
    command.args(["init-model", "--preset", preset, "--out"]).arg(folder);
    run(&mut command)?;
    Ok(())
}

/// Replays the step in `inputs` `repeat` times. Returns the times, and what was printed before them.
pub(crate) fn replay(
    binary: &Path,
    model: &Path,
    inputs: &Path,
    outputs: &Path,
    (repeat, threads): (usize, usize),
    variant: Variant,
) -> anyhow::Result<(Measurement, String)> {
    let mut command = Command::new(binary);
    command.arg("replay").arg("--model").arg(model).arg("--inputs").arg(inputs).arg("--outputs").arg(outputs);
    command.args(["--repeat", &repeat.to_string(), "--threads", &threads.to_string()]);
    if variant.checkpointing {
        command.arg("--checkpointing");
    }
    if variant.profile {
        command.arg("--profile");
    }
    Measurement::from_output(&run(&mut command)?)
}

/// Runs a program to its end; what it says is shown if it fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {:?}", command.get_program()))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{command:?} failed ({}):\n{}", output.status, String::from_utf8_lossy(&said).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
