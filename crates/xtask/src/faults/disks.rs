//! Full disks and bounded files: an error that names the file, nothing half-written, and after room was made
//! the same command goes on.

use std::process::Command;
use std::time::Duration;

use anyhow::ensure;

use super::scene::Scene;
use super::{Count, Random, child};

const LIMIT: Duration = Duration::from_secs(120);

pub(super) fn run(scene: &Scene, random: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let mut bounded = Count::new("files bounded (RLIMIT_FSIZE): told, resumed to the same bits");
    let mut full = Count::new("disk full: told, resumed to the same bits");
    for i in 0..times {
        // From too little for the first event to too little for a checkpoint or the LoRA file, in KiB.
        let room = 1 + random.below(if i % 2 == 0 { 24 } else { 400 });
        bounded.add(&format!("{room} KiB"), limited(scene, room));
    }
    if !can_mount() {
        full.note = Some(
            "not tried: a file system of bounded size can be mounted neither by this user nor in a \
                          user namespace (unshare -rm)"
                .into(),
        );
        return Ok(vec![bounded, full]);
    }
    for _ in 0..times {
        let room = 40 + random.below(2000);
        full.add(&format!("{room} KiB"), filled(scene, room));
    }
    Ok(vec![bounded, full])
}

/// The shell command of a training in the scene's folder.
fn training(scene: &Scene, out: &str) -> String {
    format!("exec '{}' train recipe.toml --out {out}", scene.binary.display())
}

fn limited(scene: &Scene, kib: usize) -> anyhow::Result<()> {
    scene.remove("bounded")?;
    // bash counts in KiB.
    let script = format!("ulimit -f {kib}; {}", training(scene, "bounded"));
    let ended = child::run(shell(scene).args(["-c", &script]), &scene.panics, LIMIT)?;
    if !ended.status.success() {
        ended.expect(1)?;
        ended.expect_said("File too large")?;
    }
    scene.train("bounded")?.expect(0)?;
    scene.expect_same("bounded")
}

fn shell(scene: &Scene) -> Command {
    let mut command = Command::new("bash");
    command.current_dir(scene.path("")).env("XDG_CACHE_HOME", scene.path("user-cache"));
    command
}

fn can_mount() -> bool {
    let mount = "mount -t tmpfs -o size=64k tmpfs /mnt";
    Command::new("unshare")
        .args(["-rm", "sh", "-c", mount])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Trains on a file system of `kib`, copies what is there out of it, and goes on.
fn filled(scene: &Scene, kib: usize) -> anyhow::Result<()> {
    scene.remove("full")?;
    std::fs::create_dir(scene.path("full"))?;
    std::fs::create_dir_all(scene.path("small"))?;
    let script = format!(
        "mount -t tmpfs -o size={kib}k tmpfs small || exit 99
         ({}); code=$?
         cp -a small/run/. full/ 2>/dev/null
         exit $code",
        training(scene, "small/run")
    );
    let mut command = Command::new("unshare");
    command.args(["-rm", "bash", "-c", &script]).current_dir(scene.path(""));
    let ended = child::run(command.env("XDG_CACHE_HOME", scene.path("user-cache")), &scene.panics, LIMIT)?;
    if !ended.status.success() {
        ended.expect(1)?;
        ensure!(
            ended.said.contains("No space left") && ended.said.contains("small"),
            "it does not say which file has no room: {}",
            ended.said
        );
    }
    scene.train("full")?.expect(0)?;
    scene.expect_same("full")
}
