//! CLIP's text encoders (`CLIPTextModel`, `CLIPTextModelWithProjection`; Radford et al. 2021).

use std::path::Path;

use fairhuman_engine::{Activation, Backend, Tape, Var};
use serde_json::{Value, json};

use crate::config_check::{Config, ConfigError};
use crate::net::{Fresh, Layers, LinearId, ModelError, NormId, Plan, TableId, Trainable};
use crate::weights::{WeightError, WeightFiles};

const MODEL: &str = "text encoder";

/// Settings of a text encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipConfig {
    /// Tokens that are known.
    pub vocabulary: usize,
    /// Width of the hidden states.
    pub width: usize,
    /// Width inside the feed-forward layers.
    pub inner: usize,
    /// Encoder layers.
    pub layers: usize,
    /// Attention heads.
    pub heads: usize,
    /// Positions.
    pub positions: usize,
    /// Function of the feed-forward layers.
    pub activation: Activation,
    /// Added to the variance.
    pub eps: f32,
    /// The token whose first position is pooled; 2 means an old configuration, where the largest id is.
    pub end_token: u32,
    /// Layers at the end that are not read ("clip skip" less one).
    pub skipped: usize,
    /// Width of the projection of the pooled state (`CLIPTextModelWithProjection`).
    pub projection: Option<usize>,
}

impl ClipConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// A file that cannot be read, a key with an impossible value, a key that asks for mathematics that is
    /// not here.
    pub fn open(path: &Path) -> Result<Self, ConfigError> {
        Self::read(Config::read(path)?)
    }

    /// Reads settings that are already parsed; `path` serves the messages.
    ///
    /// # Errors
    /// As [`ClipConfig::open`].
    pub fn from_value(path: &Path, value: Value) -> Result<Self, ConfigError> {
        Self::read(Config::from_value(path, value)?)
    }

    fn read(mut c: Config) -> Result<Self, ConfigError> {
        let classes = c.strings("architectures")?.unwrap_or_default();
        let projects = match classes.first().map(String::as_str) {
            None | Some("CLIPTextModel") => false,
            Some("CLIPTextModelWithProjection") => true,
            Some(other) => {
                let supported = "\"CLIPTextModel\", \"CLIPTextModelWithProjection\"";
                return Err(c.unsupported("architectures", other, supported));
            }
        };
        c.only("model_type", &[json!("clip_text_model")])?;
        let activation = match c.string("hidden_act")?.as_deref() {
            None | Some("quick_gelu") => Activation::QuickGelu,
            Some("gelu") => Activation::Gelu,
            Some("gelu_new" | "gelu_pytorch_tanh") => Activation::GeluTanh,
            Some("silu" | "swish") => Activation::Silu,
            Some(other) => {
                return Err(c.unsupported("hidden_act", other, "quick_gelu, gelu, gelu_new, silu"));
            }
        };
        let projection = c.usize("projection_dim")?.unwrap_or(512);
        // transformers turns the key's old wrong value off only where the key is given.
        let end_token = c.usize("eos_token_id")?.unwrap_or(49_407);
        let config = Self {
            vocabulary: c.usize("vocab_size")?.unwrap_or(49_408),
            width: c.usize("hidden_size")?.unwrap_or(512),
            inner: c.usize("intermediate_size")?.unwrap_or(2048),
            layers: c.usize("num_hidden_layers")?.unwrap_or(12),
            heads: c.usize("num_attention_heads")?.unwrap_or(8),
            positions: c.usize("max_position_embeddings")?.unwrap_or(77),
            activation,
            eps: c.eps("layer_norm_eps")?.unwrap_or(1e-5) as f32,
            end_token: u32::try_from(end_token).map_err(|_| c.wrong("eos_token_id", "a token", end_token))?,
            skipped: c.usize("clip_skip")?.map_or(0, |skip| skip.saturating_sub(1)),
            projection: projects.then_some(projection),
        };
        if config.skipped >= config.layers {
            return Err(c.wrong("clip_skip", format!("at most {}", config.layers), config.skipped + 1));
        }
        if !config.width.is_multiple_of(config.heads) {
            return Err(c.wrong(
                "num_attention_heads",
                format!("a divisor of hidden_size, {}", config.width),
                config.heads,
            ));
        }
        // transformers notes dozens of generation settings in older files; none reaches this model.
        Ok(config)
    }
}

#[derive(Debug, Clone)]
struct Structure {
    tokens: TableId,
    positions: TableId,
    blocks: Vec<Block>,
    norm_out: NormId,
    projection: Option<LinearId>,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    norm1: NormId,
    q: LinearId,
    k: LinearId,
    v: LinearId,
    out: LinearId,
    norm2: NormId,
    fc1: LinearId,
    fc2: LinearId,
}

impl Structure {
    fn new(c: &ClipConfig, plan: &mut Plan) -> Self {
        let (w, top) = (c.width, "text_model");
        let block = |plan: &mut Plan, layer: usize| {
            let name = format!("{top}.encoder.layers.{layer}");
            let mut attention = |end| plan.linear(format!("{name}.self_attn.{end}"), w, w, true);
            let [q, k, v, out] = ["q_proj", "k_proj", "v_proj", "out_proj"].map(&mut attention);
            Block {
                norm1: plan.layer_norm(format!("{name}.layer_norm1"), w, c.eps),
                q,
                k,
                v,
                out,
                norm2: plan.layer_norm(format!("{name}.layer_norm2"), w, c.eps),
                fc1: plan.linear(format!("{name}.mlp.fc1"), w, c.inner, true),
                fc2: plan.linear(format!("{name}.mlp.fc2"), c.inner, w, true),
            }
        };
        Self {
            tokens: plan.table(format!("{top}.embeddings.token_embedding"), c.vocabulary, w),
            positions: plan.table(format!("{top}.embeddings.position_embedding"), c.positions, w),
            blocks: (0..c.layers).map(|layer| block(plan, layer)).collect(),
            norm_out: plan.layer_norm(format!("{top}.final_layer_norm"), w, c.eps),
            projection: c.projection.map(|p| plan.linear("text_projection", w, p, false)),
        }
    }
}

/// All layers of the text encoder that a configuration describes.
pub fn plan(config: &ClipConfig) -> Plan {
    let mut plan = Plan::default();
    Structure::new(config, &mut plan);
    plan
}

/// Tensors of files that say nothing.
const IGNORED: [&str; 1] = [".position_ids"];

/// Checks the files of a `text_encoder/` folder, reading no weights: [`ClipText::load`] takes them where this
/// does.
///
/// # Errors
/// As [`ClipText::load`].
pub fn check_files(folder: &Path) -> Result<ClipConfig, ModelError> {
    let config = ClipConfig::open(&folder.join("config.json"))?;
    plan(&config).check(&open_weights(folder)?, &IGNORED)?;
    Ok(config)
}

/// Opens the weights of a `text_encoder/` folder. transformers from 5.6 on leaves `text_model.` out of the
/// names of a CLIPTextModel.
pub(crate) fn open_weights(folder: &Path) -> Result<WeightFiles, WeightError> {
    let files = WeightFiles::open(folder)?;
    let prefixed = files.names().any(|name| name.starts_with("text_model."));
    Ok(if prefixed { files } else { files.renamed(|name| format!("text_model.{name}")) })
}

/// A loaded text encoder.
pub struct ClipText<B: Backend> {
    config: ClipConfig,
    structure: Structure,
    layers: Layers<B>,
}

/// Outputs of a text encoder.
pub struct ClipOutput<B: Backend> {
    /// `hidden_states[-2]`: after the last layer but one, not normalised, `[N, T, C]`. What SDXL reads.
    pub penultimate: Var<B>,
    /// After all layers and the final normalisation, `[N, T, C]`. What SD 1.5 and 2.x read.
    pub last: Var<B>,
    /// The last state at the end token, `[N, C]`; projected, `[N, P]`, where there is a projection.
    pub pooled: Var<B>,
}

impl<B: Backend> ClipText<B> {
    /// Reads `config.json` and the weights of a `text_encoder/` folder. With [`Trainable::All`] every weight
    /// becomes a parameter named `<component>.<tensor>`.
    ///
    /// # Errors
    /// Files that are missing or damaged, settings that are not supported, tensors that are missing, left
    /// over or of another shape.
    pub fn load(
        backend: &B,
        folder: &Path,
        component: &str,
        trainable: Trainable<'_, B>,
    ) -> Result<Self, ModelError> {
        let config = ClipConfig::open(&folder.join("config.json"))?;
        let files = open_weights(folder)?;
        let mut plan = Plan::default();
        let structure = Structure::new(&config, &mut plan);
        let layers = Layers::load(backend, &files, plan, component, trainable, &IGNORED)?;
        Ok(Self { config, structure, layers })
    }

    /// Reads the frozen weights of a known configuration from files that may hold more, such as CLIP's vision
    /// tower.
    ///
    /// # Errors
    /// Tensors that are missing or of another shape.
    pub fn of_files(
        backend: &B,
        config: ClipConfig,
        files: &WeightFiles,
        component: &str,
    ) -> Result<Self, ModelError> {
        let mut plan = Plan::default();
        let structure = Structure::new(&config, &mut plan);
        let fresh = Fresh { prefixes: &[], seed: 0 };
        let layers = Layers::load_part(backend, files, plan, component, Trainable::None, fresh)?;
        Ok(Self { config, structure, layers })
    }

    /// Its configuration.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Its layers by name.
    pub fn layers(&self) -> &Layers<B> {
        &self.layers
    }

    /// Its layers by name, to put a LoRA on.
    pub fn layers_mut(&mut self) -> &mut Layers<B> {
        &mut self.layers
    }

    /// Reads texts of equal length.
    ///
    /// # Errors
    /// No texts, unequal lengths, more tokens than positions, ids outside the vocabulary.
    pub fn forward<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        texts: &[Vec<u32>],
    ) -> Result<ClipOutput<B>, ModelError> {
        let (n, length) = self.check(texts)?;
        let (net, s) = (&self.layers, &self.structure);
        let ids = texts.concat();
        let places: Vec<u32> = (0..n).flat_map(|_| 0..length as u32).collect();
        let tokens = net.embedding(tape, s.tokens, &ids, (n, length));
        let places = net.embedding(tape, s.positions, &places, (n, length));
        let mut x = tape.add(&tokens, &places);
        let mut penultimate = x.clone();
        for &block in &s.blocks[..s.blocks.len() - self.config.skipped] {
            penultimate = x.clone();
            x = tape.checkpoint(&[&x], move |tape, v| self.block(tape, block, &v[0]));
        }
        let last = net.layer_norm(tape, s.norm_out, &x);
        let ends: Vec<usize> = texts.iter().map(|ids| end_position(ids, self.config.end_token)).collect();
        let mut pooled = tape.pick_token(&last, &ends);
        if let Some(projection) = s.projection {
            pooled = net.linear(tape, projection, &pooled, None);
        }
        Ok(ClipOutput { penultimate, last, pooled })
    }

    fn block<'m>(&'m self, tape: &mut Tape<'m, B>, b: Block, x: &Var<B>) -> Var<B> {
        let net = &self.layers;
        let h = net.layer_norm(tape, b.norm1, x);
        let q = net.linear(tape, b.q, &h, None);
        let k = net.linear(tape, b.k, &h, None);
        let v = net.linear(tape, b.v, &h, None);
        let h = tape.attention(&q, &k, &v, self.config.heads, true);
        let x = net.linear(tape, b.out, &h, Some(x));
        let h = net.layer_norm(tape, b.norm2, &x);
        let h = net.linear(tape, b.fc1, &h, None);
        let h = tape.activation(&h, self.config.activation);
        net.linear(tape, b.fc2, &h, Some(&x))
    }

    fn check(&self, texts: &[Vec<u32>]) -> Result<(usize, usize), ModelError> {
        let c = &self.config;
        let problem = |problem: String| Err(ModelError::Input { model: MODEL, input: "texts", problem });
        let length = texts.first().map_or(0, Vec::len);
        if length == 0 || texts.iter().any(|t| t.len() != length) {
            return problem("must be at least one, all of the same number of tokens".into());
        }
        if length > c.positions {
            return problem(format!("has {length} tokens, but the network has {} positions", c.positions));
        }
        match texts.iter().flatten().find(|&&id| id as usize >= c.vocabulary) {
            Some(id) => problem(format!(
                "holds the token {id}, but the network knows {} tokens (the tokenizer of another model?)",
                c.vocabulary
            )),
            None => Ok((texts.len(), length)),
        }
    }
}

/// Where a text is pooled: at its first end token. In configurations from before mid-2023 the token is
/// wrongly 2, and the largest id is taken, which in CLIP's vocabulary is the end token.
fn end_position(ids: &[u32], end_token: u32) -> usize {
    let first = |wanted: u32| ids.iter().position(|&id| id == wanted).unwrap_or(0);
    if end_token == 2 { first(ids.iter().copied().max().unwrap_or(0)) } else { first(end_token) }
}
