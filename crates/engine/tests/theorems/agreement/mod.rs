//! `Cpu` computes what `Reference` computes: every operation, at sizes that are no multiple of any tile, with
//! every kind of weight, and with and without what is added. Each experiment also runs twice on the same backend,
//! in buffers that others have used before, and gives the same bits.

mod attention;
mod conv;
mod linear;
mod norms;
mod parameters;
mod pointwise;
mod structure;

use crate::common::{CPUS, Exact, assert_close, noise, tensor};
use fairhuman_engine::{Backend, DType, Lanes, Reference, WeightData, WeightLayout, WeightRef};
use std::fmt::Debug;
use std::sync::Arc;

/// Relative to the largest value of a result.
const TOLERANCE: f64 = 1e-5;

/// Sizes around the tiles of kernels: one, primes, powers of two and their neighbours.
const CHANNELS: [usize; 7] = [1, 3, 16, 31, 64, 65, 129];

/// Work that any backend can do.
trait Experiment: Debug {
    fn run<B: Exact>(&self, backend: &B) -> Results;
}

/// Named results of an experiment: shapes and values.
#[derive(Debug, Default, PartialEq)]
struct Results(Vec<(&'static str, Vec<usize>, Vec<f64>)>);

impl Results {
    fn push<B: Exact>(&mut self, backend: &B, name: &'static str, tensor: &B::Tensor) {
        self.0.push((name, B::shape(tensor).to_vec(), backend.values(tensor)));
    }
}

fn assert_agree(experiment: &impl Experiment) {
    assert_agree_within(TOLERANCE, experiment);
}

fn assert_agree_within(tolerance: f64, experiment: &impl Experiment) {
    let expected = experiment.run(&Reference);
    let alone = experiment.run(&CPUS[0]);
    for cpu in [&CPUS[1], &CPUS[3]] {
        assert!(alone == experiment.run(cpu), "{experiment:?} depends on the number of threads");
    }
    for cpu in CPUS.iter() {
        let found = experiment.run(cpu);
        assert_eq!(found.0.len(), expected.0.len());
        for ((name, shape, found), (_, expected_shape, expected)) in found.0.iter().zip(&expected.0) {
            let what = format!("{name} of {experiment:?}");
            assert_eq!(shape, expected_shape, "shape of {what}");
            assert_close(&what, found, expected, tolerance);
        }
        assert!(found == experiment.run(cpu), "two runs of {experiment:?} differ");
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

/// Where a weight lies.
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
    fn kernel(&self) -> WeightRef<'_, B> {
        match self {
            Weight::Frozen(weight) => WeightRef::Frozen(weight),
            Weight::Trained(tensor) => WeightRef::Trained(tensor),
        }
    }
}

/// Noise as a weight; `shape` is the file's. A trained filter `[O, I, kh, kw]` is `[O, kh, kw, I]`.
fn weight<B: Backend>(backend: &B, stored: Stored, layout: WeightLayout, shape: &[usize]) -> Weight<B> {
    let frozen = |dtype| Weight::Frozen(backend.weight(&file(dtype, shape), layout));
    match (stored, shape) {
        (Stored::F32, _) => frozen(DType::F32),
        (Stored::F16, _) => frozen(DType::F16),
        (Stored::BF16, _) => frozen(DType::BF16),
        (Stored::Trained, &[o, i, h, w]) => Weight::Trained(tensor(backend, 50, &[o, h, w, i])),
        (Stored::Trained, _) => Weight::Trained(tensor(backend, 50, shape)),
    }
}

/// Noise in a file's bytes, one byte off every alignment.
fn file(dtype: DType, shape: &[usize]) -> WeightData {
    let values = noise(51, shape.iter().product());
    let mut bytes = vec![0xAB];
    for value in values {
        match dtype {
            DType::F32 => bytes.extend(value.to_le_bytes()),
            DType::F16 => bytes.extend(half::f16::from_f32(value).to_le_bytes()),
            DType::BF16 => bytes.extend(half::bf16::from_f32(value).to_le_bytes()),
        }
    }
    let range = 1..bytes.len();
    WeightData::new(dtype, shape.to_vec(), Arc::new(bytes), range)
}

/// A tensor if `wanted`.
fn optional<B: Backend>(backend: &B, wanted: bool, seed: u64, shape: &[usize]) -> Option<B::Tensor> {
    wanted.then(|| tensor(backend, seed, shape))
}

/// Runs `vjp` with nothing to add to, with a sum of its own, and with one that somebody else still holds and that
/// must not change.
fn with_every_acc<B: Exact>(
    backend: &B,
    results: &mut Results,
    shape: &[usize],
    vjp: impl Fn(Option<B::Tensor>) -> B::Tensor,
) {
    results.push(backend, "input", &vjp(None));
    results.push(backend, "input added to a sum", &vjp(Some(tensor(backend, 60, shape))));
    let kept = tensor(backend, 60, shape);
    results.push(backend, "input added to a shared sum", &vjp(Some(kept.clone())));
    results.push(backend, "shared sum", &kept);
}

/// `[first, middle.., last]`.
fn shape_of(first: usize, middle: &[usize], last: usize) -> Vec<usize> {
    [&[first], middle, &[last]].concat()
}
