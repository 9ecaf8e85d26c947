//! A network small enough to step in microseconds: two trained linear layers with a SiLU between, pixel by
//! pixel.

use fairhuman_engine::{Activation, Backend, Linear, ParamId, Params, PerChannel, Tape, Var, Weight};
use fairhuman_train::batch::{Batch, Targets};
use fairhuman_train::denoising::{Denoiser, DenoisingInputs, TextInputs};
use fairhuman_train::objective::{Normalisation, Objective};

const HIDDEN: usize = 6;

pub struct Toy<B: Backend> {
    pub params: Params<B>,
    backend: B::Tensor,
    first: Linear<B>,
    second: Linear<B>,
}

fn values(count: usize, seed: usize, size: f32) -> Vec<f32> {
    (0..count).map(|i| size * ((i * 37 + seed * 101) as f32 * 0.73).sin()).collect()
}

impl<B: Backend> Toy<B> {
    pub fn new(backend: &B, seed: usize) -> Self {
        let mut params = Params::default();
        let mut add = |name: &str, shape: &[usize], seed| {
            let values = values(shape.iter().product(), seed, 0.5);
            params.add(name, backend.tensor(shape, &values))
        };
        let mut layer = |name: &str, inputs, outputs, seed| Linear {
            weight: Weight::Trained(add(&format!("{name}.weight"), &[outputs, inputs], seed)),
            bias: Some(PerChannel::Trained(add(&format!("{name}.bias"), &[outputs], seed + 1))),
            adapter: None,
            inputs,
            outputs,
        };
        let (first, second) = (layer("first", 4, HIDDEN, seed), layer("second", HIDDEN, 4, seed + 2));
        let poison = backend.tensor(&[4], &[f32::NAN; 4]);
        Self { params, backend: poison, first, second }
    }

    /// Makes the last bias NaN.
    pub fn poison(&mut self) {
        self.params.set(ParamId(3), self.backend.clone());
    }
}

impl<B: Backend> Denoiser<B> for Toy<B> {
    type Inputs = DenoisingInputs;

    fn predict<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        batch: &Batch<DenoisingInputs>,
    ) -> Result<Var<B>, String> {
        let t = &batch.targets;
        let shape = [t.size, t.height, t.width, t.channels];
        let x = Var::constant(tape.backend().tensor(&shape, &batch.inputs.noisy));
        let h = tape.linear(&x, &self.first, None);
        let h = tape.activation(&h, Activation::Silu);
        Ok(tape.linear(&h, &self.second, None))
    }
}

/// Global, face, hand.
pub fn objectives(normalisation: Normalisation) -> Vec<Objective> {
    let o = |name: &str, mask: Option<&str>, scale| Objective {
        name: name.into(),
        mask: mask.map(Into::into),
        scale,
        normalisation,
    };
    vec![o("global", None, 1.0), o("face", Some("f"), 5.0), o("hand", Some("h"), 5.0)]
}

/// A batch; `present[k]` lists the samples with a mask of objective `k`, the first has none at all.
pub fn batch(size: usize, present: &[&[usize]]) -> Batch<DenoisingInputs> {
    let side = 4;
    let cells = side * side;
    let mask = |(k, samples): (usize, &&[usize])| {
        let mut mask = vec![0.0; size * cells];
        samples.iter().for_each(|n| mask[n * cells + k..n * cells + k + 5].fill(1.0));
        (k > 0).then_some(mask)
    };
    let targets = Targets {
        size,
        height: side,
        width: side,
        channels: 4,
        values: values(size * cells * 4, 2, 1.0),
        masks: present.iter().enumerate().map(mask).collect(),
        weights: vec![1.0; size],
        names: (0..size).map(|n| format!("{n}.png")).collect(),
    };
    let inputs = DenoisingInputs {
        noisy: values(size * cells * 4, 1, 1.0),
        timesteps: vec![500; size],
        text: TextInputs::Embedded { prompt: Vec::new(), tokens: 0, pooled: Vec::new() },
        time_ids: Vec::new(),
    };
    Batch { targets, inputs }
}
