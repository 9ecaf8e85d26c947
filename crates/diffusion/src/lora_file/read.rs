//! Reading LoRA files of every convention: each key is split into a module and a role, and the module is
//! looked up among those that the model has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde_json::Value;

use super::metadata::{ADAPTER_KEY, PeftAlpha};
use super::{Factor, LoraFile, LoraFileError, LoraModule, LoraTensor, OtherModule, UnetLayout, check};
use crate::weights::WeightFiles;

/// Role of a tensor in its module.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Factor(Factor),
    Alpha,
}

/// Ends of keys, longest first where one ends in another.
const ROLES: [(&str, Role); 36] = [
    (".lora_down.weight", Role::Factor(Factor::Down)),
    (".lora_up.weight", Role::Factor(Factor::Up)),
    (".lora_A.default.weight", Role::Factor(Factor::Down)),
    (".lora_B.default.weight", Role::Factor(Factor::Up)),
    (".lora_A.weight", Role::Factor(Factor::Down)),
    (".lora_B.weight", Role::Factor(Factor::Up)),
    (".lora_linear_layer.down.weight", Role::Factor(Factor::Down)),
    (".lora_linear_layer.up.weight", Role::Factor(Factor::Up)),
    (".lora.down.weight", Role::Factor(Factor::Down)),
    (".lora.up.weight", Role::Factor(Factor::Up)),
    ("_lora.down.weight", Role::Factor(Factor::Down)),
    ("_lora.up.weight", Role::Factor(Factor::Up)),
    (".lora_mid.weight", Role::Factor(Factor::Mid)),
    (".hada_w1_a", Role::Factor(Factor::Hada1A)),
    (".hada_w1_b", Role::Factor(Factor::Hada1B)),
    (".hada_w2_a", Role::Factor(Factor::Hada2A)),
    (".hada_w2_b", Role::Factor(Factor::Hada2B)),
    (".hada_t1", Role::Factor(Factor::HadaT1)),
    (".hada_t2", Role::Factor(Factor::HadaT2)),
    (".lokr_w1", Role::Factor(Factor::Kron1)),
    (".lokr_w1_a", Role::Factor(Factor::Kron1A)),
    (".lokr_w1_b", Role::Factor(Factor::Kron1B)),
    (".lokr_w2", Role::Factor(Factor::Kron2)),
    (".lokr_w2_a", Role::Factor(Factor::Kron2A)),
    (".lokr_w2_b", Role::Factor(Factor::Kron2B)),
    (".lokr_t2", Role::Factor(Factor::KronT2)),
    (".dora_scale", Role::Factor(Factor::Norms)),
    (".lora_magnitude_vector.default.weight", Role::Factor(Factor::OutputNorms)),
    (".lora_magnitude_vector.weight", Role::Factor(Factor::OutputNorms)),
    (".lora_magnitude_vector.default", Role::Factor(Factor::OutputNorms)),
    (".lora_magnitude_vector", Role::Factor(Factor::OutputNorms)),
    (".diff", Role::Factor(Factor::Diff)),
    (".diff_b", Role::Factor(Factor::DiffBias)),
    (".w_norm", Role::Factor(Factor::Diff)),
    (".b_norm", Role::Factor(Factor::DiffBias)),
    (".alpha", Role::Alpha),
];

/// The format that the header of a run's checkpoint names begins with this.
const TRAINING_STATE: &str = "fairhuman checkpoint";

#[derive(Default)]
struct Parts {
    factors: BTreeMap<Factor, LoraTensor>,
    alpha: Option<f32>,
}

impl Parts {
    /// True if there is nothing but the factors of an ordinary LoRA.
    fn is_pair(&self) -> bool {
        self.factors.keys().all(|factor| matches!(factor, Factor::Down | Factor::Up))
    }
}

/// Reads a LoRA file for a model whose modules are `modules` (paths as in [`LoraFile::modules`]; a module
/// that the file does not mention simply has no update). `layout` describes the model's U-Net.
///
/// # Errors
/// Tensors that belong to no module, all of them at once; a module with one factor only, ranks that differ,
/// values that are not finite; an unreadable file or header.
pub fn read_lora(path: &Path, modules: &[String], layout: &UnetLayout) -> Result<LoraFile, LoraFileError> {
    let file = WeightFiles::open_file(path)?;
    if file.metadata().get("format").is_some_and(|format| format.starts_with(TRAINING_STATE)) {
        let run = path.parent().and_then(Path::parent).unwrap_or(Path::new(".."));
        return Err(LoraFileError::TrainingState { path: path.into(), lora: run.join("lora.safetensors") });
    }
    let names = Names::new(modules, layout);
    let mut parts: BTreeMap<String, Parts> = BTreeMap::new();
    let mut unknown = Vec::new();
    for key in file.names() {
        let Some((module, role)) = names.resolve(key) else {
            unknown.push(key.to_owned());
            continue;
        };
        let entry = parts.entry(module.clone()).or_default();
        let known = match role {
            Role::Factor(factor) => entry.factors.insert(factor, tensor(&file, key)?).is_some(),
            Role::Alpha => entry.alpha.replace(file.get_scalar(key)? as f32).is_some(),
        };
        if known {
            let problem = format!("two tensors of the file stand for the same factor; one is \"{key}\"");
            return Err(LoraFileError::Module { path: path.into(), module, problem });
        }
    }
    if !unknown.is_empty() {
        return Err(LoraFileError::UnknownKeys { path: path.into(), hint: hint(&unknown), keys: unknown });
    }
    let mut metadata = file.metadata().clone();
    metadata.remove("format");
    let peft = peft_alpha(path, metadata.remove(ADAPTER_KEY), &file)?;
    let mut lora = LoraFile { metadata, ..LoraFile::default() };
    for (name, mut parts) in parts {
        let fail =
            |problem: String| LoraFileError::Module { path: path.into(), module: name.clone(), problem };
        let config_fail = |problem| LoraFileError::Metadata { path: path.into(), problem };
        let norms =
            [Factor::OutputNorms, Factor::Norms].iter().any(|norms| parts.factors.contains_key(norms));
        let told = match (parts.factors.get(&Factor::Down), &peft) {
            (Some(down), Some(peft)) if parts.alpha.is_none() => {
                let rank = down.shape.first().copied().unwrap_or(0);
                peft.of(&name, rank, norms).map_err(config_fail)?
            }
            _ => None,
        };
        let alpha = parts.alpha.or(told);
        if !parts.is_pair() {
            let mut module = OtherModule { factors: parts.factors, alpha };
            if let Some(peft) = peft.as_ref().filter(|_| alpha.is_none()) {
                module.multiply(peft.scale_of(&name).map_err(config_fail)?.unwrap_or(1.0));
            }
            check_other(&module).map_err(fail)?;
            lora.others.insert(name, module);
            continue;
        }
        let (down, up) = (parts.factors.remove(&Factor::Down), parts.factors.remove(&Factor::Up));
        let (Some(down), Some(up)) = (down, up) else {
            return Err(fail("only one of the factors down and up is in the file".into()));
        };
        let mut module = LoraModule { down, up, alpha: 0.0 };
        module.alpha = alpha.unwrap_or(module.rank() as f32);
        check(&module).map_err(fail)?;
        lora.modules.insert(name, module);
    }
    Ok(lora)
}

/// Checks what can be checked of a module of another kind without its weight.
fn check_other(module: &OtherModule) -> Result<(), String> {
    use Factor::{Diff, Down, Hada1A, Hada1B, Hada2A, Hada2B, Norms, OutputNorms, Up};
    let has = |factor: Factor| module.factors.contains_key(&factor);
    let pair = has(Down) && has(Up);
    let hada = [Hada1A, Hada1B, Hada2A, Hada2B].into_iter().all(has);
    let half = |whole, a, b| has(whole) || (has(a) && has(b));
    let kron = half(Factor::Kron1, Factor::Kron1A, Factor::Kron1B)
        && half(Factor::Kron2, Factor::Kron2A, Factor::Kron2B);
    let kinds = [pair, hada, kron, has(Diff)].into_iter().filter(|kind| *kind).count();
    let only_bias = module.factors.keys().all(|factor| *factor == Factor::DiffBias);
    if kinds != 1 && !only_bias {
        let names: Vec<String> = module.factors.keys().map(|factor| format!("{factor:?}")).collect();
        return Err(format!("its tensors ({}) make no whole adapter of one kind", names.join(", ")));
    }
    if has(Diff) && (has(Norms) || has(OutputNorms)) {
        return Err("norms beside a whole difference".into());
    }
    for (factor, tensor) in &module.factors {
        if let Some(i) = tensor.data.iter().position(|value| !value.is_finite()) {
            return Err(format!("its tensor {factor:?} holds {} at element {i}", tensor.data[i]));
        }
    }
    Ok(())
}

fn tensor(file: &WeightFiles, key: &str) -> Result<LoraTensor, LoraFileError> {
    let data = file.get_any_shape(key)?;
    Ok(LoraTensor { dtype: data.dtype(), shape: data.shape().to_vec(), data: data.to_f32() })
}

/// PEFT's configuration: in the header, or for files that PEFT itself saved in `adapter_config.json` beside.
fn peft_alpha(
    path: &Path,
    json: Option<String>,
    file: &WeightFiles,
) -> Result<Option<PeftAlpha>, LoraFileError> {
    let fail = |problem| LoraFileError::Metadata { path: path.into(), problem };
    if let Some(json) = json {
        return PeftAlpha::parse(&json).map(Some).map_err(fail);
    }
    let beside = path.with_file_name("adapter_config.json");
    if !file.names().any(|name| name.starts_with("base_model.model.")) || !beside.exists() {
        return Ok(None);
    }
    let told = |why: String| fail(format!("adapter_config.json beside the file: {why}"));
    let text = fairhuman_files::read_to_string(&beside).map_err(|e| told(e.to_string()))?;
    match serde_json::from_str(&text).map_err(|e| told(format!("not JSON: {e}")))? {
        Value::Object(config) => Ok(Some(PeftAlpha::from_adapter_config(&config, "unet"))),
        _ => Err(told("not an object".into())),
    }
}

/// Adapters of other kinds are told by their tensors.
fn hint(keys: &[String]) -> String {
    let kinds = [("bundle_emb", ""), ("oft_", "OFT"), ("on_input", "IA3")];
    let controls = ["controlnet_", "zero_convs", "adapter.body"];
    if keys.iter().any(|key| controls.iter().any(|part| key.contains(part))) {
        return "; it is a control network: use it with --control".into();
    }
    match kinds.iter().find(|(mark, _)| keys.iter().any(|key| key.contains(mark))) {
        Some(("bundle_emb", _)) => {
            "; bundle_emb.* are embeddings that OneTrainer puts into its files, which are not read: export the LoRA without them"
                .into()
        }
        Some((_, kind)) => format!("; {}", super::advice(kind)),
        None => "; is it for another base model?".into(),
    }
}

/// Every name by which a module may be called.
struct Names<'a> {
    known: HashSet<&'a str>,
    aliases: HashMap<String, &'a str>,
}

impl<'a> Names<'a> {
    fn new(modules: &'a [String], layout: &UnetLayout) -> Self {
        let mut aliases = HashMap::new();
        for module in modules {
            let Some((component, rest)) = module.split_once('.') else { continue };
            match component {
                "unet" => {
                    aliases.insert(format!("lora_unet_{}", flat(rest)), module.as_str());
                    if let Some(sgm) = layout.sgm_path(rest) {
                        aliases.insert(format!("lora_unet_{}", flat(&sgm)), module);
                        aliases.insert(format!("diffusion_model.{sgm}"), module);
                        // OneTrainer's "original" names have nothing before them.
                        aliases.insert(sgm, module);
                    }
                }
                "text_encoder" => {
                    aliases.insert(format!("lora_te1_{}", flat(rest)), module);
                    aliases.insert(format!("lora_te_{}", flat(rest)), module);
                    aliases.insert(format!("text_encoders.clip_l.transformer.{rest}"), module);
                }
                "text_encoder_2" => {
                    aliases.insert(format!("lora_te2_{}", flat(rest)), module);
                    aliases.insert(format!("text_encoders.clip_g.transformer.{rest}"), module);
                }
                _ => {}
            }
        }
        Self { known: modules.iter().map(String::as_str).collect(), aliases }
    }

    fn resolve(&self, key: &str) -> Option<(String, Role)> {
        // A model that was compiled when its LoRA was saved has another level of modules.
        let key = &key.replace("_orig_mod_", "");
        let key = key.strip_prefix("module.").unwrap_or(key);
        let (stem, role) = ROLES.iter().find_map(|(end, role)| Some((key.strip_suffix(end)?, *role)))?;
        if let Some(module) = self.aliases.get(stem) {
            return Some(((*module).to_owned(), role));
        }
        let stem = stem.strip_prefix("base_model.model.").unwrap_or(stem);
        let path = stem.replace(".processor.", ".");
        // Attention processors of old diffusers name the projection, not the layer. Their text-encoder
        // keys use the U-Net's names of the projections.
        let renamed = |pairs: &[(&str, &str)]| {
            pairs.iter().find_map(|(old, new)| Some(format!("{}{new}", path.strip_suffix(old)?)))
        };
        let text = renamed(&[
            (".to_q", ".q_proj"),
            (".to_k", ".k_proj"),
            (".to_v", ".v_proj"),
            (".to_out", ".out_proj"),
        ]);
        let unet = renamed(&[(".to_out", ".to_out.0")]);
        [Some(path.clone()), text, unet].into_iter().flatten().find_map(|path| {
            // Files that hold a U-Net's LoRA alone may leave the component out.
            [path.clone(), format!("unet.{path}")]
                .into_iter()
                .find(|p| self.known.contains(p.as_str()))
                .map(|p| (p, role))
        })
    }
}

pub(super) fn flat(path: &str) -> String {
    path.replace('.', "_")
}
