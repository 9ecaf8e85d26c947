//! Control networks and their images, as the command line names them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use fairhuman_diffusion::control::{Control, ControlConfig, ControlRef};
use fairhuman_diffusion::generate::{Guide, Picture, Settings};
use fairhuman_diffusion::pipeline::{ModelFolder, Pipeline};
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_engine::Backend;

use super::init::{fitted, one_for_each};
use super::inpaint::filled;
use crate::cache;
use crate::cli::{ControlChoice, Network, Sample};
use crate::model_path::is_builtin;

/// A control network of the command line.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// As it was named, for what is written down: `builtin` lies in a cache.
    pub named: PathBuf,
    /// Its folder or file.
    pub path: PathBuf,
    /// The types of a union's control images.
    pub types: Vec<usize>,
    /// The control images of each prompt: one, or one for each type.
    pub images: Vec<Vec<PathBuf>>,
    pub weight: f32,
    /// The first and the last share of the steps.
    pub span: (f64, f64),
    pub guess: bool,
}

/// The networks that the options name, checked against each other; without control images.
pub fn networks(options: &ControlChoice) -> anyhow::Result<Vec<Wanted>> {
    let count = options.control.len();
    for (name, found) in [
        ("--control-weight", options.control_weight.len()),
        ("--control-start", options.control_start.len()),
        ("--control-end", options.control_end.len()),
    ] {
        ensure!(
            found == 0 || found == count,
            "{count} --control and {found} {name}: give one for each network, or none at all"
        );
    }
    let mut types: Vec<Vec<usize>> = options.control_type.iter().map(|types| types.0.clone()).collect();
    if count == 1 {
        types = vec![types.concat()];
    }
    ensure!(
        types.is_empty() || types.len() == count,
        "{count} --control and {} --control-type: give one for each network, as TYPE,TYPE for several images and none \
         for a network that is no union",
        types.len()
    );
    let one = |(i, network): (usize, &Network)| {
        let start = options.control_start.get(i).copied().unwrap_or(0.0);
        let end = options.control_end.get(i).copied().unwrap_or(1.0);
        ensure!(start <= end, "--control-start {start} is after --control-end {end}");
        let weight = options.control_weight.get(i).copied().unwrap_or(1.0);
        let Network { named, path } = network.clone();
        let path = if is_builtin(&path) { cache::builtin_pose()? } else { path };
        let types = types.get(i).cloned().unwrap_or_default();
        Ok(Wanted { named, path, types, images: Vec::new(), weight, span: (start, end), guess: false })
    };
    options.control.iter().enumerate().map(one).collect()
}

/// The same with the control images of `prompts` prompts.
pub fn wanted(options: &Sample, prompts: usize) -> anyhow::Result<Vec<Wanted>> {
    let mut networks = networks(&options.networks)?;
    let (count, images) = (networks.len(), options.control_image.len());
    let needed: usize = networks.iter().map(Wanted::image_count).sum();
    ensure!(
        images == needed || (images == 1 && count > 0),
        "{count} --control and {images} --control-image: give one for each network, for a union one for each \
         --control-type, here {needed}; or one for all"
    );
    let mut left = options.control_image.iter().cycle();
    for network in &mut networks {
        network.images = vec![Vec::new(); prompts];
        for path in left.by_ref().take(network.image_count()) {
            let files = one_for_each(path, prompts)?;
            network.images.iter_mut().zip(files).for_each(|(images, file)| images.push(file));
        }
        network.guess = options.guess;
    }
    Ok(networks)
}

impl Wanted {
    /// The network as the sampler takes it.
    pub fn guide<'a, B: Backend>(
        &'a self,
        network: ControlRef<'a, B>,
        images: &'a BTreeMap<u64, Arc<[f32]>>,
    ) -> Guide<'a, B> {
        let Self { ref types, weight, span, guess, .. } = *self;
        Guide { network, images, types, weight, span, guess }
    }

    /// Control images of one picture.
    fn image_count(&self) -> usize {
        self.types.len().max(1)
    }
}

/// Checks that the networks are for the model and the pictures' size, before any weight is read.
pub fn check(
    wanted: &[Wanted],
    model: &ModelFolder,
    reduction: usize,
    size: (usize, usize),
) -> anyhow::Result<()> {
    if wanted.is_empty() {
        return Ok(());
    }
    let unet = UNetConfig::open(&model.unet().join("config.json"))?;
    for Wanted { path, types, .. } in wanted {
        let config = ControlConfig::read(path, &model.unet(), reduction)?;
        config.check(path, &unet, reduction, size)?;
        config.check_types(types).with_context(|| format!("{} with --control-type", path.display()))?;
    }
    Ok(())
}

/// Loaded networks, each with the control images of pictures by their index.
pub struct Loaded<B: Backend> {
    networks: Vec<Control<B>>,
    images: Vec<BTreeMap<u64, Arc<[f32]>>>,
}

impl<B: Backend> Loaded<B> {
    /// Reads networks and images, which are given in the size that is shown of the pictures. `each` pictures
    /// belong to every prompt.
    pub fn new(
        backend: &B,
        pipeline: &Pipeline<B>,
        wanted: &[Wanted],
        (settings, shown): (&Settings, (usize, usize)),
        (pictures, each): (&[Picture], usize),
    ) -> anyhow::Result<Self> {
        let (unet, reduction) = (pipeline.folder.unet(), pipeline.vae.config().reduction());
        let (mut networks, mut images) = (Vec::new(), Vec::new());
        let mut read: BTreeMap<&Path, Arc<[f32]>> = BTreeMap::new();
        for control in wanted {
            networks.push(Control::load(backend, &control.path, &unet, reduction)?);
            let mut by_index = BTreeMap::new();
            for (pictures, files) in pictures.chunks(each).zip(&control.images) {
                for file in files {
                    if !read.contains_key(file.as_path()) {
                        let image = filled(&fitted(file, shown)?, (settings.width, settings.height));
                        let values = image.as_raw().iter().map(|&v| f32::from(v) / 255.0);
                        read.insert(file, values.collect());
                    }
                }
                let images: Arc<[f32]> = match files.as_slice() {
                    [file] => read[file.as_path()].clone(),
                    several => several.iter().flat_map(|file| read[file.as_path()].to_vec()).collect(),
                };
                by_index.extend(pictures.iter().map(|picture| (picture.index, images.clone())));
            }
            images.push(by_index);
        }
        Ok(Self { networks, images })
    }

    /// The networks as the sampler takes them.
    pub fn guides<'a>(&'a self, wanted: &'a [Wanted]) -> Vec<Guide<'a, B>> {
        let networks = self.networks.iter().map(Control::by_ref);
        let guide = |((network, images), wanted): (_, &'a Wanted)| wanted.guide(network, images);
        networks.zip(&self.images).zip(wanted).map(guide).collect()
    }
}
