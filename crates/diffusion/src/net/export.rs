//! Trained networks as files: the same names and shapes that they were read under.

use std::path::Path;

use fairhuman_engine::{Backend, DType, ParamId, Params, Source, Vector};

use super::layers::channels_first;
use super::{Layers, ModelError, StoredTensor, write_component};
use crate::weights::{WeightFiles, narrow};

impl<B: Backend> Layers<B> {
    /// Writes every weight to `<stem>.safetensors` (or shards) in `folder`, in `dtype`: trained ones with `params` for
    /// values, frozen ones as they are in the component's folder `base`.
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
        let files = WeightFiles::open(base)?;
        let mut tensors = Vec::new();
        let mut values = Vec::new();
        let mut put = |name: String, shape: Vec<usize>, trained: Option<ParamId>| {
            let stored = match trained.map(|id| params.get(id)) {
                None => files.get(&name, &shape)?.to_f32(),
                Some(tensor) => match *B::shape(tensor) {
                    [o, kh, kw, i] => channels_first(&[o, kh, kw, i], &backend.read(tensor)).1,
                    _ => backend.read(tensor),
                },
            };
            tensors.push(StoredTensor { name, shape, dtype });
            values.push(stored);
            Ok::<(), ModelError>(())
        };
        for (spec, layer) in self.plan.linears.iter().zip(&self.linears) {
            put(format!("{}.weight", spec.name), spec.shape(), weight(&layer.weight))?;
            if let Some(bias) = &layer.bias {
                put(format!("{}.bias", spec.name), vec![spec.outputs], vector(bias))?;
            }
        }
        for (spec, layer) in self.plan.convs.iter().zip(&self.convs) {
            put(format!("{}.weight", spec.name), spec.shape(), weight(&layer.weight))?;
            if let Some(bias) = &layer.bias {
                put(format!("{}.bias", spec.name), vec![spec.outputs], vector(bias))?;
            }
        }
        for (spec, norm) in self.plan.norms.iter().zip(&self.norms) {
            for (end, values) in [("weight", &norm.gamma), ("bias", &norm.beta)] {
                put(format!("{}.{end}", spec.name), vec![spec.channels], vector(values))?;
            }
        }
        for (spec, table) in self.plan.tables.iter().zip(&self.tables) {
            put(format!("{}.weight", spec.name), vec![spec.rows, spec.width], weight(table))?;
        }
        let largest = match dtype {
            DType::F16 => f32::from(half::f16::MAX),
            DType::F32 | DType::BF16 => f32::MAX,
        };
        for (tensor, values) in tensors.iter().zip(&values) {
            if let Some(value) = values.iter().find(|v| v.is_nan() || v.abs() > largest) {
                let name = &tensor.name;
                let problem = format!("{value} in {name} does not fit {dtype:?}; store the weights in f32");
                return Err(ModelError::Weights(crate::weights::WeightError::Corrupt {
                    path: folder.into(),
                    problem,
                }));
            }
        }
        write_component(folder, stem, &tensors, |i| Ok(narrow(&values[i], dtype)))
    }
}

/// The parameter of a weight, if it is trained.
fn weight<B: Backend>(source: &Source<B>) -> Option<ParamId> {
    match source {
        Source::Trained(id) => Some(*id),
        Source::Frozen(_) => None,
    }
}

fn vector<B: Backend>(vector: &Vector<B>) -> Option<ParamId> {
    match vector {
        Vector::Trained(id) => Some(*id),
        Vector::Frozen(_) => None,
    }
}
