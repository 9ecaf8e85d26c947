//! Frozen weights, in the panels that products read.
//!
//! Panels are packed at first use and kept while the backend's budget lasts. Weights beyond it (those of a
//! model that should not be in memory twice) stay memory-mapped: matrices are read from there piece by piece
//! (`packing`; in bfloat16 they are packed at every use), Winograd filters transformed from there, and only
//! other convolutions' weights are packed at every use. Winograd's transforms of 3x3 filters, four times
//! their size, are kept only in the cache that the backend was given for them: they pay where pictures are
//! few, as in sampling.

use super::Cpu;
use super::bf16::PairPanels;
use super::buffer::Pool;
use super::operands::{Rhs, Stored};
use super::panels::Panels;
use super::winograd::{FREQUENCIES, Filter, Taps};
use crate::{WeightData, WeightLayout};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// A frozen weight of the CPU backend.
pub struct CpuWeight {
    data: WeightData,
    layout: WeightLayout,
    keep: bool,
    forward: OnceLock<Panels>,
    backward: OnceLock<Panels>,
    forward_pairs: OnceLock<PairPanels>,
    backward_pairs: OnceLock<PairPanels>,
    table: OnceLock<Vec<f32>>,
    forward_filter: OnceLock<Filter>,
    backward_filter: OnceLock<Filter>,
    /// Bytes left for cached filters, shared by all weights.
    room: Arc<AtomicUsize>,
}

/// Bytes of the room for kept filters, which are given back if no filter comes to be kept, for want of memory
/// too.
struct Reserved<'a> {
    room: &'a AtomicUsize,
    bytes: usize,
}

impl<'a> Reserved<'a> {
    /// None if there are not so many left.
    fn new(room: &'a AtomicUsize, bytes: usize) -> Option<Self> {
        let left = |left: usize| left.checked_sub(bytes);
        room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).ok().map(|_| Self { room, bytes })
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.room.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// B of a product with a frozen matrix.
pub(super) enum Matrix<'a> {
    Panels(Held<'a>),
    /// Unpacked; widened and packed piece by piece by the product.
    Stored(Stored<'a>),
    /// In bfloat16.
    Pairs(Held<'a, PairPanels>),
}

impl Matrix<'_> {
    pub(super) fn rhs(&self) -> Rhs<'_> {
        match self {
            Self::Panels(panels) => panels.rhs(),
            Self::Stored(stored) => Rhs::Stored(*stored),
            Self::Pairs(panels) => Rhs::Pairs(panels.columns()),
        }
    }
}

/// A value that is cached, or that was made for this use.
pub(super) enum Held<'a, T = Panels> {
    Kept(&'a T),
    Made(T),
}

impl<T> Deref for Held<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        match self {
            Held::Kept(kept) => kept,
            Held::Made(made) => made,
        }
    }
}

impl Held<'_> {
    pub(super) fn rhs(&self) -> Rhs<'_> {
        self.deref().rhs()
    }
}

impl CpuWeight {
    pub(super) fn new(data: &WeightData, layout: WeightLayout, keep: bool, room: &Arc<AtomicUsize>) -> Self {
        let rank = data.shape().len();
        match layout {
            WeightLayout::Matrix => {
                assert!(rank == 2 || data.shape()[2..].iter().all(|&d| d == 1), "{data:?} as a matrix");
            }
            WeightLayout::Filter => assert_eq!(rank, 4, "{data:?} as a filter"),
            WeightLayout::Table => assert_eq!(rank, 2, "{data:?} as a table"),
        }
        Self {
            data: data.clone(),
            layout,
            keep,
            forward: OnceLock::new(),
            backward: OnceLock::new(),
            forward_pairs: OnceLock::new(),
            backward_pairs: OnceLock::new(),
            table: OnceLock::new(),
            forward_filter: OnceLock::new(),
            backward_filter: OnceLock::new(),
            room: room.clone(),
        }
    }

    /// Outputs, inputs and taps.
    pub(super) fn dims(&self) -> (usize, usize, usize) {
        let shape = self.data.shape();
        (shape[0], shape[1], shape[2..].iter().product())
    }

    /// B of a linear layer's product, `[I, O]`.
    pub(super) fn forward_matrix(&self, cpu: &Cpu) -> Matrix<'_> {
        if cpu.bf16 {
            return Matrix::Pairs(self.forward_pairs(&cpu.pool));
        }
        self.matrix(true).unwrap_or_else(|| Matrix::Panels(self.forward(&cpu.pool)))
    }

    /// B of its input gradient, `[O, I]`.
    pub(super) fn backward_matrix(&self, cpu: &Cpu) -> Matrix<'_> {
        if cpu.bf16 {
            return Matrix::Pairs(self.backward_pairs(&cpu.pool));
        }
        self.matrix(false).unwrap_or_else(|| Matrix::Panels(self.backward(&cpu.pool)))
    }

    fn matrix(&self, transposed: bool) -> Option<Matrix<'_>> {
        let stored = Stored { data: &self.data, transposed, column: 0 };
        (!self.keep && !self.data.is_empty()).then_some(Matrix::Stored(stored))
    }

    /// B of the forward product: `[taps * I, O]`.
    pub(super) fn forward(&self, pool: &Arc<Pool>) -> Held<'_> {
        self.held(&self.forward, || {
            let (outputs, inputs, taps) = self.dims();
            let size = (taps * inputs, outputs);
            Panels::from_columns(pool, size, |o, values| {
                let start = o * inputs * taps;
                if taps == 1 {
                    return self.data.widen_into(start, values);
                }
                let mut line = vec![0.0; inputs * taps];
                self.data.widen_into(start, &mut line);
                for (tap, values) in values.chunks_exact_mut(inputs).enumerate() {
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = line[i * taps + tap];
                    }
                }
            })
        })
    }

    /// B of the input gradient: `[taps * O, I]`, taps in reverse order (a correlation's transpose is the
    /// correlation with the flipped kernel).
    pub(super) fn backward(&self, pool: &Arc<Pool>) -> Held<'_> {
        self.held(&self.backward, || {
            let (outputs, inputs, taps) = self.dims();
            Panels::from_rows(pool, (taps * outputs, inputs), outputs, |o, emit| {
                let mut line = vec![0.0; inputs * taps];
                self.data.widen_into(o * inputs * taps, &mut line);
                if taps == 1 {
                    return emit(o, &line);
                }
                let mut row = vec![0.0; inputs];
                for tap in 0..taps {
                    for (i, value) in row.iter_mut().enumerate() {
                        *value = line[i * taps + taps - 1 - tap];
                    }
                    emit(tap * outputs + o, &row);
                }
            })
        })
    }

    /// B of the forward product in bfloat16.
    pub(super) fn forward_pairs(&self, pool: &Arc<Pool>) -> Held<'_, PairPanels> {
        self.held(&self.forward_pairs, || PairPanels::forward(pool, &self.data, self.dims()))
    }

    /// B of the input gradient in bfloat16.
    pub(super) fn backward_pairs(&self, pool: &Arc<Pool>) -> Held<'_, PairPanels> {
        self.held(&self.backward_pairs, || PairPanels::backward(pool, &self.data, self.dims()))
    }

    /// Winograd's transform of a 3x3 filter.
    pub(super) fn forward_filter(&self, pool: &Arc<Pool>) -> Held<'_, Filter> {
        let (outputs, inputs, _) = self.dims();
        let make = |taps: Taps<'_>| Filter::new(pool, taps, (inputs, outputs));
        self.filter(&self.forward_filter, || {
            if self.keep { make(Taps::Panels(&self.forward(pool))) } else { make(Taps::Stored(&self.data)) }
        })
    }

    /// The same for the input gradient.
    pub(super) fn backward_filter(&self, pool: &Arc<Pool>) -> Held<'_, Filter> {
        let (outputs, inputs, _) = self.dims();
        let make = |taps: Taps<'_>| Filter::new(pool, taps, (outputs, inputs));
        self.filter(&self.backward_filter, || {
            if self.keep { make(Taps::Panels(&self.backward(pool))) } else { make(Taps::Flipped(&self.data)) }
        })
    }

    fn filter<'a>(&self, slot: &'a OnceLock<Filter>, make: impl FnOnce() -> Filter) -> Held<'a, Filter> {
        if let Some(filter) = slot.get() {
            return Held::Kept(filter);
        }
        let (outputs, inputs, _) = self.dims();
        let bytes = 4 * FREQUENCIES * outputs * inputs;
        let reserved = if self.keep { Reserved::new(&self.room, bytes) } else { None };
        let Some(reserved) = reserved else {
            return Held::Made(make());
        };
        let (kept, first) = fill(slot, make);
        if first {
            std::mem::forget(reserved);
        }
        Held::Kept(kept)
    }

    /// Row `index` of a table.
    pub(super) fn row(&self, index: usize, out: &mut [f32]) {
        assert_eq!(self.layout, WeightLayout::Table);
        if self.keep {
            let table = self.table.get_or_init(|| self.data.to_f32());
            out.copy_from_slice(&table[index * out.len()..(index + 1) * out.len()]);
        } else {
            self.data.widen_into(index * out.len(), out);
        }
    }

    fn held<'a, T>(&self, slot: &'a OnceLock<T>, make: impl FnOnce() -> T) -> Held<'a, T> {
        let make = || {
            let panels = make();
            if self.keep {
                self.data.release();
            }
            panels
        };
        if self.keep { Held::Kept(fill(slot, make).0) } else { Held::Made(make()) }
    }
}

/// Fills a slot; returns its value, and true if this call made it. The value is made outside the slot's lock:
/// a worker that waits for others inside `make` may start another job, which would need the same slot and
/// wait for itself. Jobs that find it empty at the same time make one each, and the first is kept.
fn fill<T>(slot: &OnceLock<T>, make: impl FnOnce() -> T) -> (&T, bool) {
    if let Some(kept) = slot.get() {
        return (kept, false);
    }
    let made = make();
    let mut first = false;
    let kept = slot.get_or_init(|| {
        first = true;
        made
    });
    (kept, first)
}

/// Packs B of the forward product for a trained filter `[O, taps, I]`.
pub(super) fn trained_forward(
    pool: &Arc<Pool>,
    filter: &[f32],
    (outputs, inputs, taps): (usize, usize, usize),
) -> Panels {
    let depth = taps * inputs;
    Panels::from_columns(pool, (depth, outputs), |o, values| {
        values.copy_from_slice(&filter[o * depth..(o + 1) * depth]);
    })
}

/// Packs B of the input gradient for a trained filter `[O, taps, I]`, taps in reverse order.
pub(super) fn trained_backward(
    pool: &Arc<Pool>,
    filter: &[f32],
    (outputs, inputs, taps): (usize, usize, usize),
) -> Panels {
    Panels::from_rows(pool, (taps * outputs, inputs), outputs, |o, emit| {
        for tap in 0..taps {
            let start = (o * taps + taps - 1 - tap) * inputs;
            emit(tap * outputs + o, &filter[start..start + inputs]);
        }
    })
}
