//! Which samples a step sees: a function of (seed, step, slot).
//!
//! A run walks through shuffled epochs. Without buckets, slot `j` of step `s` (from 1) with `n` samples per
//! step is position `(s - 1) n + j` of that walk; every epoch is a permutation of its own. With aspect-ratio
//! buckets the walk is one of batches, each of one size, and micro-batch `j` of step `s` with `a` of them per
//! step is position `(s - 1) a + j`; the last batch of a bucket may be smaller.

use fairhuman_dataset::buckets::{batches, bucketed_order};

use crate::random::{self, Purpose};

/// The walk through a list of samples, with the epoch that was last asked for at hand.
#[derive(Debug, Clone)]
pub struct Order {
    seed: u64,
    /// Samples as often as they come in an epoch.
    samples: Vec<usize>,
    batch: usize,
    accumulation: usize,
    walk: Walk,
}

/// An epoch.
#[derive(Debug, Clone)]
enum Walk {
    /// All samples of one size.
    Samples { epoch: u64, shuffled: Vec<usize> },
    /// The size of every sample; batches of positions in the list of samples.
    Batches { sizes: Vec<(u32, u32)>, epoch: u64, shuffled: Vec<Vec<usize>> },
}

impl Order {
    /// A walk through `samples` (indices into the dataset; at least one; more than once for one that comes
    /// more often), `accumulation` micro-batches of `batch` samples per step. `sizes`: with buckets, the size
    /// of every sample.
    pub fn new(
        seed: u64,
        samples: Vec<usize>,
        sizes: Option<Vec<(u32, u32)>>,
        (batch, accumulation): (usize, usize),
    ) -> Self {
        let walk = match sizes {
            None => Walk::Samples { epoch: 0, shuffled: shuffle(seed, 0, &samples) },
            Some(sizes) => {
                let shuffled = bucketed_order(seed, 0, &sizes, batch);
                Walk::Batches { sizes, epoch: 0, shuffled }
            }
        };
        Self { seed, samples, batch, accumulation, walk }
    }

    /// The micro-batches of `step` (from 1).
    pub fn step(&mut self, step: u64) -> Vec<Vec<usize>> {
        let first = (step - 1) * self.accumulation as u64;
        (first..first + self.accumulation as u64).map(|position| self.micro_batch(position)).collect()
    }

    fn micro_batch(&mut self, position: u64) -> Vec<usize> {
        let Self { seed, samples, batch, walk, .. } = self;
        let size = *batch as u64;
        match walk {
            Walk::Samples { epoch, shuffled } => {
                let at = |position: u64| {
                    let count = samples.len() as u64;
                    if position / count != *epoch {
                        *epoch = position / count;
                        *shuffled = shuffle(*seed, *epoch, samples);
                    }
                    shuffled[(position % count) as usize]
                };
                (position * size..(position + 1) * size).map(at).collect()
            }
            Walk::Batches { sizes, epoch, shuffled } => {
                let count = batches(sizes, *batch) as u64;
                if position / count != *epoch {
                    *epoch = position / count;
                    *shuffled = bucketed_order(*seed, *epoch, sizes, *batch);
                }
                shuffled[(position % count) as usize].iter().map(|&i| samples[i]).collect()
            }
        }
    }
}

fn shuffle(seed: u64, epoch: u64, samples: &[usize]) -> Vec<usize> {
    let order = random::permutation(&mut random::stream(seed, Purpose::Order, epoch, 0), samples.len());
    order.into_iter().map(|i| samples[i]).collect()
}

/// `count` of `0..total`, chosen by the seed alone, ascending.
pub fn held_out(seed: u64, total: usize, count: usize) -> Vec<usize> {
    let mut list = random::permutation(&mut random::stream(seed, Purpose::HeldOut, 0, 0), total);
    list.truncate(count);
    list.sort_unstable();
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(order: &mut Order, steps: std::ops::RangeInclusive<u64>) -> Vec<usize> {
        steps.flat_map(|s| order.step(s).concat()).collect()
    }

    #[test]
    fn every_epoch_shows_every_sample_as_often_as_it_is_listed_in_another_order() {
        let samples = vec![2, 3, 5, 7, 11, 13, 13];
        let mut order = Order::new(9, samples.clone(), None, (7, 1));
        let walk = walk(&mut order, 1..=6);
        for epoch in walk.chunks(7) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, samples);
        }
        assert_ne!(walk[..7], walk[7..14]);
    }

    #[test]
    fn a_step_is_the_same_whatever_was_asked_before() {
        let sizes =
            |buckets: bool| buckets.then(|| (0..10).map(|i| [(8, 16), (16, 8), (8, 8)][i % 3]).collect());
        for buckets in [false, true] {
            let new = || Order::new(1, (0..10).collect(), sizes(buckets), (3, 2));
            let mut forward = new();
            let all: Vec<_> = (1..=20).map(|s| forward.step(s)).collect();
            let mut jumping = new();
            for s in [20, 3, 11, 1, 19] {
                assert_eq!(jumping.step(s), all[s as usize - 1]);
            }
        }
    }

    #[test]
    fn one_batch_of_four_is_two_micro_batches_of_two() {
        let order = |parts| Order::new(4, (0..9).collect(), None, parts);
        assert_eq!(walk(&mut order((4, 1)), 1..=5), walk(&mut order((2, 2)), 1..=5));
        assert!(order((2, 2)).step(1).iter().all(|batch| batch.len() == 2));
    }

    #[test]
    fn with_buckets_a_micro_batch_has_one_size_and_an_epoch_every_sample() {
        let sizes: Vec<(u32, u32)> = (0..11).map(|i| if i % 4 == 0 { (8, 16) } else { (16, 8) }).collect();
        let samples: Vec<usize> = (100..111).collect();
        let mut order = Order::new(2, samples.clone(), Some(sizes.clone()), (2, 1));
        // Buckets of 3 and 8 samples: 2 and 4 batches.
        for epoch in 0..3 {
            let batches: Vec<Vec<usize>> = (1..=6).flat_map(|s| order.step(6 * epoch + s)).collect();
            for batch in &batches {
                assert!(batch.iter().all(|&i| sizes[i - 100] == sizes[batch[0] - 100]), "{batch:?}");
            }
            let mut seen = batches.concat();
            seen.sort_unstable();
            assert_eq!(seen, samples);
        }
    }

    #[test]
    fn the_held_out_samples_depend_on_the_seed_alone() {
        assert_eq!(held_out(1, 50, 5), held_out(1, 50, 5));
        assert_ne!(held_out(1, 50, 5), held_out(2, 50, 5));
        assert_eq!(held_out(1, 3, 9).len(), 3);
    }
}
