//! LoRA files onto a whole model: the U-Net and the text encoders, each file times its weight.

use std::path::PathBuf;

use fairhuman_engine::{Backend, Params};

use crate::clip;
use crate::lora::read_loras;
use crate::lora_file::LoraFile;
use crate::net::ModelError;
use crate::pipeline::Pipeline;

/// Reads LoRA files and puts them onto the parts of `pipeline` that they are for. Their factors are the
/// parameters that are returned.
///
/// # Errors
/// A file that cannot be read, holds no LoRA or is one of another model, by file and module; a weight that is
/// not a number; a model that has LoRAs already.
pub fn attach_loras<B: Backend>(
    backend: &B,
    pipeline: &mut Pipeline<B>,
    files: &[(PathBuf, f32)],
) -> Result<Params<B>, ModelError> {
    let mut params = Params::default();
    if files.is_empty() {
        return Ok(params);
    }
    let components: Vec<&str> = pipeline.folder.texts().into_iter().map(|(_, _, name)| name).collect();
    let mut modules = pipeline.unet.lora_modules();
    for (component, (_, encoder)) in components.iter().zip(&pipeline.text.encoders) {
        let adapted = encoder.layers().plan().adapted_modules();
        modules.extend(adapted.map(|module| format!("{component}.{module}")));
    }
    let layout = pipeline.unet.config().lora_layout();
    let loras = read_loras(files, &modules, &layout)?;
    let weighted: Vec<(&LoraFile, f32)> = loras.iter().zip(files).map(|(lora, (_, w))| (lora, *w)).collect();
    let named = |error| match (error, files) {
        (ModelError::Lora { problem }, [(path, _)]) => {
            ModelError::Lora { problem: format!("{}: {problem}", path.display()) }
        }
        (error, _) => error,
    };
    pipeline.unet.attach_lora(backend, &mut params, &weighted).map_err(named)?;
    let changes = loras.iter().any(|lora| !lora.others.is_empty());
    let folders = pipeline.folder.texts();
    for ((_, folder, component), (_, encoder)) in folders.iter().zip(&mut pipeline.text.encoders) {
        let layers = encoder.layers_mut();
        if changes {
            layers.change(backend, &clip::open_weights(folder)?, component, &weighted).map_err(named)?;
        }
        layers.attach_lora(backend, &mut params, component, component, &weighted).map_err(named)?;
    }
    Ok(params)
}
