//! `fairhuman quickstart`: the whole story on the built-in model. Draws people, fine-tunes twice from the
//! same model, on the same pictures, in the same order and with the same noise (once with the plain loss,
//! once fairly), and shows what each has learnt: held-out losses, pictures of the same prompts, and a page of
//! all of it.

mod pictures;
mod story;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_engine::Backend;
use fairhuman_people::{Style, write_dataset};
use fairhuman_report::{Report, Run, html};
use fairhuman_train::recipe::Recipe;

use crate::cli::Quickstart;
use crate::commands::train::shown_on_screen;
use crate::device::{self, Work};
use crate::interrupt::{self, INTERRUPTED};
use crate::{cache, clock, machine, units};
use story::Losses;

/// The two ways to weight the same three objectives.
const WAYS: [(&str, &str, &str); 2] = [
    ("plain", "Plain", "{ kind = \"fixed\", weights = [1, 0, 0] }"),
    ("mpd", "MPD", "{ kind = \"alpha-fair\", alpha = 2.0 }"),
];

/// As many of a hundred people seen from near as in what the built-in model learnt from.
const NEAR: u32 = 80;

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
    let model = cache::builtin_model()?;
    let recipes = recipes(out, &model, options.steps)?;
    let stop = interrupt::flag();

    errln!("1/4  drawing {} people", options.people);
    let people = out.join("people");
    let size = fairhuman_builtin::SIZE as u32;
    let (count, style) = (options.people, Style::default());
    let what = fairhuman_people::Options { count, size, seed: 20, figures: 1, near: NEAR, style };
    write_dataset(what, &people, &mut |_| {})?;

    let mut runs = Vec::new();
    for (i, recipe) in recipes.iter().enumerate() {
        errln!("{}/4  fine-tuning: {}", i + 2, story::ABOUT[i]);
        shown_on_screen(backend, recipe, &stop, None, None)?;
        if stop.load(Ordering::SeqCst) {
            errln!("stopped; the same command goes on");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        let mut run = Run::read(&recipe.out)?.named(WAYS[i].1);
        run.add_pictures(if i == 0 { 4 } else { 0 });
        runs.push(run);
    }

    errln!("4/4  making pictures with all three");
    let loras: Vec<PathBuf> = WAYS.iter().map(|way| out.join(way.0).join("lora.safetensors")).collect();
    let held_out = runs[0].start().map(|start| start.held_out.clone()).unwrap_or_default();
    let shown = (people.as_path(), held_out.as_slice());
    let steps = usize::try_from(options.sampling_steps)?;
    let grids = pictures::grids(backend, &model, &loras, steps, shown, &stop)?;
    let Some(grids) = grids else {
        errln!("stopped; the same command goes on");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let losses = Losses::of(&runs).context("the runs have no held-out losses")?;
    let mut report = Report::new("fairhuman quickstart: the plain loss and Minimum Potential Delay");
    report.summary = story::summary(&losses, options.steps, options.people);
    report.runs = runs;
    report.grids = grids;
    report.next = story::next(out);
    report.about = vec![
        ("fairhuman".into(), env!("CARGO_PKG_VERSION").into()),
        ("machine".into(), machine::description()),
        ("time".into(), units::duration(clock())),
    ];
    let page = out.join("report.html");
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

/// The two recipes, as files that a person can run again, or copy and change. Those of another quickstart,
/// and changed ones, stay as they are, and nothing is written.
fn recipes(out: &Path, model: &Path, steps: u64) -> anyhow::Result<Vec<Recipe>> {
    let mut texts = Vec::new();
    for (name, _, weighting) in WAYS {
        let (path, text) = (out.join(format!("{name}.toml")), recipe(model, name, weighting, steps)?);
        match fairhuman_files::read_to_string(&path) {
            Ok(there) if there != text => match Recipe::parse(&path, &there) {
                Ok(theirs) if theirs.steps != steps => bail!(
                    "{} holds a quickstart with --steps {}; say the same, or another --out",
                    out.display(),
                    theirs.steps
                ),
                _ => bail!(
                    "{} is not as this quickstart writes it: changed, or by another version; say another --out",
                    path.display()
                ),
            },
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
        texts.push((path, text));
    }
    std::fs::create_dir_all(out).with_context(|| format!("cannot make the folder {}", out.display()))?;
    let write = |(path, text): (PathBuf, String)| {
        write_atomically(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Recipe::parse(&path, &text)?)
    };
    texts.into_iter().map(write).collect()
}

/// The text of a recipe: all but `name` and `weighting` is the same in both.
fn recipe(model: &Path, name: &str, weighting: &str, steps: u64) -> anyhow::Result<String> {
    let model = std::path::absolute(model)?;
    // A JSON string is a TOML string, too.
    let model = serde_json::to_string(&model.to_string_lossy())?;
    Ok(format!(
        r#"# Written by `fairhuman quickstart`: the two recipes differ in `weighting` alone.
steps = {steps}
batch = 4
out = "{name}"
cache = "cache"
weighting = {weighting}

[model]
path = {model}

[dataset]
path = "people"

[geometry]
width = {size}
height = {size}

[[objective]]
name = "global"

[[objective]]
name = "face"
mask = "mask_face"

[[objective]]
name = "hand"
mask = "mask_hand"

[lora]
rank = 16
targets = ["attention", "feed_forward", "conv"]

[optimizer]
learning_rate = 5e-4

[schedule]
decay = "cosine"
warmup = {warmup}

[validation]
share = 0.2
every = {every}
draws = 4
"#,
        size = fairhuman_builtin::SIZE,
        warmup = (steps / 16).min(10),
        every = (steps / 4).max(1),
    ))
}
