//! ControlNetUnion (xinsir's, diffusers' `ControlNetUnionModel`): one ControlNet for several types of control
//! images, which may come together. Used here, not trained.

use std::collections::BTreeMap;

use fairhuman_engine::{Activation, Backend, Tape, Var};

use crate::config_check::{Config, ConfigError};
use crate::net::{Layers, LinearId, NormId, Plan, TableId};
use crate::unet::embed::sinusoids;
use crate::unet::{TimestepEmbedding, UNetConfig};
use crate::weights::{Part, Viewed, WeightError, WeightFiles};

/// Names of the types by index, as xinsir's networks were trained. The last two only the later network has
/// ("promax").
const TYPES: [&[&str]; 8] = [
    &["openpose", "pose"],
    &["depth"],
    &["hed", "pidi", "scribble", "ted", "soft-edge"],
    &["canny", "lineart", "anime_lineart", "mlsd"],
    &["normal"],
    &["segment"],
    &["tile"],
    &["repaint"],
];
/// The tensor by which such a file is told.
pub(super) const TASKS: &str = "task_embedding";

/// Settings that a ControlNet has not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnionConfig {
    /// Types of control images.
    pub types: usize,
    /// Transformer blocks that a type and its image pass through.
    pub blocks: usize,
    /// Width of the sinusoids that say whether a type is there.
    pub type_dim: usize,
}

/// Index of a type of control images, by one of its names or as a number.
pub fn control_type(name: &str) -> Option<usize> {
    let named = TYPES.iter().position(|names| names.contains(&name));
    named.or_else(|| name.parse().ok())
}

/// The names of the first `count` types, those of one index separated by strokes.
pub fn control_types(count: usize) -> String {
    TYPES.iter().take(count).map(|names| names.join("/")).collect::<Vec<_>>().join(", ")
}

impl UnionConfig {
    /// Takes the keys of a union out of a `config.json`. The number of heads has no effect; see
    /// [`Union::fused`].
    pub(super) fn read(c: &mut Config) -> Result<Self, ConfigError> {
        let types = c.usize("num_control_type")?.unwrap_or(6);
        let blocks = c.usize("num_trans_layer")?.unwrap_or(1);
        let width = "addition_time_embed_dim";
        let type_dim = c.usize(width)?.ok_or_else(|| c.wrong(width, "a whole number", "nothing"))?;
        let channels = c.usizes("block_out_channels")?.and_then(|list| list.first().copied()).unwrap_or(320);
        for key in ["num_trans_channel", "num_proj_channel"] {
            let found = c.usize(key)?.unwrap_or(320);
            if found != channels {
                return Err(c.wrong(key, format!("the first of block_out_channels, {channels}"), found));
            }
        }
        c.ignore(&["num_trans_head"]);
        Ok(Self { types, blocks, type_dim })
    }

    /// The settings of a file's tensors; none of those of a ControlNet.
    pub(super) fn of_file(files: &WeightFiles) -> Option<Self> {
        let types = files.shape(TASKS)?.first().copied()?;
        let norm = |block: &usize| files.contains(&format!("transformer_layes.{block}.ln_1.weight"));
        let inputs = files.shape("control_add_embedding.linear_1.weight").and_then(|shape| shape.get(1));
        let type_dim = inputs.copied().unwrap_or(0) / types.max(1);
        Some(Self { types, blocks: (0..).take_while(norm).count(), type_dim })
    }

    /// The same tensors under names that layers have.
    pub(super) fn named(self, files: WeightFiles, channels: usize) -> Result<WeightFiles, WeightError> {
        let view =
            |name: String, shape: &[usize], part| Viewed { name, shape: shape.into(), part, scale: None };
        let mut views = BTreeMap::new();
        let tasks = view(TASKS.into(), &[self.types, channels], Part::Whole);
        views.insert(format!("{TASKS}.weight"), tasks);
        for block in 0..self.blocks {
            let attention = format!("transformer_layes.{block}.attn");
            for (end, shape) in [("weight", &[channels, channels][..]), ("bias", &[channels])] {
                let values = view(format!("{attention}.in_proj_{end}"), shape, Part::Third(2));
                views.insert(format!("{attention}.value.{end}"), values);
            }
        }
        files.viewed(&views)
    }
}

/// The layers that a ControlNet has not.
#[derive(Debug, Clone)]
pub(super) struct Union {
    /// Which types are there.
    types: TimestepEmbedding,
    tasks: TableId,
    blocks: Vec<Block>,
    shift: LinearId,
}

/// ResidualAttentionBlock.
#[derive(Debug, Clone, Copy)]
struct Block {
    norm1: NormId,
    value: LinearId,
    out: LinearId,
    norm2: NormId,
    fc1: LinearId,
    fc2: LinearId,
}

impl Union {
    pub(super) fn plan(c: UnionConfig, unet: &UNetConfig, plan: &mut Plan) -> Self {
        let width = unet.channels[0];
        let block = |plan: &mut Plan, i: usize| {
            let name = |end: &str| format!("transformer_layes.{i}.{end}");
            Block {
                norm1: plan.layer_norm(name("ln_1"), width, 1e-5),
                value: plan.linear(name("attn.value"), width, width, true),
                out: plan.linear(name("attn.out_proj"), width, width, true),
                norm2: plan.layer_norm(name("ln_2"), width, 1e-5),
                fc1: plan.linear(name("mlp.c_fc"), width, 4 * width, true),
                fc2: plan.linear(name("mlp.c_proj"), 4 * width, width, true),
            }
        };
        Self {
            types: TimestepEmbedding::plan(
                plan,
                "control_add_embedding",
                c.types * c.type_dim,
                unet.time_width,
            ),
            tasks: plan.table(TASKS, c.types, width),
            blocks: (0..c.blocks).map(|i| block(plan, i)).collect(),
            shift: plan.linear("spatial_ch_projs", width, width, true),
        }
    }

    /// The embedding of the types that are there, `[N, T]`, for the time embedding.
    pub(super) fn embed_types<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        (c, unet): (UnionConfig, &UNetConfig),
        (types, n): (&[usize], usize),
    ) -> Var<B> {
        let there: Vec<f32> = (0..c.types).map(|i| f32::from(u8::from(types.contains(&i)))).collect();
        let values = sinusoids(&there, c.type_dim, unet.flip_sin_to_cos, unet.freq_shift).repeat(n);
        let values = Var::constant(tape.backend().tensor(&[n, c.types * c.type_dim], &values));
        self.types.forward(net, tape, &values, None)
    }

    /// An embedded control image `[N, h, w, C]` with the shift of its channels that follows from its mean and
    /// its type.
    ///
    /// In the published code the tokens of a type attend to each other across the pictures of a batch, and to
    /// no other type: with one picture, whose samples are alike, each token attends to itself, and what
    /// attention gives are its values. That is computed here for every picture, whatever else is in its
    /// batch.
    pub(super) fn fused<'m, B: Backend>(
        &self,
        net: &'m Layers<B>,
        tape: &mut Tape<'m, B>,
        hint: &Var<B>,
        kind: usize,
    ) -> Var<B> {
        let &[n, h, w, c] = hint.shape() else { unreachable!("images have four dimensions") };
        let backend = tape.backend();
        let mean = backend.scale(&backend.sum_positions(hint.value()), 1.0 / (h * w) as f32);
        let mean = Var::constant(backend.reshape(&mean, &[n, 1, c]));
        let task = net.embedding(tape, self.tasks, &vec![kind as u32; n], (n, 1));
        let mut token = tape.add(&mean, &task);
        for block in &self.blocks {
            let h = net.layer_norm(tape, block.norm1, &token);
            let h = net.linear(tape, block.value, &h, None);
            token = net.linear(tape, block.out, &h, Some(&token));
            let h = net.layer_norm(tape, block.norm2, &token);
            let h = net.linear(tape, block.fc1, &h, None);
            let h = tape.activation(&h, Activation::QuickGelu);
            token = net.linear(tape, block.fc2, &h, Some(&token));
        }
        let shift = net.linear(tape, self.shift, &token, None);
        let shift = tape.reshape(&shift, &[n, 1, 1, c]);
        let shift = tape.resize_nearest(&shift, (h, w));
        tape.add(hint, &shift)
    }
}
