//! The `config.json` of a `UNet2DConditionModel`, key by key, as diffusers reads it.
//!
//! The published configurations carry a naming mistake: `attention_head_dim` is the *number* of heads.

use std::path::Path;

use serde_json::{Value, json};

use crate::config_check::{Config, ConfigError, bounded};
use crate::lora_file::{BlockLayout, UnetLayout};

/// Keys that change nothing here: the nominal size, precision switches (everything is f32), settings of what
/// is not supported anyway, and the bookkeeping of averaged weights.
const HARMLESS: [&str; 11] = [
    "sample_size",
    "upcast_attention",
    "mid_block_only_cross_attention",
    "addition_embed_type_num_heads",
    "decay",
    "inv_gamma",
    "min_decay",
    "optimization_step",
    "power",
    "update_after_step",
    "use_ema_warmup",
];
const DEPTH: &str = "transformer_layers_per_block";
const UP_DEPTH: &str = "reverse_transformer_layers_per_block";
const DOWN: [&str; 2] = ["DownBlock2D", "CrossAttnDownBlock2D"];
const UP: [&str; 2] = ["UpBlock2D", "CrossAttnUpBlock2D"];

/// Settings of a U-Net. Lists have one value per block, in the order of the down blocks unless said
/// otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct UNetConfig {
    /// Channels of the latents that come in.
    pub in_channels: usize,
    /// Channels of the prediction.
    pub out_channels: usize,
    /// Channels of each block.
    pub channels: Vec<usize>,
    /// Resnets of each down block; the mirrored up block has one more.
    pub layers: Vec<usize>,
    /// True for each down block with attention (CrossAttnDownBlock2D).
    pub down_attends: Vec<bool>,
    /// True for each up block with attention, in the order of the up blocks.
    pub up_attends: Vec<bool>,
    /// True if there is a middle block.
    pub middle: bool,
    /// True if it has an attention between two resnets (UNetMidBlock2DCrossAttn), false for one resnet alone
    /// (UNetMidBlock2D).
    pub middle_attends: bool,
    /// Transformer blocks in each attention of each down block.
    pub depth: Vec<Vec<usize>>,
    /// Transformer blocks of the middle block's attention.
    pub middle_depth: usize,
    /// Transformer blocks in each attention of each up block, in the order of the up blocks.
    pub up_depth: Vec<Vec<usize>>,
    /// Attention heads.
    pub heads: Vec<usize>,
    /// Width of the text embeddings.
    pub text_width: usize,
    /// True where the first attention of a transformer block attends to the text, too.
    pub only_cross_attention: Vec<bool>,
    /// True if transformers are entered and left by linear layers (SD 2.x, SDXL), false for 1x1 convolutions
    /// (SD 1.5).
    pub linear_projection: bool,
    /// Padding of the stride-2 convolutions; 0 pads right and bottom by one.
    pub downsample_padding: usize,
    /// Groups of every group normalisation.
    pub groups: usize,
    /// Added to the variance in resnets and at the end.
    pub eps: f32,
    /// Width of the time embedding.
    pub time_width: usize,
    /// Cosines before sines.
    pub flip_sin_to_cos: bool,
    /// Shift of the frequencies' denominator.
    pub freq_shift: f64,
    /// Kernel of the first convolution.
    pub conv_in_kernel: usize,
    /// Kernel of the last convolution.
    pub conv_out_kernel: usize,
    /// SDXL's added conditions (`addition_embed_type` "text_time").
    pub added: Option<AddedConfig>,
}

/// SDXL's added conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedConfig {
    /// Sinusoids per number.
    pub time_dim: usize,
    /// Width of the pooled text embedding.
    pub pooled: usize,
}

impl UNetConfig {
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
    /// As [`UNetConfig::open`].
    pub fn from_value(path: &Path, value: Value) -> Result<Self, ConfigError> {
        // Of these two keys null means "none", absent the default.
        let null = |key: &str| value.get(key).is_some_and(Value::is_null);
        let (no_middle, no_groups) = (null("mid_block_type"), null("norm_num_groups"));
        let mut c = Config::from_value(path, value)?;
        if no_groups {
            return Err(c.unsupported("norm_num_groups", "null", "a number of groups"));
        }
        unsupported(&mut c)?;
        let middle_attends = match c.string("mid_block_type")?.as_deref() {
            None | Some("UNetMidBlock2DCrossAttn") => true,
            Some("UNetMidBlock2D") => false,
            Some(other) => {
                let supported = "\"UNetMidBlock2DCrossAttn\", \"UNetMidBlock2D\"";
                return Err(c.unsupported("mid_block_type", other, supported));
            }
        };
        let channels = c.usizes("block_out_channels")?.unwrap_or(vec![320, 640, 1280, 1280]);
        let n = channels.len();
        if n == 0 {
            return Err(c.wrong("block_out_channels", "at least one block, each with channels", "[]"));
        }
        let layers = c.usize_per_block("layers_per_block", n)?.unwrap_or(vec![2; n]);
        let (depth, middle_depth, up_depth) = depths(&mut c, &layers)?;
        let config = Self {
            in_channels: c.usize("in_channels")?.unwrap_or(4),
            out_channels: c.usize("out_channels")?.unwrap_or(4),
            down_attends: attends(&mut c, "down_block_types", n, DOWN, [true, true, true, false])?,
            up_attends: attends(&mut c, "up_block_types", n, UP, [false, true, true, true])?,
            middle: !no_middle,
            middle_attends,
            depth,
            middle_depth,
            up_depth,
            heads: heads(&mut c, &channels)?,
            text_width: text_width(&mut c, n)?,
            only_cross_attention: c.bool_per_block("only_cross_attention", n)?.unwrap_or(vec![false; n]),
            linear_projection: c.bool("use_linear_projection")?.unwrap_or(false),
            downsample_padding: c.usize("downsample_padding")?.unwrap_or(1),
            groups: groups(&mut c, &channels)?,
            eps: c.eps("norm_eps")?.unwrap_or(1e-5) as f32,
            time_width: c.usize("time_embedding_dim")?.unwrap_or(channels[0] * 4),
            flip_sin_to_cos: c.bool("flip_sin_to_cos")?.unwrap_or(true),
            freq_shift: c.f64("freq_shift")?.unwrap_or(0.0),
            conv_in_kernel: odd(&mut c, "conv_in_kernel")?,
            conv_out_kernel: odd(&mut c, "conv_out_kernel")?,
            added: added(&mut c)?,
            layers,
            channels,
        };
        // The sinusoids' frequencies are divided by the difference.
        let narrowest =
            config.added.map_or(config.channels[0], |added| added.time_dim.min(config.channels[0]));
        let half = (narrowest / 2) as f64;
        if config.freq_shift > 0.0 && config.freq_shift >= half {
            return Err(c.wrong(
                "freq_shift",
                format!("less than {half}, the number of frequencies"),
                config.freq_shift,
            ));
        }
        if config.downsample_padding > 1 {
            return Err(c.unsupported("downsample_padding", config.downsample_padding, "0, 1"));
        }
        c.finish()?;
        Ok(config)
    }

    /// The block structure that names in LoRA files depend on.
    pub fn lora_layout(&self) -> UnetLayout {
        let block = |(&layers, &attention): (&usize, &bool)| BlockLayout { layers, attention };
        let up = self.layers.iter().rev().zip(&self.up_attends);
        UnetLayout {
            down: self.layers.iter().zip(&self.down_attends).map(block).collect(),
            up: up.map(|(&layers, &attention)| BlockLayout { layers: layers + 1, attention }).collect(),
            sdxl: self.added.is_some(),
        }
    }
}

fn unsupported(c: &mut Config) -> Result<(), ConfigError> {
    if let Some(class) = c.take("_class_name").filter(|v| v != "UNet2DConditionModel") {
        return Err(c.unsupported("_class_name", class, "\"UNet2DConditionModel\""));
    }
    for key in [
        "num_attention_heads",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "class_embed_type",
        "num_class_embeds",
        "time_embedding_act_fn",
        "timestep_post_act",
        "time_cond_proj_dim",
        "cross_attention_norm",
    ] {
        c.only(key, &[])?;
    }
    for key in
        ["center_input_sample", "dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat"]
    {
        c.only(key, &[json!(false)])?;
    }
    for key in ["mid_block_scale_factor", "resnet_out_scale_factor"] {
        c.only(key, &[json!(1), json!(1.0)])?;
    }
    c.only("dropout", &[json!(0), json!(0.0)])?;
    c.only("resnet_time_scale_shift", &[json!("default")])?;
    c.only("time_embedding_type", &[json!("positional")])?;
    c.only("attention_type", &[json!("default")])?;
    c.only("act_fn", &[json!("silu"), json!("swish")])?;
    c.ignore(&HARMLESS);
    Ok(())
}

/// True for each of `n` blocks that attends; `default` where the key is absent.
fn attends(
    c: &mut Config,
    key: &str,
    n: usize,
    [plain, cross]: [&str; 2],
    default: [bool; 4],
) -> Result<Vec<bool>, ConfigError> {
    let types = c.strings(key)?;
    let found = types.as_ref().map_or(default.len(), Vec::len);
    if found != n {
        return Err(c.wrong(key, format!("{n} blocks, as block_out_channels has"), found));
    }
    let Some(types) = types else { return Ok(default.to_vec()) };
    match types.iter().find(|t| *t != plain && *t != cross) {
        Some(other) => Err(c.unsupported(key, other, format!("{plain}, {cross}"))),
        None => Ok(types.iter().map(|t| t == cross).collect()),
    }
}

fn heads(c: &mut Config, channels: &[usize]) -> Result<Vec<usize>, ConfigError> {
    let key = "attention_head_dim";
    let heads = c.usize_per_block(key, channels.len())?.unwrap_or(vec![8; channels.len()]);
    match heads.iter().zip(channels).find(|&(&h, &w)| w % h != 0) {
        Some((h, w)) => Err(c.wrong(key, format!("numbers of heads that divide the channels, here {w}"), h)),
        None => Ok(heads),
    }
}

fn text_width(c: &mut Config, n: usize) -> Result<usize, ConfigError> {
    let key = "cross_attention_dim";
    let widths = c.usize_per_block(key, n)?.unwrap_or(vec![1280; n]);
    match widths.iter().any(|&w| w != widths[0]) {
        true => Err(c.unsupported(key, format!("{widths:?}"), "one width for all blocks")),
        false => Ok(widths[0]),
    }
}

fn groups(c: &mut Config, channels: &[usize]) -> Result<usize, ConfigError> {
    let key = "norm_num_groups";
    let groups = c.usize(key)?.unwrap_or(32);
    match channels.iter().find(|&&w| w % groups != 0) {
        Some(w) => {
            Err(c.wrong(key, format!("a number of groups that divides the channels, here {w}"), groups))
        }
        None => Ok(groups),
    }
}

fn odd(c: &mut Config, key: &str) -> Result<usize, ConfigError> {
    let kernel = c.usize(key)?.unwrap_or(3);
    if kernel % 2 == 1 { Ok(kernel) } else { Err(c.wrong(key, "an odd number", kernel)) }
}

fn added(c: &mut Config) -> Result<Option<AddedConfig>, ConfigError> {
    let key = "addition_embed_type";
    let (dim_key, total_key) = ("addition_time_embed_dim", "projection_class_embeddings_input_dim");
    let (dim, total) = (c.usize(dim_key)?, c.usize(total_key)?);
    match c.string(key)?.as_deref() {
        // Without the conditions both keys are idle.
        None => Ok(None),
        Some("text_time") => {
            let dim = dim.ok_or_else(|| c.wrong(dim_key, "a whole number", "nothing"))?;
            let total = total.ok_or_else(|| c.wrong(total_key, "a whole number", "nothing"))?;
            match total.checked_sub(6 * dim) {
                Some(pooled) if pooled > 0 && dim > 0 => Ok(Some(AddedConfig { time_dim: dim, pooled })),
                _ => Err(c.wrong(total_key, format!("more than 6 times {dim_key}, {}", 6 * dim), total)),
            }
        }
        Some(other) => Err(c.unsupported(key, other, "\"text_time\", null")),
    }
}

/// Transformer blocks per attention: of the down blocks, the middle block and the up blocks.
type Depths = (Vec<Vec<usize>>, usize, Vec<Vec<usize>>);

fn depths(c: &mut Config, layers: &[usize]) -> Result<Depths, ConfigError> {
    let n = layers.len();
    let (down, up) = (c.take(DEPTH), c.take(UP_DEPTH));
    let list = match &down {
        None => vec![json!(1); n],
        Some(Value::Array(list)) if list.len() == n => list.clone(),
        Some(one) => vec![one.clone(); n],
    };
    let expected =
        format!("a number up to 64, or for each of {n} blocks a number or a list with one number per layer");
    let wrong = |key, found: Option<&Value>| {
        c.wrong(key, &expected, found.map_or("nothing".into(), Value::to_string))
    };
    let depth: Option<Vec<_>> =
        list.iter().zip(layers).map(|(v, &count)| per_layer(DEPTH, v, count)).collect();
    let depth = depth.ok_or_else(|| wrong(DEPTH, down.as_ref()))?;
    let middle = match &list[n - 1] {
        Value::Array(each) => each.first().and_then(|v| bounded(DEPTH, v)),
        one => bounded(DEPTH, one),
    };
    let up_layers = layers.iter().rev().map(|l| l + 1);
    let up_depth: Option<Vec<_>> = match &up {
        Some(Value::Array(each)) if each.len() == n => {
            each.iter().zip(up_layers).map(|(v, count)| per_layer(UP_DEPTH, v, count)).collect()
        }
        None if !list.iter().any(Value::is_array) => {
            list.iter().rev().zip(up_layers).map(|(v, count)| per_layer(UP_DEPTH, v, count)).collect()
        }
        _ => None,
    };
    let up_depth = up_depth.ok_or_else(|| wrong(UP_DEPTH, up.as_ref()))?;
    Ok((depth, middle.unwrap_or(1), up_depth))
}

fn per_layer(key: &str, value: &Value, layers: usize) -> Option<Vec<usize>> {
    match value {
        Value::Array(list) if list.len() == layers => list.iter().map(|v| bounded(key, v)).collect(),
        Value::Array(_) => None,
        one => bounded(key, one).map(|v| vec![v; layers]),
    }
}
