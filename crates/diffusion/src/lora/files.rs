//! Several LoRA files with weights, read for one model.

use std::path::PathBuf;

use crate::lora_file::{LoraFile, LoraFileError, UnetLayout, read_lora};
use crate::net::ModelError;

/// Reads `files` for a model whose modules are `modules`, in their order.
///
/// # Errors
/// A file that cannot be read, holds no LoRA or is one of another model, by file and module; a weight that is
/// not a number.
pub(crate) fn read_loras(
    files: &[(PathBuf, f32)],
    modules: &[String],
    layout: &UnetLayout,
) -> Result<Vec<LoraFile>, ModelError> {
    let read = |(path, weight): &(PathBuf, f32)| {
        if !weight.is_finite() {
            let problem = format!("{}: weight {weight}, expected a finite number", path.display());
            return Err(ModelError::Lora { problem });
        }
        let lora = read_lora(path, modules, layout)?;
        if lora.modules.is_empty() && lora.others.is_empty() {
            let problem = "the file holds no LoRA".to_owned();
            return Err(LoraFileError::Metadata { path: path.clone(), problem }.into());
        }
        Ok(lora)
    };
    files.iter().map(read).collect()
}
