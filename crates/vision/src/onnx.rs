//! A network of the user's own as an ONNX file: one input of four dimensions, whose first output is read.

use rten::{Dimension, Model, NodeId, ValueOrView};
use rten_tensor::{NdTensor, Tensor};

use crate::onnx_depth;

/// A loaded network.
pub(crate) struct Network {
    model: Model,
    input: NodeId,
    output: NodeId,
}

impl Network {
    /// Reads a file.
    ///
    /// # Errors
    /// Files that are damaged, or nest too deep; networks with other inputs and outputs; in words.
    pub fn load(bytes: Vec<u8>) -> Result<Self, String> {
        onnx_depth::check(&bytes)?;
        let model = Model::load(bytes).map_err(|e| format!("cannot be loaded as ONNX: {e}"))?;
        let (&[input], &[output, ..]) = (model.input_ids(), model.output_ids()) else {
            return Err(format!(
                "expected one input and an output, found {} and {}",
                model.input_ids().len(),
                model.output_ids().len()
            ));
        };
        Ok(Self { model, input, output })
    }

    /// A text in the file, by its key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.model.metadata().get(key)
    }

    /// The input's dimensions; none where the file does not tell.
    pub fn shape(&self) -> Vec<Dimension> {
        self.model.input_shape(0).unwrap_or_default()
    }

    /// One dimension of the input, where it is fixed.
    pub fn length(&self, i: usize) -> Option<usize> {
        match self.shape().get(i) {
            Some(Dimension::Fixed(n)) => Some(*n),
            _ => None,
        }
    }

    /// The output for an input.
    ///
    /// # Errors
    /// A network that fails, or answers in another type, in words.
    pub fn run(&self, input: NdTensor<f32, 4>) -> Result<Tensor<f32>, String> {
        let input: ValueOrView = input.into();
        let [output] =
            self.model.run_n(vec![(self.input, input)], [self.output], None).map_err(|e| e.to_string())?;
        output.into_tensor().ok_or_else(|| "its output is not of f32".into())
    }
}
