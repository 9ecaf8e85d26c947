//! Elementary functions as branch-free polynomial code that compilers vectorise.
//!
//! Always inlined, so that each caller's instruction set is used. Errors are a few units in the last place.

/// e^x: Cody-Waite reduction by ln 2 and a polynomial of degree 6 on [-ln2/2, ln2/2].
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.0);
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low mantissa bits.
    let magic = 12_582_912.0f32;
    let shifted = x * std::f32::consts::LOG2_E + magic;
    let n = shifted - magic;
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let mut p = 1.388_888_9e-3f32;
    p = p * r + 8.333_334e-3;
    p = p * r + 4.166_666_6e-2;
    p = p * r + 1.666_666_7e-1;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    let power = (shifted.to_bits() << 23).wrapping_add(0x3f80_0000);
    p * f32::from_bits(power)
}

/// The logistic function.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function: an odd rational approximation on [-4, 4], where it reaches 1 in f32.
#[inline(always)]
pub(super) fn erf(x: f32) -> f32 {
    let far = x.abs() >= 4.0;
    let one = 1.0f32.copysign(x);
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let mut p = -2.726_142_3e-10f32;
    p = p * s + 2.770_681_4e-8;
    p = p * s - 2.101_024e-6;
    p = p * s - 5.692_506_4e-5;
    p = p * s - 7.349_906_3e-4;
    p = p * s - 2.954_6e-3;
    p = p * s - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5f32;
    q = q * s - 2.133_740_6e-4;
    q = q * s - 1.682_827e-3;
    q = q * s - 7.373_329_2e-3;
    q = q * s - 1.426_473_9e-2;
    // Exactly one beyond: 1 + erf may be multiplied by something huge.
    if far { one } else { x * p / q }
}

/// tanh through e^2x.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let small = x * (1.0 - x * x * (1.0 / 3.0 - x * x * (2.0 / 15.0 - x * x * (17.0 / 315.0))));
    let large = 1.0 - 2.0 / (1.0 + exp(2.0 * x));
    if x.abs() < 0.2 { small } else { large }
}

/// Standard normal distribution function.
#[inline(always)]
pub(super) fn phi(x: f32) -> f32 {
    0.5 + 0.5 * erf(x * std::f32::consts::FRAC_1_SQRT_2)
}

/// Standard normal density.
#[inline(always)]
pub(super) fn density(x: f32) -> f32 {
    0.398_942_3 * exp(-0.5 * x * x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, f: impl Fn(f32) -> f32, exact: impl Fn(f64) -> f64, tolerance: f64) {
        for i in -8000..8000 {
            let x = i as f32 * 1e-3;
            let (got, want) = (f(x) as f64, exact(x as f64));
            assert!(
                (got - want).abs() <= tolerance * want.abs().max(0.05),
                "{name}({x}) = {got}, not {want}"
            );
        }
    }

    /// erf by its series, which converges everywhere.
    fn erf_series(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..400 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        (sum * std::f64::consts::FRAC_2_SQRT_PI).clamp(-1.0, 1.0)
    }

    #[test]
    fn functions_agree_with_their_definitions() {
        check("exp", exp, f64::exp, 5e-7);
        check("sigmoid", sigmoid, |x| 1.0 / (1.0 + (-x).exp()), 5e-7);
        check("tanh", tanh, f64::tanh, 1e-6);
        check("erf", |x| erf(x * 0.4), |x| erf_series(x as f32 as f64 * 0.4f32 as f64), 1e-6);
        check("phi", |x| phi(x * 0.5), |x| 0.5 + 0.5 * erf_series(x * 0.5 / 2f64.sqrt()), 4e-6);
    }

    #[test]
    fn exp_saturates_instead_of_overflowing() {
        assert!(exp(-1e30) < 1e-37 && exp(-1e30) >= 0.0);
        assert!(exp(1e30).is_finite());
    }
}
