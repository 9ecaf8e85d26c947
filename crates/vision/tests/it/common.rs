//! Shared helpers: the photograph, the golden file and MediaPipe's networks.

use std::path::{Path, PathBuf};

use fairhuman_vision::models::{self, Source};
use serde_json::Value;

/// A file of the test folder.
pub fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(path)
}

/// The folder with all networks: `FAIRHUMAN_MODELS`, or one below `target` that is filled by a download.
/// `None` if offline, except on a build server, where that is an error.
pub fn networks() -> Option<PathBuf> {
    let given = std::env::var_os("FAIRHUMAN_MODELS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("mediapipe"));
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    match models::get(&Source::Index(models::INDEX.into()), &folder, &mut |_| {}) {
        Ok(()) => Some(folder),
        Err(e) if std::env::var_os("CI").is_some() => panic!("{e}"),
        Err(e) => {
            eprintln!("not compared, the networks are not there: {e}");
            None
        }
    }
}

/// Points of a JSON list of pairs.
pub fn points(value: &Value) -> Vec<[f32; 2]> {
    let list = value.as_array().expect("a list of points");
    list.iter().map(|p| [0, 1].map(|i| p[i].as_f64().expect("a coordinate") as f32)).collect()
}
