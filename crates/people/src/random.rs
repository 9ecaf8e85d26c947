//! Random choices of one picture: a ChaCha stream named by (seed, index), so that no picture depends on
//! another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A source of choices; two sources with the same seed and index make the same choices.
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The choices of picture `index` under `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        stream.set_stream(index);
        Self(stream)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f32 {
        (self.0.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `[middle - spread, middle + spread)`.
    pub fn about(&mut self, middle: f32, spread: f32) -> f32 {
        self.between(middle - spread, middle + spread)
    }

    /// True with the given probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// `1.0` or `-1.0`.
    pub fn sign(&mut self) -> f32 {
        if self.chance(0.5) { 1.0 } else { -1.0 }
    }

    /// One of `choices`, which must not be empty, with equal probability.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[(self.unit() * choices.len() as f32) as usize % choices.len()]
    }

    /// One of `choices` (not empty) in proportion to the weights beside them.
    pub fn weighted<T: Copy>(&mut self, choices: &[(f32, T)]) -> T {
        let total: f32 = choices.iter().map(|c| c.0).sum();
        let mut left = self.unit() * total;
        for &(weight, choice) in choices {
            if left < weight {
                return choice;
            }
            left -= weight;
        }
        choices[choices.len() - 1].1
    }
}
