//! Numbers, layers and comparisons that the theorems share. Random values are a function of (seed, index).

use fairhuman_engine::{
    AdamW, AdamWState, Adapter, Array, Backend, Conv2d, ConvAdapter, ConvParams, Cpu, Linear, Norm, ParamId,
    Params, PerChannel, Reference, Weight, WeightData, WeightLayout,
};

use std::sync::LazyLock;

/// A backend whose values a test can read without loss.
pub trait Exact: Backend {
    fn values(&self, tensor: &Self::Tensor) -> Vec<f64>;
}

impl Exact for Reference {
    fn values(&self, tensor: &Array) -> Vec<f64> {
        tensor.values().to_vec()
    }
}

impl Exact for Cpu {
    fn values(&self, tensor: &Self::Tensor) -> Vec<f64> {
        self.read(tensor).into_iter().map(f64::from).collect()
    }
}

/// One thread; three, a number that divides nothing, with room for the filters of some convolutions; three with no
/// room for weights prepared in advance; and sixteen, for which work is cut finer.
pub static CPUS: LazyLock<[Cpu; 4]> = LazyLock::new(|| {
    crate::instructions::limit_to_what_is_asked();
    let roomy = Cpu::new(3).map(|cpu| cpu.with_filter_cache(1 << 20));
    [Cpu::new(1), roomy, Cpu::with_panel_budget(3, 0), Cpu::new(16)].map(|cpu| cpu.expect("threads"))
});

/// Values in [-1, 1), exact in f32: SplitMix64 of (seed, index).
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let value = |index: u64| {
        let mut z = (seed << 32).wrapping_add(index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let top = (z ^ (z >> 31)) >> 40;
        top as f32 / (1u64 << 23) as f32 - 1.0
    };
    (1..=count as u64).map(value).collect()
}

/// Noise of a shape.
pub fn tensor<B: Backend>(backend: &B, seed: u64, shape: &[usize]) -> B::Tensor {
    backend.tensor(shape, &noise(seed, shape.iter().product()))
}

/// A parameter and its moments after one more step of AdamW.
pub fn adamw<B: Backend>(
    backend: &B,
    state: [B::Tensor; 3],
    grad: &B::Tensor,
    grad_scale: f64,
    constants: &AdamW,
) -> [B::Tensor; 3] {
    let [mut param, mut first, mut second] = state;
    let state = AdamWState { param: &mut param, first: &mut first, second: &mut second, grad };
    backend.adamw(&mut [state], grad_scale, constants);
    [param, first, second]
}

/// Fails unless `found` is within `tolerance` of `expected`, relative to the largest expected value (or to one
/// where nothing but rounding errors is expected).
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let largest = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let scale = if largest < 1e-6 { 1.0 } else { largest };
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f - e).abs() <= tolerance * scale, // also fails on NaN
            "{what}: value {i} of {} is {f}, expected {e} (scale {scale}, tolerance {tolerance})",
            found.len()
        );
    }
}

/// What of a layer is trained.
#[derive(Clone, Copy, PartialEq)]
pub enum Train {
    Nothing,
    Everything,
    /// A low-rank adapter of this rank; the rest is frozen.
    Adapter(usize),
}

/// Makes layers with random weights and collects their parameters.
pub struct Maker<'b, B: Backend> {
    pub backend: &'b B,
    pub params: Params<B>,
    seed: u64,
}

impl<'b, B: Backend> Maker<'b, B> {
    pub fn new(backend: &'b B, seed: u64) -> Self {
        Self { backend, params: Params::default(), seed }
    }

    fn noise(&mut self, shape: &[usize]) -> Vec<f32> {
        self.seed += 1;
        noise(self.seed, shape.iter().product())
    }

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

    pub fn vector(&mut self, length: usize, train: Train) -> PerChannel<B> {
        match train {
            Train::Everything => PerChannel::Trained(self.param(&[length])),
            _ => PerChannel::Frozen(self.backend.tensor(&[length], &self.noise(&[length]))),
        }
    }

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

    pub fn norm(&mut self, channels: usize, train: Train) -> Norm<B> {
        Norm { gamma: self.vector(channels, train), beta: self.vector(channels, train), eps: 1e-3 }
    }
}
