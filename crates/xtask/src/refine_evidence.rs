//! `xtask refine-evidence`: does `fairhuman refine` mend what was damaged? Drawn people are damaged in known
//! ways and refined by the built-in model, alone and with two LoRAs of `fairhuman quickstart`; the result is
//! compared with the true drawing. Every step is skipped where it is done, so the same command goes on.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Args;
use image::imageops::{blur, crop_imm, replace};
use image::{GrayImage, Rgb, RgbImage};
use serde_json::Value;

use crate::ours;

/// `xtask refine-evidence`
#[derive(Debug, Args)]
pub(crate) struct RefineEvidence {
    /// Pictures
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    people: u32,
    /// Denoising strength
    #[arg(long, value_name = "S", default_value_t = 0.6)]
    strength: f64,
    /// The program's --mode. The built-in model has learnt whole people at 96 pixels: a crop is another world
    /// to it
    #[arg(long, value_name = "MODE", default_value = "whole")]
    mode: String,
    /// The folder of everything that is made
    #[arg(long, value_name = "DIR", default_value = "refine-evidence")]
    out: PathBuf,
    /// A folder in which `fairhuman quickstart` ran, for its LoRAs [default: it is run]
    #[arg(long, value_name = "DIR")]
    quickstart: Option<PathBuf>,
    /// A fairhuman that is built already, in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Ways to damage a region.
const DAMAGES: [&str; 3] = ["blurred", "mixed", "extra line"];

/// A drawing, its regions and its damage.
struct Drawing {
    file: String,
    text: String,
    truth: RgbImage,
    masks: Vec<(&'static str, GrayImage)>,
    damage: usize,
}

/// Damages, refines, measures, and prints the table.
pub(crate) fn run(options: &RefineEvidence) -> anyhow::Result<()> {
    let root = xtask::root()?;
    let binary = ours::binary(options.binary.as_deref(), &root)?;
    let at = |name: &str| options.out.join(name);
    let people = options.people.to_string();
    // In the style of quickstart's people, with a seed of its own: nobody trained on these.
    let drawing = format!("people --count {people} --size 96 --seed 4242 --figures 1 --near 90 --style ink");
    let drawing: Vec<&str> = drawing.split(' ').collect();
    fairhuman(&binary, &drawing, &[("--out", &at("drawn"))])?;
    let drawings = drawings(&at("drawn"))?;
    damage_all(&drawings, &at("damaged"))?;
    let quickstart = options.quickstart.clone().unwrap_or_else(|| at("quickstart"));
    if options.quickstart.is_none() {
        fairhuman(&binary, &["quickstart"], &[("--out", &quickstart)])?;
    }
    let strength = options.strength.to_string();
    println!("{} pictures, strength {strength}, mode {}\n", drawings.len(), options.mode);
    println!(
        "| | regions | found before | found after | score before | score after | kept | distance before | distance after |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for (name, lora) in [("built-in model", None), ("plain LoRA", Some("plain")), ("fair LoRA", Some("mpd"))]
    {
        let out = at(&format!("refined-{}-{}", options.mode, name.replace(' ', "-")));
        let lora = lora.map(|way| quickstart.join(way).join("lora.safetensors"));
        let damaged = at("damaged").display().to_string();
        let words = [
            "refine",
            &damaged,
            "--denoising-strength",
            &strength,
            "--mask-max-ratio",
            "1",
            "--mode",
            &options.mode,
        ];
        let drawn = at("drawn");
        let mut paths: Vec<(&str, &Path)> = vec![("--out", &out), ("--regions", &drawn)];
        paths.extend(lora.iter().map(|file| ("--lora", file.as_path())));
        fairhuman(&binary, &words, &paths)?;
        let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json"))?)?;
        for kind in ["face", "hand"] {
            println!(
                "{}",
                row(&format!("{name}, {kind}s"), kind, &report, &drawings, (&at("damaged"), &out))?
            );
        }
        for (i, damage) in DAMAGES.iter().enumerate() {
            let (before, after) = distances(&drawings, (&at("damaged"), &out), |d| d.damage == i, None)?;
            println!("| {name}, {damage} | | | | | | | {before:.1} | {after:.1} |");
        }
    }
    println!(
        "\nDistances to the true drawing: mean over a region's pixels of the absolute difference, of 255."
    );
    Ok(())
}

fn fairhuman(binary: &Path, words: &[&str], paths: &[(&str, &Path)]) -> anyhow::Result<()> {
    let mut command = Command::new(binary);
    command.args(words);
    for (option, path) in paths {
        command.arg(option).arg(path);
    }
    let output = command.output().context("cannot start fairhuman")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "fairhuman {}: {}\n{said}", words[0], output.status);
    Ok(())
}

/// The drawings of a dataset, each with the damage of its number.
fn drawings(folder: &Path) -> anyhow::Result<Vec<Drawing>> {
    let list = std::fs::read_to_string(folder.join("metadata.jsonl"))?;
    let mut all = Vec::new();
    for (i, line) in list.lines().enumerate() {
        let line: Value = serde_json::from_str(line)?;
        let text = |key: &str| line[key].as_str().map(str::to_owned);
        let file = text("image").context("a line without a picture")?;
        let truth = image::open(folder.join(&file))?.into_rgb8();
        let mut masks = Vec::new();
        for (kind, key) in [("face", "mask_face"), ("hand", "mask_hand")] {
            if let Some(file) = text(key) {
                masks.push((kind, image::open(folder.join(file))?.into_luma8()));
            }
        }
        let file = file.rsplit('/').next().unwrap_or_default().to_owned();
        let text = text("text").unwrap_or_default();
        all.push(Drawing { file, text, truth, masks, damage: i % DAMAGES.len() });
    }
    Ok(all)
}

/// Writes the damaged drawings with their captions.
fn damage_all(drawings: &[Drawing], out: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(out)?;
    for drawing in drawings {
        let file = out.join(&drawing.file);
        if !file.exists() {
            damaged(drawing).save(&file)?;
        }
        std::fs::write(file.with_extension("txt"), &drawing.text)?;
    }
    Ok(())
}

/// A drawing whose faces and hands are damaged, each pixel within its mask.
fn damaged(drawing: &Drawing) -> RgbImage {
    let mut picture = drawing.truth.clone();
    for (_, mask) in &drawing.masks {
        let Some((x, y, w, h)) = bounds(mask) else { continue };
        let part = crop_imm(&drawing.truth, x, y, w, h).to_image();
        let mut changed = match drawing.damage {
            0 => blur(&part, 2.0_f32.max(w as f32 / 10.0)),
            1 => mixed(&part),
            _ => lined(&part),
        };
        for (column, row, pixel) in changed.enumerate_pixels_mut() {
            if mask.get_pixel(x + column, y + row).0[0] == 0 {
                *pixel = *part.get_pixel(column, row);
            }
        }
        replace(&mut picture, &changed, x.into(), y.into());
    }
    picture
}

fn bounds(mask: &GrayImage) -> Option<(u32, u32, u32, u32)> {
    let white = || mask.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 127);
    let (x, y) = (white().map(|(x, ..)| x).min()?, white().map(|(_, y, _)| y).min()?);
    let (right, bottom) = (white().map(|(x, ..)| x).max()?, white().map(|(_, y, _)| y).max()?);
    Some((x, y, right - x + 1, bottom - y + 1))
}

/// Its four quarters in other places.
fn mixed(part: &RgbImage) -> RgbImage {
    let (w, h) = part.dimensions();
    RgbImage::from_fn(w, h, |x, y| *part.get_pixel((x + w / 2) % w, (y + h / 2) % h))
}

/// A line of its middle's colour from corner to corner: a finger too many.
fn lined(part: &RgbImage) -> RgbImage {
    let ((w, h), mut changed) = (part.dimensions(), part.clone());
    let Rgb(middle) = *part.get_pixel(w / 2, h / 2);
    let width = (w.min(h) as f64 / 10.0).max(1.5);
    for (x, y, pixel) in changed.enumerate_pixels_mut() {
        let (u, v) = (f64::from(x), f64::from(y) * f64::from(w) / f64::from(h));
        if (u - v).abs() < width {
            *pixel = Rgb(middle);
        }
    }
    changed
}

/// Mean distances of damaged and refined pictures from the true drawings, in the regions of a kind, or of
/// all.
fn distances(
    drawings: &[Drawing],
    (damaged, refined): (&Path, &Path),
    which: impl Fn(&Drawing) -> bool,
    kind: Option<&str>,
) -> anyhow::Result<(f64, f64)> {
    let (mut sums, mut count) = ([0.0; 2], 0.0);
    for drawing in drawings.iter().filter(|drawing| which(drawing)) {
        let pictures = [damaged, refined].map(|folder| image::open(folder.join(&drawing.file)));
        for (sum, picture) in sums.iter_mut().zip(pictures) {
            let picture = picture?.into_rgb8();
            for (_, mask) in drawing.masks.iter().filter(|(k, _)| kind.is_none_or(|kind| kind == *k)) {
                for (x, y, _) in mask.enumerate_pixels().filter(|(_, _, p)| p.0[0] > 127) {
                    let (a, b) = (picture.get_pixel(x, y).0, drawing.truth.get_pixel(x, y).0);
                    *sum += a.iter().zip(b).map(|(a, b)| f64::from(a.abs_diff(b))).sum::<f64>() / 3.0;
                    count += 0.5;
                }
            }
        }
    }
    let mean = |sum: f64| sum / f64::max(count, 1.0);
    Ok((mean(sums[0]), mean(sums[1])))
}

/// A row of the table.
fn row(
    name: &str,
    kind: &str,
    report: &Value,
    drawings: &[Drawing],
    folders: (&Path, &Path),
) -> anyhow::Result<String> {
    let pictures = report["pictures"].as_array().map_or(&[][..], Vec::as_slice);
    let regions: Vec<&Value> = pictures
        .iter()
        .flat_map(|picture| picture["regions"].as_array().map_or(&[][..], Vec::as_slice))
        .filter(|region| region["kind"] == kind)
        .collect();
    let share = |test: &dyn Fn(&Value) -> bool| {
        let count = regions.iter().filter(|region| test(region)).count();
        format!("{:.0} %", 100.0 * count as f64 / (regions.len() as f64).max(1.0))
    };
    let mean = |key: &str| {
        let scores: Vec<f64> = regions.iter().filter_map(|region| region[key].as_f64()).collect();
        match scores.len() {
            0 => "-".to_owned(),
            n => format!("{:.2}", scores.iter().sum::<f64>() / n as f64),
        }
    };
    let (before, after) = distances(drawings, folders, |_| true, Some(kind))?;
    Ok(format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {before:.1} | {after:.1} |",
        regions.len(),
        share(&|region| region["before"].is_number()),
        share(&|region| region["after"].is_number()),
        mean("before"),
        mean("after"),
        share(&|region| region["verdict"] == "kept" || region["verdict"] == "unchecked"),
    ))
}
