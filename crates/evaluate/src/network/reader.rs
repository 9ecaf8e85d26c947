//! Frozen layers by the names of their tensors.

use fairhuman_diffusion::net::ModelError;
use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::{Backend, Linear, Norm, PerChannel, Weight, WeightData, WeightLayout};

use crate::error::EvaluateError;

/// Weight files, and the backend that their tensors are prepared for.
pub(crate) struct Reader<'a, B: Backend> {
    pub backend: &'a B,
    pub files: &'a WeightFiles,
}

impl<B: Backend> Reader<'_, B> {
    /// The values of a tensor.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EvaluateError> {
        Ok(self.files.get(name, shape).map_err(ModelError::from)?.to_f32())
    }

    /// A tensor of f32 values, frozen.
    pub fn vector(&self, values: &[f32]) -> PerChannel<B> {
        PerChannel::Frozen(self.backend.tensor(&[values.len()], values))
    }

    /// `NAME.weight` and, with `bias`, `NAME.bias`.
    pub fn linear(
        &self,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Linear<B>, EvaluateError> {
        let weight =
            self.files.get(&format!("{name}.weight"), &[outputs, inputs]).map_err(ModelError::from)?;
        let bias = match bias {
            true => Some(self.vector(&self.values(&format!("{name}.bias"), &[outputs])?)),
            false => None,
        };
        Ok(Linear {
            weight: Weight::Frozen(self.backend.weight(&weight, WeightLayout::Matrix)),
            bias,
            adapter: None,
            inputs,
            outputs,
        })
    }

    /// The same with every output times its factor.
    pub fn scaled(&self, name: &str, inputs: usize, factors: &[f32]) -> Result<Linear<B>, EvaluateError> {
        let outputs = factors.len();
        let mut weight = self.values(&format!("{name}.weight"), &[outputs, inputs])?;
        let mut bias = self.values(&format!("{name}.bias"), &[outputs])?;
        for ((row, bias), factor) in weight.chunks_exact_mut(inputs).zip(&mut bias).zip(factors) {
            row.iter_mut().for_each(|value| *value *= factor);
            *bias *= factor;
        }
        let weight = WeightData::from_f32(&[outputs, inputs], &weight);
        let weight = Weight::Frozen(self.backend.weight(&weight, WeightLayout::Matrix));
        Ok(Linear { weight, bias: Some(self.vector(&bias)), adapter: None, inputs, outputs })
    }

    /// The layer normalisation `NAME.weight`, `NAME.bias`.
    pub fn norm(&self, name: &str, channels: usize, eps: f32) -> Result<Norm<B>, EvaluateError> {
        let vector = |end: &str| {
            Ok::<_, EvaluateError>(self.vector(&self.values(&format!("{name}.{end}"), &[channels])?))
        };
        Ok(Norm { gamma: vector("weight")?, beta: vector("bias")?, eps })
    }
}
