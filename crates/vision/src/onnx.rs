//! A network of the user's own as an ONNX file: one input of four dimensions, whose first output is read.

use rten::{Dimension, Model, NodeId, ValueOrView};
use rten_tensor::{NdTensor, Tensor};

use crate::onnx_depth;

/// Operators that are put in order on whatever stack there is, and the stack for more of them. It is taken
/// when it is used, page by page.
const SHALLOW: usize = onnx_depth::INNER;
const STACK: usize = 1 << 28;

/// A loaded network.
pub(crate) struct Network {
    /// True if it has more operators than any stack has room for.
    is_deep: bool,
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
        let is_deep = onnx_depth::check(&bytes)? > SHALLOW;
        let model = with_stack(is_deep, || Model::load(bytes))?;
        let model = model.map_err(|e| format!("cannot be loaded as ONNX: {e}"))?;
        let (&[input], &[output, ..]) = (model.input_ids(), model.output_ids()) else {
            return Err(format!(
                "expected one input and an output, found {} and {}",
                model.input_ids().len(),
                model.output_ids().len()
            ));
        };
        Ok(Self { is_deep, model, input, output })
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
        let run = || self.model.run_n(vec![(self.input, ValueOrView::from(input))], [self.output], None);
        let [output] = with_stack(self.is_deep, run)?.map_err(|e| e.to_string())?;
        output.into_tensor().ok_or_else(|| "its output is not of f32".into())
    }
}

/// Does the work, in a thread with a large stack if it needs one: operators are put in order from the last to
/// the first by a function that calls itself for each.
fn with_stack<T: Send>(is_deep: bool, work: impl FnOnce() -> T + Send) -> Result<T, String> {
    if !is_deep {
        return Ok(work());
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        let thread =
            thread.map_err(|e| format!("has so many operators that it needs a thread of its own: {e}"))?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
