//! `fairhuman quickstart`: the whole story on the built-in model. Draws people in a style that the model has
//! not seen, fine-tunes it three times on the same pictures, in the same order and with the same noise (with
//! the plain loss, with the sum of the objectives' losses, and fairly), and shows what each has learnt:
//! held-out losses, pictures of the same prompts, and a page of all of it.

mod pictures;
mod poses;
mod recipes;
mod story;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::Context;
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_engine::Backend;
use fairhuman_files::{Kind, ensure_ours};
use fairhuman_people::{Style, write_dataset};
use fairhuman_report::{Report, Run, html};
use fairhuman_train::group::Single;

use crate::cli::Quickstart;
use crate::commands::train::{Extent, shown_on_screen};
use crate::device::{self, Work};
use crate::interrupt::{self, INTERRUPTED};
use crate::{cache, clock, machine, units};
use recipes::WAYS;
use story::Losses;

/// Of a hundred people so many are seen from near: faces and hands are large enough to be looked at.
const NEAR: u32 = 80;
/// A style that the model has not seen, so that all losses can fall.
const STYLE: Style = Style::Ink;

/// Runs it all; what is done already is not done again.
pub fn run(options: &Quickstart) -> anyhow::Result<ExitCode> {
    device::run(options.compute.device, options.compute.into(), Story(options))
}

struct Story<'a>(&'a Quickstart);

impl Work for Story<'_> {
    type Output = ExitCode;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<ExitCode> {
        tell(backend, self.0)
    }
}

fn tell(backend: &impl Backend, options: &Quickstart) -> anyhow::Result<ExitCode> {
    let clock = clock::start();
    let out = &options.out;
    let page = out.join("report.html");
    ensure_ours(&page, Kind::Page)?;
    let model = cache::builtin_model()?;
    let recipes = recipes::write(out, options.steps)?;
    let stop = interrupt::flag();

    let parts = WAYS.len() + 2;
    errln!("1/{parts}  drawing {} people", options.people);
    let people = out.join("people");
    let size = fairhuman_builtin::SIZE as u32;
    let (count, style) = (options.people, STYLE);
    let what = fairhuman_people::Options { count, size, seed: 71, figures: 1, near: NEAR, style };
    write_dataset(what, &people, &mut |_| {})?;

    let mut runs = Vec::new();
    for (i, recipe) in recipes.iter().enumerate() {
        errln!("{}/{parts}  fine-tuning: {}", i + 2, WAYS[i].about);
        shown_on_screen(backend, recipe, &stop, Extent::default(), &Single)?;
        if stop.load(Ordering::SeqCst) {
            errln!("stopped; the same command goes on");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let mut run = Run::read(&recipe.out)?.named(WAYS[i].name);
        run.add_pictures(if i == 0 { 4 } else { 0 });
        runs.push(run);
    }

    errln!("{parts}/{parts}  making pictures with all of them");
    let loras: Vec<PathBuf> = WAYS.iter().map(|way| out.join(way.folder).join("lora.safetensors")).collect();
    let held_out = runs[0].start().map(|start| start.held_out.clone()).unwrap_or_default();
    let shown = (people.as_path(), held_out.as_slice());
    let steps = usize::try_from(options.sampling_steps)?;
    let grids = pictures::grids(backend, &model, &loras, steps, shown, &stop)?;
    let Some(grids) = grids else {
        errln!("stopped; the same command goes on");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let losses = Losses::of(&runs).context("the runs have no held-out losses")?;
    let mut report =
        Report::new("fairhuman quickstart: the plain loss, the sum, and Minimum Potential Delay");
    report.summary = story::summary(&losses, options.steps, options.people);
    report.runs = runs;
    report.grids = grids;
    report.next = story::next(out);
    report.about = vec![
        ("fairhuman".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), machine::description()),
        ("time".into(), units::duration(clock())),
    ];
    write_atomically(&page, html(&report).as_bytes())
        .with_context(|| format!("cannot write {}", page.display()))?;

    outln!("{}", losses.table());
    for line in story::conclusion(&losses) {
        outln!("{line}");
    }
    outln!("\nThe page with pictures and curves ({}):\n  {}", units::duration(clock()), page.display());
    outln!("\nNext, with your own photographs:");
    for advice in story::next(out) {
        outln!("  {}", advice.text);
        if let Some(command) = advice.command {
            outln!("    {command}");
        }
    }
    Ok(ExitCode::SUCCESS)
}
