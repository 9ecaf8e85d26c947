//! Writing the weights of a component, one file or shards with an index, without holding them all in memory.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_engine::{Backend, DType};
use serde_json::{Map, Value, json};

use super::ModelError;
use crate::weights::{TensorBytes, WeightError, write_json, write_safetensors};

/// Bytes of one shard at most: what is held in memory at a time. (A larger tensor has a shard of its own.)
const SHARD: usize = 1 << 30;

/// A tensor that will be written: its bytes are asked for when its turn comes.
#[derive(Debug, Clone)]
pub struct StoredTensor {
    /// Name in the file.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Element type in the file.
    pub dtype: DType,
}

impl StoredTensor {
    fn size(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// Writes `<stem>.safetensors` into `folder`, or shards of at most 1 GiB and `<stem>.safetensors.index.json`.
/// `bytes` gives the little-endian values of the tensor of that index; `backend` runs it for several at a
/// time.
///
/// # Errors
/// A file that cannot be written, and what `bytes` returns.
pub fn write_component<B: Backend>(
    backend: &B,
    folder: &Path,
    stem: &str,
    tensors: &[StoredTensor],
    bytes: impl Fn(usize) -> Result<Vec<u8>, ModelError> + Send + Sync,
) -> Result<(), ModelError> {
    std::fs::create_dir_all(folder).map_err(|source| ModelError::Io { path: folder.into(), source })?;
    let shards = shards(tensors);
    let count = shards.len();
    let file = |shard: usize| match count {
        1 => format!("{stem}.safetensors"),
        _ => format!("{stem}-{:05}-of-{count:05}.safetensors", shard + 1),
    };
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    let mut map = Map::new();
    for (shard, members) in shards.iter().enumerate() {
        let values = backend.side_by_side(members.clone(), &bytes);
        let values: Vec<Vec<u8>> = values.into_iter().collect::<Result<_, _>>()?;
        let content = members.iter().zip(&values).map(|(&i, bytes)| {
            let tensor = &tensors[i];
            (tensor.name.clone(), TensorBytes { dtype: tensor.dtype, shape: &tensor.shape, bytes })
        });
        write_safetensors(&folder.join(file(shard)), &content.collect(), &metadata)?;
        map.extend(members.iter().map(|&i| (tensors[i].name.clone(), Value::from(file(shard)))));
    }
    let index = folder.join(format!("{stem}.safetensors.index.json"));
    if count > 1 {
        let total: usize = tensors.iter().map(StoredTensor::size).sum();
        write_json(&index, &json!({"metadata": {"total_size": total}, "weight_map": map}))?;
        // A whole file of an earlier model would be read before the index.
        remove(&folder.join(format!("{stem}.safetensors")))?;
    } else {
        remove(&index)?;
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), ModelError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(WeightError::Io { path: path.into(), source: e }.into())
        }
        _ => Ok(()),
    }
}

/// Indices of each shard's tensors, in order; always at least one shard.
fn shards(tensors: &[StoredTensor]) -> Vec<Vec<usize>> {
    let mut shards = vec![Vec::new()];
    let mut room = SHARD;
    for (i, tensor) in tensors.iter().enumerate() {
        let size = tensor.size();
        let last = shards.len() - 1;
        if size > room && !shards[last].is_empty() {
            shards.push(vec![i]);
            room = SHARD.saturating_sub(size);
        } else {
            shards[last].push(i);
            room = room.saturating_sub(size);
        }
    }
    shards
}
