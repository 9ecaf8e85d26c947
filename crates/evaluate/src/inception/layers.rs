//! Convolutions with their normalisation folded in, and the pools.

use fairhuman_diffusion::net::ModelError;
use fairhuman_engine::{
    Activation, Backend, Conv2d, ConvParams, Linear, Tape, Var, Weight, WeightData, WeightLayout,
};

use super::Place;
use crate::error::EvaluateError;
use crate::network::Reader;
use crate::sets::Features;

/// Added to the variances.
const EPS: f32 = 1e-3;

/// A convolution, its batch normalisation, and ReLU.
pub(super) enum Convolution<B: Backend> {
    /// Of one place.
    Point(Linear<B>),
    /// Of a window.
    Window(Conv2d<B>),
}

impl<B: Backend> Convolution<B> {
    /// Reads `NAME.conv` and `NAME.bn`, as one convolution with a bias.
    pub fn read(reader: &Reader<'_, B>, name: &str, place: Place) -> Result<Self, EvaluateError> {
        let stored = reader.files.get_any_shape(&format!("{name}.conv.weight")).map_err(ModelError::from)?;
        let &[outputs, inputs, height, width] = stored.shape() else {
            let problem = format!(
                "the tensor \"{name}.conv.weight\" has shape {:?}; expected a filter",
                stored.shape()
            );
            return Err(EvaluateError::Weights { path: reader.files.path().into(), problem });
        };
        let get = |end: &str| reader.values(&format!("{name}.bn.{end}"), &[outputs]);
        let (gamma, beta, mean, variance) =
            (get("weight")?, get("bias")?, get("running_mean")?, get("running_var")?);
        let scale: Vec<f32> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + EPS).sqrt()).collect();
        let bias: Vec<f32> = (0..outputs).map(|o| beta[o] - mean[o] * scale[o]).collect();
        let mut values = stored.to_f32();
        let filters = values.chunks_exact_mut((inputs * height * width).max(1));
        filters.zip(&scale).for_each(|(filter, scale)| filter.iter_mut().for_each(|v| *v *= scale));
        let bias = Some(reader.vector(&bias));
        if (height, width) == (1, 1) {
            let data = WeightData::from_f32(&[outputs, inputs], &values);
            let weight = Weight::Frozen(reader.backend.weight(&data, WeightLayout::Matrix));
            return Ok(Self::Point(Linear { weight, bias, adapter: None, inputs, outputs }));
        }
        let data = WeightData::from_f32(&[outputs, inputs, height, width], &values);
        let (stride, around) = match place {
            Place::Same => (1, (height / 2, width / 2)),
            Place::Inside => (1, (0, 0)),
            Place::Halved => (2, (0, 0)),
        };
        let (y, x) = around;
        let geometry = ConvParams { kernel: (height, width), stride, pad: [y, x, y, x] };
        let weight = Weight::Frozen(reader.backend.weight(&data, WeightLayout::Filter));
        Ok(Self::Window(Conv2d { weight, bias, geometry, adapter: None, inputs, outputs }))
    }

    pub fn forward<'m>(&'m self, tape: &mut Tape<'m, B>, x: &Var<B>) -> Var<B> {
        let y = match self {
            Self::Point(layer) => tape.linear(x, layer, None),
            Self::Window(layer) => tape.conv2d(x, layer, None, None),
        };
        tape.activation(&y, Activation::Relu)
    }
}

/// Pools of windows of three by three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    /// Means around each place, over the places that exist.
    Mean,
    /// Maxima around each place.
    Most,
    /// Maxima of windows inside, every second one.
    Halved,
}

/// A pool of `[N, H, W, C]`. The engine has none of three, and this network is the only one that wants them.
pub(super) fn pool<B: Backend>(backend: &B, x: &Var<B>, kind: Pool) -> Var<B> {
    let &[n, height, width, channels] = x.shape() else { return x.clone() };
    let values = backend.read(x.value());
    let (rows, columns) = match kind {
        Pool::Halved => ((height - 3) / 2 + 1, (width - 3) / 2 + 1),
        _ => (height, width),
    };
    let window = |at: usize, length: usize| match kind {
        Pool::Halved => 2 * at..2 * at + 3,
        _ => at.saturating_sub(1)..(at + 2).min(length),
    };
    let mut pooled = Vec::with_capacity(n * rows * columns * channels);
    for (sample, row) in (0..n).flat_map(|sample| (0..rows).map(move |row| (sample, row))) {
        for column in 0..columns {
            let (across, down) = (window(column, width), window(row, height));
            let count = (across.len() * down.len()) as f32;
            let start = if kind == Pool::Mean { 0.0 } else { f32::NEG_INFINITY };
            let mut cell = vec![start; channels];
            for (y, x) in down.flat_map(|y| across.clone().map(move |x| (y, x))) {
                let from = ((sample * height + y) * width + x) * channels;
                let both = cell.iter_mut().zip(&values[from..from + channels]);
                match kind {
                    Pool::Mean => both.for_each(|(sum, v)| *sum += v),
                    _ => both.for_each(|(most, v)| *most = most.max(*v)),
                }
            }
            if kind == Pool::Mean {
                cell.iter_mut().for_each(|sum| *sum /= count);
            }
            pooled.extend(cell);
        }
    }
    Var::constant(backend.tensor(&[n, rows, columns, channels], &pooled))
}

/// Means over all places, `[N][C]`.
pub(super) fn global_mean<B: Backend>(backend: &B, x: &Var<B>) -> Features {
    let &[n, height, width, channels] = x.shape() else { return Features::new() };
    let values = backend.read(x.value());
    let places = (height * width) as f32;
    let mean = |sample: &[f32]| {
        let mut mean = vec![0.0; channels];
        for place in sample.chunks_exact(channels) {
            mean.iter_mut().zip(place).for_each(|(sum, v)| *sum += v / places);
        }
        mean
    };
    values.chunks_exact((values.len() / n.max(1)).max(1)).map(mean).collect()
}
