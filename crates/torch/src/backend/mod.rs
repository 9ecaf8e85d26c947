//! The engine's operations on libtorch, one file for each family.

mod attention;
mod convolution;
mod input;
mod lanes;
mod norm;
mod operations;
mod parameter;
mod pointwise;
mod product;
mod structure;

pub use attention::Attention;
pub(crate) use input::out_of_memory;

use crate::abi::{Handle, Type};
use crate::{Device, Library, LoadError, Precision, Tensor};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The backend. See the crate's documentation.
pub struct Torch {
    libtorch: &'static Library,
    device: Device,
    precision: Precision,
    attention: Attention,
    /// The same device in f32.
    exact: Option<Box<Torch>>,
    /// Lists of indices that are on the device already: lanes repeat themselves through a pass.
    indices: Mutex<BTreeMap<Vec<i64>, Handle>>,
}

/// Lists of indices that are kept on the device.
const MOST_INDICES: usize = 256;

impl Torch {
    /// A backend on a device of an opened libtorch.
    ///
    /// # Errors
    /// A card that is not there.
    pub fn new(library: &'static Library, device: Device, precision: Precision) -> Result<Self, LoadError> {
        if let Device::Cuda(index) = device {
            let no_device = |cause| LoadError::NoDevice { device: device.to_string(), cause };
            let cards = library.cuda_devices().map_err(no_device)?;
            if usize::from(index) >= cards {
                return Err(no_device(format!("there are {cards}, numbered from 0")));
            }
        }
        let exact = match precision {
            Precision::F32 => None,
            Precision::Bf16 => Some(Box::new(Self::new(library, device, Precision::F32)?)),
        };
        let (attention, indices) = (Attention::Fused, Mutex::default());
        Ok(Self { libtorch: library, device, precision, attention, exact, indices })
    }

    /// The same backend with other kernels of attention: they save time and memory, and change no result
    /// beyond rounding.
    pub fn with_attention(mut self, attention: Attention) -> Self {
        self.attention = attention;
        self
    }

    /// The libtorch that it computes with.
    pub fn libtorch(&self) -> &'static Library {
        self.libtorch
    }

    /// Where it computes.
    pub fn device(&self) -> Device {
        self.device
    }

    /// Type of activations and frozen weights.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Type of activations and frozen weights.
    fn kind(&self) -> Type {
        match self.precision {
            Precision::F32 => Type::F32,
            Precision::Bf16 => Type::Bf16,
        }
    }

    /// A tensor's values in the type of activations.
    fn values<'t>(&self, tensor: &'t Tensor) -> &'t Handle {
        tensor.values_as(self.kind())
    }

    /// A result in the type of activations.
    fn activation_of(&self, values: &Handle) -> Tensor {
        Tensor::new(crate::operators::to_type(values, self.kind()))
    }

    /// Indices on the device.
    fn indices(&self, list: &[i64]) -> Handle {
        let mut kept = self.indices.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(list) {
            return found.clone();
        }
        let made = self.host_data(&[list.len() as i64], list);
        if kept.len() >= MOST_INDICES {
            kept.clear();
        }
        kept.insert(list.to_vec(), made.clone());
        made
    }
}
