//! `xtask sampling`: the same pictures by `fairhuman sample` and by diffusers, from the same noise, timed in
//! turn.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use fairhuman_diffusion::generate::initial_noise;
use serde_json::{Value, json};

use crate::measurements::median;
use crate::sides::Sides;
use crate::{ours, sides};

/// Pictures of a run.
const PROMPTS: [&str; 4] = [
    "a portrait of a woman with light skin and long red hair in a green shirt waves with an open hand, smiling, on a beach",
    "a man with dark skin and short black hair in a yellow sweater and white shorts points up, laughing, in a park",
    "a girl with brown skin and a black bob in a red dress raises both open hands, smiling, in the snow",
    "a close view of a man with tan skin, short brown hair and a beard in a blue shirt gives a thumb up, surprised, in a forest",
];
/// Side of the built-in model's pictures, in pixels and in latent cells, and the latents' channels.
const SIDE: (usize, usize, usize) = (96, 24, 4);
const STEPS: usize = 30;
const GUIDANCE: f64 = 7.5;

/// Runs both in turn, and prints what was found.
pub(crate) fn run(options: &sides::Options) -> anyhow::Result<()> {
    let Sides { python, binary, threads, folder } = options.open("sampling")?;
    let model = ours::builtin_model(&binary)?;
    let (job, noise) = (folder.join("job.json"), folder.join("noise.safetensors"));
    let size = SIDE.0;
    let text =
        json!({ "prompts": PROMPTS, "steps": STEPS, "guidance": GUIDANCE, "width": size, "height": size });
    std::fs::write(&job, text.to_string())?;
    write_noise(&noise)?;

    let (mut ratios, mut rates, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 1..=options.pairs {
        eprintln!("pair {pair} of {}", options.pairs);
        let mine = ours_each(&binary, &folder.join("ours"), threads)?;
        let said = python.sampling(&model, &job, &noise, &folder, threads)?;
        let list = |key: &str| -> anyhow::Result<Vec<f64>> {
            let values = said[key].as_array().with_context(|| format!("no {key} in {said}"))?;
            Ok(values.iter().filter_map(Value::as_f64).collect())
        };
        let alone = median(list("seconds")?).context("nothing was timed")?;
        let batch = said["in_a_batch"].as_f64().with_context(|| format!("no in_a_batch in {said}"))?;
        ratios.push([alone / mine, alone.min(batch) / mine]);
        rates.push([mine, alone, batch]);
        differences = list("differences")?;
    }
    let middle = |i: usize| median(rates.iter().map(|rate| rate[i]).collect()).unwrap_or(f64::NAN);
    let worst = differences.iter().copied().fold(0.0, f64::max);
    // Pair by pair: the median, and the extremes.
    let ratio = |i: usize| {
        let mut all: Vec<f64> = ratios.iter().map(|ratio: &[f64; 2]| ratio[i]).collect();
        all.sort_by(f64::total_cmp);
        let (low, high) = (all.first().copied(), all.last().copied());
        [median(all), low, high].map(|value| value.unwrap_or(f64::NAN))
    };
    println!(
        "{} pictures of {size} x {size} pixels, {STEPS} steps of UniPC, guidance {GUIDANCE}",
        PROMPTS.len()
    );
    println!("{threads} threads; {} pairs of runs in turn", options.pairs);
    println!("diffusers, seconds a picture: {:.3} one at a time, {:.3} in a batch", middle(1), middle(2));
    println!("fairhuman, seconds a picture: {:.3}", middle(0));
    for (i, what) in ["one at a time", "whichever was faster"].into_iter().enumerate() {
        let [middle, low, high] = ratio(i);
        println!("diffusers, {what} / fairhuman: {middle:.2} ({low:.2} to {high:.2}; goal >= 3)");
    }
    println!("mean difference of the pictures, the largest, in 1/255: {worst:.3} (goal <= 2)");
    ensure!(worst <= 2.0, "the pictures are not diffusers'");
    Ok(())
}

/// Seconds a picture, the model's loading left out.
fn ours_each(binary: &Path, out: &Path, threads: usize) -> anyhow::Result<f64> {
    let mut command = Command::new(binary);
    command.arg("sample").arg("--out").arg(out).args(["--threads", &threads.to_string()]);
    command.args(["--steps", &STEPS.to_string(), "--guidance", &GUIDANCE.to_string(), "--seed", "0"]);
    command.args(PROMPTS.iter().flat_map(|prompt| ["--prompt", prompt]));
    let said = ours::run(&mut command)?;
    let each = said.split_once(" s each)").and_then(|(before, _)| before.rsplit(' ').next());
    each.and_then(|text| text.parse().ok()).with_context(|| format!("no time in {said:?}"))
}

/// The noise of pictures 0 and on of seed 0, as diffusers has it: channels first.
fn write_noise(path: &Path) -> anyhow::Result<()> {
    let (_, cells, channels) = SIDE;
    let positions = cells * cells;
    let mut values: Vec<f32> = Vec::new();
    for index in 0..PROMPTS.len() as u64 {
        let noise = initial_noise(0, index, positions * channels);
        values.extend((0..noise.len()).map(|i| noise[i % positions * channels + i / positions]));
    }
    let shape = vec![PROMPTS.len(), channels, cells, cells];
    let view =
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, bytemuck::cast_slice(&values))?;
    safetensors::serialize_to_file([("noise", view)], None, path)?;
    Ok(())
}
