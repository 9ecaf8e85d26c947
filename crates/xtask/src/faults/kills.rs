//! SIGKILL at any moment: the same command goes on, and ends with the same bits.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::scene::Scene;
use super::{Count, Random};

pub(super) fn run(scene: &Scene, random: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let mut count = Count::new("SIGKILL at a random moment: survived, the finished run bit for bit the same");
    // The time that a run takes, as the range of moments.
    let start = Instant::now();
    scene.train("timed")?.expect(0)?;
    let whole = start.elapsed().as_millis() as usize;
    let mut kills = 0;
    while kills < times {
        scene.remove("killed")?;
        let mut here = 0;
        // A run is killed several times before it may end.
        while here < 5 && kills < times {
            let mut child = scene
                .command(&["train", "recipe.toml", "--out", "killed"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            std::thread::sleep(Duration::from_millis(random.below(whole) as u64));
            if child.try_wait()?.is_some() {
                break;
            }
            child.kill()?;
            child.wait()?;
            here += 1;
            kills += 1;
        }
        if here == 0 {
            continue;
        }
        let outcome = scene
            .train("killed")
            .and_then(|ended| ended.expect(0))
            .and_then(|()| scene.expect_same("killed"));
        let failed = outcome.as_ref().err().map(|error| format!("{error:#}"));
        for _ in 0..here {
            count.add("killed", failed.as_ref().map_or(Ok(()), |error| Err(anyhow::anyhow!("{error}"))));
        }
    }
    Ok(vec![count])
}
