//! Statistics of paired comparisons: intervals by Student's t and by the bootstrap, the sign test, Wilson's
//! interval of a share, Holm's correction for several tests.

mod bootstrap;
mod normal;
mod random;
mod share;
mod student;

pub use bootstrap::{Bootstrap, bootstrap, resampled};
pub use normal::{cumulative, quantile as normal_quantile};
pub use random::Random;
pub use share::{holm, sign_test, wilson};
pub use student::{student, t_test};

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
