//! Which samples a step sees: a function of (seed, step, slot).
//!
//! A run walks through shuffled epochs. Slot `j` of step `s` (from 1) with `n` samples per step is position
//! `(s - 1) n + j` of that walk; every epoch is a permutation of its own.

use crate::random::{self, Purpose};

/// The walk through a list of samples, with the epoch that was last asked for at hand.
#[derive(Debug, Clone)]
pub struct Order {
    seed: u64,
    samples: Vec<usize>,
    epoch: u64,
    shuffled: Vec<usize>,
}

impl Order {
    /// A walk through `samples` (indices into the dataset; at least one).
    pub fn new(seed: u64, samples: Vec<usize>) -> Self {
        let shuffled = shuffle(seed, 0, &samples);
        Self { seed, samples, epoch: 0, shuffled }
    }

    /// The samples of `step` (from 1), `size` of them.
    pub fn step(&mut self, step: u64, size: usize) -> Vec<usize> {
        let first = (step - 1) * size as u64;
        (first..first + size as u64).map(|position| self.at(position)).collect()
    }

    fn at(&mut self, position: u64) -> usize {
        let count = self.samples.len() as u64;
        let epoch = position / count;
        if epoch != self.epoch {
            self.shuffled = shuffle(self.seed, epoch, &self.samples);
            self.epoch = epoch;
        }
        self.shuffled[(position % count) as usize]
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

    #[test]
    fn every_epoch_shows_every_sample_once_in_another_order() {
        let samples = vec![2, 3, 5, 7, 11, 13, 17];
        let mut order = Order::new(9, samples.clone());
        let walk: Vec<usize> = (1..=6).flat_map(|s| order.step(s, 7)).collect();
        for epoch in walk.chunks(7) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, samples);
        }
        assert_ne!(walk[..7], walk[7..14]);
    }

    #[test]
    fn a_step_is_the_same_whatever_was_asked_before() {
        let mut forward = Order::new(1, (0..10).collect());
        let all: Vec<_> = (1..=20).map(|s| forward.step(s, 3)).collect();
        let mut jumping = Order::new(1, (0..10).collect());
        for s in [20, 3, 11, 1, 19] {
            assert_eq!(jumping.step(s, 3), all[s as usize - 1]);
        }
    }

    #[test]
    fn one_batch_of_four_is_two_micro_batches_of_two() {
        let mut order = Order::new(4, (0..9).collect());
        let step = order.step(5, 4);
        assert_eq!(step, [&step[..2], &step[2..]].concat());
    }

    #[test]
    fn the_held_out_samples_depend_on_the_seed_alone() {
        assert_eq!(held_out(1, 50, 5), held_out(1, 50, 5));
        assert_ne!(held_out(1, 50, 5), held_out(2, 50, 5));
        assert_eq!(held_out(1, 3, 9).len(), 3);
    }
}
