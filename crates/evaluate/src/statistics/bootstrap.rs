//! The bootstrap of a mean: percentile intervals, and those corrected for bias and acceleration.

use super::{Interval, Random, cumulative, mean, normal_quantile, quantile};

/// Both intervals of 95 % of a mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bootstrap {
    /// By percentiles (Efron 1979).
    pub percentile: Interval,
    /// Corrected for bias and acceleration (BCa; Efron 1987).
    pub corrected: Interval,
}

/// Resamples the values, which stand for what an experiment draws anew (prompts, pictures), `resamples` times
/// by a fixed seed. None for fewer than two values.
pub fn bootstrap(values: &[f64], resamples: usize) -> Option<Bootstrap> {
    if values.len() < 2 || resamples == 0 {
        return None;
    }
    let (n, found) = (values.len(), mean(values).mean);
    let mut random = Random::new(1);
    let mut means: Vec<f64> =
        (0..resamples).map(|_| (0..n).map(|_| values[random.below(n)]).sum::<f64>() / n as f64).collect();
    means.sort_by(f64::total_cmp);
    let interval =
        |low, high| Interval { mean: found, low: quantile(&means, low), high: quantile(&means, high) };
    let percentile = interval(0.025, 0.975);
    let corrected =
        corrected_shares(values, found, &means).map_or(percentile, |[low, high]| interval(low, high));
    Some(Bootstrap { percentile, corrected })
}

/// The percentile interval of any statistic of `count` things that an experiment draws anew: `of` is given
/// the positions of a resample. None for fewer than two things, or where the statistic of all is not finite.
pub fn resampled(count: usize, resamples: usize, of: impl Fn(&[usize]) -> f64) -> Option<Interval> {
    let found = of(&(0..count).collect::<Vec<_>>());
    if count < 2 || resamples == 0 || !found.is_finite() {
        return None;
    }
    let mut random = Random::new(1);
    let mut draws: Vec<f64> = (0..resamples)
        .map(|_| of(&(0..count).map(|_| random.below(count)).collect::<Vec<_>>()))
        .filter(|value| value.is_finite())
        .collect();
    draws.sort_by(f64::total_cmp);
    let at = |share| if draws.is_empty() { f64::NAN } else { quantile(&draws, share) };
    Some(Interval { mean: found, low: at(0.025), high: at(0.975) })
}

/// The shares of the resampled means at which the corrected interval ends; none where all values are equal.
fn corrected_shares(values: &[f64], found: f64, ascending: &[f64]) -> Option<[f64; 2]> {
    // Means that are equal but for rounding count half, as ties do.
    let close = 1e-12 * ascending.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let below = ascending.partition_point(|v| *v < found - close) as f64;
    let up_to = ascending.partition_point(|v| *v <= found + close) as f64;
    let bias = normal_quantile(0.5 * (below + up_to) / ascending.len() as f64);
    // The jackknife: leaving value i out moves the mean by (mean - v_i) / (n - 1).
    let influence = values.iter().map(|v| v - found);
    let (squares, cubes) = influence.fold((0.0, 0.0), |(s, c), d| (s + d * d, c + d * d * d));
    if squares <= 0.0 || !bias.is_finite() {
        return None;
    }
    let acceleration = cubes / (6.0 * squares.powf(1.5));
    let share = |z: f64| cumulative(bias + (bias + z) / (1.0 - acceleration * (bias + z)));
    Some([share(normal_quantile(0.025)), share(normal_quantile(0.975))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_statistic_can_be_resampled() {
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let total = |positions: &[usize]| positions.iter().map(|&i| values[i]).sum::<f64>() / 30.0;
        let (all, found) = (bootstrap(&values, 500).unwrap().percentile, resampled(30, 500, total).unwrap());
        assert!((all.low - found.low).abs() < 1e-12 && (all.high - found.high).abs() < 1e-12);
        assert_eq!(resampled(1, 500, |_| 1.0), None);
        assert_eq!(resampled(3, 500, |_| f64::NAN), None);
    }

    #[test]
    fn equal_values_have_an_interval_without_width_and_one_value_has_none() {
        let found = bootstrap(&[0.3; 20], 200).unwrap();
        for interval in [found.percentile, found.corrected] {
            assert!((interval.high - interval.low).abs() < 1e-12, "{interval:?}");
        }
        assert_eq!(bootstrap(&[1.0], 100), None);
    }

    /// Of exponential values, whose mean is pulled by its tail: the interval moves to the right.
    #[test]
    fn skewed_values_move_the_corrected_interval_towards_their_tail() {
        let values: Vec<f64> = (0..40).map(|i| -(1.0 - (f64::from(i) + 0.5) / 40.0).ln()).collect();
        let found = bootstrap(&values, 10_000).unwrap();
        assert!(found.corrected.low > found.percentile.low && found.corrected.high > found.percentile.high);
        assert_eq!(bootstrap(&values, 10_000), Some(found), "it has a seed");
    }
}
