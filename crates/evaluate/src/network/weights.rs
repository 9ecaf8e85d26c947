//! Opening the weights of judges: safetensors files, or folders with them; pickles are refused.

use std::path::Path;

use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_files::{sha256_hex, sha256_of};

use crate::error::EvaluateError;

/// Endings of files that Python's `pickle` writes.
const PICKLES: [&str; 5] = ["pt", "pth", "bin", "ckpt", "pkl"];

fn is_pickle(path: &Path) -> bool {
    path.extension().is_some_and(|ending| PICKLES.iter().any(|pickle| ending.eq_ignore_ascii_case(pickle)))
}

/// Opens a safetensors file, or the weights of a folder.
///
/// # Errors
/// A pickle, with the lines that convert it; files that are missing or damaged.
pub(crate) fn open(path: &Path) -> Result<WeightFiles, EvaluateError> {
    if path.is_dir() {
        let pickle = || {
            let mut pickles: Vec<_> =
                std::fs::read_dir(path).ok()?.flatten().map(|entry| entry.path()).collect();
            pickles.retain(|file| is_pickle(file));
            pickles.sort();
            pickles.into_iter().next()
        };
        return match (WeightFiles::open(path), pickle()) {
            (Err(_), Some(file)) => Err(refused(&file)),
            (opened, _) => Ok(opened.map_err(ModelError::from)?),
        };
    }
    if is_pickle(path) {
        return Err(refused(path));
    }
    Ok(WeightFiles::open_file(path).map_err(ModelError::from)?)
}

fn refused(path: &Path) -> EvaluateError {
    let (from, to) = (path.display(), path.with_extension("safetensors"));
    EvaluateError::Weights {
        path: path.into(),
        problem: format!(
            "is a pickle, a program that runs when it is read, and is not read here; convert it once with PyTorch:\n\
             import torch, safetensors.torch; w = torch.load(\"{from}\", map_location=\"cpu\", weights_only=True); w = w.get(\"state_dict\", w)\n\
             safetensors.torch.save_file({{k: v.clone().contiguous() for k, v in w.items()}}, \"{}\")",
            to.display()
        ),
    }
}

/// SHA-256 of a file of weights; of several the hash of theirs.
///
/// # Errors
/// A file that cannot be read.
pub(crate) fn digest(files: &WeightFiles) -> Result<String, EvaluateError> {
    let each = files.files().map(|file| sha256_of(file).map_err(EvaluateError::io(file)));
    let each = each.collect::<Result<Vec<_>, _>>()?;
    Ok(match each.as_slice() {
        [one] => one.clone(),
        several => sha256_hex(several.concat().as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pickles_are_refused_with_the_lines_that_convert_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pytorch_model.bin");
        std::fs::write(&file, "PK").unwrap();
        for path in [file.as_path(), folder.path()] {
            let error = open(path).unwrap_err().to_string();
            assert!(error.contains("pytorch_model.bin: is a pickle"), "{error}");
            let lines: Vec<&str> = error.lines().skip(1).collect();
            assert_eq!(lines.len(), 2, "{error}");
            assert!(
                lines[0].starts_with("import torch") && lines[1].contains("pytorch_model.safetensors"),
                "{error}"
            );
        }
    }
}
