//! `fairhuman evaluate --losses`: held-out losses of a model, with LoRA files beside it without, for each
//! objective and band of time steps.

mod table;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use anyhow::Context;
use fairhuman_dataset::check::infer_regions;
use fairhuman_dataset::{DatasetSpec, Region};
use fairhuman_diffusion::generate::nominal_size;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_engine::Backend;
use fairhuman_files::{FolderLock, Kind, ensure_apart, ensure_ours, write_atomically};
use fairhuman_report::{Report, html};
use fairhuman_train::evaluation::{Evaluation, evaluate};
use fairhuman_train::recipe::Recipe;
use serde_json::{Value, json};

use crate::cli::{Evaluate, Losses, Network};
use crate::commands::sample::{lora_files, loras};
use crate::commands::there::ensure_there;
use crate::device::{self, Work};
use crate::interrupt::{self, INTERRUPTED};
use crate::meter::Meter;
use crate::{machine, model_path};
use table::Table;

/// Computes the losses, and says where they are.
pub fn run(options: &Evaluate) -> anyhow::Result<ExitCode> {
    let losses = &options.losses;
    let dataset = losses.dataset.as_deref().context("--dataset PATH is missing")?;
    let weighted = loras(&losses.loras.lora, &losses.loras.lora_weight)?;
    let written = ["losses.jsonl", "summary.json", "report.html"].map(|name| options.out.join(name));
    let mut read: Vec<(&str, &Path)> = vec![("the dataset", dataset)];
    read.extend(losses.loras.lora.iter().map(|file| ("the LoRA file", file.path.as_path())));
    read.extend(losses.model.read());
    ensure_there(&read)?;
    ensure_apart(&written, &read)?;
    ensure_ours(&written[0], Kind::Report)?;
    ensure_ours(&written[1], Kind::Report)?;
    ensure_ours(&written[2], Kind::Page)?;
    let _lock = FolderLock::take_for_a_while(&options.out)?;
    let recipe = recipe(options, dataset, &model_path::chosen(&losses.model)?)?;
    let stop = interrupt::flag_that_says("leaving after the samples in work");
    let mut arms: Vec<(String, Vec<(PathBuf, f32)>)> = vec![("model".into(), Vec::new())];
    if !weighted.is_empty() {
        arms.push(("with LoRA".into(), lora_files(&weighted)));
    }
    let mut found = Vec::new();
    for (name, loras) in &arms {
        errln!("{name}");
        let work = Evaluating { recipe: &recipe, loras, stop: &stop };
        match device::run(options.compute.device, options.compute.into(), work)? {
            Some(evaluation) => found.push((name.clone(), evaluation)),
            None => return Ok(ExitCode::from(INTERRUPTED)),
        }
    }
    write(&written[0], &lines(&found))?;
    let table = Table::new(&found, losses.bands);
    write(&written[1], &summary(options, &recipe, &table))?;
    write(&written[2], &page(&table))?;
    out!("{}", table.text());
    outln!("{}: open it in a browser", written[2].display());
    Ok(ExitCode::SUCCESS)
}

struct Evaluating<'a> {
    recipe: &'a Recipe,
    loras: &'a [(PathBuf, f32)],
    stop: &'a AtomicBool,
}

impl Work for Evaluating<'_> {
    /// None if it was interrupted.
    type Output = Option<Evaluation>;

    fn on<B: Backend>(self, backend: &B) -> anyhow::Result<Self::Output> {
        let meter = Meter::new("samples");
        let mut last = 0;
        let found = evaluate(backend, self.recipe, self.loras, self.stop, &mut |done, total| {
            meter.advance_by(done, total, done - last);
            last = done;
        });
        meter.finish();
        Ok(found?)
    }
}

/// The recipe of a run that would have these held-out losses. Regions are means over their own cells, and
/// not scaled.
fn recipe(options: &Evaluate, dataset: &Path, model: &Path) -> anyhow::Result<Recipe> {
    let Losses { regions, size, bands, draws, seed, batch, .. } = &options.losses;
    let folder = ModelFolder::open(model)?;
    let reduction = VaeConfig::open(&folder.vae().join("config.json"))?.reduction();
    let (width, height) = match size {
        Some(size) => (*size as usize, *size as usize),
        None => nominal_size(&folder, reduction)?,
    };
    let regions: Vec<Region> = match &regions[..] {
        [] => infer_regions(Path::new(""), &DatasetSpec::new(dataset)),
        given => given.to_vec(),
    };
    let mut objectives = vec![json!({"name": "global"})];
    for region in &regions {
        objectives
            .push(json!({"name": region.name, "mask": region.mask, "scale": 1.0, "normalisation": "region"}));
    }
    let absolute = |path: &Path| -> anyhow::Result<String> {
        let whole = std::path::absolute(path).with_context(|| path.display().to_string())?;
        let text = whole.into_os_string().into_string();
        text.map_err(|_| anyhow::anyhow!("{}: expected a path in UTF-8, as recipes are", path.display()))
    };
    let recipe = json!({
        "steps": 1,
        "batch": batch,
        "seed": seed,
        "method": "full",
        "out": absolute(&options.out)?,
        "cache": absolute(&options.out.join("cache"))?,
        "model": {"path": absolute(model)?},
        "dataset": {"path": absolute(dataset)?},
        "geometry": {"width": width, "height": height},
        "objective": objectives,
        "validation": {"share": 0.5, "draws": bands * draws, "seed": seed},
    });
    let text = toml::to_string(&recipe).context("the recipe of the losses")?;
    Ok(Recipe::parse(&options.out.join("losses.toml"), &text)?)
}

/// A line for each sample and objective.
fn lines(found: &[(String, Evaluation)]) -> String {
    let mut text = String::new();
    for (arm, evaluation) in found {
        for sample in &evaluation.samples {
            for (k, objective) in evaluation.objectives.iter().enumerate() {
                let elements = sample.elements[k];
                let loss = (elements > 0.0).then(|| sample.squares[k] / elements);
                let line = json!({
                    "fairhuman": env!("CARGO_PKG_VERSION"),
                    "arm": arm,
                    "picture": sample.name,
                    "timestep": sample.timestep,
                    "objective": objective,
                    "loss": loss,
                    "elements": elements,
                });
                // Writing into memory does not fail.
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

fn summary(options: &Evaluate, recipe: &Recipe, table: &Table) -> String {
    let losses = &options.losses;
    let loras: Vec<Value> = losses.loras.lora.iter().map(|file| json!(file.shown())).collect();
    let summary = json!({
        "fairhuman": env!("CARGO_PKG_VERSION"),
        "losses": "mean squared error of the prediction over the cells of the whole picture or of a region; background: what no region covers",
        "statistics": "95 % intervals by a bootstrap over pictures, by percentiles; change: relative to the model without LoRA, pictures and noise the same",
        "model": model_path::named(&losses.model).display().to_string(),
        "base": losses.model.base.as_ref().map(Network::shown),
        "loras": loras,
        "lora_weights": losses.loras.lora_weight,
        "dataset": recipe.dataset.path.display().to_string(),
        "width": recipe.geometry.width,
        "height": recipe.geometry.height,
        "seed": losses.seed,
        "bands": losses.bands,
        "draws": losses.draws,
        "rows": table.json(),
    });
    format!("{summary:#}\n")
}

fn page(table: &Table) -> String {
    let mut report = Report::new("Held-out losses");
    report.summary = vec![table.sentence()];
    report.tables = table.tables();
    report.about = vec![
        ("Page made by".into(), format!("fairhuman {}", env!("CARGO_PKG_VERSION"))),
        ("on".into(), machine::description()),
    ];
    html(&report)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    write_atomically(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
