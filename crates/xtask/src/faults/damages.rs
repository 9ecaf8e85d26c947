//! Damaged checkpoints and caches: told by name; the checkpoint before is used, the cache entry made anew,
//! and the run ends with the same bits.

use std::path::Path;

use anyhow::{Context, ensure};

use super::scene::{Scene, WHOLE, files};
use super::{Count, Random};

/// Kinds of damage to a safetensors file.
const DAMAGES: [&str; 6] =
    ["bit flipped", "block zeroed", "tail zeroed", "cut", "digit of the header", "byte of the header"];

pub(super) fn run(scene: &Scene, random: &mut Random, times: usize) -> anyhow::Result<Vec<Count>> {
    let mut checkpoints = Count::new("newest checkpoint damaged: named, the one before used, the same bits");
    let mut caches = Count::new("cache entry damaged: told, made anew, the same bits");
    for i in 0..times {
        let kind = DAMAGES[i % DAMAGES.len()];
        checkpoints.add(kind, checkpoint(scene, random, kind));
        if i % 10 == 0 {
            caches.add(kind, cache(scene, random, kind));
        }
    }
    Ok(vec![checkpoints, caches])
}

fn checkpoint(scene: &Scene, random: &mut Random, kind: &str) -> anyhow::Result<()> {
    copy_run(scene)?;
    let newest = files(&scene.path("damaged/checkpoints"))?.pop().context("no checkpoint")?;
    std::fs::remove_file(scene.path("damaged/lora.safetensors"))?;
    damage(&newest, kind, random)?;
    let ended = scene.train("damaged")?;
    ended.expect(0)?;
    ended.expect_said(&newest.file_name().unwrap_or_default().to_string_lossy())?;
    scene.expect_same("damaged")
}

fn cache(scene: &Scene, random: &mut Random, kind: &str) -> anyhow::Result<()> {
    copy_run(scene)?;
    // Nothing to resume: the captions are read from the cache again.
    std::fs::remove_dir_all(scene.path("damaged/checkpoints"))?;
    for file in ["events.jsonl", "lora.safetensors"] {
        std::fs::remove_file(scene.path("damaged").join(file))?;
    }
    let mut entries = Vec::new();
    for folder in files(&scene.path("damaged/cache"))?.iter().filter(|path| path.is_dir()) {
        entries.extend(files(folder)?);
    }
    ensure!(!entries.is_empty(), "the run has no cache");
    damage(&entries[random.below(entries.len())], kind, random)?;
    let ended = scene.train("damaged")?;
    ended.expect(0)?;
    ended.expect_said("damaged")?;
    scene.expect_same("damaged")
}

fn copy_run(scene: &Scene) -> anyhow::Result<()> {
    scene.remove("damaged")?;
    copy(&scene.path(WHOLE), &scene.path("damaged"))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to)?;
    for path in files(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            std::fs::copy(&path, &target)?;
        }
    }
    Ok(())
}

/// Damages a file so that it differs from what it was.
fn damage(file: &Path, kind: &str, random: &mut Random) -> anyhow::Result<()> {
    let whole = std::fs::read(file)?;
    let header = 8 + u64::from_le_bytes(whole[..8].try_into()?) as usize;
    loop {
        let mut bytes = whole.clone();
        let data = header + random.below(bytes.len() - header);
        match kind {
            "bit flipped" => bytes[data] ^= 1 << random.below(8),
            "block zeroed" => {
                let end = (data + 4096).min(bytes.len());
                bytes[data..end].fill(0);
            }
            "tail zeroed" => bytes[data..].fill(0),
            "cut" => bytes.truncate(1 + random.below(whole.len() - 1)),
            "digit of the header" => {
                let digits: Vec<usize> = (8..header).filter(|&i| bytes[i].is_ascii_digit()).collect();
                bytes[digits[random.below(digits.len())]] = b'0' + random.below(10) as u8;
            }
            _ => bytes[8 + random.below(header - 8)] = random.below(256) as u8,
        }
        if bytes != whole {
            return Ok(std::fs::write(file, bytes)?);
        }
    }
}
