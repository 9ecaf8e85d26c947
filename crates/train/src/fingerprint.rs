//! What tells one model from another without reading all of it: a run goes on with the model that it was started with.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fairhuman_diffusion::pipeline::ModelFolder;

use crate::cache::Key;
use crate::data::DataError;
use crate::error::TrainError;

/// Bytes that are read of a file's beginning and of its end. Other weights differ everywhere.
const PART: u64 = 1 << 20;

/// Hash of the names, lengths, beginnings and ends of all files of a model's parts. The folder itself may move.
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
    Ok(key.finish().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn failed(path: &Path, source: io::Error) -> TrainError {
    TrainError::Data(DataError::Io { path: path.into(), source })
}

/// The files directly in a folder, in the order of their names; none where there is no folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|path| path.is_file());
    files.sort();
    Ok(files)
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
