//! Trained networks as files: diffusers' names and shapes, those of today where older ones were read.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_engine::{Backend, DType, ParamId, Params, PerChannel, Weight};

use super::layers::channels_first;
use super::{Layers, ModelError, StoredTensor, write_component};
use crate::weights::{TensorBytes, WeightError, WeightFiles, narrow_finite, write_safetensors};

/// Name, shape and values of a tensor.
pub type NamedValues = (String, Vec<usize>, Vec<f32>);

impl<B: Backend> Layers<B> {
    /// Writes every weight to `<stem>.safetensors` (or shards) in `folder`, in `dtype`: trained ones with
    /// `params` for values, frozen ones as they are in the component's folder `base`.
    ///
    /// # Errors
    /// Files that cannot be read or written, values that `dtype` cannot hold.
    pub fn write(
        &self,
        backend: &B,
        params: &Params<B>,
        base: &Path,
        folder: &Path,
        stem: &str,
        dtype: DType,
    ) -> Result<(), ModelError> {
        let values = self.stored(backend, params, Some(&WeightFiles::open(base)?), dtype)?;
        put(backend, folder, stem, values, dtype)
    }

    /// The same of a network whose every weight is trained.
    ///
    /// # Errors
    /// Files that cannot be written, values that `dtype` cannot hold, a weight that is frozen.
    pub fn write_trained(
        &self,
        backend: &B,
        params: &Params<B>,
        folder: &Path,
        stem: &str,
        dtype: DType,
    ) -> Result<(), ModelError> {
        put(backend, folder, stem, self.stored(backend, params, None, dtype)?, dtype)
    }

    /// Writes such a network to one file, its tensors under the names that `name` gives them.
    ///
    /// # Errors
    /// As [`Layers::write_trained`].
    pub fn write_one_file(
        &self,
        backend: &B,
        params: &Params<B>,
        file: &Path,
        dtype: DType,
        name: impl Fn(&str) -> String,
    ) -> Result<(), ModelError> {
        let (tensors, values) = self.stored(backend, params, None, dtype)?;
        let bytes = backend.side_by_side((0..tensors.len()).collect(), |i: usize| {
            narrowed(file, &tensors[i], &values[i], dtype)
        });
        let bytes: Vec<Vec<u8>> = bytes.into_iter().collect::<Result<_, _>>()?;
        let content = tensors
            .iter()
            .zip(&bytes)
            .map(|(tensor, bytes)| (name(&tensor.name), TensorBytes { dtype, shape: &tensor.shape, bytes }));
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        Ok(write_safetensors(file, &content.collect(), &metadata)?)
    }

    /// Name, shape and values of every tensor of a network whose every weight is trained, in the files'
    /// layout.
    ///
    /// # Errors
    /// A weight that is frozen.
    pub fn trained_values(&self, backend: &B, params: &Params<B>) -> Result<Vec<NamedValues>, ModelError> {
        let (tensors, values) = self.stored(backend, params, None, DType::F32)?;
        Ok(tensors
            .into_iter()
            .zip(values)
            .map(|(tensor, values)| (tensor.name, tensor.shape, values))
            .collect())
    }

    /// Every tensor and its values, in the files' layout; frozen ones from `files`.
    fn stored(
        &self,
        backend: &B,
        params: &Params<B>,
        files: Option<&WeightFiles>,
        dtype: DType,
    ) -> Result<(Vec<StoredTensor>, Vec<Vec<f32>>), ModelError> {
        let mut tensors = Vec::new();
        let mut values = Vec::new();
        // `stored`: the module's name in `files`.
        let mut put = |module: &str, stored: &str, end: &str, shape: Vec<usize>, trained: Option<ParamId>| {
            let name = format!("{stored}.{end}");
            let value = match (trained.map(|id| params.get(id)), files) {
                (None, Some(files)) => files.get(&name, &shape)?.to_f32(),
                (None, None) => {
                    let problem = format!("is not trained: its {name} has no value that could be written");
                    return Err(ModelError::Input { model: "network", input: "parameters", problem });
                }
                (Some(tensor), _) => match *B::shape(tensor) {
                    [o, kh, kw, i] => channels_first(&[o, kh, kw, i], &backend.read(tensor)).1,
                    _ => backend.read(tensor),
                },
            };
            tensors.push(StoredTensor { name: format!("{module}.{end}"), shape, dtype });
            values.push(value);
            Ok::<(), ModelError>(())
        };
        for (spec, layer) in self.plan.linears.iter().zip(&self.linears) {
            let stored = files.map_or(&*spec.name, |files| spec.stored_name(files));
            put(&spec.name, stored, "weight", spec.shape(), weight(&layer.weight))?;
            if let Some(bias) = &layer.bias {
                put(&spec.name, stored, "bias", vec![spec.outputs], vector(bias))?;
            }
        }
        for (spec, layer) in self.plan.convs.iter().zip(&self.convs) {
            put(&spec.name, &spec.name, "weight", spec.shape(), weight(&layer.weight))?;
            if let Some(bias) = &layer.bias {
                put(&spec.name, &spec.name, "bias", vec![spec.outputs], vector(bias))?;
            }
        }
        for (spec, norm) in self.plan.norms.iter().zip(&self.norms) {
            for (end, values) in [("weight", &norm.gamma), ("bias", &norm.beta)] {
                put(&spec.name, &spec.name, end, vec![spec.channels], vector(values))?;
            }
        }
        for (spec, table) in self.plan.tables.iter().zip(&self.tables) {
            put(&spec.name, &spec.name, "weight", vec![spec.rows, spec.width], weight(table))?;
        }
        Ok((tensors, values))
    }
}

/// Writes tensors to a component's folder.
fn put<B: Backend>(
    backend: &B,
    folder: &Path,
    stem: &str,
    (tensors, values): (Vec<StoredTensor>, Vec<Vec<f32>>),
    dtype: DType,
) -> Result<(), ModelError> {
    write_component(backend, folder, stem, &tensors, |i| narrowed(folder, &tensors[i], &values[i], dtype))
}

fn narrowed(path: &Path, tensor: &StoredTensor, values: &[f32], dtype: DType) -> Result<Vec<u8>, ModelError> {
    narrow_finite(values, dtype).map_err(|value| {
        let name = &tensor.name;
        let problem = format!("{value} in {name} does not fit {dtype:?}; store the weights in f32");
        WeightError::Corrupt { path: path.into(), problem }.into()
    })
}

/// The parameter of a weight, if it is trained.
fn weight<B: Backend>(source: &Weight<B>) -> Option<ParamId> {
    match source {
        Weight::Trained(id) => Some(*id),
        Weight::Frozen(_) => None,
    }
}

fn vector<B: Backend>(vector: &PerChannel<B>) -> Option<ParamId> {
    match vector {
        PerChannel::Trained(id) => Some(*id),
        PerChannel::Frozen(_) => None,
    }
}
