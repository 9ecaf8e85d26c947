//! libtorch on this machine: where it is looked for, and what it is.

use std::path::{Path, PathBuf};
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
    let activated = std::env::var_os("VIRTUAL_ENV").map(PathBuf::from);
    let virtual_env = activated.or_else(|| environment_of(&std::env::current_exe().ok()?));
    let folder = find(&Places { named, virtual_env, python: Some("python3".into()) })?;
    Ok(Library::open(&folder)?)
}

/// The virtual environment that a program was installed into by pip, whether or not it is activated.
fn environment_of(program: &Path) -> Option<PathBuf> {
    let folder = program.parent()?.parent()?;
    folder.join("pyvenv.cfg").is_file().then(|| folder.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_pip_installed_finds_its_environment() {
        let place = tempfile::tempdir().unwrap();
        let program = place.path().join("bin").join("fairhuman");
        assert_eq!(environment_of(&program), None);
        std::fs::write(place.path().join("pyvenv.cfg"), "").unwrap();
        assert_eq!(environment_of(&program).as_deref(), Some(place.path()));
    }
}
