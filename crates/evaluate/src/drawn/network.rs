//! The two networks of the judge: maps of the whole picture, and the gesture of one enlarged hand.

use std::collections::HashMap;
use std::path::PathBuf;

use fairhuman_engine::{Affine, Backend, ConvParams, Epilogue, WeightData, WeightLayout, WeightRef};
use half::f16;
use image::RgbImage;
use safetensors::SafeTensors;

use super::Found;
use super::hands::{GESTURES, square};
use super::maps::{parts, peaks};
use crate::error::EvaluateError;

/// Side of the pictures, in pixels.
pub const SIDE: usize = 96;
/// Side of the maps, in cells of 2 pixels.
pub(super) const CELLS: usize = 48;
/// Side of an enlarged hand.
pub(super) const CROP: usize = 32;
/// Channels of a group of the norms.
const GROUPS: usize = 8;
/// Pictures of one pass.
pub(super) const BATCH: usize = 16;

pub(super) static WEIGHTS: &[u8] = include_bytes!("../../data/judge.safetensors");

/// Both networks.
pub struct Networks<B: Backend>(HashMap<String, Layer<B>>);

struct Layer<B: Backend> {
    weight: B::Weight,
    kernel: usize,
    bias: B::Tensor,
    /// Scale and shift of the norm that follows.
    norm: Option<(B::Tensor, B::Tensor)>,
}

/// Colours as the networks take them, `[SIDE, SIDE, 3]` in [-1, 1].
pub(super) fn values(picture: &RgbImage) -> Vec<f32> {
    picture.as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect()
}

fn damaged(problem: String) -> EvaluateError {
    EvaluateError::Weights { path: PathBuf::from("judge.safetensors"), problem }
}

impl<B: Backend> Networks<B> {
    /// Reads the weights.
    ///
    /// # Errors
    /// None with a program that is whole.
    pub fn new(backend: &B) -> Result<Self, EvaluateError> {
        let file = SafeTensors::deserialize(WEIGHTS).map_err(|e| damaged(e.to_string()))?;
        let read = |name: &str| -> Result<(Vec<usize>, Vec<f32>), EvaluateError> {
            let view = file.tensor(name).map_err(|e| damaged(e.to_string()))?;
            let values = view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
            Ok((view.shape().to_vec(), values.collect()))
        };
        let vector = |name: &str| -> Result<B::Tensor, EvaluateError> {
            let (shape, values) = read(name)?;
            Ok(backend.tensor(&shape, &values))
        };
        let mut layers = HashMap::new();
        let names = file.names();
        for name in names.iter().filter_map(|name| name.strip_suffix(".weight")) {
            let (shape, values) = read(&format!("{name}.weight"))?;
            if shape.len() != 4 {
                continue;
            }
            let kernel = shape[2];
            let layout = if kernel == 1 { WeightLayout::Matrix } else { WeightLayout::Filter };
            let weight = backend.weight(&WeightData::from_f32(&shape, &values), layout);
            let bias = vector(&format!("{name}.bias"))?;
            let norm = match name.strip_suffix(".0") {
                Some(block) => {
                    Some((vector(&format!("{block}.1.weight"))?, vector(&format!("{block}.1.bias"))?))
                }
                None => None,
            };
            layers.insert(
                name.strip_suffix(".0").unwrap_or(name).to_owned(),
                Layer { weight, kernel, bias, norm },
            );
        }
        if layers.len() != 17 {
            return Err(damaged(format!("{} layers, not 17", layers.len())));
        }
        Ok(Self(layers))
    }

    /// Looks at pictures, each `[SIDE, SIDE, 3]` in [-1, 1].
    pub fn look(&self, backend: &B, pictures: &[Vec<f32>]) -> Vec<Found> {
        backend.scope(|| pictures.chunks(BATCH).flat_map(|batch| self.look_at(backend, batch)).collect())
    }

    fn look_at(&self, backend: &B, pictures: &[Vec<f32>]) -> Vec<Found> {
        let values: Vec<f32> = pictures.concat();
        let maps = self.maps(backend, &backend.tensor(&[pictures.len(), SIDE, SIDE, 3], &values));
        let map = |i: usize, channel: usize| -> Vec<f32> {
            let cells = &maps[i * CELLS * CELLS * 3..][..CELLS * CELLS * 3];
            cells.iter().skip(channel).step_by(3).map(|v| 1.0 / (1.0 + (-v).exp())).collect()
        };
        let look = |(i, picture): (usize, &Vec<f32>)| {
            let hands = parts(&map(i, 1));
            let squares: Vec<f32> = hands.iter().flat_map(|&hand| square(picture, hand)).collect();
            let gesture = (!hands.is_empty()).then(|| self.gesture(backend, &squares, hands.len())).flatten();
            Found {
                face: !parts(&map(i, 0)).is_empty(),
                hands: hands.len(),
                eyes: peaks(&map(i, 2)),
                gesture,
            }
        };
        pictures.iter().enumerate().map(look).collect()
    }

    /// Logits of face, hand and eye, `[N, CELLS, CELLS, 3]`.
    fn maps(&self, backend: &B, pictures: &B::Tensor) -> Vec<f32> {
        let on = |name: &str, x: &B::Tensor, stride: usize| {
            self.layer(backend, &format!("maps.{name}"), x, stride)
        };
        let up = |x: &B::Tensor, beside: &B::Tensor| {
            let [_, h, w, _] = B::shape(beside) else { unreachable!("pictures have four dimensions") };
            backend.concat(&backend.resize_nearest(x, (*h, *w)), beside)
        };
        let a = on("b1", &on("b0", pictures, 2), 1);
        let b = on("b3", &on("b2", &a, 2), 1);
        let c = on("b6", &on("b5", &on("b4", &b, 2), 1), 1);
        let b = on("b7", &up(&c, &b), 1);
        let a = on("b8", &up(&b, &a), 1);
        backend.read(&on("out", &a, 1))
    }

    /// The most certain gesture of a picture's hands, rest apart.
    fn gesture(&self, backend: &B, squares: &[f32], hands: usize) -> Option<&'static str> {
        let on = |name: &str, x: &B::Tensor, stride: usize| {
            self.layer(backend, &format!("gesture.{name}"), x, stride)
        };
        let x = backend.tensor(&[hands, CROP, CROP, 3], squares);
        let x = on("b2", &on("b1", &on("b0", &x, 1), 2), 1);
        let x = on("b5", &on("b4", &on("b3", &x, 2), 1), 2);
        let logits = backend.read(&on("out", &x, 1));
        let read = |logits: &[f32]| {
            let total: f32 = logits.iter().map(|v| v.exp()).sum();
            let best = (0..GESTURES.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))?;
            Some((logits[best].exp() / total, GESTURES[best]))
        };
        let all = logits.chunks_exact(GESTURES.len()).filter_map(read);
        let active = all.filter(|(_, gesture)| *gesture != "relaxed");
        active.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, gesture)| gesture)
    }

    fn layer(&self, backend: &B, name: &str, x: &B::Tensor, stride: usize) -> B::Tensor {
        let layer = &self.0[name];
        let epilogue = Epilogue { bias: Some(&layer.bias), ..Epilogue::default() };
        let weight = WeightRef::Frozen(&layer.weight);
        // The last layer of the second network is as large as what it reads.
        let pad = usize::from(layer.norm.is_some());
        let y = match layer.kernel {
            1 => backend.linear(x, weight, None, epilogue),
            kernel => backend.conv2d(x, weight, ConvParams::square(kernel, stride, pad), epilogue),
        };
        match &layer.norm {
            Some((gamma, beta)) => backend.group_norm(&y, GROUPS, Affine { gamma, beta, eps: 1e-5 }, true).0,
            None => y,
        }
    }
}
