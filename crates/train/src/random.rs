//! Randomness from position: every random number of a run is a function of what it is for and where it is
//! used, never of what was drawn before. There is no generator state to save, so a resumed run is the same
//! run.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// The use of random numbers. Each purpose has streams of its own, so that using more numbers for one
/// leaves all others as they were. (The geometry of a sample is drawn by the dataset crate, in the same way.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The order of an epoch: (epoch, 0).
    Order,
    /// Which samples are held out: (0, 0).
    HeldOut,
    /// A sample's time step: (step, slot).
    Timestep,
    /// A sample's diffusion noise: (step, slot).
    Noise,
    /// The draw from the autoencoder's posterior: (step, slot).
    Posterior,
    /// Diffusion noise of validation: (sample, draw).
    ValidationNoise,
    /// The adapter's initial values: (0, 0).
    Adapter,
    /// The signs that GradDrop keeps: (step, parameter).
    GradDrop,
    /// A control network's initial values: (0, 0).
    Control,
    /// Whether a sample's control image is black: (step, slot).
    ControlDropout,
    /// The order in which another run's weights are used: (round, 0).
    Replay,
}

impl Purpose {
    fn tag(self) -> &'static [u8; 8] {
        match self {
            Purpose::Order => b"order   ",
            Purpose::HeldOut => b"held out",
            Purpose::Timestep => b"timestep",
            Purpose::Noise => b"noise   ",
            Purpose::Posterior => b"posterio",
            Purpose::ValidationNoise => b"validate",
            Purpose::Adapter => b"adapter ",
            Purpose::GradDrop => b"graddrop",
            Purpose::Control => b"control ",
            Purpose::ControlDropout => b"ctrldrop",
            Purpose::Replay => b"replay  ",
        }
    }
}

/// The stream of random numbers for `purpose` at position `(a, b)`: ChaCha8 under the 32-byte key
/// `seed | a | b | purpose` (little-endian).
pub fn stream(seed: u64, purpose: Purpose, a: u64, b: u64) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&a.to_le_bytes());
    key[16..24].copy_from_slice(&b.to_le_bytes());
    key[24..].copy_from_slice(purpose.tag());
    ChaCha8Rng::from_seed(key)
}

/// A seed of its own for what is drawn once in a run.
pub fn seed_of(seed: u64, purpose: Purpose) -> u64 {
    stream(seed, purpose, 0, 0).next_u64()
}

/// `count` values of N(0, 1) (Box and Muller 1958).
pub fn normal(rng: &mut impl RngCore, count: usize) -> Vec<f32> {
    let mut unit = || ((rng.next_u64() >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let (radius, angle) = ((-2.0 * unit().ln()).sqrt(), std::f64::consts::TAU * unit());
        values.extend([(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]);
    }
    values.truncate(count);
    values
}

/// A number in [0, 1).
pub fn unit(rng: &mut impl RngCore) -> f64 {
    (rng.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
}

/// A whole number in `0..bound`, all alike to one part in 2^32 or better.
pub fn below(rng: &mut impl RngCore, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// `0..count` in random order (Fisher and Yates).
pub fn permutation(rng: &mut impl RngCore, count: usize) -> Vec<usize> {
    let mut list: Vec<usize> = (0..count).collect();
    for i in (1..count).rev() {
        list.swap(i, below(rng, i + 1));
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_gives_the_same_numbers_every_time_and_others_give_others() {
        let draw = |seed, purpose, a, b| normal(&mut stream(seed, purpose, a, b), 9);
        let here = draw(1, Purpose::Noise, 7, 3);
        assert_eq!(here, draw(1, Purpose::Noise, 7, 3));
        for other in [
            draw(2, Purpose::Noise, 7, 3),
            draw(1, Purpose::Noise, 3, 7),
            draw(1, Purpose::Noise, 7, 4),
            draw(1, Purpose::Posterior, 7, 3),
        ] {
            assert_ne!(here, other);
        }
    }

    #[test]
    fn normal_values_have_mean_0_and_variance_1() {
        let values = normal(&mut stream(0, Purpose::Noise, 0, 0), 100_001);
        let n = values.len() as f64;
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
        let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn a_permutation_holds_every_index_once() {
        let mut list = permutation(&mut stream(3, Purpose::Order, 5, 0), 1000);
        assert_ne!(list, (0..1000).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..1000).collect::<Vec<_>>());
        assert!(permutation(&mut stream(3, Purpose::Order, 5, 0), 0).is_empty());
    }
}
