//! Where a U-Net's modules stand in the numbering of the original Stable Diffusion code ("sgm").
//!
//! diffusers nests resnets, attentions and samplers in blocks; the original counts input blocks through:
//! 0 is the first convolution, then one per layer, then one per downsampler. Output blocks are counted the
//! same way, an upsampler sharing the number of its block's last layer.

use std::path::Path;

use serde_json::Value;

use crate::config_check::{Config, ConfigError};

/// One down or up block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLayout {
    /// Number of resnets (for up blocks one more than `layers_per_block`).
    pub layers: usize,
    /// True if an attention follows each resnet.
    pub attention: bool,
}

/// The block structure that the names of a U-Net's modules depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnetLayout {
    /// From the highest resolution to the lowest.
    pub down: Vec<BlockLayout>,
    /// From the lowest resolution to the highest.
    pub up: Vec<BlockLayout>,
    /// SDXL's additional conditions: two text encoders, and kohya files with sgm names.
    pub sdxl: bool,
}

impl UnetLayout {
    /// From the content of `unet/config.json`; `path` serves the messages. Other keys are not looked at.
    ///
    /// # Errors
    /// Block types or layer counts that are missing or contradict each other.
    pub fn from_config(path: &Path, config: &Value) -> Result<Self, ConfigError> {
        let mut config = Config::from_value(path, config.clone())?;
        let down = config.strings("down_block_types")?.unwrap_or_else(|| {
            let cross = std::iter::repeat_n("CrossAttnDownBlock2D", 3).chain(["DownBlock2D"]);
            cross.map(String::from).collect()
        });
        let up = config.strings("up_block_types")?.unwrap_or_else(|| {
            let cross = ["UpBlock2D"].into_iter().chain(std::iter::repeat_n("CrossAttnUpBlock2D", 3));
            cross.map(String::from).collect()
        });
        if down.is_empty() || down.len() != up.len() {
            let expected = format!("as many as down_block_types, {}, and at least 1", down.len());
            return Err(config.wrong("up_block_types", expected, up.len()));
        }
        let layers = config.usize_per_block("layers_per_block", down.len())?.unwrap_or(vec![2; down.len()]);
        let block = |kind: &String, layers| BlockLayout { layers, attention: kind.contains("Attn") };
        Ok(Self {
            down: down.iter().zip(&layers).map(|(kind, &l)| block(kind, l)).collect(),
            up: up.iter().zip(layers.iter().rev()).map(|(kind, &l)| block(kind, l + 1)).collect(),
            sdxl: config.string("addition_embed_type")?.as_deref() == Some("text_time"),
        })
    }

    /// The sgm path of a module given by its diffusers path (without `unet.`), where it has one.
    pub fn sgm_path(&self, diffusers: &str) -> Option<String> {
        let parts: Vec<&str> = diffusers.split('.').collect();
        match parts.as_slice() {
            ["conv_in"] => Some("input_blocks.0.0".into()),
            ["conv_norm_out"] => Some("out.0".into()),
            ["conv_out"] => Some("out.2".into()),
            ["time_embedding", linear] => Some(format!("time_embed.{}", linear_index(linear)?)),
            ["add_embedding", linear] => Some(format!("label_emb.0.{}", linear_index(linear)?)),
            ["down_blocks", i, kind, j, inner @ ..] => {
                let (i, j) = (i.parse::<usize>().ok()?, j.parse::<usize>().ok()?);
                let block = self.down.get(i)?;
                let first = 1 + self.down[..i].iter().map(|b| b.layers + 1).sum::<usize>();
                match (*kind, inner) {
                    ("downsamplers", ["conv"]) if j == 0 && i + 1 < self.down.len() => {
                        Some(format!("input_blocks.{}.0.op", first + block.layers))
                    }
                    _ => {
                        layer(block, kind, j, inner).map(|rest| format!("input_blocks.{}.{rest}", first + j))
                    }
                }
            }
            ["mid_block", kind, j, inner @ ..] => {
                let j: usize = j.parse().ok()?;
                match *kind {
                    "resnets" => Some(format!("middle_block.{}.{}", 2 * j, resnet_inner(inner)?)),
                    "attentions" => Some(join(format!("middle_block.{}", 2 * j + 1), inner)),
                    _ => None,
                }
            }
            ["up_blocks", i, kind, j, inner @ ..] => {
                let (i, j) = (i.parse::<usize>().ok()?, j.parse::<usize>().ok()?);
                let block = self.up.get(i)?;
                let first: usize = self.up[..i].iter().map(|b| b.layers).sum();
                match (*kind, inner) {
                    ("upsamplers", ["conv"]) if j == 0 && i + 1 < self.up.len() => {
                        let place = 1 + usize::from(block.attention);
                        Some(format!("output_blocks.{}.{place}.conv", first + block.layers - 1))
                    }
                    _ => {
                        layer(block, kind, j, inner).map(|rest| format!("output_blocks.{}.{rest}", first + j))
                    }
                }
            }
            _ => None,
        }
    }
}

fn layer(block: &BlockLayout, kind: &str, j: usize, inner: &[&str]) -> Option<String> {
    match kind {
        _ if j >= block.layers => None,
        "resnets" => Some(format!("0.{}", resnet_inner(inner)?)),
        "attentions" if block.attention => Some(join("1".into(), inner)),
        _ => None,
    }
}

fn resnet_inner(inner: &[&str]) -> Option<&'static str> {
    Some(match inner {
        ["norm1"] => "in_layers.0",
        ["conv1"] => "in_layers.2",
        ["time_emb_proj"] => "emb_layers.1",
        ["norm2"] => "out_layers.0",
        ["conv2"] => "out_layers.3",
        ["conv_shortcut"] => "skip_connection",
        _ => return None,
    })
}

fn linear_index(name: &str) -> Option<usize> {
    match name {
        "linear_1" => Some(0),
        "linear_2" => Some(2),
        _ => None,
    }
}

fn join(mut path: String, inner: &[&str]) -> String {
    for part in inner {
        path.push('.');
        path.push_str(part);
    }
    path
}
