//! Finding the weight files of a component and mapping them, with every header checked against its file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use fairhuman_files::ensure_file;
use memmap2::Mmap;

use super::mapped::Mapped;
use safetensors::SafeTensors;
use serde_json::Value;

use super::{Entry, MappedFile, WeightError, WeightFiles};

const STEMS: [&str; 2] = ["diffusion_pytorch_model", "model"];

/// The file or index to open in `folder`: whole before sharded, plain before a variant.
pub(super) fn locate(folder: &Path) -> Result<PathBuf, WeightError> {
    let listing = std::fs::read_dir(folder).map_err(|e| io(folder, e))?;
    let mut names = BTreeSet::new();
    for entry in listing {
        let entry = entry.map_err(|e| io(folder, e))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.insert(name);
        }
    }
    for stem in STEMS {
        for plain in [format!("{stem}.safetensors"), format!("{stem}.safetensors.index.json")] {
            if names.contains(&plain) {
                return Ok(folder.join(plain));
            }
        }
    }
    // A shard is also a "variant" by its name; an index decides over its shards.
    let variants = |wanted: fn(&str) -> bool| names.iter().find(|n| is_variant(n) && wanted(n)).cloned();
    let found = variants(|n| n.ends_with(".safetensors")).or_else(|| variants(|n| n.ends_with(".json")));
    if let Some(name) = found {
        return Ok(folder.join(name));
    }
    let pickled = names.iter().any(|n| n.ends_with(".bin") || n.ends_with(".ckpt") || n.ends_with(".pt"));
    Err(WeightError::NotFound {
        folder: folder.into(),
        expected: "diffusion_pytorch_model.safetensors, model.safetensors, their .fp16 variants, or an index (.safetensors.index.json)".into(),
        hint: if pickled {
            "; the folder holds pickled PyTorch weights, which are not read: save the model again with safe_serialization=True".into()
        } else {
            String::new()
        },
    })
}

/// `model.fp16.safetensors`, `model.safetensors.index.fp16.json` or `model.fp16.safetensors.index.json`.
fn is_variant(name: &str) -> bool {
    let Some(rest) = STEMS.iter().find_map(|stem| name.strip_prefix(stem)) else { return false };
    let middle = rest
        .strip_suffix(".safetensors")
        .or_else(|| rest.strip_suffix(".safetensors.index.json"))
        .or_else(|| rest.strip_prefix(".safetensors.index").and_then(|r| r.strip_suffix(".json")));
    middle.is_some_and(|m| m.starts_with('.') && m.len() > 1 && !m[1..].contains('.') && !m.contains("-of-"))
}

/// The file of a variant that is read of `folder`, weights or their index, and its name without the variant;
/// none where plain files are read.
pub(crate) fn variant_of(folder: &Path) -> Option<(PathBuf, String)> {
    let path = locate(folder).ok()?;
    let name = path.file_name()?.to_str().filter(|name| is_variant(name))?;
    let stem = STEMS.iter().find(|stem| name.starts_with(*stem))?;
    let end = if name.ends_with(".json") { ".safetensors.index.json" } else { ".safetensors" };
    let plain = format!("{stem}{end}");
    Some((path, plain))
}

/// Opens the shards that an index names, each tensor from the shard that the index gives it.
pub(super) fn open_index(path: &Path) -> Result<WeightFiles, WeightError> {
    let corrupt = |problem: String| WeightError::Corrupt { path: path.into(), problem };
    let text = fairhuman_files::read_to_string(path).map_err(|e| io(path, e))?;
    let index: Value = serde_json::from_str(&text).map_err(|e| corrupt(format!("not a JSON index: {e}")))?;
    let Some(map) = index.get("weight_map").and_then(Value::as_object) else {
        return Err(corrupt("expected an object \"weight_map\" of tensor -> file".into()));
    };
    let mut shards: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (tensor, file) in map {
        match file.as_str() {
            Some(file) if Path::new(file).file_name().is_some_and(|n| n == file) => {
                shards.entry(file).or_default().insert(uncompiled(tensor));
            }
            _ => {
                return Err(corrupt(format!(
                    "\"{tensor}\": expected a file name beside the index, found {file}"
                )));
            }
        }
    }
    let mut weights = WeightFiles {
        path: path.into(),
        files: Vec::new(),
        entries: BTreeMap::new(),
        metadata: BTreeMap::new(),
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    for (file, tensors) in shards {
        let shard = folder.join(file);
        weights.add_file(&shard, &|name| tensors.contains(name))?;
        if let Some(missing) = tensors.iter().find(|t| !weights.contains(t)) {
            return Err(WeightError::Corrupt {
                path: shard,
                problem: format!("the index says that the tensor \"{missing}\" is here, but it is not"),
            });
        }
    }
    Ok(weights)
}

impl WeightFiles {
    /// Maps a file and enters those of its tensors that `wanted` accepts.
    pub(super) fn add_file(&mut self, path: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<(), WeightError> {
        if path.is_dir() {
            let example = path.join("lora.safetensors");
            let problem = format!("is a folder; expected a .safetensors file, such as {}", example.display());
            return Err(WeightError::Corrupt { path: path.into(), problem });
        }
        if let Err(error) = ensure_file(path) {
            return Err(WeightError::Corrupt { path: path.into(), problem: error.to_string() });
        }
        let file = fairhuman_files::open(path).map_err(|e| io(path, e))?;
        // SAFETY: the map is read-only and private to this process's view of the file. As with every memory
        // map, a file that another program cuts short while it is mapped ends this one; files are replaced
        // here by renaming, which leaves the mapped one alone.
        let map = Mapped(unsafe { Mmap::map(&file) }.map_err(|e| io(path, e))?);
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|e| WeightError::Corrupt {
            path: path.into(),
            problem: format!(
                "not a whole safetensors file ({e}; {} bytes): download or write it again",
                map.len()
            ),
        })?;
        let start = header + 8;
        for (name, info) in metadata.tensors() {
            let name = uncompiled(&name);
            if wanted(&name) {
                let (from, to) = info.data_offsets;
                let entry = Entry {
                    file: self.files.len(),
                    dtype: info.dtype,
                    shape: info.shape.clone(),
                    range: start + from..start + to,
                    scale: 1.0,
                    used: AtomicBool::new(false),
                };
                if self.entries.insert(name.clone(), entry).is_some() {
                    let problem =
                        format!("two tensors stand for \"{name}\", one with _orig_mod. in its name");
                    return Err(WeightError::Corrupt { path: path.into(), problem });
                }
            }
        }
        if self.files.is_empty()
            && let Some(strings) = metadata.metadata()
        {
            self.metadata = strings.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        }
        self.files.push(MappedFile { path: path.into(), map: Arc::new(map) });
        Ok(())
    }
}

/// A tensor's name without the level of modules that `torch.compile` and `DataParallel` add.
fn uncompiled(name: &str) -> String {
    name.replace("_orig_mod.", "").trim_start_matches("module.").to_owned()
}

fn io(path: &Path, source: std::io::Error) -> WeightError {
    WeightError::Io { path: path.into(), source }
}
