//! `xtask judge`: what the judge of drawn people finds in a folder of pictures: faces, hands, eyes, and what
//! the fingers do. The table of docs/small-model.md; `fairhuman evaluate --judge drawn` compares folders.

mod autoencoder;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use fairhuman_engine::Cpu;
use fairhuman_evaluate::drawn::{Found, GESTURES, Networks, SIDE, gesture};
use fairhuman_evaluate::statistics::wilson;
use fairhuman_evaluate::{Picture, PictureSet};

/// Options of `xtask judge`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A folder that `fairhuman sample` or `fairhuman people` wrote, pictures of 96 x 96 pixels
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
    /// Judge only pictures whose captions are lines of this file
    #[arg(long, value_name = "FILE")]
    pub prompts: Option<PathBuf>,
    /// Put every picture through the autoencoder of this model folder first
    #[arg(long, value_name = "MODEL")]
    pub through: Option<PathBuf>,
    /// Also print a line for every picture
    #[arg(long)]
    pub each: bool,
}

/// Judges the folder and prints the table.
///
/// # Errors
/// A folder without pictures that can be judged, or a model that cannot be read.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cpu = Cpu::new(0).context("cannot start the threads")?;
    let mut pictures = PictureSet::open(&options.folder, None)?.pictures;
    if let Some(file) = &options.prompts {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        pictures.retain(|picture| text.lines().any(|line| line.trim() == caption(picture)));
    }
    ensure!(!pictures.is_empty(), "no picture of {} is to be judged", options.folder.display());
    let mut values = pictures.iter().map(colours).collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(model) = &options.through {
        autoencoder::through(&cpu, model, &mut values)?;
    }
    let found: Vec<Found> = Networks::new(&cpu)?.look(&cpu, &values);
    if options.each {
        for (picture, found) in pictures.iter().zip(&found) {
            println!(
                "{}: face {}, {} hands, {} eyes, {}; {}",
                picture.name,
                found.face,
                found.hands,
                found.eyes.len(),
                found.gesture.unwrap_or("no gesture"),
                caption(picture)
            );
        }
    }
    print!("{}", table(&pictures, &found));
    Ok(())
}

fn caption(picture: &Picture) -> &str {
    picture.prompt.as_deref().unwrap_or_default()
}

/// Colours, `[SIDE, SIDE, 3]` in [-1, 1].
fn colours(picture: &Picture) -> anyhow::Result<Vec<f32>> {
    let (image, _) = picture.read()?;
    let (side, size) = (u32::try_from(SIDE)?, image.dimensions());
    ensure!(size == (side, side), "{} is {size:?}, not {side} x {side} pixels", picture.file.display());
    Ok(image.as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect())
}

/// The shares of all pictures, with their 95 % intervals, and of each gesture that captions name.
fn table(pictures: &[Picture], found: &[Found]) -> String {
    let all = found.len();
    let count = |is: &dyn Fn(&Found) -> bool| found.iter().filter(|f| is(f)).count();
    let mut text = format!("{all} pictures\n");
    let mut line = |name: &str, hits: usize, of: usize| text += &share(name, hits, of);
    line("face found", count(&|f| f.face), all);
    line("hand found", count(&|f| f.hands > 0), all);
    line("exactly two eyes", count(&|f| f.eyes.len() == 2), all);
    let confidence: f32 = found.iter().map(Found::eye_confidence).sum();
    let asked: Vec<_> = pictures.iter().map(|picture| gesture(caption(picture))).collect();
    let of = |name: &str| asked.iter().filter(|a| **a == Some(name)).count();
    let right = |name: &str| {
        asked.iter().zip(found).filter(|(a, f)| **a == Some(name) && f.gesture == Some(name)).count()
    };
    let named: Vec<_> = GESTURES.into_iter().filter(|name| of(name) > 0).collect();
    line(
        "gesture as in the caption",
        named.iter().map(|g| right(g)).sum(),
        named.iter().map(|g| of(g)).sum(),
    );
    for name in named {
        line(&format!("  {name}"), right(name), of(name));
    }
    text + &format!("eye confidence, misses 0: {:.3}\n", confidence / all as f32)
}

fn share(name: &str, hits: usize, of: usize) -> String {
    let (low, high) = wilson(hits, of);
    let percent = 100.0 * hits as f64 / of.max(1) as f64;
    format!("{name}: {percent:.1} % [{:.1}, {:.1}] of {of}\n", 100.0 * low, 100.0 * high)
}
