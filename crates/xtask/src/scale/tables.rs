//! The tables of the measurements and of the model in Markdown.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::measure::{ACCUMULATION, K, Place, Row, TIMED};
use super::model::{self, Algorithm, Form, Network, Work, bytes, efficiency, exchanges};
use crate::measurements::median;
use crate::{machine, ours};

/// Numbers of cards that the model's table has.
const SHOWN: [u32; 4] = [8, 64, 512, 4096];

/// The measurements.
pub(super) fn measured(rows: &[Row], place: &Place, repeats: usize, root: &Path) -> anyhow::Result<String> {
    let first = rows.first().context("no measurements")?;
    let said = ours::run(Command::new("mpirun").arg("--version"))?;
    let mut text = String::new();
    let (cores, parameters) = (machine::cores(), first.parameters);
    let _ = writeln!(
        text,
        "{}, {cores} cores, load {:.1} when written; {}; sources {}. {repeats} repeats in turn, the first of {} steps, the others of {} at most; medians. A LoRA of \
         {parameters} weights on the built-in model at 96 x 96, {K} objectives, {ACCUMULATION} micro-batches a step, one thread a \
         process. With more processes than cores the efficiency is at most cores / processes.\n",
        machine::processor(),
        machine::load().unwrap_or(f64::NAN),
        said.lines().next().unwrap_or("mpirun of unknown version"),
        machine::sources(root).unwrap_or_else(|| "of unknown state".into()),
        place.steps,
        TIMED
    );
    let _ = writeln!(
        text,
        "| processes | s/step | lowest to highest | speed-up | efficiency | MB/step, loopback | formula | largest difference of a \
         weight after {} steps |\n|---|---|---|---|---|---|---|---|",
        place.steps
    );
    let alone = median(first.seconds.clone()).context("no times")? * first.ranks as f64;
    for row in rows {
        let seconds = median(row.seconds.clone()).context("no times")?;
        let low = row.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let high = row.seconds.iter().copied().fold(0.0, f64::max);
        let speed_up = alone / first.ranks as f64 / seconds;
        let formula = 4.0 * parameters as f64 * (K + 1) as f64 * (row.ranks - 1) as f64;
        let formula = if row.ranks == 1 { "0".into() } else { format!("{:.2}", formula / 1e6) };
        let counted = row.bytes.map_or("-".into(), |bytes| format!("{:.2}", bytes / 1e6));
        let difference =
            if row.ranks == first.ranks { "-".into() } else { format!("{:.1e}", row.difference) };
        let _ = writeln!(
            text,
            "| {} | {seconds:.3} | {low:.3} to {high:.3} | {speed_up:.2} | {:.0} % | {counted} | {formula} | {difference} |",
            row.ranks,
            100.0 * speed_up * first.ranks as f64 / row.ranks as f64
        );
    }
    let _ = writeln!(
        text,
        "\nMB of all processes together. The formula: {K} P (N - 1) values of sums and P (N - 1) of shares, 4 bytes each. Loopback: \
         bytes by TCP of a run of 24 steps less those of 4, with TCP's headers, numbers, and whatever else this machine sends \
         to itself."
    );
    Ok(text)
}

/// The model.
pub(super) fn model(works: &[Work]) -> String {
    let mut text = String::from("**Estimates; nothing in this table was measured.**");
    let seconds: Vec<_> = works.iter().map(|work| format!("{} s ({})", work.seconds, work.name)).collect();
    let _ = writeln!(
        text,
        " SDXL at 1024 x 1024, batch 1 a card, {} objectives; a step on one card: {}. Latency and bandwidth: {:.0} us and {:.0} GB/s \
         (NVLink), {:.0} us and {:.1} GB/s (100 Gb/s, one port for a machine of {:.0} cards). Sums in buckets of {:.0} MiB, one after another; with overlap all \
         but the last are made during the backward pass ({:.0} % of a step). Efficiency: the time on one card, divided by that \
         on N with as much work for each.\n",
        model::K,
        seconds.join(", "),
        1e6 * model::NVLINK.latency,
        model::NVLINK.bandwidth / 1e9,
        1e6 * model::ETHERNET.latency,
        model::ETHERNET.bandwidth / 1e9,
        model::MACHINE,
        model::BUCKET / f64::from(1 << 20),
        100.0 * model::BACKWARD
    );
    text.push_str(
        "| training | network | cards | GB/step, a card | exchange, s | efficiency | with overlap | by a ring | all-reduce: GB | s | \
         efficiency |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for work in works {
        for (network, name) in [(Network::Ethernet, "100 Gb/s"), (Network::NvLink, "NVLink")] {
            for cards in SHOWN {
                row(&mut text, work, (network, name), cards.into());
            }
        }
    }
    text
}

fn row(text: &mut String, work: &Work, (network, name): (Network, &str), cards: f64) {
    let by = (network, Algorithm::Tree);
    let gigabytes = |form| {
        let (sums, shares) = bytes(work, form, cards);
        (sums + shares) / 1e9
    };
    let seconds = |form| {
        let (sums, after) = exchanges(work, form, by, cards);
        sums + after
    };
    let percent = |form, by, overlap| 100.0 * efficiency(work, form, by, cards, overlap);
    let _ = writeln!(
        text,
        "| {} | {name} | {cards} | {:.2} | {:.4} | {:.0} % | {:.0} % | {:.0} % | {:.2} | {:.4} | {:.0} % |",
        work.name,
        gigabytes(Form::Sharded),
        seconds(Form::Sharded),
        percent(Form::Sharded, by, false),
        percent(Form::Sharded, by, true),
        percent(Form::Sharded, (network, Algorithm::Ring), false),
        gigabytes(Form::AllReduce),
        seconds(Form::AllReduce),
        percent(Form::AllReduce, by, false)
    );
}
