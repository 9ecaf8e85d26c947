//! Student's t: the interval of a mean, and the test that a mean is 0.

use super::{Interval, Mean, mean};

/// The two-sided 95 % quantiles of Student's t, from 1 degree of freedom; beyond the table the normal one.
const T: [f64; 15] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
];

/// The mean with Student's interval; none for one value.
pub fn student(values: &[f64]) -> Option<Interval> {
    let Mean { mean, deviation } = mean(values);
    let degrees = values.len().checked_sub(2)?;
    let half = T.get(degrees).unwrap_or(&1.96) * deviation / (values.len() as f64).sqrt();
    Some(Interval { mean, low: mean - half, high: mean + half })
}

/// The two-sided p-value of Student's test that the mean of the values is 0 (Abramowitz and Stegun 1964,
/// equations 26.7.3 and 26.7.4); none for one value.
pub fn t_test(values: &[f64]) -> Option<f64> {
    let Mean { mean, deviation } = mean(values);
    let degrees = values.len().checked_sub(2)? + 1;
    if mean == 0.0 {
        return Some(1.0);
    }
    let t = mean.abs() / (deviation / (values.len() as f64).sqrt());
    let (sine, cosine) = (t / (degrees as f64).sqrt()).atan().sin_cos();
    // Terms of a series in the cosine, each made from the one before.
    let first = if degrees % 2 == 1 { cosine } else { 1.0 };
    let terms = (2 + degrees % 2..degrees).step_by(2);
    let mut term = first;
    let sum = terms.fold(first, |sum, n| {
        term *= cosine * cosine * (n as f64 - 1.0) / n as f64;
        sum + term
    });
    let within = match degrees {
        1 => std::f64::consts::FRAC_2_PI * sine.asin(),
        n if n % 2 == 1 => std::f64::consts::FRAC_2_PI * (sine.asin() + sine * sum),
        _ => sine * sum,
    };
    Some((1.0 - within).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values whose mean is `t` standard errors.
    fn values(count: usize, t: f64) -> Vec<f64> {
        let plain: Vec<f64> = (0..count).map(|i| i as f64).collect();
        let Mean { mean: middle, deviation } = mean(&plain);
        let shift = t * deviation / (count as f64).sqrt();
        plain.iter().map(|v| v - middle + shift).collect()
    }

    #[test]
    fn the_test_finds_the_levels_of_its_own_table() {
        for (degrees, &quantile) in T.iter().enumerate().map(|(i, t)| (i + 1, t)) {
            for sign in [1.0, -1.0] {
                let p = t_test(&values(degrees + 1, sign * quantile)).expect("a test");
                assert!((p - 0.05).abs() < 5e-5, "{degrees} degrees of freedom: {p}");
            }
        }
    }

    #[test]
    fn what_has_no_mean_or_no_spread_is_answered() {
        assert_eq!(t_test(&[1.0]), None);
        assert_eq!(t_test(&[-1.0, 1.0]), Some(1.0));
        assert_eq!(t_test(&[2.0, 2.0, 2.0]), Some(0.0));
    }
}
