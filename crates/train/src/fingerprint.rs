//! A fingerprint that tells models apart: a run goes on with the model that it was started with.

use std::io;
use std::path::Path;

use fairhuman_diffusion::pipeline::ModelFolder;

use crate::cache::{Key, files};
use crate::data::DataError;
use crate::error::TrainError;
use crate::file_hashes::FileHashes;

/// Hash of the names and contents of all files of a model's parts. The folder itself may move.
///
/// # Errors
/// A folder that is no model, a file that cannot be read.
pub fn of_model(path: &Path, hashes: &mut FileHashes) -> Result<String, TrainError> {
    let model = ModelFolder::open(path)?;
    let mut folders = vec![model.unet(), model.vae()];
    folders.extend(model.texts().into_iter().flat_map(|(tokens, weights, _)| [tokens, weights]));
    let mut key = Key::new("model");
    if let Some(schedule) = model.schedule().parent() {
        folders.push(schedule.to_owned());
    }
    for folder in folders {
        for file in files(&folder).map_err(|source| failed(&folder, source))? {
            let hash = hashes.of_component(&file).map_err(|source| failed(&file, source))?;
            let name = file.strip_prefix(&model.path).unwrap_or(&file).to_string_lossy().into_owned();
            key = key.with(name.as_bytes()).with(hash.as_bytes());
        }
    }
    Ok(key.digits())
}

fn failed(path: &Path, source: io::Error) -> TrainError {
    TrainError::Data(DataError::Io { path: path.into(), source })
}
