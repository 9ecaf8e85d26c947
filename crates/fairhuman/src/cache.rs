//! The user's cache folder.

use std::path::PathBuf;

use anyhow::Context;

/// The program's folder in the user's cache folder; none where the system names none.
pub fn folder() -> Option<PathBuf> {
    dirs::cache_dir().map(|cache| cache.join("fairhuman"))
}

/// The folder of the built-in model, unpacked where that has not been done: in the user's cache folder, or in
/// the system's folder for temporary files where there is no such folder or it cannot be written.
pub fn builtin_model() -> anyhow::Result<PathBuf> {
    if let Some(Ok(model)) = folder().map(|cache| fairhuman_builtin::unpack(&cache)) {
        return Ok(model);
    }
    let temporary = std::env::temp_dir().join("fairhuman");
    fairhuman_builtin::unpack(&temporary)
        .with_context(|| format!("cannot unpack the built-in model into {}", temporary.display()))
}
