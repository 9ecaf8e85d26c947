//! Where a run computes, and with how many digits.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The device that a run computes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Device {
    /// The processor, with this program's own kernels.
    #[default]
    Cpu,
    /// The processor, with libtorch's kernels.
    TorchCpu,
    /// An NVIDIA card, from 0.
    Cuda(u8),
}

impl Device {
    /// Those that a word names; `cuda:N` names other cards than the first.
    pub const ALL: [Device; 3] = [Device::Cpu, Device::TorchCpu, Device::Cuda(0)];

    /// Its precision where none is asked for: bf16 on cards, which are two to four times as fast with it.
    pub fn default_precision(self) -> Precision {
        match self {
            Device::Cpu | Device::TorchCpu => Precision::F32,
            Device::Cuda(_) => Precision::Bf16,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Device::Cpu => f.write_str("cpu"),
            Device::TorchCpu => f.write_str("torch-cpu"),
            Device::Cuda(0) => f.write_str("cuda"),
            Device::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|device| device.to_string() == text);
        let card = || text.strip_prefix("cuda:").and_then(|index| index.parse().ok()).map(Device::Cuda);
        let expected = "expected a device (cpu, cuda, cuda:N, torch-cpu)";
        known.or_else(card).ok_or_else(|| format!("{expected}, found \"{text}\""))
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.to_string()
    }
}

impl TryFrom<String> for Device {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Type of frozen weights, and of the activations that they are multiplied with; with libtorch of all
/// activations. What is trained, its gradients and moments are f32 with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// bfloat16. On a CPU that multiplies it no faster than f32 a run computes in f32 instead.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 2] = [Precision::F32, Precision::Bf16];

    /// Bytes of a value.
    pub fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::Bf16 => 2,
        }
    }

    /// Its name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for device in [Device::Cpu, Device::TorchCpu, Device::Cuda(0), Device::Cuda(3)] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda:0".parse(), Ok(Device::Cuda(0)));
        for wrong in ["gpu", "cuda:", "cuda:x", "cuda:300", "torch"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }
}
