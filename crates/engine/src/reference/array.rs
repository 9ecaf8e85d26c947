//! The oracle's tensor: f64 values, row-major, shared on clone.

use std::sync::Arc;

/// A dense f64 tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    shape: Vec<usize>,
    values: Arc<Vec<f64>>,
}

impl Array {
    /// A tensor of `shape` with `values` in row-major order.
    ///
    /// # Panics
    /// If there are not as many values as the shape says.
    pub fn new(shape: &[usize], values: Vec<f64>) -> Self {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of a tensor of shape {shape:?}");
        Self { shape: shape.to_vec(), values: Arc::new(values) }
    }

    /// Zeros.
    pub fn zeros(shape: &[usize]) -> Self {
        Self::new(shape, vec![0.0; shape.iter().product()])
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Its values in row-major order.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The same values under another shape of as many elements.
    pub(super) fn reshaped(&self, shape: &[usize]) -> Self {
        assert_eq!(shape.iter().product::<usize>(), self.values.len(), "{:?} as {shape:?}", self.shape);
        Self { shape: shape.to_vec(), values: self.values.clone() }
    }

    /// Size of the first dimension: samples, lanes or objectives.
    pub(super) fn first(&self) -> usize {
        self.shape[0]
    }

    /// Size of the last dimension.
    pub(super) fn channels(&self) -> usize {
        self.shape[self.shape.len() - 1]
    }

    /// Number of rows of one sample: the product of the dimensions between the first and the last.
    pub(super) fn positions(&self) -> usize {
        self.shape[1..self.shape.len() - 1].iter().product()
    }

    /// Number of values of one element of the first dimension.
    pub(super) fn stride(&self) -> usize {
        self.shape[1..].iter().product()
    }

    /// Row `r` of the matrix `[rest, channels]`.
    pub(super) fn row(&self, r: usize) -> &[f64] {
        &self.values[r * self.channels()..(r + 1) * self.channels()]
    }

    /// The part that belongs to index `n` of the first dimension.
    pub(super) fn part(&self, n: usize) -> &[f64] {
        &self.values[n * self.stride()..(n + 1) * self.stride()]
    }

    /// The same shape with every value mapped.
    pub(super) fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self::new(&self.shape, self.values.iter().map(|&v| f(v)).collect())
    }

    /// Sum of two tensors of one shape.
    pub(super) fn plus(&self, other: &Self) -> Self {
        assert_eq!(self.shape, other.shape, "sum of two tensors");
        Self::new(&self.shape, self.values.iter().zip(other.values()).map(|(a, b)| a + b).collect())
    }

    /// Adds the gradient accumulated before, if any.
    pub(super) fn plus_acc(self, acc: Option<Self>) -> Self {
        match acc {
            None => self,
            Some(acc) => acc.plus(&self),
        }
    }

    /// The shape with its last dimension replaced.
    pub(super) fn with_channels(&self, channels: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        *shape.last_mut().expect("tensors have a last dimension") = channels;
        shape
    }

    /// The shape with its first dimension replaced.
    pub(super) fn with_first(&self, first: usize) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape[0] = first;
        shape
    }
}

/// Inner product of two rows.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `row += factor * other`.
pub(super) fn add_scaled(row: &mut [f64], factor: f64, other: &[f64]) {
    for (r, o) in row.iter_mut().zip(other) {
        *r += factor * o;
    }
}
