//! The `config.json` of a `T2IAdapter`, as diffusers reads it.

use std::path::Path;

use serde_json::{Value, json};

use crate::config_check::{Config, ConfigError};
use crate::net::ModelError;

const CLASS: &str = "T2IAdapter";

/// Kinds of T2I-Adapters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    /// SD 1.5's: a feature at each of its resolutions.
    Full,
    /// SDXL's: begins at half the latents' size and halves once more.
    FullXl,
    /// SD 1.5's with a fifth of the parameters.
    Light,
}

impl AdapterKind {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Full, "full_adapter"), (Self::FullXl, "full_adapter_xl"), (Self::Light, "light_adapter")];

    /// Its name in `adapter_type`.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Pixels that one position of the first feature covers, for a model with `reduction` pixels for each
    /// cell of the latents.
    pub fn downscale(self, reduction: usize) -> usize {
        if self == Self::FullXl { 2 * reduction } else { reduction }
    }
}

/// Settings of a T2I-Adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterConfig {
    /// The structure.
    pub kind: AdapterKind,
    /// Channels of the control image: 3, or 1 for the mean of the three.
    pub in_channels: usize,
    /// Channels of the features. A light adapter has one more, with as many as the last.
    pub channels: Vec<usize>,
    /// Residual blocks for each feature.
    pub res_blocks: usize,
    /// Sides of the squares of pixels that become the channels of one position; the picture's sides are
    /// multiples of it.
    pub downscale: usize,
}

impl AdapterConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read, a key with an impossible value, an unknown key.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        Self::from_value(path, Config::parse(path)?)
    }

    /// Reads settings that are already parsed; `path` serves the messages.
    ///
    /// # Errors
    /// As [`AdapterConfig::open`].
    pub fn from_value(path: &Path, value: Value) -> Result<Self, ConfigError> {
        let mut c = Config::from_value(path, value)?;
        if let Some(class) = c.take("_class_name").filter(|v| v != CLASS) {
            return Err(c.unsupported("_class_name", class, format!("\"{CLASS}\"")));
        }
        let name = c.string("adapter_type")?.unwrap_or("full_adapter".into());
        let Some((kind, _)) = AdapterKind::ALL.into_iter().find(|(_, known)| *known == name) else {
            let names = AdapterKind::ALL.map(|(_, name)| name).join(", ");
            return Err(c.unsupported("adapter_type", name, names));
        };
        let channels = c.usizes("channels")?.unwrap_or(vec![320, 640, 1280, 1280]);
        let config = Self {
            kind,
            in_channels: c.usize("in_channels")?.unwrap_or(3),
            res_blocks: c.usize("num_res_blocks")?.unwrap_or(2),
            downscale: c.usize("downscale_factor")?.unwrap_or(8),
            channels,
        };
        if config.channels.is_empty() {
            return Err(c.wrong("channels", "at least one feature", "[]"));
        }
        if let (AdapterKind::Light, Some(odd)) = (kind, config.channels.iter().find(|&c| c % 4 != 0)) {
            return Err(c.wrong("channels", "multiples of 4 in a light adapter", odd));
        }
        c.finish()?;
        Ok(config)
    }

    /// The content of the file.
    pub(super) fn to_value(&self) -> Value {
        json!({
            "_class_name": CLASS,
            "_diffusers_version": "0.32.2",
            "adapter_type": self.kind.name(),
            "channels": self.channels,
            "downscale_factor": self.downscale,
            "in_channels": self.in_channels,
            "num_res_blocks": self.res_blocks,
        })
    }

    /// Settings of an adapter of `kind` for a U-Net of these channels, at `reduction` pixels for each cell of
    /// its latents, as the published ones have them.
    pub fn of_unet(kind: AdapterKind, channels: &[usize], reduction: usize) -> Self {
        let last = channels[channels.len() - 1];
        let channels = match kind {
            AdapterKind::Full => channels.to_vec(),
            // The middle's feature is the last.
            AdapterKind::FullXl => channels.iter().copied().chain([last]).collect(),
            AdapterKind::Light => channels[..(channels.len() - 1).max(1)].to_vec(),
        };
        let res_blocks = if kind == AdapterKind::Light { 4 } else { 2 };
        Self { kind, in_channels: 3, channels, res_blocks, downscale: kind.downscale(reduction) }
    }

    /// Channels of every feature.
    pub fn features(&self) -> Vec<usize> {
        let last = (self.kind == AdapterKind::Light).then(|| self.channels[self.channels.len() - 1]);
        self.channels.iter().copied().chain(last).collect()
    }

    /// Shapes `[h, w, C]` of the features of control images of a height and width in pixels.
    pub fn feature_shapes(&self, (height, width): (usize, usize)) -> Vec<[usize; 3]> {
        let (mut h, mut w) = (height / self.downscale, width / self.downscale);
        let shape = |(i, channels)| {
            if self.halves(i) {
                (h, w) = (h.div_ceil(2), w.div_ceil(2));
            }
            [h, w, channels]
        };
        self.features().into_iter().enumerate().map(shape).collect()
    }

    /// The settings of a folder or file; see [`super::Adapter::load`].
    ///
    /// # Errors
    /// As [`super::Adapter::load`], weights apart.
    pub fn read(path: &Path, reduction: usize) -> Result<Self, ModelError> {
        Ok(super::files::open(path, reduction)?.0)
    }

    /// True if the picture is halved before block `block`.
    pub(super) fn halves(&self, block: usize) -> bool {
        match self.kind {
            AdapterKind::Full | AdapterKind::Light => block > 0,
            AdapterKind::FullXl => block == 2,
        }
    }
}
