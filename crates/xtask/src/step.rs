//! Inputs of one training step, made from nothing or from others: what is timed when no Python is at hand,
//! and the variations that PyTorch need not know.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

/// Size of a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepSize {
    /// Samples.
    pub batch: usize,
    /// Height and width of the latents.
    pub latent: usize,
    /// Rank of the adapter.
    pub rank: usize,
}

/// The settings that `step_reference.py` uses, as header strings.
const SETTINGS: [(&str, &str); 8] = [
    ("alpha", "2.0"),
    ("local_scale", "5.0"),
    ("learning_rate", "0.001"),
    ("weight_decay", "0.01"),
    ("beta1", "0.9"),
    ("beta2", "0.999"),
    ("eps", "1e-08"),
    ("max_grad_norm", "1.0"),
];

/// Modules that LoRA adapts.
const ADAPTED: [&str; 4] = [".to_q.weight", ".to_k.weight", ".to_v.weight", ".to_out.0.weight"];

/// Values around zero with deviation one: sums of four uniform ones, functions of (seed, index).
fn noise(seed: u64, count: usize) -> Vec<f32> {
    let uniform = |index: u64| {
        let mut z = (seed << 40).wrapping_add(index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let sum = |i: u64| (0..4).map(|j| uniform(4 * i + j)).sum::<f32>();
    (0..count as u64).map(|i| 3f32.sqrt() * sum(i)).collect()
}

/// The header of a safetensors file.
fn header(path: &Path) -> anyhow::Result<Map<String, Value>> {
    let context = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).with_context(context)?;
    let length = u64::from_le_bytes(length);
    let size = file.metadata().with_context(context)?.len();
    ensure!(length < size, "{}: not a safetensors file", path.display());
    let mut text = vec![0; usize::try_from(length)?];
    file.read_exact(&mut text).with_context(context)?;
    serde_json::from_slice(&text).with_context(|| format!("{}: not a safetensors file", path.display()))
}

/// Shapes of the weights that LoRA adapts, `[O, I]`, by module.
fn adapted(unet: &Path) -> anyhow::Result<Vec<(String, [usize; 2])>> {
    let mut found = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(unet)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    for file in files.iter().map(std::fs::DirEntry::path) {
        if file.extension().is_none_or(|e| e != "safetensors") {
            continue;
        }
        for (name, entry) in header(&file)? {
            let shape = [0, 1].map(|axis| entry["shape"][axis].as_u64());
            if ADAPTED.iter().any(|end| name.ends_with(end))
                && let [Some(o), Some(i)] = shape
            {
                let module = name.trim_end_matches(".weight").to_owned();
                found.push((module, [usize::try_from(o)?, usize::try_from(i)?]));
            }
        }
    }
    ensure!(!found.is_empty(), "{}: no attention layers found", unet.display());
    Ok(found)
}

/// Writes inputs for the model in `model`: noise, and a face and a hand box in every sample.
pub(crate) fn write_synthetic(model: &Path, size: StepSize, path: &Path) -> anyhow::Result<()> {
    let unet = model.join("unet");
    let config = unet.join("config.json");
    let text =
        std::fs::read_to_string(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let config: Value = serde_json::from_str(&text)?;
    let number = |key: &str| {
        let value =
            config[key].as_u64().with_context(|| format!("unet/config.json has no number \"{key}\""))?;
        anyhow::Ok(usize::try_from(value)?)
    };
    let StepSize { batch, latent, rank } = size;
    let channels = number("in_channels")?;
    let pooled = number("projection_class_embeddings_input_dim")? - 6 * number("addition_time_embed_dim")?;
    let mut tensors = Tensors::new();
    let mut seed = 0;
    let mut put = |name: &str, shape: &[usize], factor: f32| {
        seed += 1;
        let values: Vec<f32> = noise(seed, shape.iter().product()).iter().map(|v| factor * v).collect();
        tensors.insert(name.to_owned(), (Dtype::F32, shape.to_vec(), bytemuck::cast_slice(&values).to_vec()));
    };
    put("noisy_latents", &[batch, channels, latent, latent], 1.0);
    put("target", &[batch, channels, latent, latent], 1.0);
    put("prompt_embeds", &[batch, 77, number("cross_attention_dim")?], 1.0);
    put("pooled_prompt_embeds", &[batch, pooled], 1.0);
    for (module, [outputs, inputs]) in adapted(&unet)? {
        put(&format!("lora.{module}.lora_A.weight"), &[rank, inputs], 0.05);
        put(&format!("lora.{module}.lora_B.weight"), &[outputs, rank], 0.05);
    }
    let mut put = |name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]| {
        tensors.insert(name.to_owned(), (dtype, shape.to_vec(), bytes.to_vec()));
    };
    let side = 8.0 * latent as f32;
    let ids = [side, side, 0.0, 0.0, side, side].repeat(batch);
    put("time_ids", Dtype::F32, &[batch, 6], bytemuck::cast_slice(&ids));
    let timesteps: Vec<i64> = (0..batch).map(|b| (b as i64 * 379 + 101) % 1000).collect();
    put("timesteps", Dtype::I64, &[batch], bytemuck::cast_slice(&timesteps));
    for (name, corner) in [("mask_face", latent / 8), ("mask_hand", latent / 2)] {
        let inside = corner..corner + (latent / 4).max(1);
        let cell = |i: usize| {
            let (y, x) = (i / latent % latent, i % latent);
            f32::from(u8::from(inside.contains(&y) && inside.contains(&x)))
        };
        let mask: Vec<f32> = (0..batch * latent * latent).map(cell).collect();
        put(name, Dtype::F32, &[batch, 1, latent, latent], bytemuck::cast_slice(&mask));
    }
    let mut metadata: HashMap<String, String> =
        SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    metadata.insert("rank".into(), rank.to_string());
    metadata.insert("lora_alpha".into(), format!("{:.1}", rank as f64));
    write(&tensors, Some(metadata), path)
}

/// Type, shape and little-endian values by name.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn write(tensors: &Tensors, metadata: Option<HashMap<String, String>>, path: &Path) -> anyhow::Result<()> {
    let views: Vec<(&str, TensorView<'_>)> = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| {
            anyhow::Ok((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<_, _>>()?;
    safetensors::serialize_to_file(views, metadata, path)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes the inputs of `from` without hands.
pub(crate) fn write_without_hands(from: &Path, to: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let tensor = |name: &str, view: &TensorView<'_>| {
        let mut data = view.data().to_vec();
        if name == "mask_hand" {
            data.fill(0);
        }
        (view.dtype(), view.shape().to_vec(), data)
    };
    let tensors = file.iter().map(|(name, view)| (name.to_owned(), tensor(name, &view))).collect();
    write(&tensors, header.metadata().clone(), to)
}
