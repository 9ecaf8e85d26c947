//! Random numbers of weightings, from position: a function of seed and step, so that there is no generator
//! state to save. The functions are `libm`'s, which give the same bits on every machine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// ChaCha8 under the 32-byte key `seed | step | 0 | purpose` (little-endian).
fn generator(seed: u64, step: u64, purpose: &[u8; 8]) -> ChaCha8Rng {
    let mut key = [0u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key[24..].copy_from_slice(purpose);
    ChaCha8Rng::from_seed(key)
}

/// `count` values of N(0, 1) (Box and Muller 1958), under the purpose "weights ".
pub(crate) fn normals(seed: u64, step: u64, count: usize) -> Vec<f64> {
    let mut rng = generator(seed, step, b"weights ");
    // In (0, 1].
    let mut unit = || ((rng.next_u64() >> 11) + 1) as f64 * (1.0 / (1u64 << 53) as f64);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let (radius, angle) = ((-2.0 * libm::log(unit())).sqrt(), std::f64::consts::TAU * unit());
        values.extend([radius * libm::cos(angle), radius * libm::sin(angle)]);
    }
    values.truncate(count);
    values
}

/// `count` permutations of `0..count`, each by Fisher and Yates, under the purpose "orders  ".
pub(crate) fn orders(seed: u64, step: u64, count: usize) -> Vec<Vec<usize>> {
    let mut rng = generator(seed, step, b"orders  ");
    let mut shuffled = || {
        let mut order: Vec<usize> = (0..count).collect();
        for last in (1..count).rev() {
            // The remainder of 64 bits by at most 32 is uneven by less than 1e-17.
            order.swap(last, (rng.next_u64() % (last as u64 + 1)) as usize);
        }
        order
    };
    (0..count).map(|_| shuffled()).collect()
}
