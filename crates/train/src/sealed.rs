//! Files that tell when they are damaged: safetensors whose header holds a digest of everything else in them.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_diffusion::weights::{TensorBytes, WeightError, WeightFiles, write_safetensors};

use crate::cache::Key;

/// The header key of the digest.
const DIGEST: &str = "digest";

/// Writes a file with the digest of its metadata and tensors: all of it or nothing.
///
/// # Errors
/// A file that cannot be written.
pub fn write(
    path: &Path,
    tensors: &BTreeMap<String, TensorBytes<'_>>,
    mut metadata: BTreeMap<String, String>,
) -> Result<(), WeightError> {
    let parts = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape, tensor.bytes));
    metadata.insert(DIGEST.into(), digest(&metadata, parts));
    write_safetensors(path, tensors, &metadata)
}

/// Opens a file after its digest has been checked.
///
/// # Errors
/// A file that cannot be read, or whose content is not what was written.
pub fn open(path: &Path) -> Result<WeightFiles, WeightError> {
    let corrupt = |problem: &str| WeightError::Corrupt { path: path.into(), problem: problem.into() };
    let files = WeightFiles::open_file(path)?;
    let mut metadata = files.metadata().clone();
    let written = metadata.remove(DIGEST).ok_or_else(|| corrupt("the header has no digest"))?;
    let names: Vec<&str> = files.names().collect();
    let data = names.iter().map(|name| files.get_any_shape(name)).collect::<Result<Vec<_>, _>>()?;
    let parts = names.iter().zip(&data).map(|(name, data)| (*name, data.shape(), data.bytes()));
    if digest(&metadata, parts) != written {
        return Err(corrupt("its content is not what was written: the digest differs"));
    }
    // Opened anew: the tensors that the check has read are not ticked off.
    WeightFiles::open_file(path)
}

fn digest<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [usize], &'a [u8])>,
) -> String {
    let mut key = Key::new("sealed");
    for (name, value) in metadata {
        key = key.with(name.as_bytes()).with(value.as_bytes());
    }
    for (name, shape, bytes) in tensors {
        key = key.with(name.as_bytes());
        for side in shape {
            key = key.with(&(*side as u64).to_le_bytes());
        }
        key = key.with(bytes);
    }
    key.digits()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(path: &Path) {
        let values: Vec<f32> = (0..40).map(|i| (i as f32).sin()).collect();
        let tensors = BTreeMap::from([
            ("a".to_owned(), TensorBytes::f32(&[4, 5], &values[..20])),
            ("b".to_owned(), TensorBytes::f32(&[20], &values[20..])),
        ]);
        let metadata = BTreeMap::from([("step".to_owned(), "6".to_owned())]);
        write(path, &tensors, metadata).unwrap();
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, path) = (folder.path().join("whole"), folder.path().join("damaged"));
        sealed(&whole);
        assert_eq!(open(&whole).unwrap().metadata()["step"], "6");
        let bytes = std::fs::read(&whole).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            std::fs::write(&path, &damaged).unwrap();
            assert!(open(&path).is_err(), "byte {at} of {}", bytes.len());
        }
    }

    #[test]
    fn cut_and_zeroed_parts_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, path) = (folder.path().join("whole"), folder.path().join("damaged"));
        sealed(&whole);
        let bytes = std::fs::read(&whole).unwrap();
        for length in (0..bytes.len()).step_by(7) {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(open(&path).is_err(), "cut after {length}");
            let mut zeroed = bytes.clone();
            zeroed[length..].fill(0);
            std::fs::write(&path, &zeroed).unwrap();
            assert!(open(&path).is_err(), "zeros from {length}");
        }
    }
}
