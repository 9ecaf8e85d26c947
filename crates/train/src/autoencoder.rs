//! Training the autoencoder: pictures should come out as they went in (Kingma and Welling 2014; Rombach et
//! al. 2022, section 3.1), and regions are objectives here as they are for the U-Net.
//!
//! With picture y, output p, error e = p - y, mask m in pixels, scale s and the sample's weight c, objective
//! k is
//!
//! ```text
//! l_k = 1/E_k sum_n c_n sum (s m)^2 ( e^2 + edges ((e_right - e)^2 + (e_below - e)^2) )
//!     + kl / M sum_n c_n sum 1/2 (mu^2 + sigma^2 - 1 - log sigma^2)          without a mask only
//! ```
//!
//! where E_k is as in [`crate::objective`] and M the step's number of latent elements. The latents are
//! z = mu + sigma eps, so the pass has two tapes: encoder to (mu, log sigma^2), and decoder from z. The
//! lanes' cotangents of z go on to the encoder's by the chain rule; where the decoder alone is trained they
//! end at z.

use std::ops::Range;

use fairhuman_diffusion::vae::{AutoencoderKl, clamp_log_variance};
use fairhuman_engine::{Backend, Lanes, ParamGrads, Params, Tape, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::{Inputs, Targets, part};
use crate::module::{LossInputs, Pass, PassContext, TrainingModule, Wants};
use crate::objective;
use crate::step_error::{StepError, refuse_non_finite};

/// The trained part of an autoencoder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Encoder and decoder.
    #[default]
    All,
    /// The decoder.
    Decoder,
}

/// The weights of an autoencoder's losses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Losses {
    /// The trained part.
    pub part: Part,
    /// Weight of the latents' divergence from N(0, 1).
    pub kl: f64,
    /// Weight of the differences between neighbouring pixels.
    pub edges: f64,
}

/// An autoencoder in training. Its pictures are the targets.
pub struct Autoencoder<B: Backend> {
    /// The network.
    pub vae: AutoencoderKl<B>,
    /// Weights of its losses.
    pub losses: Losses,
}

/// The noise that latents are drawn with.
#[derive(Debug, Clone, PartialEq)]
pub struct AutoencoderInputs {
    /// `[N, h, w, latent channels]`; none: the mean of the latents is taken.
    pub noise: Option<Vec<f32>>,
}

impl Inputs for AutoencoderInputs {
    fn append(&mut self, other: &Self) -> Result<(), String> {
        match (&mut self.noise, &other.noise) {
            (Some(noise), Some(other)) => noise.extend(other),
            (None, None) => {}
            _ => return Err("a batch has latents that are drawn, or their mean, not both".into()),
        }
        Ok(())
    }

    fn slice(&self, size: usize, range: Range<usize>) -> Self {
        Self { noise: self.noise.as_ref().map(|noise| part(noise, size, &range)) }
    }

    fn numbers(&self) -> Vec<(&'static str, &[f32])> {
        self.noise.iter().map(|noise| ("noise", noise.as_slice())).collect()
    }
}

/// The loss inputs of an autoencoder.
type Of<'a> = LossInputs<'a, AutoencoderInputs>;

/// The distribution of a batch's latents, and a draw from it.
struct Latents {
    /// `[N, h, w, C]`.
    shape: [usize; 4],
    mean: Vec<f32>,
    /// Within the bounds.
    log_variance: Vec<f32>,
    /// True where the log-variance was within them by itself.
    free: Vec<bool>,
    /// Standard normal values; 0 where the mean is taken.
    noise: Vec<f32>,
}

impl Latents {
    /// From `moments [N, h, w, 2 C]`, means first.
    fn new(shape: &[usize], moments: &[f32], inputs: &AutoencoderInputs) -> Self {
        let channels = shape[3] / 2;
        let shape = [shape[0], shape[1], shape[2], channels];
        let (mut mean, mut log_variance) = (Vec::new(), Vec::<f32>::new());
        for cell in moments.chunks_exact(2 * channels) {
            mean.extend_from_slice(&cell[..channels]);
            log_variance.extend_from_slice(&cell[channels..]);
        }
        let (log_variance, free) = log_variance.into_iter().map(clamp_log_variance).unzip();
        let noise = inputs.noise.clone().unwrap_or_else(|| vec![0.0; mean.len()]);
        Self { shape, mean, log_variance, free, noise }
    }

    fn draw(&self) -> Vec<f32> {
        let values = self.mean.iter().zip(&self.log_variance).zip(&self.noise);
        values.map(|((mean, log), noise)| mean + (0.5 * log).exp() * noise).collect()
    }

    /// Latent values of one sample.
    fn each(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// The divergence of each sample from N(0, 1), summed over its values.
    fn divergences(&self) -> Vec<f64> {
        let one = |(&mean, &log): (&f32, &f32)| {
            let (mean, log) = (f64::from(mean), f64::from(log));
            0.5 * (mean * mean + log.exp() - 1.0 - log)
        };
        let samples = self.mean.chunks(self.each()).zip(self.log_variance.chunks(self.each()));
        samples.map(|(mean, log)| mean.iter().zip(log).map(one).sum()).collect()
    }

    /// Cotangents of the moments of sample `n`, from `dz` of its latents and `kl` times its divergence's
    /// slope.
    fn cotangent(&self, n: usize, dz: &[f32], kl: f64, out: &mut Vec<f32>) {
        let (each, channels) = (self.each(), self.shape[3]);
        for cell in (0..each).step_by(channels) {
            let at = n * each + cell..n * each + cell + channels;
            let dz = &dz[cell..cell + channels];
            out.extend(dz.iter().zip(&self.mean[at.clone()]).map(|(dz, mean)| dz + kl as f32 * mean));
            out.extend(dz.iter().zip(at).map(|(&dz, i)| {
                let log = self.log_variance[i];
                let slope =
                    0.5 * (0.5 * log).exp() * self.noise[i] * dz + 0.5 * kl as f32 * (log.exp() - 1.0);
                if self.free[i] { slope } else { 0.0 }
            }));
        }
    }
}

impl<B: Backend> Autoencoder<B> {
    /// Weight of the divergence's sum in objective `k`: `kl / M`, 0 with a mask or without samples.
    fn divergence_weight(&self, of: &Of<'_>, k: usize, latents: &Latents) -> f64 {
        let fixed = self.losses.part == Part::Decoder;
        if fixed || of.objectives[k].mask.is_some() || of.divisors[k] == 0.0 {
            return 0.0;
        }
        // The divisor counts the step's picture values; a latent value stands for so many of them.
        let pixels = (of.batch.targets.values.len() / of.batch.targets.size.max(1)) as f64;
        self.losses.kl * pixels / (of.divisors[k] * latents.each() as f64)
    }

    /// Each sample's contribution to each objective's loss.
    fn of_output(&self, of: &Of<'_>, latents: &Latents, output: &[f32]) -> Vec<Vec<f64>> {
        let mut losses = objective::losses(of.objectives, &of.batch.targets, of.divisors, output);
        let divergences = latents.divergences();
        let edges = Edges::new(of, output);
        for (k, losses) in losses.iter_mut().enumerate() {
            let kl = self.divergence_weight(of, k, latents);
            for (n, loss) in losses.iter_mut().enumerate() {
                *loss += of.batch.targets.weights[n] * kl * divergences[n];
                *loss += self.losses.edges * edges.loss(k, n);
            }
        }
        losses
    }
}

/// The differences of neighbouring errors.
struct Edges<'a> {
    of: &'a Of<'a>,
    output: &'a [f32],
}

impl<'a> Edges<'a> {
    fn new(of: &'a Of<'a>, output: &'a [f32]) -> Self {
        Self { of, output }
    }

    /// Calls `each` with the first and the second index, from the sample's first value, and the weighted
    /// difference `(s m)^2 (e_second - e_first)` and the plain one, of all neighbours of sample `n`.
    fn pairs(&self, k: usize, n: usize, mut each: impl FnMut(usize, usize, f64, f64)) {
        let batch = &self.of.batch.targets;
        let (height, width, channels) = (batch.height, batch.width, batch.channels);
        let first = n * height * width * channels;
        let error = |i: usize| f64::from(self.output[first + i]) - f64::from(batch.values[first + i]);
        let scale = self.of.objectives[k].scale;
        for y in 0..height {
            for x in 0..width {
                let cell = y * width + x;
                let mask = batch.masks[k].as_ref().map_or(1.0, |m| f64::from(m[n * height * width + cell]));
                let weight = (scale * mask).powi(2);
                if weight == 0.0 {
                    continue;
                }
                for c in 0..channels {
                    let here = cell * channels + c;
                    let mut pair = |other: usize| {
                        let difference = error(other) - error(here);
                        each(here, other, weight * difference, difference);
                    };
                    if x + 1 < width {
                        pair(here + channels);
                    }
                    if y + 1 < height {
                        pair(here + width * channels);
                    }
                }
            }
        }
    }

    fn loss(&self, k: usize, n: usize) -> f64 {
        if self.of.divisors[k] == 0.0 {
            return 0.0;
        }
        let mut sum = 0.0;
        self.pairs(k, n, |_, _, weighted, plain| sum += weighted * plain);
        self.of.batch.targets.weights[n] * sum / self.of.divisors[k]
    }

    /// Adds `factor` times the loss's slope to the cotangent of one lane.
    fn add_cotangent(&self, k: usize, n: usize, factor: f64, cotangent: &mut [f32]) {
        let factor = 2.0 * factor * self.of.batch.targets.weights[n] / self.of.divisors[k];
        self.pairs(k, n, |here, other, weighted, _| {
            let slope = (factor * weighted) as f32;
            cotangent[other] += slope;
            cotangent[here] -= slope;
        });
    }
}

impl<B: Backend> TrainingModule<B> for Autoencoder<B> {
    type Inputs = AutoencoderInputs;

    fn pass(
        &self,
        context: &PassContext<'_, B>,
        params: &Params<B>,
        of: &Of<'_>,
    ) -> Result<Pass<B>, StepError> {
        let LossInputs { objectives, batch, divisors, present, wants } = *of;
        let targets = &batch.targets;
        let misfit = |e: fairhuman_diffusion::net::ModelError| StepError::Shape { problem: e.to_string() };
        let backend = context.backend;
        let start = (context.clock)();
        let mut encoding = context.tape(params);
        let moments =
            self.vae.encode(&mut encoding, &pictures(backend, &of.batch.targets)).map_err(misfit)?;
        let latents = Latents::new(moments.shape(), &backend.read(moments.value()), &batch.inputs);
        let mut decoding = context.tape(params);
        let z = backend.tensor(&latents.shape, &latents.draw());
        let z = match self.losses.part {
            Part::All => decoding.leaf(z),
            Part::Decoder => Var::constant(z),
        };
        let output = self.vae.decode(&mut decoding, &z).map_err(misfit)?;
        let prediction = backend.read(output.value());
        let forward = (context.clock)();
        let losses = self.of_output(of, &latents, &prediction);
        refuse_non_finite(objectives, &losses)?;

        let sum = match wants {
            Wants::Sum(coefficients) => Some(coefficients(&losses)?),
            Wants::Gradients | Wants::Products => None,
        };
        let lanes = if sum.is_some() { Lanes::single(targets.size) } else { of.lanes() };
        let mut grads = ParamGrads::new(params, &lanes);
        if present.iter().any(|samples| !samples.is_empty()) {
            let mut cotangent = objective::cotangents(objectives, targets, divisors, present, &prediction);
            let edges = Edges::new(of, &prediction);
            let pairs = || present.iter().enumerate().flat_map(|(k, list)| list.iter().map(move |&n| (k, n)));
            let each = prediction.len() / targets.size;
            for ((k, n), part) in pairs().zip(cotangent.chunks_mut(each)) {
                edges.add_cotangent(k, n, self.losses.edges, part);
            }
            // Of every lane its sample, and the weight of that sample's divergence.
            let divergence = |k: usize| self.divergence_weight(of, k, &latents);
            let of_lanes: Vec<(usize, f64)> = match &sum {
                None => pairs().map(|(k, n)| (n, divergence(k))).collect(),
                Some(sum) => {
                    cotangent = sum_lanes(&cotangent, pairs().map(|(k, n)| (n, sum[k])), targets.size, each);
                    let weight = (0..sum.len()).map(|k| sum[k] * divergence(k)).sum();
                    (0..targets.size).map(|n| (n, weight)).collect()
                }
            };
            let shape = [lanes.len(), targets.height, targets.width, targets.channels];
            let cotangent = backend.tensor(&shape, &cotangent);
            let through: &[&Var<B>] = if self.losses.part == Part::All { &[&z] } else { &[] };
            let dz = decoding.backward(&output, cotangent, &lanes, through, &mut grads);
            if through.is_empty() {
                backend.synchronize();
                let backward = (context.clock)() - forward;
                return Ok(Pass { losses, prediction, grads, forward: forward - start, backward });
            }
            let count = lanes.len() * latents.each();
            let dz = dz.into_iter().flatten().next().map_or(vec![0.0; count], |dz| backend.read(&dz));
            let mut cotangent = Vec::with_capacity(2 * count);
            for ((n, weight), dz) in of_lanes.into_iter().zip(dz.chunks(latents.each())) {
                latents.cotangent(n, dz, targets.weights[n] * weight, &mut cotangent);
            }
            let [_, h, w, channels] = latents.shape;
            let cotangent = backend.tensor(&[lanes.len(), h, w, 2 * channels], &cotangent);
            encoding.backward(&moments, cotangent, &lanes, &[], &mut grads);
        }
        backend.synchronize();
        let backward = (context.clock)();
        Ok(Pass { losses, prediction, grads, forward: forward - start, backward: backward - forward })
    }

    fn losses(&self, backend: &B, params: &Params<B>, of: &Of<'_>) -> Result<Vec<Vec<f64>>, String> {
        backend.scope(|| {
            let moments = self
                .vae
                .encode(&mut Tape::inference(backend, params), &pictures(backend, &of.batch.targets))
                .map_err(|e| e.to_string())?;
            let latents = Latents::new(moments.shape(), &backend.read(moments.value()), &of.batch.inputs);
            let z = Var::constant(backend.tensor(&latents.shape, &latents.draw()));
            let output =
                self.vae.decode(&mut Tape::inference(backend, params), &z).map_err(|e| e.to_string())?;
            Ok(self.of_output(of, &latents, &backend.read(output.value())))
        })
    }
}

/// The cotangents of lanes of `each` values as one lane for each of `samples` samples. `of`: each lane's
/// sample and coefficient.
fn sum_lanes(lanes: &[f32], of: impl Iterator<Item = (usize, f64)>, samples: usize, each: usize) -> Vec<f32> {
    let mut sum = vec![0.0; samples * each];
    for ((n, coefficient), lane) in of.zip(lanes.chunks(each)) {
        let sum = &mut sum[n * each..][..each];
        sum.iter_mut().zip(lane).for_each(|(sum, value)| *sum += coefficient as f32 * value);
    }
    sum
}

fn pictures<B: Backend>(backend: &B, targets: &Targets) -> Var<B> {
    let shape = [targets.size, targets.height, targets.width, targets.channels];
    Var::constant(backend.tensor(&shape, &targets.values))
}
