//! Softmax over the objectives that are present.

/// `exp(x_i) / sum exp(x_j)` over the chosen objectives, 0 for the others.
pub(super) fn softmax(x: &[f64], chosen: &[usize]) -> Vec<f64> {
    let largest = chosen.iter().map(|&i| x[i]).fold(f64::NEG_INFINITY, f64::max);
    let mut shares = vec![0.0; x.len()];
    for &i in chosen {
        shares[i] = libm::exp(x[i] - largest);
    }
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= if total > 0.0 { total } else { 1.0 });
    shares
}
