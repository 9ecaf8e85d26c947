//! `fairhuman check`: every fault of a dataset by name, what each objective will see, and whether training
//! would start.

mod start;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use fairhuman_dataset::check::{Options, check, html, infer_regions, text};
use fairhuman_dataset::{DatasetSpec, GeometrySpec, Region};
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_files::{Kind, ensure_apart, ensure_ours};
use fairhuman_train::method::LossSpace;
use fairhuman_train::recipe::Recipe;

use crate::cli::Check;
use crate::meter::Meter;
use start::Start;

/// Longer side of a thumbnail in pixels.
const THUMBNAIL: u32 = 256;

/// A dataset to check, with its settings.
struct Plan {
    dataset: DatasetSpec,
    regions: Vec<Region>,
    geometry: GeometrySpec,
    latent_factor: usize,
    /// Pixels per cell of the masks; see [`Options::mask_cell`].
    mask_cell: usize,
    tokenizer: Option<ClipTokenizer>,
}

/// Checks, prints, and says by the exit code whether there are errors.
pub fn run(options: &Check) -> anyhow::Result<ExitCode> {
    let (plan, start) = match is_recipe(&options.path)? {
        true => of_recipe(&options.path)?,
        false => {
            ensure_dataset(&options.path)?;
            (of_dataset(options), Start::default())
        }
    };
    if let Some(page) = &options.html {
        ensure_apart(std::slice::from_ref(page), &[("what is checked", &options.path)])?;
        ensure_ours(page, Kind::Page)?;
    }
    // Before everything is read: a page that has no place is told at once.
    if let Some(folder) = options.html.as_deref().and_then(Path::parent) {
        fairhuman_files::make_folder(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let meter = Meter::new("pictures");
    let count = |text: &str| plan.tokenizer.as_ref().map_or(0, |t| t.encode(text).count);
    let how = Options {
        geometry: plan.geometry,
        latent_factor: plan.latent_factor,
        mask_cell: plan.mask_cell,
        tokens: plan.tokenizer.is_some().then_some(&count),
        thumbnails: if options.html.is_some() { THUMBNAIL } else { 0 },
    };
    let report = check(Path::new(""), &plan.dataset, &plan.regions, &how, &|done, all| {
        meter.advance(done, all, true);
    });
    meter.finish();
    if options.json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        out!("{}", text(&report));
    }
    if let Some(file) = &options.html {
        let page = html(&report, options.pictures);
        write_atomically(file, page.as_bytes())
            .with_context(|| format!("cannot write {}", file.display()))?;
        errln!("contact sheet: {}", file.display());
    }
    start.warnings.iter().for_each(|warning| errln!("warning: {warning}"));
    start.errors.iter().for_each(|error| errln!("error: {error}; training would end here"));
    Ok(if report.has_errors() || !start.errors.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// True if a file is a recipe: TOML, and not a dataset config of kohya's.
pub(super) fn is_recipe(path: &Path) -> anyhow::Result<bool> {
    if path.is_dir() || path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("toml")) {
        return Ok(false);
    }
    ensure!(
        path.exists(),
        "{}: there is no such recipe; `fairhuman init DATASET` writes one",
        path.display()
    );
    let text =
        fairhuman_files::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(!text.lines().any(|line| line.trim_start().starts_with("[[datasets")))
}

/// Fails where there is nothing, or a model.
fn ensure_dataset(path: &Path) -> anyhow::Result<()> {
    ensure!(path.exists(), "{}: there is no such dataset or recipe", path.display());
    let is_weights = |end: &OsStr| ["safetensors", "ckpt"].iter().any(|name| end.eq_ignore_ascii_case(name));
    if path.join("model_index.json").is_file() || (path.is_file() && path.extension().is_some_and(is_weights))
    {
        bail!(
            "{}: this is a model; check takes a recipe or a dataset; name the model in a recipe's model.path",
            path.display()
        );
    }
    Ok(())
}

/// The dataset to check, and what is wrong with everything else that training opens.
fn of_recipe(path: &Path) -> anyhow::Result<(Plan, Start)> {
    let mut recipe = Recipe::read(path)?;
    for note in recipe.notes() {
        errln!("note: {note}");
    }
    let start = start::check(path, &mut recipe);
    let parts = ModelFolder::open(recipe.model.folder()).map_err(anyhow::Error::from).and_then(|folder| {
        let vae = VaeConfig::open(&folder.vae().join("config.json"))?;
        let tokenizer =
            folder.texts().into_iter().next().map(|(tokenizer, ..)| ClipTokenizer::open(&tokenizer));
        Ok((vae.reduction(), tokenizer.transpose()?))
    });
    let (latent_factor, tokenizer) = parts.unwrap_or_else(|_| {
        errln!("without the model, tokens are estimated, and latent cells taken to be 8 x 8 pixels");
        (8, None)
    });
    let mask_cell = match recipe.method.space() {
        LossSpace::Latents => latent_factor,
        LossSpace::Pixels => 1,
    };
    let (regions, geometry) = (recipe.regions(), recipe.geometry);
    Ok((Plan { dataset: recipe.dataset, regions, geometry, latent_factor, mask_cell, tokenizer }, start))
}

fn of_dataset(options: &Check) -> Plan {
    let dataset = DatasetSpec::new(&options.path);
    let regions = match &options.regions[..] {
        [] => infer_regions(Path::new(""), &dataset),
        given => given.to_vec(),
    };
    let geometry = GeometrySpec { width: options.size, height: options.size, ..GeometrySpec::default() };
    Plan { dataset, regions, geometry, latent_factor: 8, mask_cell: 8, tokenizer: None }
}
