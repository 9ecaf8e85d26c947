//! Trained networks as files: the same names and shapes that they were read under.

use std::path::Path;

use fairhuman_engine::{Backend, DType, Params, Source, Vector};

use super::layers::channels_first;
use super::{Layers, ModelError, StoredTensor, write_component};
use crate::weights::narrow;

impl<B: Backend> Layers<B> {
    /// Writes every trained weight to `<stem>.safetensors` (or shards) in `folder`, with `params` for values, in
    /// `dtype`. Frozen weights are left out: of a network loaded with [`super::Trainable::All`] none is.
    ///
    /// # Errors
    /// Files that cannot be written, values that `dtype` cannot hold.
    pub fn write(
        &self,
        backend: &B,
        params: &Params<B>,
        folder: &Path,
        stem: &str,
        dtype: DType,
    ) -> Result<(), ModelError> {
        let mut tensors = Vec::new();
        let mut values = Vec::new();
        let mut put = |name: String, shape: Vec<usize>, tensor: &B::Tensor| {
            let stored = match *B::shape(tensor) {
                [o, kh, kw, i] => channels_first(&[o, kh, kw, i], &backend.read(tensor)).1,
                _ => backend.read(tensor),
            };
            tensors.push(StoredTensor { name, shape, dtype });
            values.push(stored);
        };
        let value = |id| params.get(id);
        for (spec, layer) in self.plan.linears.iter().zip(&self.linears) {
            if let Source::Trained(id) = layer.weight {
                put(format!("{}.weight", spec.name), spec.shape(), value(id));
            }
            if let Some(Vector::Trained(id)) = layer.bias {
                put(format!("{}.bias", spec.name), vec![spec.outputs], value(id));
            }
        }
        for (spec, layer) in self.plan.convs.iter().zip(&self.convs) {
            if let Source::Trained(id) = layer.weight {
                put(format!("{}.weight", spec.name), spec.shape(), value(id));
            }
            if let Some(Vector::Trained(id)) = layer.bias {
                put(format!("{}.bias", spec.name), vec![spec.outputs], value(id));
            }
        }
        for (spec, norm) in self.plan.norms.iter().zip(&self.norms) {
            for (end, vector) in [("weight", &norm.gamma), ("bias", &norm.beta)] {
                if let Vector::Trained(id) = vector {
                    put(format!("{}.{end}", spec.name), vec![spec.channels], value(*id));
                }
            }
        }
        for (spec, table) in self.plan.tables.iter().zip(&self.tables) {
            if let Source::Trained(id) = table {
                put(format!("{}.weight", spec.name), vec![spec.rows, spec.width], value(*id));
            }
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
