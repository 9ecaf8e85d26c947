//! The Fréchet distance of two sets of features as if both were normal (Heusel et al. 2017).

use super::Features;
use super::algebra::{nuclear_norm, shortened};

/// `|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)`, covariances by `n - 1`; none for fewer than two rows
/// in either, or rows of different lengths.
///
/// With the centred rows A and B the last trace is the nuclear norm of `A B' / sqrt((n1 - 1)(n2 - 1))`, which
/// is exact for fewer rows than columns, too. The distance itself is biased by O(1/n): distances of sets of
/// different sizes are not to be compared.
pub fn frechet(first: &Features, second: &Features) -> Option<f64> {
    let columns = first.first()?.len();
    let fits = |set: &Features| set.len() > 1 && set.iter().all(|row| row.len() == columns);
    if !fits(first) || !fits(second) {
        return None;
    }
    let ((m1, a), (m2, b)) = (centred(first), centred(second));
    let mean: f64 = m1.iter().zip(&m2).map(|(a, b)| (a - b) * (a - b)).sum();
    let [n1, n2] = [first, second].map(|set| set.len() as f64 - 1.0);
    let squares = |rows: &[Vec<f64>]| rows.iter().flatten().map(|v| v * v).sum::<f64>();
    let traces = squares(&a) / n1 + squares(&b) / n2;
    let (a, b) = (shortened(a), shortened(b));
    let product: Vec<f64> = a
        .iter()
        .flat_map(|row| b.iter().map(move |other| row.iter().zip(other).map(|(x, y)| x * y).sum::<f64>()))
        .collect();
    Some(mean + traces - 2.0 * nuclear_norm(&product, a.len(), b.len()) / (n1 * n2).sqrt())
}

/// The mean row, and the rows without it.
fn centred(set: &Features) -> (Vec<f64>, Vec<Vec<f64>>) {
    let mut mean = vec![0.0; set[0].len()];
    for row in set {
        mean.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v) / set.len() as f64);
    }
    let rows = set.iter().map(|row| row.iter().zip(&mean).map(|(v, m)| f64::from(*v) - m).collect());
    let rows = rows.collect();
    (mean, rows)
}
