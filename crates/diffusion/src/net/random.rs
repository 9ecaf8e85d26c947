//! Random tensors as pure functions of a seed and a name: no generator outlives a tensor, so nothing depends
//! on the order in which tensors are made.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::Init;

/// `count` values for the tensor `name` of a model that is drawn from `seed`.
pub(crate) fn draw(seed: u64, name: &str, count: usize, init: Init) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(fnv1a(name));
    // Uniform in (0, 1): the middles of 2^32 equal parts.
    let mut unit = move || (f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0;
    match init {
        Init::Constant(value) => vec![value; count],
        Init::Uniform(bound) => {
            (0..count).map(|_| ((2.0 * unit() - 1.0) * f64::from(bound)) as f32).collect()
        }
        Init::Normal(deviation) => {
            let mut values = Vec::with_capacity(count + 1);
            while values.len() < count {
                // Box & Muller 1958.
                let radius = (-2.0 * unit().ln()).sqrt() * f64::from(deviation);
                let (sin, cos) = (std::f64::consts::TAU * unit()).sin_cos();
                values.extend([(radius * cos) as f32, (radius * sin) as f32]);
            }
            values.truncate(count);
            values
        }
    }
}

/// The 64-bit FNV-1a hash: chosen for being simple to state and the same everywhere.
fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_depends_on_seed_and_name_alone() {
        let draw = |seed, name| draw(seed, name, 5, Init::Normal(1.0));
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
    }

    #[test]
    fn draws_have_the_moments_that_were_asked_for() {
        let moments = |values: &[f32]| {
            let n = values.len() as f64;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            (mean, values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n)
        };
        let (mean, variance) = moments(&draw(3, "n", 100_000, Init::Normal(0.5)));
        assert!(mean.abs() < 0.01 && (variance - 0.25).abs() < 0.01);
        let (mean, variance) = moments(&draw(3, "u", 100_000, Init::Uniform(0.3)));
        assert!(mean.abs() < 0.01 && (variance - 0.03).abs() < 0.001);
    }
}
