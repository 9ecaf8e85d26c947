//! Layers with random weights, and their parameters.

use crate::numbers::noise;
use fairhuman_engine::{
    Adapter, Backend, Conv2d, ConvAdapter, ConvParams, Linear, Norm, ParamId, Params, PerChannel, Weight,
    WeightData, WeightLayout,
};

/// The trained part of a layer.
#[derive(Clone, Copy, PartialEq)]
pub enum Train {
    /// None.
    Nothing,
    /// Weight and bias.
    Everything,
    /// A low-rank adapter of this rank; the rest is frozen.
    Adapter(usize),
}

/// Makes layers with random weights and collects their parameters.
pub struct Maker<'b, B: Backend> {
    /// The backend that the layers are made for.
    pub backend: &'b B,
    /// Their parameters.
    pub params: Params<B>,
    seed: u64,
    inputs: fn(f32) -> f32,
}

impl<'b, B: Backend> Maker<'b, B> {
    /// No layers yet.
    pub fn new(backend: &'b B, seed: u64) -> Self {
        Self { backend, params: Params::default(), seed, inputs: |value| value }
    }

    /// Rounds weights; see [`Subject::with_inputs`](crate::Subject::with_inputs).
    pub(crate) fn with_inputs(mut self, rounded: fn(f32) -> f32) -> Self {
        self.inputs = rounded;
        self
    }

    fn noise(&mut self, shape: &[usize]) -> Vec<f32> {
        self.seed += 1;
        noise(self.seed, shape.iter().product()).into_iter().map(self.inputs).collect()
    }

    /// A parameter of noise.
    pub fn param(&mut self, shape: &[usize]) -> ParamId {
        let value = self.backend.tensor(shape, &self.noise(shape));
        self.params.add(format!("parameter {}", self.seed), value)
    }

    /// A weight `shape` in the file's order, trained in the trained order (filters: `[O, kh, kw, I]`).
    pub fn source(&mut self, shape: &[usize], layout: WeightLayout, train: Train) -> Weight<B> {
        match (train, shape) {
            (Train::Everything, &[o, i, h, w]) => Weight::Trained(self.param(&[o, h, w, i])),
            (Train::Everything, _) => Weight::Trained(self.param(shape)),
            _ => {
                let data = WeightData::from_f32(shape, &self.noise(shape));
                Weight::Frozen(self.backend.weight(&data, layout))
            }
        }
    }

    /// A bias or an affine part of a norm.
    pub fn vector(&mut self, length: usize, train: Train) -> PerChannel<B> {
        match train {
            Train::Everything => PerChannel::Trained(self.param(&[length])),
            _ => PerChannel::Frozen(self.backend.tensor(&[length], &self.noise(&[length]))),
        }
    }

    /// A linear layer with bias.
    pub fn linear(&mut self, inputs: usize, outputs: usize, train: Train) -> Linear<B> {
        let adapter = match train {
            Train::Adapter(rank) => {
                let (down, up) = (self.param(&[rank, inputs]), self.param(&[outputs, rank]));
                Some(Adapter { down, up, scale: 0.75 })
            }
            _ => None,
        };
        let bias = Some(self.vector(outputs, train));
        Linear { bias, adapter, ..self.bare_linear(inputs, outputs, train) }
    }

    fn bare_linear(&mut self, inputs: usize, outputs: usize, train: Train) -> Linear<B> {
        let weight = self.source(&[outputs, inputs], WeightLayout::Matrix, train);
        Linear { weight, bias: None, adapter: None, inputs, outputs }
    }

    /// A convolution with bias.
    pub fn conv(&mut self, inputs: usize, outputs: usize, geometry: ConvParams, train: Train) -> Conv2d<B> {
        let adapter = match train {
            Train::Adapter(rank) => {
                let down = self.bare_conv(inputs, rank, geometry, Train::Everything);
                let up = self.bare_linear(rank, outputs, Train::Everything);
                Some(Box::new(ConvAdapter { down, up, scale: 0.75 }))
            }
            _ => None,
        };
        let bias = Some(self.vector(outputs, train));
        Conv2d { bias, adapter, ..self.bare_conv(inputs, outputs, geometry, train) }
    }

    fn bare_conv(&mut self, inputs: usize, outputs: usize, geometry: ConvParams, train: Train) -> Conv2d<B> {
        let (h, w) = geometry.kernel;
        let weight = self.source(&[outputs, inputs, h, w], WeightLayout::Filter, train);
        Conv2d { weight, bias: None, geometry, adapter: None, inputs, outputs }
    }

    /// The affine part of a norm.
    pub fn norm(&mut self, channels: usize, train: Train) -> Norm<B> {
        Norm { gamma: self.vector(channels, train), beta: self.vector(channels, train), eps: 1e-3 }
    }
}
