//! Pictures as latents: the autoencoder's posterior, cached.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fairhuman_dataset::{Dataset, Draw, Wanted};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::vae::{AutoencoderKl, VaeConfig};
use fairhuman_engine::Backend;

use super::DataError;
use crate::cache::{Cache, Entry, Key};
use crate::random::{Purpose, normal, stream};

/// Mean and log-variance of a picture's latents, `[h, w, C]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Posterior {
    shape: [usize; 3],
    mean: Vec<f32>,
    log_variance: Vec<f32>,
}

impl Posterior {
    /// Height, width and channels.
    pub fn shape(&self) -> (usize, usize, usize) {
        (self.shape[0], self.shape[1], self.shape[2])
    }

    /// Latents drawn for a slot, as the U-Net takes them.
    pub fn sample(&self, seed: u64, step: u64, slot: u64, (factor, shift): (f64, f64)) -> Vec<f32> {
        let noise = normal(&mut stream(seed, Purpose::Posterior, step, slot), self.mean.len());
        let values = self.mean.iter().zip(&self.log_variance).zip(noise);
        let draw = |((&mean, &log), noise): ((&f32, &f32), f32)| {
            let z = f64::from(mean) + (0.5 * f64::from(log)).exp() * f64::from(noise);
            ((z - shift) * factor) as f32
        };
        values.map(draw).collect()
    }

    /// The most likely latents, as the U-Net takes them.
    pub fn mean(&self, (factor, shift): (f64, f64)) -> Vec<f32> {
        self.mean.iter().map(|&mean| ((f64::from(mean) - shift) * factor) as f32).collect()
    }
}

/// A picture's latents, or what they are made of.
pub(super) enum Latents {
    /// They were in the cache.
    Cached(Posterior),
    /// They were not.
    Pixels(Pixels),
}

/// A picture that has to be encoded.
pub(super) struct Pixels {
    /// `[1, height, width, 3]`
    shape: [usize; 4],
    values: Vec<f32>,
    /// The key in the cache, if latents are kept there.
    key: Option<[u8; 32]>,
    /// True if the cache has a damaged entry of this key.
    damaged: bool,
}

/// Finds pictures in the cache, or decodes them. Needs no device.
pub(super) struct LatentReader {
    config: VaeConfig,
    /// The cache and the hash of the autoencoder's files, if latents are kept.
    cache: Option<(Cache, [u8; 32])>,
    /// Hashes of the pictures that were met.
    pictures: Vec<OnceLock<[u8; 32]>>,
}

impl LatentReader {
    /// For a model's `vae/` and so many pictures; without `cached`, every picture is encoded anew.
    pub fn open(folder: &Path, cache: Cache, cached: bool, pictures: usize) -> Result<Self, DataError> {
        let config = VaeConfig::open(&folder.join("config.json"))?;
        let cache = match cached {
            true => {
                let hash = cache.hash_folders(&[folder.to_path_buf()]);
                Some((cache, hash.map_err(|source| DataError::Io { path: folder.into(), source })?))
            }
            false => None,
        };
        Ok(Self { config, cache, pictures: vec![OnceLock::new(); pictures] })
    }

    /// Pixels per latent cell, in one direction.
    pub fn reduction(&self) -> usize {
        self.config.reduction()
    }

    /// Factor and shift between the autoencoder's latents and the U-Net's.
    pub fn scaling(&self) -> (f64, f64) {
        (self.config.scaling_factor, self.config.shift_factor)
    }

    /// Picture `i` in the geometry `draw`; it is decoded only where its latents are not in the cache.
    pub fn read(&self, dataset: &Dataset, i: usize, draw: &Draw) -> Result<Latents, DataError> {
        let (mut key, mut damaged) = (None, false);
        if let Some((cache, vae)) = &self.cache {
            let picture = self.hash(dataset, i)?;
            let geometry = serde_json::to_vec(draw).map_err(|e| DataError::Problem(e.to_string()))?;
            let of_picture = Key::new("latents").with(vae).with(&picture).with(&geometry).finish();
            match cache.look_up(&of_picture).map(|entry| entry.and_then(read)) {
                Ok(Some(posterior)) => return Ok(Latents::Cached(posterior)),
                found => damaged = found.is_err(),
            }
            key = Some(of_picture);
        }
        let values = dataset.load(i, draw, 1, Wanted::IMAGE)?.image;
        let shape = [1, draw.height as usize, draw.width as usize, 3];
        Ok(Latents::Pixels(Pixels { shape, values, key, damaged }))
    }

    fn hash(&self, dataset: &Dataset, i: usize) -> Result<[u8; 32], DataError> {
        if let Some(hash) = self.pictures[i].get() {
            return Ok(*hash);
        }
        let hash = dataset.image_hash(i)?;
        Ok(*self.pictures[i].get_or_init(|| hash))
    }
}

/// Encodes pictures. The autoencoder is read when the first picture is not in the cache.
pub(super) struct LatentEncoder<B: Backend> {
    folder: PathBuf,
    cache: Cache,
    vae: Option<AutoencoderKl<B>>,
}

impl<B: Backend> LatentEncoder<B> {
    /// For a model's `vae/`.
    pub fn new(folder: &Path, cache: Cache) -> Self {
        Self { folder: folder.into(), cache, vae: None }
    }

    /// The posterior of a picture, which is stored in the cache if it has a key.
    pub fn posterior(&mut self, backend: &B, latents: Latents) -> Result<Posterior, DataError> {
        let picture = match latents {
            Latents::Cached(posterior) => return Ok(posterior),
            Latents::Pixels(picture) => picture,
        };
        let vae = match self.vae.take() {
            Some(vae) => vae,
            None => AutoencoderKl::load(backend, &self.folder, Trainable::None)?,
        };
        let vae = self.vae.insert(vae);
        let pixels = backend.tensor(&picture.shape, &picture.values);
        let (mean, log_variance) = vae.encode_moments(backend, &pixels)?;
        let shape = B::shape(&mean);
        let shape = [shape[1], shape[2], shape[3]];
        let posterior = Posterior { shape, mean: backend.read(&mean), log_variance };
        if let Some(key) = picture.key {
            self.cache.count_damaged(picture.damaged);
            let list = |values: &[f32]| (shape.to_vec(), values.to_vec());
            let entry = Entry::from([
                ("log_variance".to_owned(), list(&posterior.log_variance)),
                ("mean".to_owned(), list(&posterior.mean)),
            ]);
            self.cache.put(&key, &entry)?;
        }
        Ok(posterior)
    }
}

fn read(mut entry: Entry) -> Option<Posterior> {
    let (shape, mean) = entry.remove("mean")?;
    let (_, log_variance) = entry.remove("log_variance")?;
    Some(Posterior { shape: shape.try_into().ok()?, mean, log_variance })
}
