//! Views of tensors by their usual names. None of them copies, except for [`Handle::reshape`] of values with
//! gaps.

use crate::abi::Handle;
use crate::operators;

impl Handle {
    /// The values row-major and without gaps: these, or a copy.
    pub(crate) fn dense(&self) -> Handle {
        if self.is_dense() { self.clone() } else { operators::contiguous(self) }
    }

    /// Other sizes of as many values; one may be -1, for as many as are left. Copies values with gaps.
    pub(crate) fn reshape(&self, sizes: &[i64]) -> Handle {
        let mut sizes = sizes.to_vec();
        if let Some(open) = sizes.iter().position(|&size| size == -1) {
            let others: i64 = sizes.iter().filter(|&&size| size != -1).product();
            sizes[open] = self.count() / others.max(1);
        }
        assert_eq!(sizes.iter().product::<i64>(), self.count(), "{:?} as {sizes:?}", self.sizes());
        let mut strides = vec![1; sizes.len()];
        for i in (1..sizes.len()).rev() {
            strides[i - 1] = strides[i] * sizes[i].max(1);
        }
        self.dense().strided(&sizes, &strides, 0)
    }

    /// The matrix of all rows, `[.., C]` as `[rows, C]`.
    pub(crate) fn rows(&self) -> Handle {
        self.reshape(&[-1, self.last()])
    }

    /// The last size.
    pub(crate) fn last(&self) -> i64 {
        self.sizes().last().copied().unwrap_or(1)
    }

    /// The same sizes but for the last.
    pub(crate) fn sizes_with_last(&self, last: i64) -> Vec<i64> {
        let mut sizes = self.sizes();
        if let Some(end) = sizes.last_mut() {
            *end = last;
        }
        sizes
    }

    /// Dimension `i` is what `order[i]` was.
    pub(crate) fn permute(&self, order: &[usize]) -> Handle {
        let (sizes, strides) = (self.sizes(), self.strides());
        let pick = |list: &[i64]| order.iter().map(|&i| list[i]).collect::<Vec<_>>();
        self.strided(&pick(&sizes), &pick(&strides), 0)
    }

    /// Two dimensions exchanged.
    pub(crate) fn transpose(&self, a: usize, b: usize) -> Handle {
        let mut order: Vec<usize> = (0..self.sizes().len()).collect();
        order.swap(a, b);
        self.permute(&order)
    }

    /// A part of a dimension.
    pub(crate) fn narrow(&self, dimension: usize, start: i64, length: i64) -> Handle {
        let (mut sizes, strides) = (self.sizes(), self.strides());
        assert!(start >= 0 && start + length <= sizes[dimension], "{start} + {length} of {sizes:?}");
        sizes[dimension] = length;
        self.strided(&sizes, &strides, if length == 0 { 0 } else { start * strides[dimension] })
    }

    /// Dimensions of size 1 repeated without a copy, by strides of 0.
    pub(crate) fn expand(&self, sizes: &[i64]) -> Handle {
        let (own, mut strides) = (self.sizes(), self.strides());
        assert_eq!(own.len(), sizes.len(), "{own:?} expanded to {sizes:?}");
        for ((stride, own), size) in strides.iter_mut().zip(&own).zip(sizes) {
            assert!(own == size || *own == 1, "{own} repeated to {size}");
            if own != size {
                *stride = 0;
            }
        }
        self.strided(sizes, &strides, 0)
    }

    /// `[N, H, W, C]` as `[N, C, H, W]`, "channels last".
    pub(crate) fn nchw(&self) -> Handle {
        self.permute(&[0, 3, 1, 2])
    }

    /// The way back from [`Handle::nchw`].
    pub(crate) fn nhwc(&self) -> Handle {
        self.permute(&[0, 2, 3, 1])
    }
}
