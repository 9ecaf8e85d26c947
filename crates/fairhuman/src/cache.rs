//! The user's cache folder.

use std::path::{Path, PathBuf};

use anyhow::Context;

/// The program's folder in the user's cache folder; none where the system names none.
pub fn folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("fairhuman"))
}

/// The folder of the built-in model, unpacked where that has not been done: in the user's cache folder, or in
/// the system's folder for temporary files where there is no such folder or it cannot be written.
pub fn builtin_model() -> anyhow::Result<PathBuf> {
    unpacked(fairhuman_builtin::unpack).context("the built-in model")
}

/// The same for the ControlNet that comes with it.
pub fn builtin_pose() -> anyhow::Result<PathBuf> {
    unpacked(fairhuman_builtin::unpack_pose).context("the built-in ControlNet")
}

fn unpacked(unpack: fn(&Path) -> std::io::Result<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(Ok(found)) = folder().map(|cache| unpack(&cache)) {
        return Ok(found);
    }
    let temporary = std::env::temp_dir().join("fairhuman");
    unpack(&temporary).with_context(|| format!("cannot be unpacked into {}", temporary.display()))
}
