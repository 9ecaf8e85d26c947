//! The interface that ControlNets and T2I-Adapters share, in training and in files.

use std::path::Path;

use fairhuman_engine::{Backend, DType, Params, Tape};
use serde_json::Value;

use crate::control::{ControlRef, check_name};
use crate::net::{Layers, ModelError};
use crate::unet::{Residuals, UNetInput};
use crate::weights::write_json;

/// A network that turns control images into additions to a U-Net's activations.
pub trait ControlNetwork<B: Backend>: Sync {
    /// The additions for the U-Net's `input` and control images `[N, H, W, 3]` in [0, 1].
    ///
    /// # Errors
    /// Images or inputs that do not fit the network.
    fn residuals<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        input: &UNetInput<B>,
        pixels: &B::Tensor,
    ) -> Result<Residuals<B>, ModelError>;

    /// The network by its kind.
    fn by_ref(&self) -> ControlRef<'_, B>;

    /// Its layers by name.
    fn layers(&self) -> &Layers<B>;

    /// The content of its `config.json`.
    fn settings(&self) -> Value;

    /// The name that a tensor has in one file for other programs.
    fn name_in_file(&self, name: &str) -> String {
        name.to_owned()
    }

    /// Writes a folder as diffusers has it, `config.json` and `diffusion_pytorch_model.safetensors` (or
    /// shards of at most 1 GiB), in `dtype`, with `params` for values. Every weight must be trained
    /// ([`Trainable::All`](crate::net::Trainable::All)).
    ///
    /// # Errors
    /// Files that cannot be written, values that `dtype` cannot hold.
    fn write(&self, backend: &B, params: &Params<B>, folder: &Path, dtype: DType) -> Result<(), ModelError> {
        self.layers().write_trained(backend, params, folder, "diffusion_pytorch_model", dtype)?;
        Ok(write_json(&folder.join("config.json"), &self.settings())?)
    }

    /// Writes one `.safetensors` file, which diffusers, ComfyUI and A1111 read: with diffusers' names, but a
    /// light adapter's with TencentARC's, since ComfyUI and A1111 know light ones by these alone.
    ///
    /// # Errors
    /// As [`ControlNetwork::write`], and a name by which A1111 or ComfyUI would take it for another network.
    fn write_file(
        &self,
        backend: &B,
        params: &Params<B>,
        file: &Path,
        dtype: DType,
    ) -> Result<(), ModelError> {
        check_name(file)?;
        self.layers().write_one_file(backend, params, file, dtype, |name| self.name_in_file(name))
    }
}
