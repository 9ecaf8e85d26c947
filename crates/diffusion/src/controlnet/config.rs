//! The `config.json` of a `ControlNetModel`, key by key, as diffusers reads it: a U-Net's keys for the half
//! that both share, and those of the control image.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::union::{UnionConfig, control_types};
use crate::config_check::{Config, ConfigError};
use crate::net::ModelError;
use crate::unet::UNetConfig;

/// Keys that mean what they mean in a U-Net's configuration. Others of a U-Net's are no keys of a ControlNet.
const SHARED: [&str; 28] = [
    "in_channels",
    "flip_sin_to_cos",
    "freq_shift",
    "down_block_types",
    "mid_block_type",
    "only_cross_attention",
    "block_out_channels",
    "layers_per_block",
    "downsample_padding",
    "mid_block_scale_factor",
    "act_fn",
    "norm_num_groups",
    "norm_eps",
    "cross_attention_dim",
    "transformer_layers_per_block",
    "encoder_hid_dim",
    "encoder_hid_dim_type",
    "attention_head_dim",
    "num_attention_heads",
    "use_linear_projection",
    "class_embed_type",
    "addition_embed_type",
    "addition_time_embed_dim",
    "num_class_embeds",
    "upcast_attention",
    "resnet_time_scale_shift",
    "projection_class_embeddings_input_dim",
    "addition_embed_type_num_heads",
];
const CLASS: &str = "ControlNetModel";
/// Those of diffusers and of the original code.
pub(crate) const UNIONS: [&str; 2] = ["ControlNetUnionModel", "ControlNetModel_Union"];
const HINT: &str = "conditioning_embedding_out_channels";
const INPUTS: &str = "conditioning_channels";

/// Settings of a ControlNet.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlNetConfig {
    /// The half of a U-Net that it copies. Settings of the up path are without meaning here.
    pub encoder: UNetConfig,
    /// Channels of the control image.
    pub hint_inputs: usize,
    /// Channels of the layers that embed it; each but the last halves the picture.
    pub hint_channels: Vec<usize>,
    /// True if the control image's channels are taken in reverse order.
    pub bgr: bool,
    /// True if every residual is replaced by its mean over all positions ("shuffle").
    pub global_pool: bool,
    /// Settings of a union of several types of control images.
    pub union: Option<UnionConfig>,
    /// The file's content.
    pub(super) value: Value,
}

impl ControlNetConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read, a key with an impossible value, a key that asks for mathematics that is
    /// not here.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        Self::from_value(path, Config::parse(path)?)
    }

    /// Reads settings that are already parsed; `path` serves the messages.
    ///
    /// # Errors
    /// As [`ControlNetConfig::open`].
    pub fn from_value(path: &Path, value: Value) -> Result<Self, ConfigError> {
        let mut c = Config::from_value(path, value.clone())?;
        let class = c.string("_class_name")?.unwrap_or_else(|| CLASS.into());
        let is_union = UNIONS.contains(&class.as_str());
        if !is_union && class != CLASS {
            return Err(c.unsupported("_class_name", class, format!("\"{CLASS}\", \"{}\"", UNIONS[0])));
        }
        let hint_inputs = c.usize(INPUTS)?.unwrap_or(3);
        let default = if is_union { [48, 96, 192, 384] } else { [16, 32, 96, 256] };
        let hint_channels = c.usizes(HINT)?.unwrap_or(default.into());
        if hint_channels.is_empty() {
            return Err(c.wrong(HINT, "at least one layer", "[]"));
        }
        let bgr = match c.string("controlnet_conditioning_channel_order")?.as_deref() {
            None | Some("rgb") => false,
            Some("bgr") => true,
            Some(other) => {
                let key = "controlnet_conditioning_channel_order";
                return Err(c.unsupported(key, other, "\"rgb\", \"bgr\""));
            }
        };
        let global_pool = c.bool("global_pool_conditions")?.unwrap_or(false);
        let union = if is_union { Some(UnionConfig::read(&mut c)?) } else { None };
        c.ignore(&SHARED);
        c.finish()?;
        let encoder = UNetConfig::from_value(path, as_unet(path, &value)?)?;
        if !encoder.middle {
            let c = Config::from_value(path, json!({}))?;
            return Err(c.unsupported(
                "mid_block_type",
                "null",
                "\"UNetMidBlock2DCrossAttn\", \"UNetMidBlock2D\"",
            ));
        }
        Ok(Self { encoder, hint_inputs, hint_channels, bgr, global_pool, union, value })
    }

    /// Settings of a copy of the U-Net whose `config.json` has the content `unet`, for control images of
    /// `inputs` channels.
    ///
    /// # Errors
    /// A U-Net that a ControlNet cannot copy, by key.
    pub fn of_unet(
        path: &Path,
        unet: &Value,
        inputs: usize,
        hint_channels: &[usize],
    ) -> Result<Self, ConfigError> {
        let full = UNetConfig::from_value(path, unet.clone())?;
        let c = Config::from_value(path, unet.clone())?;
        let cannot = |key: &str, found: String, supported: String| {
            Err(c.unsupported(key, found, format!("{supported} in a U-Net that a ControlNet copies")))
        };
        let width = 4 * full.channels[0];
        if full.time_width != width {
            return cannot("time_embedding_dim", full.time_width.to_string(), width.to_string());
        }
        if full.conv_in_kernel != 3 {
            return cannot("conv_in_kernel", full.conv_in_kernel.to_string(), "3".into());
        }
        let mut map = Map::new();
        map.insert("_class_name".into(), CLASS.into());
        map.insert("_diffusers_version".into(), "0.32.2".into());
        for key in SHARED {
            let Some(value) = unet.get(key) else { continue };
            // These two are one number for all blocks there.
            let one = match (key, value) {
                ("layers_per_block" | "cross_attention_dim", Value::Array(list)) => match list.as_slice() {
                    [first, rest @ ..] if rest.iter().all(|v| v == first) => first.clone(),
                    _ => return cannot(key, value.to_string(), "one number for all blocks".into()),
                },
                _ => value.clone(),
            };
            map.insert(key.into(), one);
        }
        // Of a model for inpainting: every pipeline shows a ControlNet the latents alone.
        map.insert("in_channels".into(), full.out_channels.into());
        map.insert(INPUTS.into(), inputs.into());
        map.insert("controlnet_conditioning_channel_order".into(), "rgb".into());
        map.insert(HINT.into(), hint_channels.into());
        map.insert("global_pool_conditions".into(), false.into());
        Self::from_value(path, Value::Object(map))
    }

    /// The settings of a folder or file; see [`super::ControlNet::load`].
    ///
    /// # Errors
    /// As [`super::ControlNet::load`], weights apart.
    pub fn read(path: &Path, unet: &Path) -> Result<Self, ModelError> {
        Ok(super::files::open(path, unet)?.0)
    }

    /// Checks that a union is given types that it has, and others none.
    ///
    /// # Errors
    /// Types that are missing, too many or too large.
    pub fn check_types(&self, types: &[usize]) -> Result<(), ModelError> {
        let problem = match self.union {
            None if types.is_empty() => return Ok(()),
            None => "are given, but the network is no ControlNetUnion: it has one type".into(),
            Some(UnionConfig { types: count, .. }) => {
                let known = format!("this ControlNetUnion has {count}: {}", control_types(count));
                match types.iter().find(|&&kind| kind >= count) {
                    Some(kind) => format!("include number {kind}, counted from 0; {known}"),
                    None if types.is_empty() => format!("are needed, one for each image; {known}"),
                    None => return Ok(()),
                }
            }
        };
        Err(ModelError::Input { model: "ControlNet", input: "types of the control images", problem })
    }

    /// Pixels of the control image for each cell of the latents, in both directions.
    pub fn reduction(&self) -> usize {
        1 << (self.hint_channels.len() - 1)
    }

    /// Layers for a control image with `reduction` pixels for each cell of the latents, diffusers' default of
    /// 16, 32, 96, 256 channels for 8; none where that is no power of two.
    pub fn hint_for(reduction: usize) -> Option<Vec<usize>> {
        let count = reduction.is_power_of_two().then(|| 1 + reduction.ilog2() as usize)?;
        Some([16, 32, 96].into_iter().chain(std::iter::repeat(256)).take(count).collect())
    }
}

/// The content of a U-Net's file that has the same encoder, and a decoder that mirrors it.
fn as_unet(path: &Path, value: &Value) -> Result<Value, ConfigError> {
    let mut map = Map::new();
    for key in SHARED {
        if let Some(value) = value.get(key) {
            map.insert(key.into(), value.clone());
        }
    }
    let c = Config::from_value(path, json!({}))?;
    for key in ["layers_per_block", "cross_attention_dim"] {
        if let Some(list @ Value::Array(_)) = map.get(key) {
            return Err(c.unsupported(key, list, "one number for all blocks"));
        }
    }
    if let Some(Value::Array(list)) = map.get("transformer_layers_per_block")
        && list.iter().any(Value::is_array)
    {
        let found = Value::Array(list.clone());
        return Err(c.unsupported("transformer_layers_per_block", found, "one number for each block"));
    }
    if let Some(Value::Array(down)) = map.get("down_block_types") {
        let up = down.iter().rev().map(|kind| match kind.as_str() {
            Some(kind) => kind.replace("Down", "Up").into(),
            None => kind.clone(),
        });
        map.insert("up_block_types".into(), up.collect());
    }
    Ok(Value::Object(map))
}
