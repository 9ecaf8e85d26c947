//! A ControlNet's residuals and a T2I-Adapter's features, added inside a U-Net where diffusers 0.32 adds
//! them.

use fairhuman_engine::{Backend, Tape, Var};

use super::encoder::{Encoded, plus};
use crate::net::ModelError;

/// Tensors added to a U-Net's activations as they are, already scaled; gradients flow into them. Empty by
/// default: nothing is added.
pub struct Residuals<B: Backend> {
    /// ControlNet: one for each skip, in the order of the down path. Added after the down path, which does
    /// not see them.
    pub skips: Vec<Var<B>>,
    /// ControlNet: added to the output of the mid block.
    pub mid: Option<Var<B>>,
    /// T2I-Adapter: one for each down block, and perhaps one more. In a block with attention it is added to
    /// the last layer's output, before that becomes a skip and is downsampled; in one without to the block's
    /// output, after downsampling, which is also the last skip. One that is left is added after the mid
    /// block.
    pub features: Vec<Var<B>>,
}

impl<B: Backend> Default for Residuals<B> {
    fn default() -> Self {
        Self { skips: Vec::new(), mid: None, features: Vec::new() }
    }
}

impl<B: Backend> Clone for Residuals<B> {
    fn clone(&self) -> Self {
        Self { skips: self.skips.clone(), mid: self.mid.clone(), features: self.features.clone() }
    }
}

/// Shapes `[N, h, w, C]` that [`Residuals`] must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shapes {
    pub skips: Vec<[usize; 4]>,
    pub mid: [usize; 4],
    /// Of the down blocks.
    pub features: Vec<[usize; 4]>,
    /// A left-over feature needs a mid block.
    pub has_mid: bool,
}

impl<B: Backend> Residuals<B> {
    /// All of them times `weight`. With `soft` those of a ControlNet times a factor that grows from the first
    /// skip's 0.1 to the middle's 1 by equal ratios: diffusers' guess mode.
    pub fn scaled(self, tape: &mut Tape<'_, B>, weight: f32, soft: bool) -> Self {
        let count = self.skips.len();
        let factor = |i: usize| match soft {
            true => weight * 10f64.powf(i as f64 / count.max(1) as f64 - 1.0) as f32,
            false => weight,
        };
        let mut scale = |var: Var<B>, factor: f32| match factor == 1.0 {
            true => var,
            false => tape.scale(&var, factor),
        };
        Self {
            skips: self.skips.into_iter().enumerate().map(|(i, var)| scale(var, factor(i))).collect(),
            mid: self.mid.map(|var| scale(var, factor(count))),
            features: self.features.into_iter().map(|var| scale(var, weight)).collect(),
        }
    }

    /// The sum with those of another network. Where one has none, the other's stay as they are.
    ///
    /// # Errors
    /// Numbers or shapes that differ: networks for different models.
    pub fn plus(self, tape: &mut Tape<'_, B>, other: Self) -> Result<Self, ModelError> {
        let mut sum = |input, a: Vec<Var<B>>, b: Vec<Var<B>>| {
            if a.is_empty() || b.is_empty() {
                return Ok([a, b].concat());
            }
            let shapes = |list: &[Var<B>]| list.iter().map(|v| v.shape().to_vec()).collect::<Vec<_>>();
            let (first, second) = (shapes(&a), shapes(&b));
            if first != second {
                let problem = format!("have shapes {first:?} of one network and {second:?} of another");
                return Err(ModelError::Input { model: "U-Net", input, problem });
            }
            Ok(a.iter().zip(&b).map(|(a, b)| tape.add(a, b)).collect())
        };
        let list = |var: Option<Var<B>>| var.into_iter().collect();
        Ok(Self {
            skips: sum("residuals of the skips", self.skips, other.skips)?,
            mid: sum("residuals of the middle", list(self.mid), list(other.mid))?.pop(),
            features: sum("features", self.features, other.features)?,
        })
    }

    /// Adds the residuals of the skips and of the middle.
    pub(super) fn add_to(&self, tape: &mut Tape<'_, B>, mut encoded: Encoded<B>) -> Encoded<B> {
        for (skip, residual) in encoded.skips.iter_mut().zip(&self.skips) {
            *skip = tape.add(skip, residual);
        }
        Encoded { mid: plus(tape, encoded.mid, self.mid.as_ref()), ..encoded }
    }

    /// Checks number and shapes.
    pub(super) fn check(&self, model: &'static str, shapes: &Shapes) -> Result<(), ModelError> {
        let (skips, blocks) = (shapes.skips.len(), shapes.features.len());
        let wrong = |input, problem| Err(ModelError::Input { model, input, problem });
        if ![0, skips].contains(&self.skips.len()) {
            let problem = format!(
                "are {}, expected {skips}, one for each skip (a ControlNet for another model?)",
                self.skips.len()
            );
            return wrong("residuals of the skips", problem);
        }
        let most = blocks + usize::from(shapes.has_mid);
        if !self.features.is_empty() && !(blocks..=most).contains(&self.features.len()) {
            let left_over = if shapes.has_mid { ", and at most one for the middle" } else { "" };
            let problem = format!(
                "are {}, expected {blocks}, one for each down block{left_over} (a T2I-Adapter for another model?)",
                self.features.len()
            );
            return wrong("features", problem);
        }
        let features = shapes.features.iter().chain([&shapes.mid]);
        fits(model, "residuals of the skips", &self.skips, &shapes.skips)?;
        fits(model, "residual of the middle", &self.mid, [&shapes.mid])?;
        fits(model, "features", &self.features, features)
    }
}

fn fits<'a, B: Backend>(
    model: &'static str,
    input: &'static str,
    found: impl IntoIterator<Item = &'a Var<B>>,
    expected: impl IntoIterator<Item = &'a [usize; 4]>,
) -> Result<(), ModelError> {
    for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
        if found.shape() != expected {
            return Err(ModelError::shape(
                model,
                input,
                found.shape(),
                &format!("{expected:?} at index {i}"),
            ));
        }
    }
    Ok(())
}
