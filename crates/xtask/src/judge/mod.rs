//! `xtask judge`: what a small detector of drawn people finds in a folder of pictures: faces, hands, eyes,
//! and what the fingers do. For models that draw such people; of photographs it knows nothing.
//!
//! Its weights are made by `reference/judge_training.py`, which says how.

mod caption;
mod folder;
mod hands;
mod maps;
mod network;

use std::path::PathBuf;

use anyhow::{Context, ensure};
use fairhuman_engine::Cpu;

pub use caption::gesture;
pub use folder::{Picture, pictures};
pub use hands::GESTURES;
pub use network::Judge;

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

/// The findings in one picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// True if a face is seen.
    pub face: bool,
    /// Hands seen.
    pub hands: usize,
    /// Confidence of each eye that is seen, the highest first.
    pub eyes: Vec<f32>,
    /// The most certain gesture of the hands, if any hand does more than rest.
    pub gesture: Option<&'static str>,
}

/// Judges the folder and prints the table.
///
/// # Errors
/// A folder without pictures that can be judged, or a model that cannot be read.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let cpu = Cpu::new(0).context("cannot start the threads")?;
    let mut pictures = pictures(&options.folder)?;
    if let Some(file) = &options.prompts {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        pictures.retain(|picture| text.lines().any(|line| line.trim() == picture.caption));
    }
    ensure!(!pictures.is_empty(), "no picture of {} is to be judged", options.folder.display());
    if let Some(model) = &options.through {
        network::through_autoencoder(&cpu, model, &mut pictures)?;
    }
    let judge = Judge::new(&cpu)?;
    let found: Vec<Found> = judge.look(&cpu, &pictures);
    if options.each {
        for (picture, found) in pictures.iter().zip(&found) {
            println!(
                "{}: face {}, {} hands, {} eyes, {}; {}",
                picture.name,
                found.face,
                found.hands,
                found.eyes.len(),
                found.gesture.unwrap_or("no gesture"),
                picture.caption
            );
        }
    }
    print!("{}", table(&pictures, &found));
    Ok(())
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
    let confidence: f32 = found.iter().map(|f| f.eyes.iter().take(2).sum::<f32>() / 2.0).sum();
    let asked: Vec<_> = pictures.iter().map(|picture| gesture(&picture.caption)).collect();
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

/// The 95 % interval of a share of `hits` in `of` draws (Wilson 1927, equation of the score interval).
pub fn wilson(hits: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (of as f64, 1.96);
    let p = hits as f64 / n;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}
