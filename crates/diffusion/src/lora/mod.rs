//! LoRA on a network's layers: added for training, attached from files, exported, merged into the base.
//!
//! Beside a frozen layer of weight W a pair A `[r, in]`, B `[out, r]` is put: y = (W + alpha / r * B A) x
//! (Hu et al. 2021). Modules are named by their paths in diffusers; layers and convolutions alike.

mod attach;
mod files;
mod merge;
mod replace;
mod start;

use fairhuman_engine::{Adapter, Backend, Conv2d, ConvAdapter, ConvParams, Linear, ParamId, Params, Weight};

pub(crate) use files::read_loras;
pub use merge::merge_loras;
pub use start::check_start;

use crate::lora_file::{LoraFile, LoraModule, LoraTensor};
use crate::net::{Init, Layers, ModelError, Plan, channels_first, channels_last, random};
use fairhuman_engine::DType;

/// Initial values of A. B starts at zero, so that a fresh LoRA changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoraInit {
    /// Normal with deviation 1/r: PEFT's "gaussian", what diffusers' training scripts use.
    Gaussian,
    /// Uniform within 1/sqrt(fan-in): PEFT's and kohya's default.
    Kaiming,
}

/// A LoRA to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSpec {
    /// Width r of the bottleneck.
    pub rank: usize,
    /// The update is scaled by alpha / r.
    pub alpha: f32,
    /// Ends of module paths, as in PEFT's `target_modules`: `to_q`, `to_out.0`, `ff.net.0.proj`, `conv1`.
    pub targets: Vec<String>,
    /// Initial values of A.
    pub init: LoraInit,
    /// A is a function of this and the module's path.
    pub seed: u64,
}

/// A module with a LoRA on it.
#[derive(Debug, Clone, PartialEq)]
pub struct AdaptedModule {
    /// Path in diffusers, without the component: `mid_block.attentions.0.proj_in`.
    pub module: String,
    /// A; `[r, in]`, of a convolution `[r, kh, kw, in]`.
    pub down: ParamId,
    /// B; `[out, r]`.
    pub up: ParamId,
    /// Width of the bottleneck.
    pub rank: usize,
    /// The update is scaled by alpha / r.
    pub alpha: f32,
}

/// A layer that can carry a LoRA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Site {
    Linear(usize),
    Conv(usize),
}

/// A module's factors in the engine's layouts, and what their product is scaled by.
struct Pair {
    rank: usize,
    down: Vec<f32>,
    up: Vec<f32>,
    scale: f32,
}

/// True if a target, the end of a module's path, names this module.
fn is_named(target: &str, module: &str) -> bool {
    module.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Checks that every target names modules of a network.
///
/// # Errors
/// The first one that names none.
pub fn check_targets(plan: &Plan, targets: &[String]) -> Result<(), ModelError> {
    match targets.iter().find(|target| !plan.lora_targets().any(|module| is_named(target, module))) {
        None => Ok(()),
        Some(target) => Err(ModelError::lora(format!(
            "the target \"{target}\" names no linear layer or convolution of this network; expected ends of module paths such as to_q, to_out.0 or ff.net.0.proj"
        ))),
    }
}

fn sites(plan: &Plan) -> impl Iterator<Item = (&str, Site)> {
    let linears = plan.linears.iter().enumerate().map(|(i, l)| (l.name.as_str(), Site::Linear(i)));
    linears.chain(plan.convs.iter().enumerate().map(|(i, c)| (c.name.as_str(), Site::Conv(i))))
}

/// Inputs, outputs and kernel of a site; a linear layer's kernel is none, a 1x1 convolution's one by one.
fn geometry(plan: &Plan, site: Site) -> (usize, usize, Option<(usize, usize)>) {
    match site {
        Site::Linear(i) => {
            let spec = &plan.linears[i];
            (spec.inputs, spec.outputs, spec.pointwise.then_some((1, 1)))
        }
        Site::Conv(i) => {
            let spec = &plan.convs[i];
            (spec.inputs, spec.outputs, Some(spec.geometry.kernel))
        }
    }
}

impl<B: Backend> Layers<B> {
    /// Paths of all modules that can carry a LoRA.
    pub fn lora_targets(&self) -> Vec<&str> {
        self.plan.lora_targets().collect()
    }

    fn sites(&self) -> impl Iterator<Item = (&str, Site)> {
        sites(&self.plan)
    }

    fn geometry(&self, site: Site) -> (usize, usize, Option<(usize, usize)>) {
        geometry(&self.plan, site)
    }

    /// Adds trained LoRA pairs to every module that a target of `spec` names. Parameters are called
    /// `<prefix>.<module>.lora_A.weight` and `...lora_B.weight`.
    ///
    /// # Errors
    /// Rank 0, a target that names no module, a module that already has a LoRA.
    pub fn add_lora(
        &mut self,
        backend: &B,
        params: &mut Params<B>,
        prefix: &str,
        spec: &LoraSpec,
    ) -> Result<Vec<AdaptedModule>, ModelError> {
        if spec.rank == 0 || !spec.alpha.is_finite() {
            return Err(ModelError::lora(format!(
                "rank {} and alpha {}: expected a rank of at least 1 and a number",
                spec.rank, spec.alpha
            )));
        }
        check_targets(&self.plan, &spec.targets)?;
        let chosen: Vec<(String, Site)> = self
            .sites()
            .filter(|(module, _)| spec.targets.iter().any(|t| is_named(t, module)))
            .map(|(module, site)| (module.to_owned(), site))
            .collect();
        let mut adapted = Vec::new();
        for (module, site) in chosen {
            let (inputs, outputs, kernel) = self.geometry(site);
            let (kh, kw) = kernel.unwrap_or((1, 1));
            let fan_in = inputs * kh * kw;
            let init = match spec.init {
                LoraInit::Gaussian => Init::Normal(1.0 / spec.rank as f32),
                LoraInit::Kaiming => Init::Uniform(1.0 / (fan_in as f32).sqrt()),
            };
            let drawn = random::draw(spec.seed, &module, spec.rank * fan_in, init);
            let down = channels_last(&[spec.rank, inputs, kh, kw], &drawn).1;
            let (up, scale) = (vec![0.0; outputs * spec.rank], spec.alpha / spec.rank as f32);
            let pair = Pair { rank: spec.rank, down, up, scale };
            let (down, up) = self.put(backend, params, prefix, (&module, site), &pair)?;
            adapted.push(AdaptedModule { module, down, up, rank: spec.rank, alpha: spec.alpha });
        }
        Ok(adapted)
    }

    /// Puts a pair onto a layer; returns the parameters of A and B.
    fn put(
        &mut self,
        backend: &B,
        params: &mut Params<B>,
        prefix: &str,
        (module, site): (&str, Site),
        pair: &Pair,
    ) -> Result<(ParamId, ParamId), ModelError> {
        let occupied = match site {
            Site::Linear(i) => self.linears[i].adapter.is_some(),
            Site::Conv(i) => self.convs[i].adapter.is_some(),
        };
        if occupied {
            return Err(ModelError::lora(format!(
                "{module} already has a LoRA; attach several files in one call, or merge the first into the base"
            )));
        }
        let (inputs, outputs, kernel) = self.geometry(site);
        let &Pair { rank, scale, .. } = pair;
        let shape = match (site, kernel) {
            (Site::Conv(_), Some((kh, kw))) => vec![rank, kh, kw, inputs],
            _ => vec![rank, inputs],
        };
        let down = params.add(format!("{prefix}.{module}.lora_A.weight"), backend.tensor(&shape, &pair.down));
        let up = params
            .add(format!("{prefix}.{module}.lora_B.weight"), backend.tensor(&[outputs, rank], &pair.up));
        match site {
            Site::Linear(i) => self.linears[i].adapter = Some(Adapter { down, up, scale }),
            Site::Conv(i) => {
                let geometry: ConvParams = self.convs[i].geometry;
                let down = Conv2d {
                    weight: Weight::Trained(down),
                    bias: None,
                    geometry,
                    adapter: None,
                    inputs,
                    outputs: rank,
                };
                let up =
                    Linear { weight: Weight::Trained(up), bias: None, adapter: None, inputs: rank, outputs };
                self.convs[i].adapter = Some(Box::new(ConvAdapter { down, up, scale }));
            }
        }
        Ok((down, up))
    }

    /// The current values of `modules` as a LoRA file's content, in `dtype`; `component` goes before each
    /// path (`unet`, `text_encoder`, `text_encoder_2`).
    ///
    /// # Errors
    /// A module that is not in this network.
    pub fn export_lora(
        &self,
        backend: &B,
        params: &Params<B>,
        component: &str,
        modules: &[AdaptedModule],
        dtype: DType,
    ) -> Result<LoraFile, ModelError> {
        let mut file = LoraFile::default();
        for adapted in modules {
            let site = self.sites().find(|(name, _)| *name == adapted.module).map(|(_, site)| site);
            let site =
                site.ok_or_else(|| ModelError::lora(format!("{} is not in this network", adapted.module)))?;
            let (inputs, outputs, kernel) = self.geometry(site);
            let rank = adapted.rank;
            let (down, up) = (backend.read(params.get(adapted.down)), backend.read(params.get(adapted.up)));
            let (down, down_shape, up_shape) = match kernel {
                None => (down, vec![rank, inputs], vec![outputs, rank]),
                Some((kh, kw)) => {
                    let (shape, down) = channels_first(&[rank, kh, kw, inputs], &down);
                    (down, shape, vec![outputs, rank, 1, 1])
                }
            };
            let module = LoraModule {
                down: LoraTensor { dtype, shape: down_shape, data: down },
                up: LoraTensor { dtype, shape: up_shape, data: up },
                alpha: adapted.alpha,
            };
            file.modules.insert(format!("{component}.{}", adapted.module), module);
        }
        Ok(file)
    }
}
