//! The command line's options in the words of the libraries.

use std::fs::{DirEntry, Metadata};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use fairhuman_diffusion::control::ControlConfig;
use fairhuman_diffusion::generate;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::vae::VaeConfig;
use fairhuman_files::sha256_hex;
use fairhuman_refine::{Filter, Kind, ModelSize, Order};
use fairhuman_vision::files;
use serde_json::{Value, json};

use crate::cli::{ModelChoice, Network, Refine, RegionKind, RegionOrder};
use crate::commands::png_names::png_names;
use crate::commands::sample::made_with::Hashes;
use crate::commands::sample::{self, control::Wanted};
use crate::commands::there::ensure_there;
use crate::model_path;

/// A picture to be refined.
pub struct Job {
    /// Its path in the folder of pictures.
    pub name: String,
    pub source: PathBuf,
    /// The refined picture's path in the folder of results.
    pub file: String,
}

/// The pictures, each with a file for its result.
pub fn jobs(options: &Refine) -> anyhow::Result<Vec<Job>> {
    let place = &options.pictures;
    ensure_there(&[("the pictures", place.as_path())])?;
    if place.is_file() {
        let name = place.file_name().and_then(|name| name.to_str()).context("its name is not UTF-8")?;
        let file = Path::new(name).with_extension("png").to_string_lossy().into_owned();
        return Ok(vec![Job { name: name.to_owned(), source: place.clone(), file }]);
    }
    let mut names = files::photographs(place, &options.out)?;
    // The sheet that `sample` leaves beside its pictures.
    names.retain(|name| name.rsplit('/').next() != Some(sample::GRID));
    if names.is_empty() {
        bail!("{}: no pictures in it (.png, .jpg, .jpeg, .webp)", place.display());
    }
    let files = png_names(names.iter().map(Path::new));
    let job = |(name, file): (String, PathBuf)| {
        let (source, file) = (place.join(&name), file.to_string_lossy().into_owned());
        Job { name, source, file }
    };
    Ok(names.into_iter().zip(files).map(job).collect())
}

pub fn reduction(folder: &ModelFolder) -> anyhow::Result<usize> {
    Ok(VaeConfig::open(&folder.vae().join("config.json"))?.reduction())
}

/// The sizes that the model takes, and its control networks.
pub fn model_size(options: &Refine, folder: &ModelFolder, controls: &[Wanted]) -> anyhow::Result<ModelSize> {
    let reduction = reduction(folder)?;
    let mut multiple = reduction;
    for Wanted { path, .. } in controls {
        if let ControlConfig::Adapter(config) = ControlConfig::read(path, &folder.unet(), reduction)? {
            multiple = lcm(multiple, config.downscale);
        }
    }
    let (width, height) = generate::nominal_size(folder, reduction)?;
    let side = |wanted: Option<usize>, own: usize| -> anyhow::Result<u32> {
        Ok(u32::try_from(wanted.unwrap_or(own).next_multiple_of(multiple))?)
    };
    Ok(ModelSize {
        width: side(options.inpaint_width, width)?,
        height: side(options.inpaint_height, height)?,
        multiple: u32::try_from(multiple)?,
    })
}

fn lcm(a: usize, b: usize) -> usize {
    let gcd = |mut a: usize, mut b: usize| {
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a.max(1)
    };
    a / gcd(a, b) * b
}

pub fn filter(options: &Refine) -> Filter {
    let kind = |kind: &RegionKind| match kind {
        RegionKind::Face => Kind::Face,
        RegionKind::Hand => Kind::Hand,
    };
    Filter {
        min_score: options.confidence,
        kinds: options.kinds.iter().map(kind).chain([Kind::Other]).collect(),
        max_regions: options.mask_k,
        min_share: options.mask_min_ratio,
        max_share: options.mask_max_ratio,
        min_side: options.min_side as f64,
        order: match options.order {
            RegionOrder::Left => Order::Left,
            RegionOrder::Area => Order::Area,
            RegionOrder::Score => Order::Score,
        },
    }
}

/// The model as it was named, and what tells it from another one of that name: lengths and times of its
/// files, and the name of the folder that was made of it, which is another one when a file was changed.
fn about_model(choice: &ModelChoice, folder: &Path) -> Value {
    let named = model_path::named(choice);
    let made = folder.file_name().filter(|_| folder != named).map(|name| name.to_string_lossy());
    json!({
        "name": named.display().to_string(),
        "base": choice.base.as_ref().map(Network::shown),
        "prediction": choice.prediction,
        "vae": choice.vae.as_ref().map(Network::shown),
        "clip_skip": choice.clip_skip,
        "files": stamps(folder),
        "made": made,
    })
}

/// Lengths and times of the files of a model folder's parts: where a model was trained further, its weights
/// have taken the place of others of the same names. As one digest.
fn stamps(folder: &Path) -> String {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries(folder).flat_map(|part| entries(&part.path()));
    let stamp = |file: DirEntry| {
        // Snapshots of the Hub are links.
        let about = std::fs::metadata(file.path()).ok().filter(Metadata::is_file)?;
        Some(format!("{} {} {:?}", file.path().display(), about.len(), about.modified().ok()))
    };
    let mut stamps: Vec<String> = files.filter_map(stamp).collect();
    stamps.sort();
    sha256_hex(stamps.join("\n").as_bytes())
}

/// All that decides the result of a picture, besides the picture: what is refined with other settings is
/// refined again.
pub fn settings(
    options: &Refine,
    model: &Path,
    (loras, controls): (&[(Network, f32)], &[Wanted]),
) -> anyhow::Result<Value> {
    let hashes = Hashes::new(loras, controls)?;
    let digest = |path: &Option<PathBuf>| -> anyhow::Result<Value> {
        Ok(match path {
            Some(path) if path.is_file() => {
                let bytes = fairhuman_files::read(path).with_context(|| path.display().to_string())?;
                json!({"file": path.display().to_string(), "sha256": sha256_hex(&bytes)})
            }
            Some(path) => path.display().to_string().into(),
            None => Value::Null,
        })
    };
    Ok(json!({
        "version": 3,
        "model": about_model(&options.model, model),
        "loras": hashes.loras(loras),
        "controls": hashes.controls(controls, 0),
        "control_style": format!("{:?}", options.control_style),
        "prompt": options.prompt,
        "face_prompt": options.face_prompt,
        "hand_prompt": options.hand_prompt,
        "negative": options.negative,
        "regions": digest(&options.regions)?,
        "masks": digest(&options.masks)?,
        "mode": format!("{:?}", options.mode),
        "kinds": options.kinds.iter().map(|kind| format!("{kind:?}")).collect::<Vec<_>>(),
        "confidence": options.confidence,
        "mask_k": options.mask_k,
        "mask_ratio": [Some(options.mask_min_ratio), options.mask_max_ratio],
        "min_side": options.min_side,
        "order": format!("{:?}", options.order),
        "context": options.context,
        "mask_margin": options.mask_margin,
        "mask_blur": options.mask_blur,
        "strength": options.denoising_strength,
        "steps": options.steps,
        "guidance": options.guidance,
        "guidance_rescale": options.guidance_rescale,
        "sampler": options.sampler.name(),
        "size": [options.inpaint_width, options.inpaint_height],
        "seed": options.seed,
        "zoom": !options.no_zoom,
        "faces": digest(&options.finders.faces)?,
        "hands": digest(&options.finders.hands)?,
        "classes": [&options.finders.face_class, &options.finders.hand_class],
        "threshold": options.finders.threshold,
    }))
}
