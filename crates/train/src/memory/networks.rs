//! The networks as lists of blocks, and the number of their values.

use fairhuman_diffusion::net::Plan;
use fairhuman_diffusion::unet::UNetConfig;
use fairhuman_diffusion::vae::VaeConfig;

use super::blocks::{Block, Kept, layer, resnet, transformer};

/// Tokens of a text.
const TEXT: f64 = 77.0;

/// The number of a network's values.
pub fn parameters(plan: &Plan) -> f64 {
    plan.tensors().iter().map(|tensor| product(&tensor.shape)).sum()
}

/// The number of values of a ControlNet for the U-Net of `plan`: its first half, and layers that are few in
/// number.
pub fn controlnet(plan: &Plan) -> f64 {
    const HALF: [&str; 5] = ["conv_in.", "time_embedding.", "add_embedding.", "down_blocks.", "mid_block."];
    const OWN: f64 = 1.03;
    let tensors = plan.tensors();
    let half = tensors.iter().filter(|tensor| HALF.iter().any(|start| tensor.name.starts_with(start)));
    OWN * half.map(|tensor| product(&tensor.shape)).sum::<f64>()
}

/// The number of an adapter's values.
pub fn adapter(plan: &Plan, rank: usize, targets: &[String]) -> f64 {
    let tensors = plan.tensors();
    let adapted = tensors.iter().filter_map(|tensor| {
        let module = tensor.name.strip_suffix(".weight")?;
        let named = targets.iter().any(|t| module == t || module.ends_with(&format!(".{t}")));
        let [outputs, inputs @ ..] = &tensor.shape[..] else { return None };
        (named && !inputs.is_empty()).then(|| rank as f64 * (*outputs as f64 + product(inputs)))
    });
    adapted.sum()
}

fn product(shape: &[usize]) -> f64 {
    shape.iter().map(|&side| side as f64).product()
}

/// Positions of the resolution after `halvings`.
fn positions((height, width): (usize, usize), halvings: usize) -> f64 {
    let half = |side: usize| side.div_ceil(1 << halvings.min(31)).max(1) as f64;
    half(height) * half(width)
}

/// A U-Net's blocks for latents of a size (height, width).
pub fn unet(c: &UNetConfig, size: (usize, usize), kept: Kept<'_>) -> Vec<Block> {
    let mut list = List { blocks: Vec::new(), tracked: matches!(kept, Kept::All), kept };
    let levels = c.channels.len();
    let at = |level: usize| (positions(size, level), c.channels[level] as f64);
    let (p, first) = at(0);
    list.add(Block { skip: p * first, ..layer(p * c.in_channels as f64, p * first, kept.input("conv_in")) });
    let (mut width, mut skips) = (first, vec![p * first]);
    for level in 0..levels {
        let (p, channels) = at(level);
        for i in 0..c.layers[level] {
            list.resnet(p, width, channels, 0.0);
            if c.down_attends[level] {
                list.transformers(p, channels, c.depth[level][i]);
            }
            list.is_skip(p * channels);
            skips.push(p * channels);
            width = channels;
        }
        if level + 1 < levels {
            let half = positions(size, level + 1) * channels;
            list.add(layer(p * channels, half, kept.input("conv")));
            list.is_skip(half);
            skips.push(half);
        }
    }
    if c.middle {
        let (p, channels) = at(levels - 1);
        list.resnet(p, channels, channels, 0.0);
        list.transformers(p, channels, c.middle_depth);
        list.resnet(p, channels, channels, 0.0);
    }
    for (up, level) in (0..levels).rev().enumerate() {
        let (p, channels) = at(level);
        for i in 0..=c.layers[level] {
            let skip = skips.pop().unwrap_or_default();
            list.resnet(p, width + skip / p, channels, skip);
            if c.up_attends[up] {
                list.transformers(p, channels, c.up_depth[up][i]);
            }
            width = channels;
        }
        if level > 0 {
            let double = positions(size, level - 1) * channels;
            list.add(layer(double, double, kept.input("conv")));
        }
    }
    list.add(layer(p * first, p * c.out_channels as f64, 1.0));
    list.blocks
}

/// An autoencoder's blocks for pictures of a size (height, width); everything is trained.
pub fn autoencoder(c: &VaeConfig, size: (usize, usize), decoder_only: bool) -> Vec<Block> {
    let kept = Kept::All;
    let mut list = List { blocks: Vec::new(), tracked: !decoder_only, kept };
    let levels = c.channels.len();
    let at = |level: usize| (positions(size, level), c.channels[level] as f64);
    let (p, mut width) = at(0);
    list.add(layer(p * c.in_channels as f64, p * width, 1.0));
    for level in 0..levels {
        let (p, channels) = at(level);
        for _ in 0..c.layers {
            list.resnet(p, width, channels, 0.0);
            width = channels;
        }
        if level + 1 < levels {
            list.add(layer(p * channels, positions(size, level + 1) * channels, 1.0));
        }
    }
    list.middle(at(levels - 1), c.middle_attends);
    list.tracked = true;
    list.middle(at(levels - 1), c.middle_attends);
    for level in (0..levels).rev() {
        let (p, channels) = at(level);
        for _ in 0..=c.layers {
            list.resnet(p, width, channels, 0.0);
            width = channels;
        }
        if level > 0 {
            let double = positions(size, level - 1) * channels;
            list.add(layer(double, double, 1.0));
        }
    }
    list.add(layer(p * width, p * c.out_channels as f64, 1.0));
    list.blocks
}

/// The most values that an autoencoder's encoder holds at once without a backward pass.
pub fn encoding(c: &VaeConfig, size: (usize, usize)) -> f64 {
    let mut width = c.channels[0];
    let of_level = |(level, &channels): (usize, &usize)| {
        let inputs = std::mem::replace(&mut width, channels);
        positions(size, level) * (inputs + 2 * channels) as f64
    };
    c.channels.iter().enumerate().map(of_level).fold(0.0, f64::max)
}

/// The most values that its decoder holds at once.
pub fn decoding(c: &VaeConfig, size: (usize, usize)) -> f64 {
    let of_level = |(level, &channels): (usize, &usize)| {
        let inputs = *c.channels.get(level + 1).unwrap_or(&channels);
        positions(size, level) * (inputs + inputs.max(2 * channels)) as f64
    };
    c.channels.iter().enumerate().map(of_level).fold(0.0, f64::max)
}

/// Blocks as they are added.
struct List<'a> {
    blocks: Vec<Block>,
    tracked: bool,
    kept: Kept<'a>,
}

impl List<'_> {
    fn add(&mut self, block: Block) {
        self.blocks.push(Block { tracked: self.tracked, ..block });
    }

    fn resnet(&mut self, positions: f64, inputs: f64, outputs: f64, joined: f64) {
        self.tracked |= self.kept.input("conv1") + self.kept.input("conv2") > 0.0;
        self.add(resnet(positions, inputs, outputs, joined, self.kept));
    }

    fn transformers(&mut self, positions: f64, width: f64, depth: usize) {
        // Whatever is adapted, it is in here if it is not in a residual block.
        self.tracked = true;
        self.add(layer(positions * width, positions * width, self.kept.input("proj_in")));
        for _ in 0..depth {
            self.add(transformer(positions, width, TEXT, self.kept));
        }
        self.add(layer(positions * width, positions * width, 0.0));
    }

    /// The last block's output is read again later.
    fn is_skip(&mut self, values: f64) {
        if let Some(last) = self.blocks.last_mut() {
            last.skip = values;
        }
    }

    /// An autoencoder's middle, of one resolution.
    fn middle(&mut self, (positions, width): (f64, f64), attends: bool) {
        self.resnet(positions, width, width, 0.0);
        if attends {
            let values = positions * width;
            self.add(Block {
                inner: 5.0 * values,
                output: values,
                cotangents: 6.0 * values,
                ..Block::default()
            });
        }
        self.resnet(positions, width, width, 0.0);
    }
}
