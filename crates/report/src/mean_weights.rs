//! The mean of a run's weights, as a recommendation: fixed weights that do on average what the run's did.

use crate::model::Run;

/// Mean share of each objective in the weights, over the steps in which it was present; they sum to 1. None
/// where a run has no weights, or has the same in every step.
///
/// A step's weights are divided by their sum first: their size follows that of the gradients.
pub fn mean_weights(run: &Run) -> Option<Vec<f64>> {
    let k = run.objectives().len();
    let (mut sums, mut counts) = (vec![0.0; k], vec![0.0; k]);
    let mut first: Option<&[f64]> = None;
    let mut constant = true;
    for step in run.steps().filter(|step| step.weights.len() == k && step.present.len() == k) {
        let total: f64 = step.weights.iter().sum();
        if total <= 0.0 || !total.is_finite() || step.weights.iter().any(|&w| w < 0.0) {
            continue;
        }
        let there = |i: usize| step.present[i] > 0;
        let earlier = *first.get_or_insert(&step.weights);
        constant &= (0..k).all(|i| !there(i) || step.weights[i] == earlier[i]);
        for i in (0..k).filter(|&i| there(i)) {
            sums[i] += step.weights[i] / total;
            counts[i] += 1.0;
        }
    }
    if k < 2 || constant || counts.contains(&0.0) {
        return None;
    }
    let means: Vec<f64> = sums.iter().zip(&counts).map(|(sum, count)| sum / count).collect();
    let total: f64 = means.iter().sum();
    Some(means.iter().map(|mean| mean / total).collect())
}

/// The mean weights as a line for a recipe.
pub fn recommendation(run: &Run) -> Option<String> {
    let weights: Vec<String> = mean_weights(run)?.iter().map(|&weight| three_digits(weight)).collect();
    Some(format!("weighting = {{ kind = \"fixed\", weights = [{}] }}", weights.join(", ")))
}

/// A number from 0 to 1 with three significant digits.
fn three_digits(value: f64) -> String {
    let leading = if value > 0.0 { -value.log10().floor() as i32 } else { 1 };
    format!("{value:.*}", (leading + 2).clamp(3, 12) as usize)
}
