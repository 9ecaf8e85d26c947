//! Reading golden files and comparing with them: shared by the networks' tests.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::Backend;

/// A tensor of a golden file.
pub struct Golden {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The folder of a case.
pub fn folder(kind: &str, case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(kind).join(case)
}

pub fn open(folder: &Path) -> WeightFiles {
    WeightFiles::open_file(&folder.join("case.safetensors")).unwrap()
}

pub fn get(file: &WeightFiles, name: &str) -> Golden {
    let data = file.get_any_shape(name).unwrap();
    Golden { shape: data.shape().to_vec(), values: data.to_f32() }
}

/// `[N, C, H, W]` to `[N, H, W, C]`; other shapes stay.
pub fn channels_last(golden: &Golden) -> Golden {
    let &[n, c, h, w] = golden.shape.as_slice() else {
        return Golden { shape: golden.shape.clone(), values: golden.values.clone() };
    };
    let mut values = Vec::with_capacity(golden.values.len());
    for sample in golden.values.chunks_exact(c * h * w) {
        for position in 0..h * w {
            values.extend((0..c).map(|channel| sample[channel * h * w + position]));
        }
    }
    Golden { shape: vec![n, h, w, c], values }
}

pub fn tensor<B: Backend>(backend: &B, golden: &Golden) -> B::Tensor {
    backend.tensor(&golden.shape, &golden.values)
}

/// Norm of the difference over the norm of what is expected.
pub fn distance(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let square = |v: f64| v * v;
    let difference: f64 =
        found.iter().zip(expected).map(|(&a, &b)| square(f64::from(a) - f64::from(b))).sum();
    let norm: f64 = expected.iter().map(|&v| square(f64::from(v))).sum();
    (difference / norm.max(1e-60)).sqrt()
}

/// Fails with the name where the distance exceeds the tolerance (also where it is not a number).
pub fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    let distance = distance(found, expected);
    assert!(distance <= tolerance, "{name}: relative distance {distance:.3e} exceeds {tolerance:e}");
}
