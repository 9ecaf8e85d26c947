//! Matrix product with packed weights, for pointwise and full convolutions.
//!
//! The weight `[k, n]` is stored as panels of 16 columns, `[n / 16][k][16]`, the last one padded with
//! zeros. A tile of 8 rows and one panel keeps its 128 sums in registers (8 of AVX-512, 16 of AVX2)
//! while it runs once along k. These networks' products are small (36 to 9,216 rows, k and n up to
//! 1,152): weights and rows stay in the cache and no further blocking is needed.

use pulp::{Arch, Simd, WithSimd};

const COLUMNS: usize = 16;
const ROWS: usize = 8;

/// A packed weight matrix `[k, n]` with a bias per column.
#[derive(Debug)]
pub struct Packed {
    k: usize,
    n: usize,
    panels: Vec<[f32; COLUMNS]>,
    bias: Vec<f32>,
}

impl Packed {
    /// Packs a weight given as `n` rows of `k` (TensorFlow Lite's order of a convolution's filters).
    pub fn new(k: usize, filters: &[f32], bias: Vec<f32>) -> Self {
        let n = bias.len();
        let count = n.div_ceil(COLUMNS);
        let mut panels = vec![[0.0; COLUMNS]; count * k];
        for (column, filter) in filters.chunks_exact(k.max(1)).enumerate().take(n) {
            for (depth, &value) in filter.iter().enumerate() {
                panels[(column / COLUMNS) * k + depth][column % COLUMNS] = value;
            }
        }
        Self { k, n, panels, bias }
    }

    /// `out[m, n] = x[m, k] weight + bias`, rows one after another.
    pub fn multiply(&self, x: &[f32], out: &mut [f32]) {
        Arch::new().dispatch(Multiply { x, weight: self, out });
    }
}

struct Multiply<'a> {
    x: &'a [f32],
    weight: &'a Packed,
    out: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (k, n) = (self.weight.k, self.weight.n);
        // The rows of a tile transposed, `[k][ROWS]`, so that the inner loop reads them in order.
        let mut together = vec![[0.0; ROWS]; k];
        for (x, out) in self.x.chunks(ROWS * k).zip(self.out.chunks_mut(ROWS * n)) {
            for (r, row) in x.chunks_exact(k).enumerate() {
                for (cell, value) in together.iter_mut().zip(row) {
                    cell[r] = *value;
                }
            }
            for (p, panel) in self.weight.panels.chunks_exact(k).enumerate() {
                let bias = &self.weight.bias[p * COLUMNS..];
                let columns = COLUMNS.min(bias.len());
                for from in (0..columns).step_by(S::F32_LANES) {
                    let to = columns.min(from + S::F32_LANES);
                    let start = simd.partial_load_f32s(&bias[from..to]);
                    let sums = tile(simd, &together, panel, from, start);
                    for (row, sum) in out.chunks_exact_mut(n).zip(sums) {
                        let target = &mut row[p * COLUMNS..][from..to];
                        simd.partial_store_f32s(target, sum);
                    }
                }
            }
        }
    }
}

/// The sums of 8 rows and one vector of columns, the one that starts at column `from` of the panel.
#[inline(always)]
fn tile<S: Simd>(
    simd: S,
    x: &[[f32; ROWS]],
    panel: &[[f32; COLUMNS]],
    from: usize,
    start: S::f32s,
) -> [S::f32s; ROWS] {
    let vector = from / S::F32_LANES;
    let mut sums = [start; ROWS];
    for (values, weights) in x.iter().zip(panel) {
        let (weights, _) = S::as_simd_f32s(weights);
        let weight = weights[vector];
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = simd.mul_add_e_f32s(simd.splat_f32s(*value), weight, *sum);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::Packed;

    #[test]
    fn a_packed_product_equals_the_sum_of_products_at_every_edge() {
        for (m, k, n) in [(1, 1, 1), (7, 3, 5), (8, 16, 16), (9, 27, 17), (19, 5, 33)] {
            let x: Vec<f32> = (0..m * k).map(|i| (i % 13) as f32 - 6.0).collect();
            let w: Vec<f32> = (0..n * k).map(|i| (i % 7) as f32 - 3.0).collect();
            let bias: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let mut out = vec![f32::NAN; m * n];
            Packed::new(k, &w, bias.clone()).multiply(&x, &mut out);
            for i in 0..m {
                for j in 0..n {
                    let sum: f32 = (0..k).map(|d| x[i * k + d] * w[j * k + d]).sum();
                    assert_eq!(out[i * n + j], sum + bias[j], "{m} {k} {n} at {i}, {j}");
                }
            }
        }
    }
}
