//! A backend under test, with what it claims about its results.

use crate::numbers::assert_close;
use fairhuman_engine::{Array, Backend, Reference};

/// A backend under test.
pub struct Subject<B: Backend> {
    /// Instances of the backend, at least one, each of which must conform (other numbers of threads, say).
    pub instances: Vec<B>,
    /// Accepted rounding errors.
    pub tolerances: Tolerances,
    /// True if the same inputs give the same bits: every time, and on each of the instances.
    pub bits_repeat: bool,
    values: fn(&B, &B::Tensor) -> Vec<f64>,
}

/// Accepted rounding errors, each relative to the largest value of a result.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// Of an operation and of a small network.
    pub operations: f64,
    /// Of a convolution, which may go by transforms that cost a digit.
    pub convolutions: f64,
    /// Of sums of a few values, and of work on parameters.
    pub sums: f64,
    /// Of vector-Jacobian products against central differences.
    pub differences: Differences,
}

/// Step and tolerance of central differences.
#[derive(Debug, Clone, Copy)]
pub struct Differences {
    /// Distance of a point from either side: a power of two, from 2^-17 on, so that both sides are exact in
    /// f32.
    pub step: f32,
    /// Accepted error, relative to the largest value.
    pub tolerance: f64,
}

impl Tolerances {
    /// Of a backend that computes in f64.
    pub const F64: Self = Self {
        operations: 1e-12,
        convolutions: 1e-12,
        sums: 1e-12,
        differences: Differences { step: 1.0 / (1 << 17) as f32, tolerance: 1e-6 },
    };

    /// Of a backend that computes in f32.
    pub const F32: Self = Self {
        operations: 1e-5,
        convolutions: 4e-5,
        sums: 1e-6,
        differences: Differences { step: 1.0 / (1 << 7) as f32, tolerance: 1e-2 },
    };
}

/// One instance of a backend, and how its values are read without loss.
pub struct Instance<'a, B: Backend> {
    /// The backend.
    pub backend: &'a B,
    values: fn(&B, &B::Tensor) -> Vec<f64>,
}

impl<B: Backend> Clone for Instance<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<B: Backend> Copy for Instance<'_, B> {}

impl<B: Backend> Instance<'_, B> {
    /// The values of a tensor.
    pub fn values(&self, tensor: &B::Tensor) -> Vec<f64> {
        (self.values)(self.backend, tensor)
    }
}

impl Instance<'static, Reference> {
    /// The oracle.
    pub(crate) const ORACLE: Self = Self { backend: &Reference, values: f64_values };
}

fn f64_values(_: &Reference, tensor: &Array) -> Vec<f64> {
    tensor.values().to_vec()
}

impl<B: Backend> Subject<B> {
    /// A backend whose values are read as f32.
    pub fn new(instances: Vec<B>, tolerances: Tolerances, bits_repeat: bool) -> Self {
        let values = |backend: &B, tensor: &B::Tensor| -> Vec<f64> {
            backend.read(tensor).into_iter().map(f64::from).collect()
        };
        Self { instances, tolerances, bits_repeat, values }
    }

    pub(crate) fn instances(&self) -> impl Iterator<Item = Instance<'_, B>> {
        self.instances.iter().map(|backend| Instance { backend, values: self.values })
    }

    /// Fails unless two results of the same computation are the same: in every bit, if the backend says so.
    pub(crate) fn assert_same(&self, what: &str, found: &[f64], expected: &[f64]) {
        if self.bits_repeat {
            assert!(found == expected, "{what}: other bits");
        } else {
            assert_close(what, found, expected, self.tolerances.operations);
        }
    }
}

impl Subject<Reference> {
    /// The oracle itself, whose values are read as f64.
    pub fn reference() -> Self {
        let instances = vec![Reference];
        Self { instances, tolerances: Tolerances::F64, bits_repeat: true, values: f64_values }
    }
}
