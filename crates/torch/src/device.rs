//! Devices and types of values that a backend may be opened with.

/// A device of libtorch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor.
    Cpu,
    /// An NVIDIA card, from 0.
    Cuda(u8),
}

impl std::fmt::Display for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// Type of activations and frozen weights. Trained values, their gradients and moments are f32 with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32 bits, without TensorFloat-32.
    F32,
    /// bfloat16: the range of f32, so that no loss needs scaling.
    Bf16,
}
