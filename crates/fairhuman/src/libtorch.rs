//! libtorch on this machine: where it is looked for, and what it is.

use std::path::PathBuf;
use std::sync::OnceLock;

use fairhuman_torch::{Library, Places, find};

/// The folder that the command line or the environment names.
static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// Says where to look, instead of everywhere.
pub fn look_in(folder: Option<PathBuf>) {
    if let Some(folder) = folder {
        NAMED.get_or_init(|| folder);
    }
}

/// The libtorch of this machine, opened.
///
/// # Errors
/// None, or one that cannot be used; the error says what to do.
pub fn open() -> anyhow::Result<&'static Library> {
    let named = NAMED.get().map(|folder| ("--libtorch or FAIRHUMAN_LIBTORCH".to_owned(), folder.clone()));
    let virtual_env = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let folder = find(&Places { named, virtual_env, python: Some("python3".into()) })?;
    Ok(Library::open(&folder)?)
}

/// The version of the libtorch of this machine, if there is one.
pub fn version() -> Option<String> {
    open().ok().map(|library| library.version().to_string())
}

/// In a line: version, folder, and the NVIDIA cards that it can use, or why there are none.
pub fn description() -> String {
    let library = match open() {
        Ok(library) => library,
        Err(error) => return format!("none ({error})"),
    };
    let cards = match library.cuda_devices() {
        Ok(1) => "1 card".to_owned(),
        Ok(count) => format!("{count} cards"),
        Err(why) => format!("no cuda: {why}"),
    };
    format!("{} in {} ({cards})", library.version(), library.folder().display())
}
