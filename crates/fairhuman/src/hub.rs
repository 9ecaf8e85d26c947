//! Names of the Hugging Face Hub where a path is expected.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use fairhuman_hub::{Cache, Name, Settings};

/// Neither a path nor the name of something that was downloaded.
#[derive(Debug)]
struct Unknown {
    path: PathBuf,
    name: Name,
    cache: PathBuf,
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, name, cache } = self;
        if name.file.is_some() {
            return write!(
                f,
                "there is no such file, {} (one of the Hugging Face Hub has to be downloaded: `fairhuman models get`)",
                path.display()
            );
        }
        write!(
            f,
            "there is no {}; nor has the Hugging Face cache ({}) a repository {name}: if that is what you mean, \
             `fairhuman models get {name}` downloads it",
            path.display(),
            cache.display()
        )
    }
}

impl std::error::Error for Unknown {}

/// As this user's environment says.
///
/// # Errors
/// A user without a home folder who has not set `HF_HOME` either.
pub fn settings() -> anyhow::Result<Settings> {
    let get = |name: &str| std::env::var(name).ok();
    let home = dirs::home_dir().or_else(|| get("HF_HOME").map(PathBuf::from));
    let home = home.context("this user has no home folder: say with HF_HOME where downloads are")?;
    Ok(Settings::from_variables(&get, &home))
}

/// The file or folder that a path on the command line stands for: itself; of a name such as `org/name`, where
/// there is no such path, what was downloaded of it; of the folder that a cache has for a repository, the
/// model in it.
///
/// # Errors
/// A name of which nothing was downloaded.
pub fn located(path: &Path) -> anyhow::Result<PathBuf> {
    find(path, path.to_str())
}

/// The same for a path of a recipe, which was joined to the recipe's folder; one that leads nowhere stays,
/// and its reader tells.
///
/// # Errors
/// A name of which a part only was downloaded.
pub fn located_of_recipe(path: &Path) -> anyhow::Result<PathBuf> {
    match find(path, Some(&name_in_recipe(path))) {
        Err(error) if error.is::<Unknown>() => Ok(path.to_owned()),
        found => found,
    }
}

/// The name or address in such a path, if it is one: its end.
pub fn name_in_recipe(path: &Path) -> String {
    let text = path.to_str().unwrap_or_default();
    if let Some(at) = ["https://", "http://"].iter().find_map(|scheme| text.find(scheme)) {
        return text[at..].to_owned();
    }
    let parts: Vec<&str> = path.components().filter_map(normal).collect();
    let count = if text.ends_with(".safetensors") { 3 } else { 2 };
    parts[parts.len().saturating_sub(count)..].join("/")
}

fn normal(part: Component<'_>) -> Option<&str> {
    match part {
        Component::Normal(part) => part.to_str(),
        _ => None,
    }
}

/// True for a path that was meant as one: to a file of a kind that the Hub's names do not end in, or to a
/// file below a folder that is there.
fn is_slip(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    let parts: Vec<&str> = path.components().filter_map(normal).collect();
    match parts[..] {
        [_, _] => ["ckpt", "pt", "pth", "bin", "onnx"].contains(&ending),
        [first, ..] => path.is_relative() && Path::new(first).is_dir(),
        [] => false,
    }
}

fn find(path: &Path, text: Option<&str>) -> anyhow::Result<PathBuf> {
    if path.exists() {
        let is_cached = path.join("snapshots").is_dir() && !path.join("model_index.json").exists();
        return Ok(if is_cached { Cache::snapshot_in(path) } else { None }.unwrap_or_else(|| path.into()));
    }
    let Ok(settings) = settings() else { return Ok(path.into()) };
    let Some(name) = text.and_then(|text| Name::parse(text, &settings.endpoint)) else {
        return Ok(path.into());
    };
    let cache = Cache::new(&settings);
    match cache.find(&name) {
        Some(found) => match cache.lacks(&found) {
            None => Ok(found),
            Some(part) => bail!(
                "of {name} the Hugging Face cache ({}) has a part only, without {part}: `fairhuman models get {name}` \
                 gets the rest",
                settings.cache.display()
            ),
        },
        // Its reader tells that it is not there.
        None if is_slip(path) => Ok(path.into()),
        None => Err(Unknown { path: path.into(), name, cache: settings.cache.clone() }.into()),
    }
}
