//! `fairhuman init`: a recipe for a dataset, a model and the memory there is.

mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use fairhuman_dataset::check::infer_regions;
use fairhuman_dataset::{Dataset, DatasetSpec};
use fairhuman_diffusion::generate::nominal_size;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_train::memory::{Networks, Sizes, estimate};
use fairhuman_train::recipe::{Model, Recipe};

use crate::cli::{Aim, Init};
use crate::memory::Memory;
use crate::model_path;
use crate::units::bytes;
pub use text::nothing_held_out;
use text::{Choices, Fit, HELD_OUT_FROM};

/// Share of a device's memory that a run may take where nobody says.
const SHARE: f64 = 0.8;
const GIB: f64 = 1_073_741_824.0;
/// Larger pictures, in pixels, are not trained by more than four at once.
const SMALL: usize = 256 * 256;

/// Writes the recipe, and says the next commands.
pub fn run(options: &Init) -> anyhow::Result<ExitCode> {
    let file = options.recipe.clone().map_or_else(|| default_name(&options.dataset), Ok)?;
    ensure!(
        file.symlink_metadata().is_err(),
        "{} is there already: name another file with --recipe, or remove it",
        file.display()
    );
    ensure!(options.dataset.exists(), "there is no dataset {}", options.dataset.display());
    let spec = DatasetSpec::new(&options.dataset);
    let regions = infer_regions(Path::new(""), &spec);
    let dataset = Dataset::open(Path::new(""), &spec, &regions).with_context(|| {
        let shown = options.dataset.display();
        format!("{shown} cannot be trained on as it is; `fairhuman check {shown}` lists everything")
    })?;
    let captions = (0..dataset.len()).map(|i| dataset.item(i).caption.clone());
    let (path, base) = (options.model.as_str(), options.base.as_deref());
    let (path, base) = (model_name(&file, path)?, base.map(|base| model_name(&file, base)).transpose()?);
    let here = file.parent().unwrap_or(Path::new(""));
    let mut model = Model {
        path: here.join(&path),
        base: base.as_ref().map(|base| here.join(base)),
        prediction: options.prediction,
        vae: None,
        clip_skip: None,
        settled: None,
    };
    model_path::of_recipe(&mut model)?;
    let model = ModelFolder::open(model.folder())?;
    let reduction = VaeConfig::open(&model.vae().join("config.json"))?.reduction();
    let mut choices = Choices {
        aim: options.preset,
        dataset: seen_from(&file, &options.dataset)?,
        model: path,
        base,
        prediction: options.prediction,
        device: options.device,
        regions,
        pictures: dataset.len(),
        prompts: prompts(captions),
        size: nominal_size(&model, reduction)?,
        fit: Fit { batch: 1, rank: 1, checkpointing: false },
    };
    let allowed = match options.memory {
        Some(gib) => Some(f64::from(gib) * GIB),
        None => Memory::of(options.device).map(|memory| SHARE * memory.total),
    };
    let peak;
    (choices.fit, peak) = fitting(&choices, &file, &model, allowed)?;
    let recipe = choices.write();
    Recipe::parse(&file, &recipe)?;
    write_atomically(&file, recipe.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    let (shown, (width, height)) = (file.display(), choices.size);
    outln!(
        "{shown}: {} pictures, {width} x {height}, {}, about {} of memory",
        choices.pictures,
        choices.objectives(),
        bytes(peak)
    );
    if choices.regions.is_empty() {
        errln!(
            "note: the dataset has no masks, so the whole picture is all that is trained; `fairhuman annotate` makes masks \
             of faces and hands"
        );
    }
    if choices.pictures < HELD_OUT_FROM {
        errln!("note: {}", nothing_held_out());
    }
    errln!("next: fairhuman check {shown}\n      fairhuman train {shown}");
    Ok(ExitCode::SUCCESS)
}

fn default_name(dataset: &Path) -> anyhow::Result<PathBuf> {
    let dataset = dataset.canonicalize().unwrap_or_else(|_| dataset.to_owned());
    let stem = if dataset.is_dir() { dataset.file_name() } else { dataset.file_stem() };
    let stem = stem.context("the dataset has no name: say the recipe's with --recipe")?;
    Ok(PathBuf::from(stem).with_extension("toml"))
}

/// A path as a recipe in `file` has to name it: a relative one is relative to the recipe's folder.
fn seen_from(file: &Path, path: &Path) -> anyhow::Result<String> {
    let is_here = file.parent().is_none_or(|folder| folder.as_os_str().is_empty());
    let path = match is_here || path.is_absolute() {
        true => path.to_owned(),
        false => path.canonicalize().with_context(|| path.display().to_string())?,
    };
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// A model's path, as above; a name as it is.
fn model_name(file: &Path, name: &str) -> anyhow::Result<String> {
    let path = Path::new(name);
    if path.exists() { seen_from(file, path) } else { Ok(name.to_owned()) }
}

/// The largest batch and rank that fit into `allowed` bytes, with the estimated peak.
fn fitting(
    choices: &Choices,
    file: &Path,
    folder: &ModelFolder,
    allowed: Option<f64>,
) -> anyhow::Result<(Fit, f64)> {
    let networks = Networks::open(folder)?;
    let (width, height) = choices.size;
    let most = if width * height <= SMALL { 8 } else { 4 };
    let batches = [8, 4, 2, 1]
        .into_iter()
        .filter(|batch| *batch <= most && (*batch == 1 || *batch * 4 <= choices.pictures));
    let rank = choices.aim.rank();
    let mut tried: Vec<Fit> = batches.map(|batch| Fit { batch, rank, checkpointing: false }).collect();
    tried.extend([rank, rank.min(32), 16, 8].map(|rank| Fit { batch: 1, rank, checkpointing: true }));
    let mut least = f64::INFINITY;
    for fit in tried {
        let recipe = Recipe::parse(file, &Choices { fit, ..choices.clone() }.write())?;
        let peak = estimate(&networks, &Sizes::of(&recipe)).peak();
        if allowed.is_none_or(|allowed| peak <= allowed) {
            return Ok((fit, peak));
        }
        least = least.min(peak);
    }
    bail!(
        "training this model at {width} x {height} takes about {} at least, and {} are allowed: say more \
         with --memory, or train on another --device",
        bytes(least),
        bytes(allowed.unwrap_or_default())
    )
}

/// Two captions to draw while training.
fn prompts(captions: impl Iterator<Item = String>) -> Vec<String> {
    let mut prompts: Vec<String> = Vec::new();
    let usable = captions.filter(|text| !text.trim().is_empty() && text.chars().count() <= 300);
    for caption in usable {
        if !prompts.contains(&caption) {
            prompts.push(caption);
        }
        if prompts.len() == 2 {
            break;
        }
    }
    prompts
}

impl Aim {
    /// The rank of the adapter, where memory allows.
    fn rank(self) -> usize {
        match self {
            Aim::Paper => 256,
            Aim::Style => 16,
            Aim::Portrait | Aim::Hands => 32,
        }
    }
}
