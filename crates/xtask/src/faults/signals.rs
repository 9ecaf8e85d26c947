//! SIGINT, SIGTERM and SIGHUP at any moment: the step is finished and saved, exit 130, and the same command
//! goes on.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::child::send;
use super::scene::Scene;
use super::{Count, Random};

const SIGNALS: [(&str, i32); 3] =
    [("SIGINT", libc::SIGINT), ("SIGTERM", libc::SIGTERM), ("SIGHUP", libc::SIGHUP)];

pub(super) fn run(scene: &Scene, random: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let mut count = Count::new(
        "SIGINT, SIGTERM, SIGHUP while it trains: no step lost, exit 130, resumed to the same bits",
    );
    for i in 0..times {
        let (name, signal) = SIGNALS[i % SIGNALS.len()];
        let step = 1 + random.below(50) as u64;
        count.add(&format!("{name} after step {step}"), one(scene, signal, step));
    }
    Ok(vec![count])
}

fn one(scene: &Scene, signal: i32, step: u64) -> anyhow::Result<()> {
    scene.remove("told")?;
    let mut child = scene
        .command(&["train", "recipe.toml", "--out", "told"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    while scene.logged_steps("told") < step && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    send(&child, signal)?;
    let status = child.wait()?;
    scene.panics.check(status, "")?;
    let (logged, saved) = (scene.logged_steps("told"), scene.saved_step("told")?);
    // A run that was quicker than the signal is whole.
    let code = if logged == 60 && status.success() { 0 } else { 130 };
    ensure!(status.code() == Some(code), "expected exit {code}, found {status}");
    ensure!(logged == saved, "step {logged} was done, the checkpoint is of step {saved}");
    scene.train("told")?.expect(0)?;
    scene.expect_same("told")
}
