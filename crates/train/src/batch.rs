//! A batch in host memory: what its losses are taken against, which all methods share, and a method's own
//! inputs.

use std::fmt::Debug;
use std::ops::Range;

/// The targets, masks and weights of a batch: all that its losses need beside the network's output. Images
/// are `[N, height, width, channels]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Samples N.
    pub size: usize,
    /// Height of targets and masks: in latent cells, or in pixels for an autoencoder.
    pub height: usize,
    /// Width of targets and masks.
    pub width: usize,
    /// Channels of the targets.
    pub channels: usize,
    /// Target of the network's output, `[N, height, width, channels]`.
    pub values: Vec<f32>,
    /// Masks of each objective, `[N, height, width]`; none for the whole picture.
    pub masks: Vec<Option<Vec<f32>>>,
    /// Weight of every sample's squared errors (min-SNR, the dataset's weights), 1 elsewhere.
    pub weights: Vec<f64>,
    /// The pictures' names.
    pub names: Vec<String>,
}

/// A training method's own inputs for some samples.
pub trait Inputs: Clone + Debug + PartialEq + Send + Sync {
    /// Appends the samples of `other`.
    ///
    /// # Errors
    /// Samples that cannot be in one batch.
    fn append(&mut self, other: &Self) -> Result<(), String>;

    /// The inputs of the samples in `range`, of `size` samples in all.
    #[must_use]
    fn slice(&self, size: usize, range: Range<usize>) -> Self;

    /// All lists of numbers by name, to check that they are finite.
    fn numbers(&self) -> Vec<(&'static str, &[f32])>;

    /// The diffusion time step of every sample; none for a network without.
    fn timesteps(&self) -> &[usize] {
        &[]
    }
}

/// One batch, or micro-batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch<I> {
    /// Targets, masks and weights, common to all methods.
    pub targets: Targets,
    /// The method's own inputs.
    pub inputs: I,
}

impl<I: Inputs> Batch<I> {
    /// Micro-batches of `size` samples; the last one may be smaller.
    pub fn split(&self, size: usize) -> Vec<Self> {
        let all = self.targets.size;
        let part = |from: usize| {
            let range = from..(from + size.max(1)).min(all);
            Self { targets: self.targets.slice(range.clone()), inputs: self.inputs.slice(all, range) }
        };
        (0..all).step_by(size.max(1)).map(part).collect()
    }

    /// Several batches as one.
    ///
    /// # Errors
    /// No batch, or samples of different sizes.
    pub fn join(batches: &[Self]) -> Result<Self, String> {
        let (first, rest) = batches.split_first().ok_or("a batch needs a sample")?;
        let mut all = first.clone();
        for next in rest {
            all.targets.append(&next.targets)?;
            all.inputs.append(&next.inputs)?;
        }
        Ok(all)
    }

    /// The first list with a number that is not finite, and the samples in which it is not.
    pub fn non_finite(&self) -> Option<(&'static str, Vec<usize>)> {
        let target = ("target", self.targets.values.as_slice());
        self.inputs.numbers().into_iter().chain([target]).find_map(|(name, list)| {
            let each = (list.len() / self.targets.size.max(1)).max(1);
            let bad = |(n, part): (usize, &[f32])| part.iter().any(|v| !v.is_finite()).then_some(n);
            let samples: Vec<usize> = list.chunks(each).enumerate().filter_map(bad).collect();
            (!samples.is_empty()).then_some((name, samples))
        })
    }
}

impl Targets {
    /// The samples in `range`.
    #[must_use]
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let of = self.size;
        Self {
            size: range.len(),
            height: self.height,
            width: self.width,
            channels: self.channels,
            values: part(&self.values, of, &range),
            masks: self.masks.iter().map(|m| m.as_ref().map(|m| part(m, of, &range))).collect(),
            weights: part(&self.weights, of, &range),
            names: part(&self.names, of, &range),
        }
    }

    fn append(&mut self, next: &Self) -> Result<(), String> {
        if (next.height, next.width) != (self.height, self.width) {
            return Err("the samples of a batch have different sizes".into());
        }
        self.size += next.size;
        self.values.extend(&next.values);
        self.weights.extend(&next.weights);
        self.names.extend_from_slice(&next.names);
        for (mask, more) in self.masks.iter_mut().zip(&next.masks) {
            if let (Some(mask), Some(more)) = (mask, more) {
                mask.extend(more);
            }
        }
        Ok(())
    }
}

/// The part of a list that belongs to the samples in `range`, of `of` samples in all.
pub fn part<T: Clone>(list: &[T], of: usize, range: &Range<usize>) -> Vec<T> {
    let each = list.len() / of.max(1);
    list[range.start * each..range.end * each].to_vec()
}

/// Targets with a mask box in the listed samples of each objective.
#[cfg(test)]
pub(crate) fn example(size: usize, side: usize, masks: &[Option<&[usize]>]) -> Targets {
    let values = |count: usize, pace: f32| (0..count).map(|i| (i as f32 * pace).sin()).collect::<Vec<_>>();
    let mask = |samples: &[usize]| {
        let mut mask = vec![0.0; size * side * side];
        for &n in samples {
            for row in side / 2..side {
                mask[(n * side + row) * side + row % side] = 1.0;
            }
        }
        mask
    };
    Targets {
        size,
        height: side,
        width: side,
        channels: 4,
        values: values(size * side * side * 4, 1.13),
        masks: masks.iter().map(|m| m.map(mask)).collect(),
        weights: vec![1.0; size],
        names: (0..size).map(|n| format!("{n}.png")).collect(),
    }
}
