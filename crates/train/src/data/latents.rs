//! Pictures as latents: the autoencoder's posterior, cached.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

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

/// Encodes pictures. The autoencoder is read when the first picture is not in the cache.
pub(super) struct Latents<B: Backend> {
    folder: PathBuf,
    config: VaeConfig,
    vae: Option<AutoencoderKl<B>>,
    cache: Option<(Cache, [u8; 32])>,
    pictures: HashMap<usize, [u8; 32]>,
}

impl<B: Backend> Latents<B> {
    /// For a model's `vae/`; without `cached`, every picture is encoded anew.
    pub fn open(folder: &Path, cache: Cache, cached: bool) -> Result<Self, DataError> {
        let folder = folder.to_path_buf();
        let config = VaeConfig::open(&folder.join("config.json"))?;
        let cache = match cached {
            true => {
                let hash = cache.hash_folders(std::slice::from_ref(&folder));
                Some((cache, hash.map_err(|source| DataError::Io { path: folder.clone(), source })?))
            }
            false => None,
        };
        Ok(Self { folder, config, vae: None, cache, pictures: HashMap::new() })
    }

    /// Pixels per latent cell, in one direction.
    pub fn reduction(&self) -> usize {
        self.config.reduction()
    }

    /// Factor and shift between the autoencoder's latents and the U-Net's.
    pub fn scaling(&self) -> (f64, f64) {
        (self.config.scaling_factor, self.config.shift_factor)
    }

    /// The posterior of picture `i` in the geometry `draw`; it is decoded only where that is not in the
    /// cache.
    pub fn posterior(
        &mut self,
        backend: &B,
        dataset: &Dataset,
        i: usize,
        draw: &Draw,
    ) -> Result<Posterior, DataError> {
        let Some((cache, vae)) = self.cache.clone() else { return self.encode(backend, dataset, i, draw) };
        let picture = match self.pictures.get(&i) {
            Some(hash) => *hash,
            None => {
                let hash = dataset.image_hash(i)?;
                self.pictures.insert(i, hash);
                hash
            }
        };
        let geometry = serde_json::to_vec(draw).map_err(|e| DataError::Problem(e.to_string()))?;
        let key = Key::new("latents").with(&vae).with(&picture).with(&geometry).finish();
        if let Some(posterior) = cache.get(&key).and_then(read) {
            return Ok(posterior);
        }
        let posterior = self.encode(backend, dataset, i, draw)?;
        let list = |values: &[f32]| (posterior.shape.to_vec(), values.to_vec());
        let entry = Entry::from([
            ("log_variance".to_owned(), list(&posterior.log_variance)),
            ("mean".to_owned(), list(&posterior.mean)),
        ]);
        cache.put(&key, &entry)?;
        Ok(posterior)
    }

    fn encode(
        &mut self,
        backend: &B,
        dataset: &Dataset,
        i: usize,
        draw: &Draw,
    ) -> Result<Posterior, DataError> {
        let vae = match self.vae.take() {
            Some(vae) => vae,
            None => AutoencoderKl::load(backend, &self.folder, Trainable::None)?,
        };
        let vae = self.vae.insert(vae);
        let pixels = dataset.load(i, draw, 1, Wanted::IMAGE)?.image;
        let picture = backend.tensor(&[1, draw.height as usize, draw.width as usize, 3], &pixels);
        let (mean, log_variance) = vae.encode_moments(backend, &picture)?;
        let shape = B::shape(&mean);
        Ok(Posterior { shape: [shape[1], shape[2], shape[3]], mean: backend.read(&mean), log_variance })
    }
}

fn read(mut entry: Entry) -> Option<Posterior> {
    let (shape, mean) = entry.remove("mean")?;
    let (_, log_variance) = entry.remove("log_variance")?;
    Some(Posterior { shape: shape.try_into().ok()?, mean, log_variance })
}
