//! A mean with its interval, by bootstrap.

/// A number with the interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// The mean of values and its percentile interval; none for fewer than two values.
pub fn bootstrap(values: &[f64], resamples: usize) -> Option<Interval> {
    let n = values.len();
    if n < 2 {
        return None;
    }
    // Steele, Lea and Flood 2014: SplitMix64.
    let mut state = 1u64;
    let mut below = |bound: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(z ^ (z >> 31)) * bound as u128) >> 64) as usize
    };
    let mut means: Vec<f64> =
        (0..resamples).map(|_| (0..n).map(|_| values[below(n)]).sum::<f64>() / n as f64).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((resamples - 1) as f64 * share).round() as usize];
    Some(Interval { mean: values.iter().sum::<f64>() / n as f64, low: at(0.025), high: at(0.975) })
}
