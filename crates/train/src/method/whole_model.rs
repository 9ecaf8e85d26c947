//! Methods whose result is a whole model folder: `RUN/model`, the base with components replaced.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::net::{Layers, ModelError};
use fairhuman_diffusion::pipeline::copy_model;
use fairhuman_engine::{Backend, DType, Params};

use super::Setup;
use crate::error::TrainError;

/// The file that diffusers keeps its networks' weights in.
pub const NETWORK: &str = "diffusion_pytorch_model";
/// The file that transformers keeps text encoders' weights in.
pub const TEXT_ENCODER: &str = "model";

/// Writes `RUN/model`: the base's folder with the components of `replaced` written by `write`, which is given
/// a component's name and its new folder.
///
/// # Errors
/// Files that cannot be read or written.
pub fn write_model<B: Backend>(
    setup: &Setup<'_, B>,
    replaced: &[&str],
    write: impl Fn(&str, &Path) -> Result<(), ModelError>,
) -> Result<Vec<PathBuf>, TrainError> {
    let to = setup.out.join("model");
    copy_model(&setup.model.path, &to, replaced, write)?;
    Ok(vec![to])
}

/// Writes the weights of a component: `stem.safetensors` in the folder `to`, with the other files of the
/// base's folder.
///
/// # Errors
/// Files that cannot be read or written.
pub fn write_layers<B: Backend>(
    setup: &Setup<'_, B>,
    layers: &Layers<B>,
    params: &Params<B>,
    component: &str,
    (to, stem): (&Path, &str),
    dtype: DType,
) -> Result<(), ModelError> {
    layers.write(setup.backend, params, &setup.model.path.join(component), to, stem, dtype)
}
