//! Objectives are data: a name, a mask, a scale, a normalisation. Their losses, and the cotangents that start
//! their lanes of the backward pass, follow from a prediction by one formula.
//!
//! With prediction p, target y, mask m (1 everywhere without one), scale s and the sample's weight c (1
//! without min-SNR), objective k has the loss
//!
//! ```text
//! l_k   = 1/E_k sum_n c_n sum (s m (p - y))^2          E_k: all latent elements of the step ("image"), or
//!                                                           those inside its masks ("region")
//! dl_k/dp = 2 c_n s^2 m^2 (p - y) / E_k
//! ```
//!
//! where the sums run over all samples of the *step*: with accumulation E_k counts every micro-batch, so the
//! micro-batches' losses and gradients add up to those of one large batch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::Targets;

/// Divisor of an objective's sum of squares.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Normalisation {
    /// The number of all latent elements (the paper): an objective is as large as its area.
    #[default]
    Image,
    /// The number of latent elements inside its masks.
    Region,
}

/// One objective.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Objective {
    /// Its name.
    pub name: String,
    /// Where its masks come from; none for the whole picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Multiplies the error inside the square.
    pub scale: f64,
    /// Divisor of the sum.
    pub normalisation: Normalisation,
}

/// The elements that each objective sees in a step, from which its divisor follows. Counts of micro-batches,
/// and of the processes of a group, add up.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Latent elements inside each objective's masks.
    pub inside: Vec<f64>,
    /// Latent elements of all samples.
    pub elements: f64,
}

impl Counts {
    /// The counts of nothing, for `objectives` objectives.
    pub fn zero(objectives: usize) -> Self {
        Self { inside: vec![0.0; objectives], elements: 0.0 }
    }

    /// Adds the samples of a batch.
    pub fn add(&mut self, batch: &Targets) {
        let all = batch.values.len() as f64;
        for (inside, mask) in self.inside.iter_mut().zip(&batch.masks) {
            *inside += match mask {
                Some(mask) => mask.iter().map(|&m| f64::from(m)).sum::<f64>() * batch.channels as f64,
                None => all,
            };
        }
        self.elements += all;
    }

    /// The counts of several batches.
    pub fn of<'a>(objectives: usize, batches: impl IntoIterator<Item = &'a Targets>) -> Self {
        let mut counts = Self::zero(objectives);
        batches.into_iter().for_each(|batch| counts.add(batch));
        counts
    }

    /// E_k of every objective; 0 for an objective without pixels.
    pub fn divisors(&self, objectives: &[Objective]) -> Vec<f64> {
        let divisor = |(o, &inside): (&Objective, &f64)| match (o.normalisation, inside) {
            (_, 0.0) => 0.0,
            (Normalisation::Image, _) => self.elements,
            (Normalisation::Region, inside) => inside,
        };
        objectives.iter().zip(&self.inside).map(divisor).collect()
    }

    /// The share of the latent cells that each objective sees.
    pub fn area(&self) -> Vec<f64> {
        self.inside.iter().map(|inside| inside / self.elements).collect()
    }
}

/// The samples of `batch` in which each objective has pixels: its lanes.
pub fn present(batch: &Targets, objectives: usize) -> Vec<Vec<usize>> {
    let cells = batch.height * batch.width;
    let has = |k: usize, n: usize| match &batch.masks[k] {
        Some(mask) => mask[n * cells..][..cells].iter().any(|&m| m > 0.0),
        None => true,
    };
    (0..objectives).map(|k| (0..batch.size).filter(|&n| has(k, n)).collect()).collect()
}

/// Contributions of each sample of `batch` to each objective's loss, `[K][N]`. They sum to the loss.
pub fn losses(
    objectives: &[Objective],
    batch: &Targets,
    divisors: &[f64],
    prediction: &[f32],
) -> Vec<Vec<f64>> {
    let cells = batch.height * batch.width;
    let sample = |k: usize, n: usize| -> f64 {
        if divisors[k] == 0.0 {
            return 0.0;
        }
        let scale = objectives[k].scale;
        let mut sum = 0.0;
        for cell in n * cells..(n + 1) * cells {
            let mask = batch.masks[k].as_ref().map_or(1.0, |m| m[cell]);
            if mask == 0.0 {
                continue;
            }
            let at = cell * batch.channels..(cell + 1) * batch.channels;
            for (p, y) in prediction[at.clone()].iter().zip(&batch.values[at]) {
                let error = scale * f64::from(mask) * (f64::from(*p) - f64::from(*y));
                sum += error * error;
            }
        }
        batch.weights[n] * sum / divisors[k]
    };
    (0..objectives.len()).map(|k| (0..batch.size).map(|n| sample(k, n)).collect()).collect()
}

/// The cotangents of all lanes, `[L, h, w, C]`, objectives in order and within them `present` samples in
/// order.
pub fn cotangents(
    objectives: &[Objective],
    batch: &Targets,
    divisors: &[f64],
    present: &[Vec<usize>],
    prediction: &[f32],
) -> Vec<f32> {
    let cells = batch.height * batch.width;
    let lanes: usize = present.iter().map(Vec::len).sum();
    let mut out = Vec::with_capacity(lanes * cells * batch.channels);
    for (k, samples) in present.iter().enumerate() {
        for &n in samples {
            let factor = 2.0 * batch.weights[n] * objectives[k].scale.powi(2) / divisors[k];
            for cell in n * cells..(n + 1) * cells {
                let mask = batch.masks[k].as_ref().map_or(1.0, |m| f64::from(m[cell]));
                let at = cell * batch.channels..(cell + 1) * batch.channels;
                let pairs = prediction[at.clone()].iter().zip(&batch.values[at]);
                // A zero stays a zero beside an error that is not finite: the region has no part in it.
                out.extend(pairs.map(|(p, y)| match mask {
                    0.0 => 0.0,
                    m => (factor * m * m * (f64::from(*p) - f64::from(*y))) as f32,
                }));
            }
        }
    }
    out
}

/// The cotangents of the weighted sum of all objectives, `[N, h, w, C]`: one lane for every sample.
pub fn combined_cotangent(
    objectives: &[Objective],
    batch: &Targets,
    divisors: &[f64],
    coefficients: &[f64],
    prediction: &[f32],
) -> Vec<f32> {
    let cells = batch.height * batch.width;
    let squares: Vec<f64> = objectives
        .iter()
        .zip(divisors)
        .zip(coefficients)
        .map(|((o, &divisor), c)| if divisor > 0.0 { c * o.scale.powi(2) / divisor } else { 0.0 })
        .collect();
    let mut out = Vec::with_capacity(batch.size * cells * batch.channels);
    for cell in 0..batch.size * cells {
        let of = |(square, mask): (&f64, &Option<Vec<f32>>)| {
            square * mask.as_ref().map_or(1.0, |mask| f64::from(mask[cell]).powi(2))
        };
        let factor: f64 = squares.iter().zip(&batch.masks).map(of).sum();
        let factor = 2.0 * batch.weights[cell / cells] * factor;
        let at = cell * batch.channels..(cell + 1) * batch.channels;
        let pairs = prediction[at.clone()].iter().zip(&batch.values[at]);
        out.extend(pairs.map(|(p, y)| (factor * (f64::from(*p) - f64::from(*y))) as f32));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::example;

    fn objectives(normalisation: Normalisation) -> Vec<Objective> {
        let o = |name: &str, mask: Option<&str>, scale| Objective {
            name: name.into(),
            mask: mask.map(Into::into),
            scale,
            normalisation,
        };
        vec![o("global", None, 1.0), o("face", Some("f"), 5.0), o("hand", Some("h"), 3.0)]
    }

    #[test]
    fn the_scale_lies_inside_the_square_and_the_mean_runs_over_the_whole_image() {
        let batch = example(2, 4, &[None, Some(&[1]), Some(&[])]);
        let objectives = objectives(Normalisation::Image);
        let prediction = vec![0.5; batch.values.len()];
        let divisors = Counts::of(3, [&batch]).divisors(&objectives);
        let losses = losses(&objectives, &batch, &divisors, &prediction);
        let error = |n: usize, inside: bool| -> f64 {
            let cells = 4 * 4;
            (0..cells)
                .filter(|c| !inside || batch.masks[1].as_ref().is_some_and(|m| m[n * cells + c] > 0.0))
                .flat_map(|c| &batch.values[(n * cells + c) * 4..][..4])
                .map(|&y| (0.5 - f64::from(y)).powi(2))
                .sum()
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12 * b.abs().max(1.0), "{a} {b}");
        close(losses[0].iter().sum(), (error(0, false) + error(1, false)) / 128.0);
        close(losses[1].iter().sum(), 25.0 * error(1, true) / 128.0);
        close(losses[1][0], 0.0);
        close(losses[2].iter().sum(), 0.0);
        assert_eq!(divisors[2], 0.0, "an objective without pixels is absent");
    }

    #[test]
    fn cotangents_are_the_losses_derivatives() {
        for normalisation in [Normalisation::Image, Normalisation::Region] {
            let mut batch = example(3, 2, &[None, Some(&[0, 2]), Some(&[1])]);
            batch.weights = vec![1.0, 0.25, 0.5];
            let objectives = objectives(normalisation);
            let divisors = Counts::of(3, [&batch]).divisors(&objectives);
            let prediction: Vec<f32> = (0..batch.values.len()).map(|i| (i as f32 * 0.7).sin()).collect();
            let lanes = present(&batch, 3);
            assert_eq!(lanes, [vec![0, 1, 2], vec![0, 2], vec![1]]);
            let cotangents = cotangents(&objectives, &batch, &divisors, &lanes, &prediction);
            let per_sample = batch.values.len() / 3;
            let total =
                |p: &[f32], k: usize| -> f64 { losses(&objectives, &batch, &divisors, p)[k].iter().sum() };
            let pairs = lanes.iter().enumerate().flat_map(|(k, l)| l.iter().map(move |&n| (k, n)));
            for (lane, (k, n)) in pairs.enumerate() {
                for i in 0..per_sample {
                    let at = n * per_sample + i;
                    let shifted = |by: f32| {
                        let mut p = prediction.clone();
                        p[at] += by;
                        total(&p, k)
                    };
                    // The loss is quadratic, so a central difference is exact up to rounding.
                    let slope = (shifted(0.125) - shifted(-0.125)) / 0.25;
                    let found = f64::from(cotangents[lane * per_sample + i]);
                    assert!((slope - found).abs() < 1e-6, "{k} {n} {i}: {slope} {found}");
                }
            }
        }
    }

    #[test]
    fn micro_batches_add_up_to_the_whole_batch() {
        for normalisation in [Normalisation::Image, Normalisation::Region] {
            let whole = example(4, 4, &[None, Some(&[0, 3]), Some(&[2])]);
            let parts = [whole.slice(0..2), whole.slice(2..4)];
            let objectives = objectives(normalisation);
            let prediction: Vec<f32> = whole.values.iter().map(|y| y * 0.3 + 0.1).collect();
            let divided = Counts::of(3, &parts).divisors(&objectives);
            assert_eq!(divided, Counts::of(3, [&whole]).divisors(&objectives));
            let at_once = losses(&objectives, &whole, &divided, &prediction);
            let half = prediction.len() / 2;
            for (k, whole) in at_once.iter().enumerate() {
                let pairs = parts.iter().zip(prediction.chunks(half));
                let sum: f64 =
                    pairs.map(|(b, p)| losses(&objectives, b, &divided, p)[k].iter().sum::<f64>()).sum();
                assert!((sum - whole.iter().sum::<f64>()).abs() < 1e-12, "{k}");
            }
        }
    }
}
