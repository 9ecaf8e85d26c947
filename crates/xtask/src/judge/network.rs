//! The two networks of the judge: maps of the whole picture, and the gesture of one enlarged hand.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, ensure};
use fairhuman_diffusion::net::Trainable;
use fairhuman_diffusion::pipeline::ModelFolder;
use fairhuman_diffusion::vae::AutoencoderKl;
use fairhuman_engine::{
    Affine, Backend, ConvParams, Cpu, Epilogue, Params, Tape, Var, WeightData, WeightLayout, WeightRef,
};
use half::f16;
use safetensors::SafeTensors;

use super::Found;
use super::folder::Picture;
use super::hands::{GESTURES, square};
use super::maps::{parts, peaks};

/// Side of the pictures, in pixels.
pub(super) const SIDE: usize = 96;
/// Side of the maps, in cells of 2 pixels.
pub(super) const CELLS: usize = 48;
/// Side of an enlarged hand.
pub(super) const CROP: usize = 32;
/// Channels of a group of the norms.
const GROUPS: usize = 8;
/// Pictures of one pass.
const BATCH: usize = 16;

static WEIGHTS: &[u8] = include_bytes!("../../data/judge.safetensors");

type Tensor = <Cpu as Backend>::Tensor;

/// The weights, prepared.
pub struct Judge(HashMap<String, Layer>);

struct Layer {
    weight: <Cpu as Backend>::Weight,
    kernel: usize,
    bias: Tensor,
    /// Scale and shift of the norm that follows.
    norm: Option<(Tensor, Tensor)>,
}

impl Judge {
    /// Reads the weights.
    ///
    /// # Errors
    /// Weights of other networks.
    pub fn new(cpu: &Cpu) -> anyhow::Result<Self> {
        let file = SafeTensors::deserialize(WEIGHTS)?;
        let read = |name: &str| -> anyhow::Result<(Vec<usize>, Vec<f32>)> {
            let view = file.tensor(name).with_context(|| format!("judge.safetensors: no {name}"))?;
            let values = view.data().chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
            Ok((view.shape().to_vec(), values.collect()))
        };
        let vector = |name: &str| -> anyhow::Result<Tensor> {
            let (shape, values) = read(name)?;
            Ok(cpu.tensor(&shape, &values))
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
            let weight = cpu.weight(&WeightData::from_f32(&shape, &values), layout);
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
        ensure!(layers.len() == 17, "judge.safetensors has {} layers, not 17", layers.len());
        Ok(Self(layers))
    }

    /// Looks at pictures.
    pub fn look(&self, cpu: &Cpu, pictures: &[Picture]) -> Vec<Found> {
        cpu.scope(|| pictures.chunks(BATCH).flat_map(|batch| self.look_at(cpu, batch)).collect())
    }

    fn look_at(&self, cpu: &Cpu, pictures: &[Picture]) -> Vec<Found> {
        let values: Vec<f32> = pictures.iter().flat_map(|picture| picture.values.iter().copied()).collect();
        let maps = self.maps(cpu, &cpu.tensor(&[pictures.len(), SIDE, SIDE, 3], &values));
        let map = |i: usize, channel: usize| -> Vec<f32> {
            let cells = &maps[i * CELLS * CELLS * 3..][..CELLS * CELLS * 3];
            cells.iter().skip(channel).step_by(3).map(|v| 1.0 / (1.0 + (-v).exp())).collect()
        };
        let look = |(i, picture): (usize, &Picture)| {
            let hands = parts(&map(i, 1));
            let squares: Vec<f32> = hands.iter().flat_map(|&hand| square(&picture.values, hand)).collect();
            let gesture = (!hands.is_empty()).then(|| self.gesture(cpu, &squares, hands.len())).flatten();
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
    fn maps(&self, cpu: &Cpu, pictures: &Tensor) -> Vec<f32> {
        let on = |name: &str, x: &Tensor, stride: usize| self.layer(cpu, &format!("maps.{name}"), x, stride);
        let up = |x: &Tensor, beside: &Tensor| {
            let [_, h, w, _] = Cpu::shape(beside) else { unreachable!("pictures have four dimensions") };
            cpu.concat(&cpu.resize_nearest(x, (*h, *w)), beside)
        };
        let a = on("b1", &on("b0", pictures, 2), 1);
        let b = on("b3", &on("b2", &a, 2), 1);
        let c = on("b6", &on("b5", &on("b4", &b, 2), 1), 1);
        let b = on("b7", &up(&c, &b), 1);
        let a = on("b8", &up(&b, &a), 1);
        cpu.read(&on("out", &a, 1))
    }

    /// The most certain gesture of a picture's hands, rest apart.
    fn gesture(&self, cpu: &Cpu, squares: &[f32], hands: usize) -> Option<&'static str> {
        let on =
            |name: &str, x: &Tensor, stride: usize| self.layer(cpu, &format!("gesture.{name}"), x, stride);
        let x = cpu.tensor(&[hands, CROP, CROP, 3], squares);
        let x = on("b2", &on("b1", &on("b0", &x, 1), 2), 1);
        let x = on("b5", &on("b4", &on("b3", &x, 2), 1), 2);
        let logits = cpu.read(&on("out", &x, 1));
        let read = |logits: &[f32]| {
            let total: f32 = logits.iter().map(|v| v.exp()).sum();
            let best = (0..GESTURES.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))?;
            Some((logits[best].exp() / total, GESTURES[best]))
        };
        let all = logits.chunks_exact(GESTURES.len()).filter_map(read);
        let active = all.filter(|(_, gesture)| *gesture != "relaxed");
        active.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, gesture)| gesture)
    }

    fn layer(&self, cpu: &Cpu, name: &str, x: &Tensor, stride: usize) -> Tensor {
        let layer = &self.0[name];
        let epilogue = Epilogue { bias: Some(&layer.bias), ..Epilogue::default() };
        let weight = WeightRef::Frozen(&layer.weight);
        // The last layer of the second network is as large as what it reads.
        let pad = usize::from(layer.norm.is_some());
        let y = match layer.kernel {
            1 => cpu.linear(x, weight, None, epilogue),
            kernel => cpu.conv2d(x, weight, ConvParams::square(kernel, stride, pad), epilogue),
        };
        match &layer.norm {
            Some((gamma, beta)) => cpu.group_norm(&y, GROUPS, Affine { gamma, beta, eps: 1e-5 }, true).0,
            None => y,
        }
    }
}

/// Replaces every picture by what the autoencoder of the folder `model` gives back.
pub(super) fn through_autoencoder(cpu: &Cpu, model: &Path, pictures: &mut [Picture]) -> anyhow::Result<()> {
    let folder = ModelFolder::open(model)?;
    let autoencoder = AutoencoderKl::load(cpu, &folder.vae(), Trainable::None)?;
    for picture in pictures {
        let (latents, _) =
            autoencoder.encode_moments(cpu, &cpu.tensor(&[1, SIDE, SIDE, 3], &picture.values))?;
        let params = Params::default();
        let mut tape = Tape::inference(cpu, &params);
        let given_back = autoencoder.decode(&mut tape, &Var::constant(latents))?;
        // As in a file: eight bits.
        let rounded = |v: f32| ((v.clamp(-1.0, 1.0) + 1.0) * 127.5).round() / 127.5 - 1.0;
        picture.values = cpu.read(given_back.value()).into_iter().map(rounded).collect();
    }
    Ok(())
}
