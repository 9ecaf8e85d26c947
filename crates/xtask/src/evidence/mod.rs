//! `xtask evidence`: what weightings do, over worlds of drawn people, with the same steps, pictures and noise
//! for all, several seeds, and held-out losses of each picture. The tables go into docs/evidence.md.
//!
//! The runs stay in `runs/evidence`, their results in docs/evidence; the same command again makes those that
//! are missing.

mod denoised;
mod figure;
mod kept;
mod outcome;
mod plan;
mod runs;
mod statistics;
mod tables;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;

use crate::{marked, ours};
use kept::{Kept, Kind};
use outcome::Outcome;
use plan::{Arm, Arms, QUICK, WHOLE, World};
use runs::Place;

/// `xtask evidence`
#[derive(Debug, Args)]
#[command(after_help = "\
Some 900 runs: a day and more on two cores. The same command again goes on; with --quick it takes minutes, and the numbers \
say nothing. What is there already is written at any time by --report-only.")]
pub(crate) struct Evidence {
    /// A few tiny runs, to see that all works
    #[arg(long)]
    quick: bool,
    /// Only these worlds, by name
    #[arg(long, value_name = "WORLD", value_delimiter = ',')]
    only: Vec<String>,
    /// Train only this arm, by its name in the tables; again for more
    #[arg(long, value_name = "ARM", conflicts_with = "report_only")]
    arm: Vec<String>,
    /// Train nothing: tables of the results that are kept
    #[arg(long)]
    report_only: bool,
    /// The folder of the runs [default: runs/evidence, or runs/evidence-quick]
    #[arg(long, value_name = "DIR")]
    runs: Option<PathBuf>,
    /// The folder of the results that are kept, a file for each world [default: docs/evidence, or beside the
    /// runs with --quick]
    #[arg(long, value_name = "DIR")]
    kept: Option<PathBuf>,
    /// Also write the tables to this Markdown file, between `<!-- evidence:begin -->` and `<!-- evidence:end
    /// -->`, and a figure for each world beside it, in images/
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// A fairhuman that is built already, in place of this source's
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

/// Rows of pictures that a page shows of a world.
const SHEET_ROWS: u32 = 4;

/// The runs of one arm in one world, in the order of the seeds.
struct Row {
    arm: &'static Arm,
    runs: Vec<Outcome>,
}

/// A world's runs.
struct Found {
    world: &'static World,
    rows: Vec<Row>,
    /// Squared errors of pictures in place of losses.
    denoised: Vec<Row>,
}

impl Found {
    /// The row of an arm that has runs.
    fn row(&self, arm: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.arm.name == arm)
    }
}

/// Trains what is not done yet and writes the tables.
pub(crate) fn run(options: &Evidence) -> anyhow::Result<()> {
    let root = xtask::root()?;
    let size = if options.quick { QUICK } else { WHOLE };
    let default = if options.quick { "runs/evidence-quick" } else { "runs/evidence" };
    let folder = options.runs.clone().unwrap_or_else(|| root.join(default));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let binary = ours::binary(options.binary.as_deref(), &root)?.canonicalize()?;
    let model = ours::builtin_model(&binary)?;
    let folder = folder.canonicalize()?;
    let kept = if options.quick { folder.join("kept") } else { root.join("docs/evidence") };
    let kept = options.kept.clone().unwrap_or(kept);
    let place = Place { binary, folder, model, kept, size };

    let known = |name: &String| plan::ARMS.iter().any(|arm| arm.name == name);
    if let Some(name) = options.arm.iter().find(|name| !known(name)) {
        bail!("--arm {name}: expected one of {}", plan::ARMS.map(|arm| arm.name).join("; "));
    }
    let worlds: Vec<&World> = size.worlds().iter().filter(|world| wanted(options, world)).collect();
    if !options.report_only {
        train(&place, &worlds, &options.arm)?;
    }
    let mut found: Vec<Found> =
        worlds.into_iter().map(|world| read(&place, world)).collect::<Result<_, _>>()?;
    // A world without results yet says nothing, and regret is over those that have some.
    found.retain(|world| !world.rows.is_empty());
    let mut text = tables::text(&found, size.resamples);
    if let Some(file) = &options.out {
        let images = file.parent().unwrap_or(Path::new("")).join("images");
        std::fs::create_dir_all(&images).with_context(|| format!("cannot make {}", images.display()))?;
        for world in &found {
            let name = format!("evidence-{}.svg", world.world.name);
            std::fs::write(images.join(&name), figure::svg(world))?;
            text += &format!("\n![{}](images/{name})\n", world.world.about);
            // On another machine than that of the runs, the sheet that is there stays.
            let name = format!("evidence-{}.png", world.world.name);
            if let Some(sheet) = place.sheet(world.world, SHEET_ROWS)? {
                sheet.save(images.join(&name))?;
            }
            if images.join(&name).exists() {
                let (about, columns) = (world.world.about, denoised::columns());
                text += &format!("\nPictures of {about}, from the left: {columns}.\n\n![](images/{name})\n");
            }
        }
        marked::write(file, "evidence", &text)?;
    }
    println!("{text}");
    Ok(())
}

fn wanted(options: &Evidence, world: &World) -> bool {
    options.only.is_empty() || options.only.iter().any(|name| name == world.name)
}

/// The few arms first, in the worlds that have all of them, then in the others; then the rest of the arms.
/// Within each part seed by seed, so that what is there at any time is balanced. Only the arms that are
/// named, if any are.
fn train(place: &Place, worlds: &[&World], only: &[String]) -> anyhow::Result<()> {
    let wanted = |arm: &Arm| only.is_empty() || only.iter().any(|name| name == arm.name);
    let mut all = Vec::new();
    for &world in worlds {
        place.draw(world)?;
        let mut kept = place.kept(world)?;
        if !kept.has(Kind::Denoised, None) {
            kept.add(Kind::Denoised, None, None, &place.denoise(world, None)?)?;
        }
        all.push((world, kept));
    }
    for arms in [Arms::Few, Arms::Claim, Arms::All] {
        for of in [Arms::All, Arms::Claim] {
            for seed in 1..=place.size.seeds {
                for (world, kept) in all.iter_mut().filter(|(world, _)| world.arms == of) {
                    for arm in place.size.arms(world).filter(|arm| arm.from == arms && wanted(arm)) {
                        make(place, world, arm, seed, kept)?;
                    }
                }
            }
        }
    }
    Ok(())
}

fn make(place: &Place, world: &World, arm: &Arm, seed: u64, kept: &mut Kept) -> anyhow::Result<()> {
    let start = Instant::now();
    place.make(world, arm, seed, kept)?;
    let seconds = start.elapsed().as_secs();
    if seconds > 0 {
        eprintln!("seed {seed}, {}, {}: {seconds} s", world.name, arm.name);
    }
    Ok(())
}

/// The results of a world, of arms that have at least one.
fn read(place: &Place, world: &'static World) -> anyhow::Result<Found> {
    let kept = place.kept(world)?;
    let rows = |kind: Kind| -> anyhow::Result<Vec<Row>> {
        let row = |arm: &'static Arm| Ok(Row { arm, runs: kept.outcomes(kind, arm)? });
        let rows = place.size.arms(world).map(row).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(rows.into_iter().filter(|row| !row.runs.is_empty()).collect())
    };
    Ok(Found { world, rows: rows(Kind::Losses)?, denoised: rows(Kind::Denoised)? })
}
