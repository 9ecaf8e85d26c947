//! A backend under test, with what it claims about its results.

use crate::numbers::{assert_close, noise};
use fairhuman_engine::{Array, Backend, Reference};

/// A backend under test.
pub struct Subject<B: Backend> {
    /// Instances of the backend, each of which must conform (other numbers of threads, say). None where a
    /// machine has nothing to run it on: nothing is tested then.
    pub instances: Vec<B>,
    /// Accepted rounding errors.
    pub tolerances: Tolerances,
    /// True if the same inputs give the same bits: every time, and on each of the instances.
    pub bits_repeat: bool,
    values: fn(&B, &B::Tensor) -> Vec<f64>,
    inputs: fn(f32) -> f32,
}

/// Accepted rounding errors, each relative to the largest value of a result.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// Of an operation.
    pub operations: f64,
    /// Of a small network, in whose gradients the rounding of its activations adds up.
    pub networks: f64,
    /// Of a convolution, which may go by transforms that cost a digit.
    pub convolutions: f64,
    /// Of work on parameters.
    pub sums: f64,
    /// Of values that are moved, and sums of a few of them.
    pub moved: f64,
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
        networks: 2e-12,
        convolutions: 1e-12,
        sums: 1e-12,
        moved: 1e-12,
        differences: Differences { step: 1.0 / (1 << 17) as f32, tolerance: 1e-6 },
    };

    /// Of a backend that computes in f32.
    pub const F32: Self = Self {
        operations: 1e-5,
        networks: 1e-5,
        convolutions: 4e-5,
        sums: 1e-6,
        moved: 1e-6,
        differences: Differences { step: 1.0 / (1 << 7) as f32, tolerance: 1e-2 },
    };

    /// Of a backend whose activations are bf16, and whose parameters and gradients are f32. Differences of
    /// such activations say nothing.
    pub const BF16: Self = Self {
        operations: 1e-2,
        networks: 2e-1,
        convolutions: 1e-2,
        sums: 1e-6,
        moved: 1e-2,
        differences: Differences { step: f32::NAN, tolerance: f64::NAN },
    };
}

/// One instance of a backend, and how its values are read without loss.
pub struct Instance<'a, B: Backend> {
    /// The backend.
    pub backend: &'a B,
    values: fn(&B, &B::Tensor) -> Vec<f64>,
    pub(crate) inputs: fn(f32) -> f32,
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

    /// Noise as the inputs of an operation.
    pub(crate) fn rounded(&self, seed: u64, count: usize) -> Vec<f32> {
        noise(seed, count).into_iter().map(self.inputs).collect()
    }

    /// A tensor of such noise.
    pub(crate) fn tensor(&self, seed: u64, shape: &[usize]) -> B::Tensor {
        self.backend.tensor(shape, &self.rounded(seed, shape.iter().product()))
    }

    /// A tensor of given values, as the inputs of an operation.
    pub(crate) fn given(&self, shape: &[usize], values: &[f32]) -> B::Tensor {
        self.backend.tensor(shape, &values.iter().copied().map(self.inputs).collect::<Vec<_>>())
    }
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
        Self { instances, tolerances, bits_repeat, values, inputs: |value| value }
    }

    /// Rounds the inputs of operations to what the backend computes with, for it and for the oracle: results
    /// then differ by the operations' own rounding alone.
    pub fn with_inputs(mut self, rounded: fn(f32) -> f32) -> Self {
        self.inputs = rounded;
        self
    }

    /// The oracle, given the same inputs.
    pub(crate) fn oracle(&self) -> Instance<'static, Reference> {
        Instance { backend: &Reference, values: f64_values, inputs: self.inputs }
    }

    pub(crate) fn instances(&self) -> impl Iterator<Item = Instance<'_, B>> {
        self.instances.iter().map(|backend| Instance { backend, values: self.values, inputs: self.inputs })
    }

    /// Fails unless two results of the same computation are the same: in every bit, if the backend says so.
    pub(crate) fn assert_same(&self, what: &str, found: &[f64], expected: &[f64]) {
        if self.bits_repeat {
            assert!(found == expected, "{what}: other bits");
        } else {
            assert_close(what, found, expected, self.tolerances.networks);
        }
    }
}

impl Subject<Reference> {
    /// The oracle itself, whose values are read as f64.
    pub fn reference() -> Self {
        let instances = vec![Reference];
        Self {
            instances,
            tolerances: Tolerances::F64,
            bits_repeat: true,
            values: f64_values,
            inputs: |value| value,
        }
    }
}
