//! Intervals beside those of another implementation (`reference/evaluate_golden.py`, numpy).

use fairhuman_evaluate::statistics::{bootstrap, detectable, mean, student};

#[test]
fn intervals_over_seeds_are_students() {
    let found = student(&[1.0, 2.0, 3.0, 4.0, 5.0]).expect("five values");
    // sd 1.5811, t 2.776, / sqrt 5
    assert_eq!(found.mean, 3.0);
    assert!((found.high - 3.0 - 1.963).abs() < 1e-3, "{found:?}");
    assert_eq!(student(&[1.0]), None);
    assert!(mean(&[1.0]).deviation.is_nan());
}

/// Ends of the intervals that `evaluate_golden.py` prints.
const PERCENTILE: [f64; 2] = [0.713_101, 1.304_766];
const CORRECTED: [f64; 2] = [0.743_216, 1.353_505];

/// Both resample 10,000 times or more, by generators of their own: the ends agree within their noise.
#[test]
fn bootstrap_intervals_agree_with_numpys() {
    let values: Vec<f64> = (0..40).map(|i| -(1.0 - (f64::from(i) + 0.5) / 40.0).ln()).collect();
    let found = bootstrap(&values, 20_000).expect("values");
    let near = |a: f64, b: f64| (a - b).abs() < 0.015;
    let (percentile, corrected) = (found.percentile, found.corrected);
    assert!(near(percentile.low, PERCENTILE[0]) && near(percentile.high, PERCENTILE[1]), "{found:?}");
    assert!(near(corrected.low, CORRECTED[0]) && near(corrected.high, CORRECTED[1]), "{found:?}");
    // Golden for the least difference: (1.959964 + 0.841621) sd / sqrt(40)
    assert!((detectable(&values) / (2.801_585 * mean(&values).deviation / 40f64.sqrt()) - 1.0).abs() < 1e-12);
}
