//! Trained networks as files: diffusers' names and shapes, those of today where older ones were read.

use std::path::Path;

use fairhuman_engine::{Backend, DType, ParamId, Params, PerChannel, Weight};

use super::layers::channels_first;
use super::{Layers, ModelError, StoredTensor, write_component};
use crate::weights::{WeightError, WeightFiles, narrow_finite};

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
        let files = WeightFiles::open(base)?;
        let mut tensors = Vec::new();
        let mut values = Vec::new();
        // `stored`: the module's name in `base`.
        let mut put = |module: &str, stored: &str, end: &str, shape: Vec<usize>, trained: Option<ParamId>| {
            let value = match trained.map(|id| params.get(id)) {
                None => files.get(&format!("{stored}.{end}"), &shape)?.to_f32(),
                Some(tensor) => match *B::shape(tensor) {
                    [o, kh, kw, i] => channels_first(&[o, kh, kw, i], &backend.read(tensor)).1,
                    _ => backend.read(tensor),
                },
            };
            tensors.push(StoredTensor { name: format!("{module}.{end}"), shape, dtype });
            values.push(value);
            Ok::<(), ModelError>(())
        };
        for (spec, layer) in self.plan.linears.iter().zip(&self.linears) {
            let stored = spec.stored_name(&files);
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
        write_component(backend, folder, stem, &tensors, |i| {
            narrow_finite(&values[i], dtype).map_err(|value| {
                let name = &tensors[i].name;
                let problem = format!("{value} in {name} does not fit {dtype:?}; store the weights in f32");
                WeightError::Corrupt { path: folder.into(), problem }.into()
            })
        })
    }
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
