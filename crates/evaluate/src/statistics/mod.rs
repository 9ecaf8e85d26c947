//! Statistics of paired comparisons: intervals by Student's t and by the bootstrap, the sign test, Wilson's
//! interval of a share, Holm's correction for several tests.

mod bootstrap;
mod normal;
mod random;
mod share;

pub use bootstrap::{Bootstrap, bootstrap, resampled};
pub use normal::{cumulative, quantile as normal_quantile};
pub use random::Random;
pub use share::{holm, sign_test, wilson};

/// Mean and standard deviation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// The standard deviation, by `n - 1`; NaN for one value.
    pub deviation: f64,
}

/// A number with its interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The number.
    pub mean: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// True if the interval does not hold 0.
    pub fn is_clear(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// Mean and standard deviation.
pub fn mean(values: &[f64]) -> Mean {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    Mean { mean, deviation: (squares / (n - 1.0)).sqrt() }
}

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

/// The value below which the share `share` of ascending values lies, by the nearest rank.
///
/// # Panics
/// Without values.
pub fn quantile(ascending: &[f64], share: f64) -> f64 {
    ascending[((ascending.len() - 1) as f64 * share.clamp(0.0, 1.0)).round() as usize]
}

/// The smallest true difference of means that a paired test at 5 % finds in four of five experiments like
/// this one: (z_0.975 + z_0.8) standard errors. NaN for one value.
pub fn detectable(differences: &[f64]) -> f64 {
    (1.959_964 + 0.841_621) * mean(differences).deviation / (differences.len() as f64).sqrt()
}
