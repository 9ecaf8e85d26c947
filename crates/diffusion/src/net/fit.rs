//! A plan beside the files that it would be filled from, before any of their values is read.

use super::{ModelError, Plan};
use crate::weights::WeightFiles;

impl Plan {
    /// Checks that `files` hold every tensor of the plan, in its shape and a type that is read, and nothing
    /// else but tensors that end in one of `ignored`: what [`super::Layers::load`] refuses is refused here.
    ///
    /// # Errors
    /// The first tensor that is missing or of another shape or type, or those that have no place.
    pub fn check(&self, files: &WeightFiles, ignored: &[&str]) -> Result<(), ModelError> {
        for layer in &self.linears {
            let name = layer.stored_name(files);
            files.check(&format!("{name}.weight"), &layer.shape())?;
            if layer.bias {
                files.check(&format!("{name}.bias"), &[layer.outputs])?;
            }
        }
        // Other layers have no second name.
        let others = Plan { linears: Vec::new(), ..self.clone() };
        for tensor in others.tensors() {
            files.check(&tensor.name, &tensor.shape)?;
        }
        files.finish(ignored)?;
        Ok(())
    }
}
