//! The U-Net with its adapter, as the training step sees it.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::lora::{AdaptedModule, LoraInit, LoraSpec};
use fairhuman_diffusion::lora_file::{LoraFile, LoraModule, LoraTensor};
use fairhuman_diffusion::net::{ModelError, Trainable};
use fairhuman_diffusion::unet::{Added, UNet, UNetInput};
use fairhuman_engine::{Backend, DType, Params, Tape, Var};

use crate::batch::Batch;
use crate::gradient::Denoiser;
use crate::recipe::{Init, Lora};
use crate::recorded::Tensor;

/// A frozen U-Net and the adapter that is trained on it.
pub struct Adapted<B: Backend> {
    /// The U-Net.
    pub unet: UNet<B>,
    /// What carries an adapter.
    pub modules: Vec<AdaptedModule>,
    /// The adapter's values.
    pub params: Params<B>,
}

/// Reads `unet/` of a model folder and adds a fresh adapter.
///
/// # Errors
/// What is wrong with the files, or a target that names nothing.
pub fn load<B: Backend>(backend: &B, model: &Path, lora: &Lora, seed: u64) -> Result<Adapted<B>, ModelError> {
    let mut unet = UNet::load(backend, &model.join("unet"), Trainable::None)?;
    let mut params = Params::default();
    let spec = LoraSpec {
        rank: lora.rank,
        alpha: lora.alpha as f32,
        targets: targets(&lora.targets),
        init: match lora.init {
            Init::Gaussian => LoraInit::Gaussian,
            Init::Kaiming => LoraInit::Kaiming,
        },
        seed,
    };
    let modules = unet.add_lora(backend, &mut params, &spec)?;
    Ok(Adapted { unet, modules, params })
}

/// Reads `unet/` of a model folder and adds the adapter of a recorded step.
///
/// # Errors
/// What is wrong with the files, or an adapter that does not fit the network.
pub fn load_recorded<B: Backend>(
    backend: &B,
    model: &Path,
    tensors: &BTreeMap<String, Tensor>,
    alpha: f64,
) -> Result<Adapted<B>, ModelError> {
    let mut unet = UNet::load(backend, &model.join("unet"), Trainable::None)?;
    let mut params = Params::default();
    let mut file = LoraFile::default();
    for (name, down) in tensors {
        let refuse =
            |problem| Err(ModelError::Lora { problem: format!("the recorded step has {name}, {problem}") });
        let half = |end: &str| name.strip_prefix("lora.")?.strip_suffix(end);
        let Some(module) = half(".lora_A.weight").or_else(|| half(".lora_B.weight")) else {
            return refuse("expected lora.<module>.lora_A.weight or lora_B.weight".to_owned());
        };
        let [a, b] = ["A", "B"].map(|factor| format!("lora.{module}.lora_{factor}.weight"));
        let Some(up) = tensors.get(&b) else { return refuse(format!("but not {b}")) };
        if !tensors.contains_key(&a) {
            return refuse(format!("but not {a}"));
        }
        if *name == b {
            continue;
        }
        let tensor = |t: &Tensor| LoraTensor { dtype: DType::F32, shape: t.shape.clone(), data: t.to_f32() };
        let pair = LoraModule { down: tensor(down), up: tensor(up), alpha: alpha as f32 };
        file.modules.insert(format!("unet.{module}"), pair);
    }
    let modules = unet.attach_lora(backend, &mut params, &[(&file, 1.0)])?;
    Ok(Adapted { unet, modules, params })
}

/// Ends of module names: groups opened up, everything else as it is.
fn targets(list: &[String]) -> Vec<String> {
    let open = |target: &String| -> Vec<String> {
        let group: &[&str] = match target.as_str() {
            "attention" => &["to_q", "to_k", "to_v", "to_out.0"],
            "feed_forward" => &["ff.net.0.proj", "ff.net.2"],
            "conv" => &["conv1", "conv2"],
            other => return vec![other.to_owned()],
        };
        group.iter().map(|&end| end.to_owned()).collect()
    };
    list.iter().flat_map(open).collect()
}

impl<B: Backend> Denoiser<B> for UNet<B> {
    fn predict<'m>(&'m self, tape: &mut Tape<'m, B>, batch: &Batch) -> Result<Var<B>, String> {
        let backend = tape.backend();
        let n = batch.size;
        let latents = backend.tensor(&[n, batch.height, batch.width, batch.channels], &batch.noisy);
        let width = batch.prompt.len() / (n * batch.tokens).max(1);
        let added = self.config().added.map(|_| Added {
            pooled: backend.tensor(&[n, batch.pooled.len() / n.max(1)], &batch.pooled),
            time_ids: batch.time_ids.as_chunks::<6>().0.to_vec(),
        });
        let input = UNetInput {
            latents,
            timesteps: batch.timesteps.iter().map(|&t| t as f32).collect(),
            text: backend.tensor(&[n, batch.tokens, width], &batch.prompt),
            added,
        };
        self.forward(tape, &input).map_err(|e| e.to_string())
    }
}
