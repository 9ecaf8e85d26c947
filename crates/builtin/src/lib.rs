//! The built-in model: SDXL's architecture and file layout in small, trained by this program on people that
//! this program drew (`cargo run --release -p xtask -- small-model`; recipes in `recipes/small-model`), and a
//! ControlNet for it that follows poses. They are part of the binary, so that the program never has to find
//! them; [`unpack`] and [`unpack_pose`] write them into folders that any program can read.
//!
//! ```
//! let cache = tempfile::tempdir()?;
//! let folder = fairhuman_builtin::unpack(cache.path())?;
//! assert!(folder.join("unet/config.json").is_file());
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(missing_docs)]

mod vocabulary;

use std::io;
use std::path::{Path, PathBuf};

use fairhuman_files::PartialFolder;
pub use vocabulary::clip_merges;

/// Path and content of every file of a folder.
type Files = &'static [(&'static str, &'static [u8])];

macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(($path, include_bytes!(concat!("../", $folder, "/", $path)))),+]
    };
}

/// The model.
const MODEL: Files = files![
    "model":
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder_2/config.json",
    "text_encoder_2/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/special_tokens_map.json",
    "tokenizer/tokenizer_config.json",
    "tokenizer/vocab.json",
    "tokenizer_2/merges.txt",
    "tokenizer_2/special_tokens_map.json",
    "tokenizer_2/tokenizer_config.json",
    "tokenizer_2/vocab.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "model_index.json",
];

/// The ControlNet.
const POSE: Files = files!["pose": "config.json", "diffusion_pytorch_model.safetensors"];

/// Side of the pictures that the model was trained on, in pixels.
pub const SIZE: usize = 96;

/// Writes the model into a folder of its own in `cache`, unless it is there already and complete, and returns
/// the path. The folder's name changes with the model. Several processes may do this at the same time.
///
/// # Errors
/// Files that cannot be written.
pub fn unpack(cache: &Path) -> io::Result<PathBuf> {
    unpack_files(MODEL, "people", cache)
}

/// The same for the ControlNet, which reads skeletons as OpenPose draws them: a folder in diffusers' layout.
///
/// # Errors
/// Files that cannot be written.
pub fn unpack_pose(cache: &Path) -> io::Result<PathBuf> {
    unpack_files(POSE, "pose", cache)
}

fn unpack_files(files: Files, name: &str, cache: &Path) -> io::Result<PathBuf> {
    let folder = cache.join(format!("{name}-{}", version(files)));
    if is_whole(files, &folder) {
        return Ok(folder);
    }
    let partial = PartialFolder::new(&folder)?;
    for (path, content) in files {
        let path = partial.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(partial.path()))?;
        std::fs::write(path, content)?;
    }
    match partial.replace() {
        // Another process was faster.
        Err(_) if is_whole(files, &folder) => Ok(folder),
        replaced => replaced.map(|()| folder),
    }
}

/// True if every file is in the folder with its expected content.
fn is_whole(files: Files, folder: &Path) -> bool {
    files.iter().all(|(path, content)| std::fs::read(folder.join(path)).is_ok_and(|found| found == *content))
}

/// The beginning of the hash of all files.
fn version(files: Files) -> String {
    let mut hasher = blake3::Hasher::new();
    for (path, content) in files {
        hasher.update(path.as_bytes()).update(content);
    }
    hasher.finalize().to_hex()[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_unpacked_once_and_whole() {
        let cache = tempfile::tempdir().unwrap();
        let folder = unpack(cache.path()).unwrap();
        for (path, content) in MODEL {
            assert_eq!(std::fs::read(folder.join(path)).unwrap(), *content, "{path}");
        }
        let written = std::fs::metadata(folder.join("model_index.json")).unwrap().modified().unwrap();
        assert_eq!(unpack(cache.path()).unwrap(), folder);
        let again = std::fs::metadata(folder.join("model_index.json")).unwrap().modified().unwrap();
        assert_eq!(written, again, "it is not written again");
        std::fs::write(folder.join("unet/config.json"), "{}").unwrap();
        assert_eq!(unpack(cache.path()).unwrap(), folder);
        assert!(is_whole(MODEL, &folder), "a damaged folder is mended");
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_that_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        std::fs::write(cache.path().join(format!("people-{}", version(MODEL))), "a file in the way").unwrap();
        assert!(unpack(cache.path()).is_err());
        assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 1, "nothing but the file");
    }

    #[test]
    fn the_control_network_lies_beside_the_model() {
        let cache = tempfile::tempdir().unwrap();
        let (model, pose) = (unpack(cache.path()).unwrap(), unpack_pose(cache.path()).unwrap());
        assert_ne!(model, pose);
        assert!(is_whole(POSE, &pose) && is_whole(MODEL, &model));
    }

    #[test]
    fn both_are_small_enough_to_be_part_of_the_program() {
        let bytes = |files: Files| files.iter().map(|(_, content)| content.len()).sum::<usize>();
        assert!(bytes(MODEL) <= 20_000_000, "{} bytes", bytes(MODEL));
        assert!(bytes(POSE) <= 10_000_000, "{} bytes", bytes(POSE));
    }
}
