//! Making a control network for a model: as training starts it, or random for tests.

use std::path::Path;

use fairhuman_engine::{Backend, DType, Params};
use fairhuman_files::PartialFolder;

use super::refuse_existing;
use crate::adapter::{Adapter, AdapterConfig, AdapterKind};
use crate::control::{ControlConfig, ControlNetwork, check_name};
use crate::controlnet::{ControlNet, ControlNetConfig, Start};
use crate::net::{ModelError, Trainable};
use crate::pipeline::ModelFolder;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;

/// Kind and start of a control network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlInit {
    /// A copy of the model's U-Net with layers around it.
    ControlNet(Start),
    /// A random T2I-Adapter.
    Adapter(AdapterKind),
}

/// Writes a control network for the model folder `model` to `folder`, which must be a new one or empty, in
/// diffusers' layout, and to `file`, if there is one, as one file. Sizes follow from the model's; random
/// values are functions of the seed and the tensors' names.
///
/// # Errors
/// A model that cannot be read or that such a network cannot steer, files that cannot be written, something
/// that is there as `folder`.
pub fn init_control<B: Backend>(
    backend: &B,
    model: &Path,
    init: ControlInit,
    (dtype, seed): (DType, u64),
    folder: &Path,
    file: Option<&Path>,
) -> Result<(), ModelError> {
    refuse_existing(folder)?;
    if let Some(file) = file {
        check_name(file)?;
    }
    let model = ModelFolder::open(model)?;
    let unet = UNetConfig::open(&model.unet().join("config.json"))?;
    let reduction = VaeConfig::open(&model.vae().join("config.json"))?.reduction();
    let io = |source| ModelError::Io { path: folder.into(), source };
    let partial = PartialFolder::new(folder).map_err(io)?;
    let mut params = Params::default();
    let all = Trainable::All(&mut params);
    match init {
        ControlInit::ControlNet(start) => {
            let hint = hint_for(&model, reduction)?;
            let net = ControlNet::from_unet(backend, &model.unet(), &hint, (start, seed), all)?;
            net.write(backend, &params, partial.path(), dtype)?;
            if let Some(file) = file {
                net.write_file(backend, &params, file, dtype)?;
            }
        }
        ControlInit::Adapter(kind) => {
            let config = AdapterConfig::of_unet(kind, &unet.channels, reduction);
            // Features must land where the U-Net takes them: an XL adapter is for a U-Net like SDXL's.
            let side = 16 * config.downscale;
            ControlConfig::Adapter(config.clone()).check(folder, &unet, reduction, (side, side))?;
            let adapter = Adapter::init(backend, &config, seed, all)?;
            adapter.write(backend, &params, partial.path(), dtype)?;
            if let Some(file) = file {
                adapter.write_file(backend, &params, file, dtype)?;
            }
        }
    }
    partial.publish_new().map_err(io)
}

fn hint_for(model: &ModelFolder, reduction: usize) -> Result<Vec<usize>, ModelError> {
    ControlNetConfig::hint_for(reduction).ok_or_else(|| {
        let problem = format!(
            "its autoencoder has {reduction} pixels for each cell; a ControlNet's are 1, 2, 4, 8 or another power of two"
        );
        ModelError::Folder { path: model.path.clone(), problem }
    })
}
