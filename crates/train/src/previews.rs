//! Pictures of the recipe's prompts while it trains, to look at what the losses do not say.
//!
//! `RUN/samples/step-N/I.png` is prompt I after N steps, always from the same noise: what changes from folder
//! to folder is what was learnt. Nothing here changes a parameter or draws a number that training uses.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_diffusion::generate::{Guide, Picture, Rgb, Settings, generate, validate};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::pipeline::{ModelFolder, Parts, TextEncoders};
use fairhuman_diffusion::schedule::NoiseSchedule;
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_diffusion::weights::write_atomically;
use fairhuman_engine::{Backend, Params};
use fairhuman_pictures::photo;
use image::{ExtendedColorType, ImageFormat};

use crate::error::TrainError;
use crate::folder;
use crate::method::{Method, Painter};
use crate::recipe::{Recipe, Samples};

/// Renders prompts by a network in training: the frozen rest of its model, and the prompts.
pub struct Previews<B: Backend> {
    folder: ModelFolder,
    text: TextEncoders<B>,
    vae: AutoencoderKl<B>,
    schedule: NoiseSchedule,
    settings: Settings,
    pictures: Vec<Picture>,
    /// Control images by the index of their picture: `[height, width, 3]` in [0, 1].
    control_images: BTreeMap<u64, Arc<[f32]>>,
}

/// The files that `[samples]` reads, for messages.
pub fn reads(recipe: &Recipe) -> impl Iterator<Item = (&'static str, &Path)> {
    let images = recipe.samples.iter().flat_map(|samples| &samples.control_images);
    images.map(|path| ("samples.control_images", path.as_path()))
}

/// The settings of their sampling.
pub(crate) fn settings(samples: &Samples) -> Settings {
    let &Samples { sampler, steps, guidance, guidance_rescale, width, height, seed, .. } = samples;
    Settings {
        sampler,
        steps,
        guidance,
        guidance_rescale,
        width: width as usize,
        height: height as usize,
        seed,
    }
}

impl<B: Backend> Previews<B> {
    /// Reads the parts of a model folder that are not trained.
    ///
    /// # Errors
    /// Parts that are missing or do not fit; settings that the model cannot follow.
    pub fn open(backend: &B, model: &Path, samples: &Samples) -> Result<Self, TrainError> {
        let folder = ModelFolder::open(model)?;
        let text = TextEncoders::load(backend.exact(), &folder)?;
        let vae = AutoencoderKl::load(backend.exact(), &folder.vae(), Trainable::None)?;
        let schedule = NoiseSchedule::read(&folder.schedule()).map_err(ModelError::from)?;
        let settings = settings(samples);
        validate(&folder, &schedule, &vae, &settings)
            .map_err(|source| TrainError::Samples { step: 0, source })?;
        let picture = |(prompt, index): (&String, u64)| {
            let (prompt, negative) = (prompt.clone(), samples.negative.clone());
            Picture { prompt, negative, index }
        };
        let pictures = samples.prompts.iter().zip(0..).map(picture).collect();
        let control_images = control_images(samples)?;
        Ok(Self { folder, text, vae, schedule, settings, pictures, control_images })
    }

    /// Renders and writes the prompts with `network` after `step` steps; returns the files. A network that
    /// draws no pictures of prompts, an autoencoder, gives none; told to stop, it makes no more.
    ///
    /// # Errors
    /// Settings that the model cannot follow, pictures that are not finite, files that cannot be written.
    pub fn render(
        &self,
        backend: &B,
        (network, params): (&impl Method<B>, &Params<B>),
        run: &Path,
        step: u64,
        stop: &AtomicBool,
    ) -> Result<Vec<PathBuf>, TrainError> {
        let Some(Painter { unet, text: trained, control }) = network.painter() else { return Ok(Vec::new()) };
        let Self { folder, text, vae, schedule, settings, pictures, control_images } = self;
        let guide = |network| Guide {
            network,
            images: control_images,
            types: &[],
            weight: 1.0,
            span: (0.0, 1.0),
            guess: false,
        };
        let guides: Vec<_> = control.map(guide).into_iter().collect();
        let parts = Parts { folder, text: trained.unwrap_or(text), unet, vae, schedule, guides: &guides };
        let folder = folder::samples(run, step);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::Io { path, source }
        };
        fairhuman_files::make_folder(&folder).map_err(failed(&folder))?;
        let mut files = Vec::new();
        // One after the other: memory does not grow with the number of prompts.
        for picture in pictures {
            if stop.load(Ordering::SeqCst) {
                break;
            }
            let one = std::slice::from_ref(picture);
            let made = generate(backend, &parts, params, settings, one, &mut |_| {})
                .map_err(|source| TrainError::Samples { step, source })?;
            for rgb in made {
                let path = folder.join(format!("{}.png", picture.index));
                png(&rgb).and_then(|bytes| write_atomically(&path, &bytes)).map_err(failed(&path))?;
                files.push(path);
            }
        }
        Ok(files)
    }
}

/// The control image of every prompt; no images give none.
pub(crate) fn control_images(samples: &Samples) -> Result<BTreeMap<u64, Arc<[f32]>>, TrainError> {
    let read = |path: &PathBuf| -> Result<Arc<[f32]>, TrainError> {
        let failed = |source| TrainError::ControlImage { source };
        let image = photo::fitted(&photo::read(path).map_err(failed)?, (samples.width, samples.height));
        Ok(image.as_raw().iter().map(|&v| f32::from(v) / 255.0).collect())
    };
    let images = samples.control_images.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    // One for all, or one for each.
    Ok((0..)
        .zip(images.iter().cycle().take(if images.is_empty() { 0 } else { samples.prompts.len() }).cloned())
        .collect())
}

fn png(rgb: &Rgb) -> std::io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let (width, height) = (rgb.width as u32, rgb.height as u32);
    let (color, format) = (ExtendedColorType::Rgb8, ImageFormat::Png);
    image::write_buffer_with_format(&mut bytes, &rgb.pixels, width, height, color, format)
        .map_err(std::io::Error::other)?;
    Ok(bytes.into_inner())
}
