//! A backend computes what `Reference` computes: every operation, at sizes that are no multiple of any tile,
//! with every kind of weight, and with and without what is added. Each experiment also runs twice on the same
//! instance, in memory that others have used before; where the backend's bits repeat, all runs on all
//! instances give the same bits.

mod attention;
mod conv;
mod linear;
mod network;
mod norms;
mod parameters;
mod pointwise;
mod structure;

pub use attention::*;
pub use conv::*;
pub use linear::*;
pub use network::*;
pub use norms::*;
pub use parameters::*;
pub use pointwise::*;
pub use structure::*;

use crate::numbers::{assert_close, noise, stored_values};
use crate::{Instance, Subject};
use fairhuman_engine::{Backend, DType, Lanes, WeightLayout, WeightRef};
use std::fmt::Debug;

/// Sizes around the tiles of kernels: one, primes, powers of two and their neighbours.
const CHANNELS: [usize; 7] = [1, 3, 16, 31, 64, 65, 129];

/// Work that any backend can do.
trait Experiment: Debug {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results;
}

/// Named results of an experiment: shapes and values.
#[derive(Debug, Clone, Default, PartialEq)]
struct Results(Vec<(&'static str, Vec<usize>, Vec<f64>)>);

impl Results {
    fn push<B: Backend>(&mut self, on: Instance<'_, B>, name: &'static str, tensor: &B::Tensor) {
        self.0.push((name, B::shape(tensor).to_vec(), on.values(tensor)));
    }
}

impl<B: Backend> Subject<B> {
    fn assert_agrees(&self, experiment: &impl Experiment) {
        self.assert_agrees_within(self.tolerances.operations, experiment);
    }

    fn assert_agrees_within(&self, tolerance: f64, experiment: &impl Experiment) {
        let expected = experiment.run(self.oracle());
        let mut first: Option<Results> = None;
        for on in self.instances() {
            let found = experiment.run(on);
            assert_eq!(found.0.len(), expected.0.len());
            for ((name, shape, found), (_, expected_shape, expected)) in found.0.iter().zip(&expected.0) {
                let what = format!("{name} of {experiment:?}");
                assert_eq!(shape, expected_shape, "shape of {what}");
                assert_close(&what, found, expected, tolerance);
            }
            if self.bits_repeat {
                assert!(found == experiment.run(on), "two runs of {experiment:?} differ");
                let first = first.get_or_insert_with(|| found.clone());
                assert!(*first == found, "{experiment:?} depends on the instance");
            }
        }
    }
}

/// Choices made from a case's number, spread over all combinations as the numbers go.
struct Choices(u64);

impl Choices {
    fn index(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(1 << 20);
        ((noise(self.0, 1)[0] + 1.0) / 2.0 * count as f32) as usize
    }

    fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.index(list.len())]
    }

    fn flag(&mut self) -> bool {
        self.index(2) == 1
    }
}

/// One objective that sees all samples, one that is absent, one that sees every other sample, one the last.
fn lanes_with_gaps(samples: usize) -> Lanes {
    Lanes::new(
        samples,
        &[(0..samples).collect(), vec![], (0..samples).step_by(2).collect(), vec![samples - 1]],
    )
}

/// Type and place of a weight.
#[derive(Debug, Clone, Copy)]
enum Stored {
    F32,
    F16,
    BF16,
    Trained,
}

const STORED: [Stored; 4] = [Stored::F32, Stored::F16, Stored::BF16, Stored::Trained];

/// A weight of an experiment.
enum Weight<B: Backend> {
    Frozen(B::Weight),
    Trained(B::Tensor),
}

impl<B: Backend> Weight<B> {
    fn value(&self) -> WeightRef<'_, B> {
        match self {
            Weight::Frozen(weight) => WeightRef::Frozen(weight),
            Weight::Trained(tensor) => WeightRef::Trained(tensor),
        }
    }
}

/// Noise as a weight; `shape` is the file's. A trained filter `[O, I, kh, kw]` is `[O, kh, kw, I]`.
fn weight<B: Backend>(on: Instance<'_, B>, kind: Stored, layout: WeightLayout, shape: &[usize]) -> Weight<B> {
    let values = on.rounded(51, shape.iter().product());
    let frozen = |dtype| Weight::Frozen(on.backend.weight(&stored_values(dtype, shape, &values), layout));
    match (kind, shape) {
        (Stored::F32, _) => frozen(DType::F32),
        (Stored::F16, _) => frozen(DType::F16),
        (Stored::BF16, _) => frozen(DType::BF16),
        (Stored::Trained, &[o, i, h, w]) => Weight::Trained(on.tensor(50, &[o, h, w, i])),
        (Stored::Trained, _) => Weight::Trained(on.tensor(50, shape)),
    }
}

/// A tensor if `wanted`.
fn optional<B: Backend>(on: Instance<'_, B>, wanted: bool, seed: u64, shape: &[usize]) -> Option<B::Tensor> {
    wanted.then(|| on.tensor(seed, shape))
}

/// Runs `vjp` with nothing to add to, with a sum of its own, and with one that somebody else still holds and
/// that must not change.
fn with_every_acc<B: Backend>(
    on: Instance<'_, B>,
    results: &mut Results,
    shape: &[usize],
    vjp: impl Fn(Option<B::Tensor>) -> B::Tensor,
) {
    results.push(on, "input", &vjp(None));
    results.push(on, "input added to a sum", &vjp(Some(on.tensor(60, shape))));
    let kept = on.tensor(60, shape);
    results.push(on, "input added to a shared sum", &vjp(Some(kept.clone())));
    results.push(on, "shared sum", &kept);
}

/// `[first, middle.., last]`.
fn shape_of(first: usize, middle: &[usize], last: usize) -> Vec<usize> {
    [&[first], middle, &[last]].concat()
}
