//! A ControlNet's residuals and a T2I-Adapter's features, added inside a U-Net where diffusers 0.32 adds
//! them.

use fairhuman_engine::{Backend, Tape, Var};

use super::encoder::{Encoded, plus};
use crate::net::ModelError;

/// Tensors added to a U-Net's activations, scaled by whoever made them; gradients flow into them. Empty by
/// default: nothing is added.
pub struct Residuals<B: Backend> {
    /// ControlNet: one for each skip, in the order of the down path. Added once the down path is done, which
    /// so never sees them.
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
