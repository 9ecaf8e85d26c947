//! Numbers and comparisons that the theorems share. Random values are a function of (seed, index).

use fairhuman_engine::{Backend, DType, WeightData};
use half::{bf16, f16};
use std::sync::Arc;

/// Values in [-1, 1), multiples of 2^-23: SplitMix64 of (seed, index).
pub fn noise(seed: u64, count: usize) -> Vec<f32> {
    let value = |index: u64| {
        let mut z = (seed << 32).wrapping_add(index).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let top = (z ^ (z >> 31)) >> 40;
        top as f32 / (1u64 << 23) as f32 - 1.0
    };
    (1..=count as u64).map(value).collect()
}

/// Noise of a shape.
pub fn tensor<B: Backend>(backend: &B, seed: u64, shape: &[usize]) -> B::Tensor {
    backend.tensor(shape, &noise(seed, shape.iter().product()))
}

/// Noise as a file's bytes, one byte off every alignment.
pub fn stored(dtype: DType, shape: &[usize]) -> WeightData {
    stored_values(dtype, shape, &noise(51, shape.iter().product()))
}

/// The same of given values.
pub fn stored_values(dtype: DType, shape: &[usize], values: &[f32]) -> WeightData {
    let mut bytes = vec![0xAB];
    for value in values {
        match dtype {
            DType::F32 => bytes.extend(value.to_le_bytes()),
            DType::F16 => bytes.extend(f16::from_f32(*value).to_le_bytes()),
            DType::BF16 => bytes.extend(bf16::from_f32(*value).to_le_bytes()),
        }
    }
    let range = 1..bytes.len();
    WeightData::new(dtype, shape.to_vec(), Arc::new(bytes), range)
}

/// Fails unless `found` is within `tolerance` of `expected`, relative to the largest expected value (or to
/// one where nothing but rounding errors is expected).
///
/// # Panics
/// If it is not.
pub fn assert_close(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    let largest = expected.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    let scale = if largest < 1e-6 { 1.0 } else { largest };
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f - e).abs() <= tolerance * scale, // also fails on NaN
            "{what}: value {i} of {} is {f}, expected {e} (scale {scale}, tolerance {tolerance})",
            found.len()
        );
    }
}
