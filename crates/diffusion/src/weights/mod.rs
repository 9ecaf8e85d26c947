//! Weights of one model component, memory-mapped from the safetensors files of a diffusers folder.
//!
//! Nothing is read before it is used: a tensor is a range of the mapped file, kept in the type it is stored
//! in. Every tensor that is fetched is ticked off, so that a loader can refuse a file that holds more than
//! the configuration asked for.

mod files;
mod fp8;
mod mapped;
mod view;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_engine::{DType, WeightBytes, WeightData};

pub use fairhuman_files::write_atomically;
pub(crate) use files::variant_of;
pub(crate) use view::transposed;
pub use view::{Part, VIEW, View, Viewed};
pub(crate) use write::sha256_of;
pub use write::{TensorBytes, narrow, narrow_finite, write_json, write_safetensors};

/// Why weights could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightError {
    /// The operating system refused a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A folder holds no weights in a form that is read here.
    #[error("{}: no weights found; expected one of {expected}{hint}", folder.display())]
    NotFound {
        /// The component's folder.
        folder: PathBuf,
        /// The names that were looked for.
        expected: String,
        /// A remedy, where the folder gives a clue; may be empty.
        hint: String,
    },
    /// A file is not what its name says: truncated, damaged, or with a header that contradicts its length.
    #[error("{}: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        problem: String,
    },
    /// The configuration asks for a tensor that no file holds.
    #[error("{}: the tensor \"{tensor}\" is missing; the config.json beside the weights does not describe them", path.display())]
    Missing {
        /// The file or index.
        path: PathBuf,
        /// The tensor.
        tensor: String,
    },
    /// A tensor has another shape than the configuration gives it.
    #[error("{}: the tensor \"{tensor}\" has shape {found:?}, the configuration needs {expected:?}", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Shape that follows from the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in a type that is none of F32, F16, BF16 and the eight-bit floats.
    #[error("{}: the tensor \"{tensor}\" is stored as {found}; expected F32, F16, BF16, F8_E4M3 or F8_E5M2: save it in one of these, or use the file from before it was quantised", path.display())]
    Type {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Type in the file.
        found: String,
    },
    /// A file holds tensors that the configuration has no place for.
    #[error("{}: {} tensors have no place in this configuration: {}", path.display(), tensors.len(), abridged(tensors))]
    Unused {
        /// The file or index.
        path: PathBuf,
        /// Their names.
        tensors: Vec<String>,
    },
}

/// The first few names and how many more there are: messages stay readable for files of thousands.
pub(crate) fn abridged(names: &[String]) -> String {
    let shown = names.iter().take(8).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(8) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

struct Entry {
    file: usize,
    dtype: safetensors::Dtype,
    shape: Vec<usize>,
    range: std::ops::Range<usize>,
    /// Factor of eight-bit values.
    scale: f32,
    used: AtomicBool,
}

struct MappedFile {
    path: PathBuf,
    map: Arc<dyn WeightBytes>,
}

/// Open weights of one component. Shared between threads; the tensors that it gives out outlive it.
pub struct WeightFiles {
    /// The file or index that was opened, for messages.
    path: PathBuf,
    files: Vec<MappedFile>,
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl std::fmt::Debug for WeightFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WeightFiles({}, {} tensors)", self.path.display(), self.entries.len())
    }
}

impl WeightFiles {
    /// Opens the weights of a component folder: `diffusion_pytorch_model` or `model`, as one `.safetensors`
    /// file or sharded with an `.index.json`; a variant such as `.fp16` where there is no plain one; or a
    /// [`View`] of a checkpoint file.
    ///
    /// # Errors
    /// No such file, a damaged file, an index that names what its shards do not hold.
    pub fn open(folder: &Path) -> Result<Self, WeightError> {
        if folder.join(VIEW).is_file() {
            return view::open(&folder.join(VIEW));
        }
        let path = files::locate(folder)?;
        if path.extension().is_some_and(|e| e == "json") {
            files::open_index(&path)
        } else {
            Self::open_file(&path)
        }
    }

    /// No tensors, for networks that are drawn.
    pub fn none() -> Self {
        Self { path: PathBuf::new(), files: Vec::new(), entries: BTreeMap::new(), metadata: BTreeMap::new() }
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// A file that cannot be read, is truncated, or whose header contradicts its length.
    pub fn open_file(path: &Path) -> Result<Self, WeightError> {
        let mut weights = Self { path: path.into(), ..Self::none() };
        weights.add_file(path, &|_| true)?;
        Ok(weights)
    }

    /// The tensor `name`, which must have `shape`, in its stored type. Ticks it off.
    ///
    /// # Errors
    /// A missing tensor, another shape, a type other than F32, F16 and BF16.
    pub fn get(&self, name: &str, shape: &[usize]) -> Result<WeightData, WeightError> {
        match self.shape(name) {
            Some(found) if found != shape => Err(WeightError::Shape {
                path: self.file_of(name).into(),
                tensor: name.into(),
                expected: shape.to_vec(),
                found: found.to_vec(),
            }),
            _ => self.get_any_shape(name),
        }
    }

    /// The tensor `name` whatever its shape. Ticks it off.
    ///
    /// # Errors
    /// A missing tensor, a type other than F32, F16 and BF16.
    pub fn get_any_shape(&self, name: &str) -> Result<WeightData, WeightError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(WeightError::Missing { path: self.path.clone(), tensor: name.into() });
        };
        let file = &self.files[entry.file];
        let bytes = || &file.map.bytes()[entry.range.clone()];
        if fp8::is_fp8(entry.dtype)
            && let Some((dtype, bytes)) = fp8::widened(entry.dtype, bytes(), entry.scale)
        {
            entry.used.store(true, Ordering::Relaxed);
            let range = 0..bytes.len();
            return Ok(WeightData::new(dtype, entry.shape.clone(), Arc::new(bytes), range));
        }
        let dtype = match entry.dtype {
            safetensors::Dtype::F32 => DType::F32,
            safetensors::Dtype::F16 => DType::F16,
            safetensors::Dtype::BF16 => DType::BF16,
            other => {
                return Err(WeightError::Type {
                    path: file.path.clone(),
                    tensor: name.into(),
                    found: format!("{other:?}"),
                });
            }
        };
        entry.used.store(true, Ordering::Relaxed);
        Ok(WeightData::new(dtype, entry.shape.clone(), file.map.clone(), entry.range.clone()))
    }

    /// Checks that there is a tensor `name` of `shape` in a type that is read. Ticks it off, and reads
    /// nothing.
    ///
    /// # Errors
    /// As [`WeightFiles::get`].
    pub fn check(&self, name: &str, shape: &[usize]) -> Result<(), WeightError> {
        match self.entries.get(name) {
            Some(entry) if entry.shape == shape && fp8::is_fp8(entry.dtype) => {
                entry.used.store(true, Ordering::Relaxed);
                Ok(())
            }
            _ => self.get(name, shape).map(|_| ()),
        }
    }

    /// The only element of the tensor `name`, which may also be stored as F64 or as an integer. Ticks it off.
    ///
    /// # Errors
    /// A missing tensor, more or fewer than one element, another type.
    pub fn get_scalar(&self, name: &str) -> Result<f64, WeightError> {
        let Some(entry) = self.entries.get(name) else {
            return Err(WeightError::Missing { path: self.path.clone(), tensor: name.into() });
        };
        let path = &self.files[entry.file].path;
        if entry.shape.iter().product::<usize>() != 1 {
            return Err(WeightError::Shape {
                path: path.clone(),
                tensor: name.into(),
                expected: Vec::new(),
                found: entry.shape.clone(),
            });
        }
        let bytes = &self.files[entry.file].map.bytes()[entry.range.clone()];
        let value = match (entry.dtype, bytes) {
            (safetensors::Dtype::F64, &[a, b, c, d, e, f, g, h]) => {
                f64::from_le_bytes([a, b, c, d, e, f, g, h])
            }
            (safetensors::Dtype::I64, &[a, b, c, d, e, f, g, h]) => {
                i64::from_le_bytes([a, b, c, d, e, f, g, h]) as f64
            }
            (safetensors::Dtype::I32, &[a, b, c, d]) => f64::from(i32::from_le_bytes([a, b, c, d])),
            _ => self.get_any_shape(name)?.to_f32().first().copied().map_or(f64::NAN, f64::from),
        };
        entry.used.store(true, Ordering::Relaxed);
        Ok(value)
    }

    /// The same tensors under other names.
    pub fn renamed(mut self, name: impl Fn(&str) -> String) -> Self {
        self.entries = self.entries.into_iter().map(|(old, entry)| (name(&old), entry)).collect();
        self
    }

    /// The tensors whose names begin with `prefix`, without it.
    pub fn part(mut self, prefix: &str) -> Self {
        let under = |(name, entry): (String, Entry)| Some((name.strip_prefix(prefix)?.to_owned(), entry));
        self.entries = self.entries.into_iter().filter_map(under).collect();
        self
    }

    /// The first tensor with an infinite number or NaN, as the error of a damaged file: for a network whose
    /// output is not finite. Reads all weights.
    pub fn find_not_finite(&self) -> Option<WeightError> {
        self.names().find_map(|name| {
            let values = self.get_any_shape(name).ok()?.to_f32();
            let at = values.iter().position(|value| !value.is_finite())?;
            let problem = format!(
                "the tensor \"{name}\" holds {} at element {at}: the weights are damaged, or were saved after a training that failed; download or make them again",
                values[at]
            );
            Some(WeightError::Corrupt { path: self.file_of(name).into(), problem })
        })
    }

    /// True if there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Shape of a tensor, where there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|e| e.shape.as_slice())
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Names that were never fetched, sorted.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.entries.iter().filter(|(_, e)| !e.used.load(Ordering::Relaxed));
        unused.map(|(name, _)| name.clone()).collect()
    }

    /// Ends the loading of a model: every tensor must have been fetched, except those whose name ends in one
    /// of `ignored` (buffers that old files carry, such as `.position_ids`).
    ///
    /// # Errors
    /// [`WeightError::Unused`] with all names.
    pub fn finish(&self, ignored: &[&str]) -> Result<(), WeightError> {
        let mut tensors = self.unused();
        tensors.retain(|name| !ignored.iter().any(|suffix| name.ends_with(suffix)));
        if tensors.is_empty() {
            Ok(())
        } else {
            Err(WeightError::Unused { path: self.path.clone(), tensors })
        }
    }

    /// The free-form strings of the header (`__metadata__`); of the first file where there are several.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The files that hold the tensors, in the order in which they were opened.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| file.path.as_path())
    }

    /// The file or index that was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn file_of(&self, name: &str) -> &Path {
        self.entries.get(name).map_or(&self.path, |e| &self.files[e.file].path)
    }
}
