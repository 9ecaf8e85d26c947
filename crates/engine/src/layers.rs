//! Layers as plain data: the sources of their weights. The tape's methods compute with them.

use crate::{Backend, ConvParams, ParamId, Params, WeightRef};

/// A weight of a product, or a table.
pub enum Weight<B: Backend> {
    /// Frozen: costs no gradient.
    Frozen(B::Weight),
    /// Trained.
    Trained(ParamId),
}

impl<B: Backend> Weight<B> {
    pub(crate) fn value<'a>(&'a self, params: &'a Params<B>) -> WeightRef<'a, B> {
        match self {
            Weight::Frozen(weight) => WeightRef::Frozen(weight),
            Weight::Trained(id) => WeightRef::Trained(params.get(*id)),
        }
    }

    /// The parameter, if trained.
    pub fn trained(&self) -> Option<ParamId> {
        match self {
            Weight::Frozen(_) => None,
            Weight::Trained(id) => Some(*id),
        }
    }
}

/// A layer's vector with one value per channel: a bias, gamma or beta.
pub enum PerChannel<B: Backend> {
    /// Frozen: costs no gradient.
    Frozen(B::Tensor),
    /// Trained.
    Trained(ParamId),
}

impl<B: Backend> PerChannel<B> {
    /// Its current value.
    pub fn value<'a>(&'a self, params: &'a Params<B>) -> &'a B::Tensor {
        match self {
            PerChannel::Frozen(tensor) => tensor,
            PerChannel::Trained(id) => params.get(*id),
        }
    }

    /// The parameter, if trained.
    pub fn trained(&self) -> Option<ParamId> {
        match self {
            PerChannel::Frozen(_) => None,
            PerChannel::Trained(id) => Some(*id),
        }
    }
}

/// A LoRA on a linear layer: A is `[r, I]`, B is `[O, r]`.
#[derive(Debug, Clone, Copy)]
pub struct Adapter {
    /// A.
    pub down: ParamId,
    /// B.
    pub up: ParamId,
    /// `lora_alpha / r`, times any user weight.
    pub scale: f32,
}

/// `x W^T + b`, and its adapter.
pub struct Linear<B: Backend> {
    /// `[O, I]`.
    pub weight: Weight<B>,
    /// `[O]`.
    pub bias: Option<PerChannel<B>>,
    /// LoRA.
    pub adapter: Option<Adapter>,
    /// I.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
}

/// A convolution, and its adapter.
pub struct Conv2d<B: Backend> {
    /// `[O, I, kh, kw]` in files, `[O, kh, kw, I]` when trained.
    pub weight: Weight<B>,
    /// `[O]`.
    pub bias: Option<PerChannel<B>>,
    /// Kernel size, stride and padding.
    pub geometry: ConvParams,
    /// LoRA.
    pub adapter: Option<Box<ConvAdapter<B>>>,
    /// I.
    pub inputs: usize,
    /// O.
    pub outputs: usize,
}

/// A LoRA on a convolution: a convolution to r channels with the layer's geometry, then a 1x1 one.
pub struct ConvAdapter<B: Backend> {
    /// A, trained, `[r, kh, kw, I]`.
    pub down: Conv2d<B>,
    /// B, trained, `[O, r]`.
    pub up: Linear<B>,
    /// `lora_alpha / r`, times any user weight.
    pub scale: f32,
}

/// The affine part of a normalisation.
pub struct Norm<B: Backend> {
    /// `[C]`.
    pub gamma: PerChannel<B>,
    /// `[C]`.
    pub beta: PerChannel<B>,
    /// Added to the variance.
    pub eps: f32,
}
