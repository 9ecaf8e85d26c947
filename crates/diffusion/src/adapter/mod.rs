//! T2I-Adapter (Mou et al. 2023, arXiv 2302.08453): a small network that makes features of a control image,
//! which are added inside a U-Net's down path. It sees neither time nor text, so it runs once for a picture.

mod config;
mod files;

use std::path::Path;

use fairhuman_engine::{Activation, Backend, ConvParams, Tape, Var};
use serde_json::Value;

pub use config::{AdapterConfig, AdapterKind};

use crate::control::{self, ControlNetwork, ControlRef};
use crate::net::{ConvId, Fresh, Layers, LinearId, ModelError, Plan, Trainable};
use crate::unet::{Residuals, UNetInput};
use crate::weights::WeightFiles;

const MODEL: &str = "T2I-Adapter";
/// Parameters are named `t2i.<tensor>`; the tensors' names begin with `adapter.` in diffusers.
const COMPONENT: &str = "t2i";

/// A loaded T2I-Adapter.
pub struct Adapter<B: Backend> {
    config: AdapterConfig,
    parts: Parts,
    layers: Layers<B>,
}

/// The structure, by ids of layers.
struct Parts {
    /// Light adapters have none.
    conv_in: Option<ConvId>,
    blocks: Vec<Block>,
}

/// AdapterBlock, or LightAdapterBlock.
struct Block {
    halve: bool,
    in_conv: Option<LinearId>,
    resnets: Vec<(ConvId, Second)>,
    out_conv: Option<LinearId>,
}

/// The second convolution of a residual block: 1x1, in light adapters 3x3.
#[derive(Debug, Clone, Copy)]
enum Second {
    Pointwise(LinearId),
    Conv(ConvId),
}

/// All layers of an adapter.
pub fn plan(config: &AdapterConfig) -> Plan {
    parts(config).0
}

const NOT_WHOLE: &str = "is no whole T2I-Adapter";

/// Checks an adapter's folder or file, reading no weights: [`Adapter::load`] takes it where this does.
///
/// # Errors
/// As [`Adapter::load`].
pub fn check_files(path: &Path, reduction: usize) -> Result<(), ModelError> {
    let (config, files) = files::open(path, reduction)?;
    plan(&config).check(&files, &[]).map_err(|error| control::unfit(path, NOT_WHOLE, error))
}

fn parts(c: &AdapterConfig) -> (Plan, Parts) {
    let mut plan = Plan::default();
    let inputs = c.in_channels * c.downscale * c.downscale;
    let light = c.kind == AdapterKind::Light;
    let conv_in =
        (!light).then(|| plan.conv("adapter.conv_in", inputs, c.channels[0], ConvParams::square(3, 1, 1)));
    let mut width = if light { inputs } else { c.channels[0] };
    let blocks = c.features().into_iter().enumerate();
    let blocks = blocks.map(|(i, channels)| {
        let name = format!("adapter.body.{i}");
        let inner = if light { channels / 4 } else { channels };
        // An XL adapter's later blocks have their own width throughout.
        let enters = light || (width != channels && (c.kind == AdapterKind::Full || i < 3));
        let in_conv = enters.then(|| plan.pointwise(format!("{name}.in_conv"), width, inner));
        let same = ConvParams::square(3, 1, 1);
        let resnets = (0..c.res_blocks).map(|j| {
            let name = |end: &str| format!("{name}.resnets.{j}.{end}");
            let second = match light {
                true => Second::Conv(plan.conv(name("block2"), inner, inner, same)),
                false => Second::Pointwise(plan.pointwise(name("block2"), inner, inner)),
            };
            (plan.conv(name("block1"), inner, inner, same), second)
        });
        let resnets = resnets.collect();
        let out_conv = light.then(|| plan.pointwise(format!("{name}.out_conv"), inner, channels));
        width = channels;
        Block { halve: c.halves(i), in_conv, resnets, out_conv }
    });
    let blocks = blocks.collect();
    (plan, Parts { conv_in, blocks })
}

impl<B: Backend> Adapter<B> {
    /// Reads an adapter: a diffusers folder, or one file with diffusers' or TencentARC's names, for a model
    /// with `reduction` pixels for each cell of the latents, by which a full adapter's file is told from an
    /// XL one's. With [`Trainable::All`] every weight becomes a parameter named `t2i.<tensor>`, by diffusers'
    /// names.
    ///
    /// # Errors
    /// Files that are missing, damaged or of another kind, tensors that are missing, left over or of another
    /// shape.
    pub fn load(
        backend: &B,
        path: &Path,
        reduction: usize,
        trainable: Trainable<'_, B>,
    ) -> Result<Self, ModelError> {
        let (config, files) = files::open(path, reduction)?;
        let (plan, parts) = parts(&config);
        let layers = Layers::load(backend, &files, plan, COMPONENT, trainable, &[]);
        let layers = layers.map_err(|error| control::unfit(path, NOT_WHOLE, error))?;
        Ok(Self { config, parts, layers })
    }

    /// An untrained adapter, from PyTorch's initial values as functions of `seed` and names: unlike a
    /// ControlNet it changes predictions from the start.
    ///
    /// # Errors
    /// None: nothing is read.
    pub fn init(
        backend: &B,
        config: &AdapterConfig,
        seed: u64,
        trainable: Trainable<'_, B>,
    ) -> Result<Self, ModelError> {
        let (plan, parts) = parts(config);
        let fresh = Fresh { prefixes: &[""], seed };
        let files = WeightFiles::none();
        let layers = Layers::load_part(backend, &files, plan, COMPONENT, trainable, fresh)?;
        Ok(Self { config: config.clone(), parts, layers })
    }

    /// Its configuration.
    pub fn config(&self) -> &AdapterConfig {
        &self.config
    }

    /// Features of control images `[N, H, W, 3]` of values in [0, 1]; see [`crate::unet::Residuals`].
    ///
    /// # Errors
    /// Another number of channels, sides that are no multiples of the adapter's squares.
    pub fn forward<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        pixels: &B::Tensor,
    ) -> Result<Vec<Var<B>>, ModelError> {
        let (net, c) = (&self.layers, &self.config);
        let d = c.downscale;
        match *B::shape(pixels) {
            [n, h, w, inputs]
                if n * h * w > 0 && h % d == 0 && w % d == 0 && (inputs == 3 || inputs == c.in_channels) => {}
            ref found => {
                let expected = format!("[N, H, W, 3], H and W multiples of {d}");
                return Err(ModelError::shape(MODEL, "control image", found, &expected));
            }
        }
        let mut x = Var::constant(self.unshuffled(tape.backend(), pixels));
        if let Some(conv) = self.parts.conv_in {
            x = net.conv(tape, conv, &x, None, None);
        }
        let mut features = Vec::new();
        for block in &self.parts.blocks {
            x = block.forward(net, tape, x);
            features.push(x.clone());
        }
        Ok(features)
    }

    /// PixelUnshuffle: squares of d x d pixels become positions, `[N, H / d, W / d, C d d]`; a position's
    /// channels are ordered by channel, then row, then column of the pixel.
    fn unshuffled(&self, backend: &B, pixels: &B::Tensor) -> B::Tensor {
        let &[n, height, width, given] = B::shape(pixels) else {
            unreachable!("images have four dimensions")
        };
        let (channels, d) = (self.config.in_channels, self.config.downscale);
        let values = backend.read(pixels);
        let value = |n: usize, y: usize, x: usize, c: usize| {
            let pixel = &values[((n * height + y) * width + x) * given..][..given];
            // Of coloured pixels, in an adapter for grey ones, the mean.
            if channels == given { pixel[c] } else { pixel.iter().sum::<f32>() / given as f32 }
        };
        let (h, w) = (height / d, width / d);
        let mut out = Vec::with_capacity(n * h * w * channels * d * d);
        for i in 0..n * h * w {
            let (sample, y, x) = (i / (h * w), i / w % h, i % w);
            for k in 0..channels * d * d {
                let (c, dy, dx) = (k / (d * d), k / d % d, k % d);
                out.push(value(sample, y * d + dy, x * d + dx, c));
            }
        }
        backend.tensor(&[n, h, w, channels * d * d], &out)
    }
}

impl<B: Backend> ControlNetwork<B> for Adapter<B> {
    fn residuals<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        _: &UNetInput<B>,
        pixels: &B::Tensor,
    ) -> Result<Residuals<B>, ModelError> {
        Ok(Residuals { features: self.forward(tape, pixels)?, ..Residuals::default() })
    }

    fn by_ref(&self) -> ControlRef<'_, B> {
        ControlRef::Adapter(self)
    }

    fn layers(&self) -> &Layers<B> {
        &self.layers
    }

    fn settings(&self) -> Value {
        self.config.to_value()
    }

    fn name_in_file(&self, name: &str) -> String {
        match self.config.kind {
            AdapterKind::Light => files::tencent_name(name),
            AdapterKind::Full | AdapterKind::FullXl => name.to_owned(),
        }
    }
}

impl Block {
    /// Each residual block is one checkpoint.
    fn forward<'m, B: Backend>(&self, net: &'m Layers<B>, tape: &mut Tape<'m, B>, mut x: Var<B>) -> Var<B> {
        if self.halve {
            x = tape.avg_pool2(&x);
        }
        if let Some(layer) = self.in_conv {
            x = net.linear(tape, layer, &x, None);
        }
        for &(first, second) in &self.resnets {
            x = tape.checkpoint(&[&x], move |tape, v| {
                let h = net.conv(tape, first, &v[0], None, None);
                let h = tape.activation(&h, Activation::Relu);
                match second {
                    Second::Pointwise(layer) => net.linear(tape, layer, &h, Some(&v[0])),
                    Second::Conv(layer) => net.conv(tape, layer, &h, None, Some(&v[0])),
                }
            });
        }
        match self.out_conv {
            Some(layer) => net.linear(tape, layer, &x, None),
            None => x,
        }
    }
}
