//! LoRA files and control networks as pictures name them: with their weights and the hashes of their files,
//! by which they are found again under whatever name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_files::sha256_of;
use serde_json::{Value, json};

use super::control::Wanted;
use crate::cli::Network;

/// SHA-256 of the files that are read of each network, by name.
pub struct Hashes(BTreeMap<PathBuf, BTreeMap<String, String>>);

impl Hashes {
    /// Reads the files.
    pub fn new(loras: &[(Network, f32)], controls: &[Wanted]) -> anyhow::Result<Self> {
        let paths =
            loras.iter().map(|(file, _)| &file.path).chain(controls.iter().map(|control| &control.path));
        let mut all = BTreeMap::new();
        for path in paths {
            if !all.contains_key(path) {
                all.insert(path.clone(), of_network(path)?);
            }
        }
        Ok(Self(all))
    }

    pub fn loras(&self, loras: &[(Network, f32)]) -> Value {
        let lora = |(file, weight): &(Network, f32)| json!({"file": file.shown(), "sha256": self.0.get(&file.path), "weight": weight});
        loras.iter().map(lora).collect()
    }

    /// Control networks, with the images of a prompt where they are files.
    pub fn controls(&self, controls: &[Wanted], prompt: usize) -> Value {
        let control = |control: &Wanted| {
            let images = control
                .images
                .get(prompt)
                .map(|files| files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>());
            json!({
                "file": control.named.display().to_string(),
                "sha256": self.0.get(&control.path),
                "images": images,
                "types": control.types,
                "weight": control.weight,
                "start": control.span.0,
                "end": control.span.1,
                "guess": control.guess,
            })
        };
        controls.iter().map(control).collect()
    }
}

/// The hashes of a file, or of a folder's settings and weights.
fn of_network(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files = vec![path.join("config.json")];
        files.extend(WeightFiles::open(path)?.files().map(Path::to_owned));
    }
    let hash = |file: PathBuf| {
        let hash = sha256_of(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok((file.file_name().unwrap_or_default().to_string_lossy().into_owned(), hash))
    };
    files.into_iter().map(hash).collect()
}
