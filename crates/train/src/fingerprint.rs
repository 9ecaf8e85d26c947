//! A fingerprint that tells models apart without reading all of them: a run goes on with the model that it
//! was started with.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use fairhuman_diffusion::pipeline::ModelFolder;

use crate::cache::{Key, files};
use crate::data::DataError;
use crate::error::TrainError;

/// Bytes that are read of a file's beginning and of its end. Other weights differ everywhere.
const PART: u64 = 1 << 20;

/// Hash of the names, lengths, beginnings and ends of all files of a model's parts. The folder itself may
/// move.
///
/// # Errors
/// A folder that is no model, a file that cannot be read.
pub fn of_model(path: &Path) -> Result<String, TrainError> {
    let model = ModelFolder::open(path)?;
    let mut folders = vec![model.unet(), model.vae()];
    folders.extend(model.texts().into_iter().flat_map(|(tokens, weights, _)| [tokens, weights]));
    let mut key = Key::new("model");
    for folder in folders {
        for file in files(&folder).map_err(|source| failed(&folder, source))? {
            let parts = ends(&file).map_err(|source| failed(&file, source))?;
            let name = file.strip_prefix(&model.path).unwrap_or(&file).to_string_lossy().into_owned();
            key = key.with(name.as_bytes()).with(&parts);
        }
    }
    Ok(key.digits())
}

fn failed(path: &Path, source: io::Error) -> TrainError {
    TrainError::Data(DataError::Io { path: path.into(), source })
}

/// Length, beginning and end of a file.
fn ends(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = length.to_le_bytes().to_vec();
    file.by_ref().take(PART).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(length.saturating_sub(PART).max(PART.min(length))))?;
    file.take(PART).read_to_end(&mut bytes)?;
    Ok(bytes)
}
