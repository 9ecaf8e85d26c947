//! Operations on the structure of tensors: values moved, and values of neighbours averaged.

use super::Torch;
use crate::abi::{Handle, Type};
use crate::{Tensor, operators};
use fairhuman_engine::{Lanes, WeightRef};

/// The source of every target along one direction: `floor(i * source / target)`.
fn sources(source: usize, target: usize) -> impl Iterator<Item = usize> + Clone {
    (0..target).map(move |i| i * source / target)
}

impl Torch {
    pub(super) fn joined(&self, a: &Tensor, b: &Tensor) -> Tensor {
        let last = a.shape().len() - 1;
        Tensor::new(operators::cat(&[self.values(a), self.values(b)], last))
    }

    pub(super) fn split_at(&self, x: &Tensor, first: usize) -> (Tensor, Tensor) {
        let (values, first) = (self.values(x), first as i64);
        let last = x.shape().len() - 1;
        let rest = values.last() - first;
        (
            Tensor::new(own(&values.narrow(last, 0, first))),
            Tensor::new(own(&values.narrow(last, first, rest))),
        )
    }

    pub(super) fn resized(&self, x: &Tensor, (h, w): (usize, usize)) -> Tensor {
        let (values, shape) = (self.values(x), x.shape());
        let [n, of_h, of_w, channels] = [0, 1, 2, 3].map(|i| shape[i]);
        let cell = |y: usize| sources(of_w, w).map(move |x| (y * of_w + x) as i64);
        let index: Vec<i64> = sources(of_h, h).flat_map(cell).collect();
        let cells = values.reshape(&[n as i64, (of_h * of_w) as i64, channels as i64]);
        let moved = operators::index_select(&cells, 1, &self.indices(&index));
        Tensor::new(moved.reshape(&[n, h, w, channels].map(|size| size as i64)))
    }

    /// Every source sums the cotangents of its copies: along a direction whose size was multiplied these lie
    /// side by side, and otherwise a matrix of zeros and ones adds them up.
    pub(super) fn resized_vjp(&self, g: &Tensor, (h, w): (usize, usize)) -> Tensor {
        let shape = g.shape();
        let [l, to_h, to_w, channels] = [0, 1, 2, 3].map(|i| shape[i]);
        let values = self.values(g).reshape(&[l, to_h, to_w * channels].map(|size| size as i64));
        let rows = self.sum_copies(&values, h);
        let rows = rows.reshape(&[l * h, to_w, channels].map(|size| size as i64));
        let cells = self.sum_copies(&rows, w);
        Tensor::new(cells.reshape(&[l, h, w, channels].map(|size| size as i64)))
    }

    /// `[B, targets, C]` to `[B, sources, C]`.
    fn sum_copies(&self, x: &Handle, count: usize) -> Handle {
        let sizes = x.sizes();
        let targets = sizes[1] as usize;
        if targets == count {
            return x.clone();
        }
        if targets.is_multiple_of(count) {
            let apart = x.reshape(&[sizes[0], count as i64, (targets / count) as i64, sizes[2]]);
            return operators::sum(&apart, &[2], false, x.kind());
        }
        let mut ones = vec![0.0_f32; count * targets];
        for (target, source) in sources(count, targets).enumerate() {
            ones[source * targets + target] = 1.0;
        }
        let ones = operators::to_type(&self.host_data(&[1, count as i64, targets as i64], &ones), x.kind());
        operators::bmm(&ones.expand(&[sizes[0], count as i64, targets as i64]), x)
    }

    pub(super) fn pooled(&self, x: &Tensor) -> Tensor {
        Tensor::new(operators::avg_pool2(&self.values(x).nchw()).nhwc())
    }

    pub(super) fn pooled_vjp(&self, g: &Tensor, (h, w): (usize, usize)) -> Tensor {
        let g = self.values(g);
        let sizes = g.sizes();
        let input = self.empty(&[sizes[0], h as i64, w as i64, sizes[3]], self.kind());
        Tensor::new(operators::avg_pool2_backward(&g.nchw(), &input.nchw()).nhwc())
    }

    pub(super) fn rows_of_table(
        &self,
        ids: &[u32],
        (n, tokens): (usize, usize),
        table: WeightRef<'_, Self>,
    ) -> Tensor {
        let ids = self.ids(ids, &[n as i64, tokens as i64]);
        Tensor::new(operators::embedding(self.weight_values(table), &ids))
    }

    fn ids(&self, ids: &[u32], sizes: &[i64]) -> Handle {
        self.host_data(sizes, &ids.iter().map(|&id| id.into()).collect::<Vec<i64>>())
    }

    pub(super) fn table_gradients(&self, g: &Tensor, ids: &[u32], rows: usize, lanes: &Lanes) -> Tensor {
        let g = operators::to_type(self.values(g), Type::F32);
        let ids = self.ids(ids, &[lanes.samples() as i64, (ids.len() / lanes.samples()) as i64]);
        let sizes = [rows as i64, g.last()];
        Tensor::new(self.per_objective(lanes, &sizes, |objective| {
            let (g, ids) = self.of_objective(&g, &ids, lanes, objective);
            operators::embedding_backward(&g, &ids, rows as i64)
        }))
    }

    pub(super) fn picked(&self, x: &Tensor, index: &[usize]) -> Tensor {
        let tokens = x.shape()[1];
        let rows: Vec<i64> = index.iter().enumerate().map(|(n, t)| (n * tokens + t) as i64).collect();
        Tensor::new(operators::index_select(&self.values(x).rows(), 0, &self.indices(&rows)))
    }

    pub(super) fn picked_vjp(&self, g: &Tensor, index: &[usize], tokens: usize, lanes: &Lanes) -> Tensor {
        let g = self.values(g);
        let row = |lane: usize| (lane * tokens + index[lanes.sample(lane)]) as i64;
        let rows: Vec<i64> = (0..lanes.len()).map(row).collect();
        let zeros = self.zeros_of(&[(lanes.len() * tokens) as i64, g.last()], self.kind());
        let placed = operators::index_copy(&zeros, 0, &self.indices(&rows), g);
        Tensor::new(placed.reshape(&[lanes.len() as i64, tokens as i64, g.last()]))
    }
}

/// A part of a tensor as values of its own, so that it does not keep the whole.
fn own(part: &Handle) -> Handle {
    if part.is_dense() { operators::clone(part) } else { part.dense() }
}
