//! `xtask clip`: CLIP scores of the same pictures by `fairhuman evaluate` and by transformers, timed in turn.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use serde_json::Value;

use crate::measurements::median;
use crate::sides::Sides;
use crate::{ours, sides};

/// `xtask clip`
#[derive(Debug, Args)]
pub(crate) struct Clip {
    #[command(flatten)]
    sides: sides::Options,
    /// Pictures that are scored
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(8..))]
    pictures: u16,
}

const PROMPT: &str = "a portrait of a woman with long red hair who waves with an open hand";
/// Pictures of a run whose time is that of starting and of reading the weights.
const FEW: u16 = 1;
/// Side of the pictures: larger than the network's, as pictures are.
const SIDE: &str = "512";

/// Runs both in turn, and prints what was found.
pub(crate) fn run(options: &Clip) -> anyhow::Result<()> {
    let Sides { python, binary, threads, folder } = options.sides.open("clip")?;
    let model = folder.join("model");
    if !model.join("model.safetensors").is_file() {
        eprintln!("making CLIP ViT-L/14 with random weights");
        python.clip_model(&model, &ours::builtin_model(&binary)?.join("tokenizer"))?;
    }
    for count in [FEW, options.pictures] {
        draw(&binary, &folder.join(count.to_string()), count)?;
    }
    std::fs::write(folder.join("prompt.txt"), PROMPT)?;

    let mut rates: Vec<[f64; 3]> = Vec::new();
    let mut worst = 0.0f64;
    for pair in 1..=options.sides.pairs {
        eprintln!("pair {pair} of {}", options.sides.pairs);
        let (few, _) = score(&binary, &folder, FEW, threads)?;
        let (all, found) = score(&binary, &folder, options.pictures, threads)?;
        let pictures = folder.join(options.pictures.to_string()).join("images");
        let said = python.clip_scores((&model, &pictures), PROMPT, threads)?;
        let number = |key: &str| said[key].as_f64().with_context(|| format!("no {key} in {said}"));
        rates.push([
            (all - few) / f64::from(options.pictures - FEW),
            number("alone")?,
            number("in_batches")?,
        ]);
        for (name, cosine) in &found {
            let theirs = said["cosines"][name.as_str()].as_f64();
            worst = worst.max((cosine - theirs.with_context(|| format!("no {name} in {said}"))?).abs());
        }
    }
    let middle = |i: usize| median(rates.iter().map(|rate| rate[i]).collect()).unwrap_or(f64::NAN);
    println!("CLIP ViT-L/14, {} pictures of {SIDE} x {SIDE} pixels, f32", options.pictures);
    println!("{threads} threads; {} pairs of runs in turn", options.sides.pairs);
    println!(
        "transformers, seconds a picture: {:.3} one at a time, {:.3} in batches of 8",
        middle(1),
        middle(2)
    );
    println!("fairhuman, seconds a picture: {:.3}", middle(0));
    // Pair by pair: the median, and the extremes.
    let mut ratios: Vec<f64> = rates.iter().map(|[ours, alone, batch]| alone.min(*batch) / ours).collect();
    ratios.sort_by(f64::total_cmp);
    let (low, high) = (ratios[0], ratios[ratios.len() - 1]);
    println!(
        "transformers, whichever was faster / fairhuman: {:.2} ({low:.2} to {high:.2}; goal >= 1.5)",
        median(ratios).unwrap_or(f64::NAN)
    );
    println!("largest difference of a cosine: {worst:.1e} (goal <= 1e-4)");
    ensure!(worst <= 1e-4, "the scores are not transformers'");
    Ok(())
}

/// Drawn people as pictures to score.
fn draw(binary: &Path, folder: &Path, count: u16) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let count = count.to_string();
    let arguments = ["people", "--count", &count, "--size", SIDE, "--seed", "5", "--figures", "1", "--out"];
    ours::run(Command::new(binary).args(arguments).arg(folder))?;
    Ok(())
}

/// Seconds of a whole run over one of the folders, and the cosines by the pictures' names.
fn score(
    binary: &Path,
    folder: &Path,
    count: u16,
    threads: usize,
) -> anyhow::Result<(f64, BTreeMap<String, f64>)> {
    let out = folder.join("scores");
    if out.is_dir() {
        // Nothing that is known already.
        std::fs::remove_dir_all(&out)?;
    }
    let mut judge = std::ffi::OsString::from("clip=");
    judge.push(folder.join("model"));
    let mut command = Command::new(binary);
    command.arg("evaluate").arg(folder.join(count.to_string()).join("images")).arg("--judge").arg(judge);
    command.arg("--prompts").arg(folder.join("prompt.txt")).arg("--out").arg(&out);
    command.args(["--pairs", "0", "--threads", &threads.to_string()]);
    let start = Instant::now();
    ours::run(&mut command)?;
    let seconds = start.elapsed().as_secs_f64();
    let file = out.join("scores.jsonl");
    let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let line = |line: &str| -> anyhow::Result<(String, f64)> {
        let line: Value = serde_json::from_str(line)?;
        let (name, score) = (line["picture"].as_str(), line["score"].as_f64());
        name.map(str::to_owned).zip(score).with_context(|| format!("no score in {line}"))
    };
    Ok((seconds, text.lines().map(line).collect::<anyhow::Result<_>>()?))
}
