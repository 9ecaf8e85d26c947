//! Shares and wins: Wilson's interval, the sign test, Holm's correction.

/// The 95 % interval of a share of `hits` in `of` draws (Wilson 1927, equation of the score interval).
pub fn wilson(hits: usize, of: usize) -> (f64, f64) {
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, z) = (of as f64, 1.96);
    let p = hits as f64 / n;
    let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    ((middle - half).max(0.0), (middle + half).min(1.0))
}

/// The two-sided exact sign test: the probability that fair coins fall at least as unevenly as these wins
/// and losses. 1 without either.
pub fn sign_test(wins: usize, losses: usize) -> f64 {
    let n = wins + losses;
    let log_choose = |k: usize| {
        libm::lgamma(n as f64 + 1.0) - libm::lgamma(k as f64 + 1.0) - libm::lgamma((n - k) as f64 + 1.0)
    };
    let term = |k: usize| (log_choose(k) - n as f64 * std::f64::consts::LN_2).exp();
    let tail: f64 = (0..=wins.min(losses)).map(term).sum();
    (2.0 * tail).min(1.0)
}

/// Holm's adjusted p-values (Holm 1979), in the order given: each may be compared with 5 % although there are
/// several.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![1.0; p.len()];
    let mut least = 0.0f64;
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[i]).min(1.0));
        adjusted[i] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_test_counts_coins() {
        // 2 (1 + 10) / 2^10
        assert!((sign_test(9, 1) - 22.0 / 1024.0).abs() < 1e-12);
        assert!((sign_test(1, 9) - 22.0 / 1024.0).abs() < 1e-12);
        assert_eq!(sign_test(5, 5), 1.0);
        assert_eq!(sign_test(0, 0), 1.0);
        assert!(sign_test(5000, 4000) < 1e-24);
    }

    #[test]
    fn holm_steps_down() {
        let near = |found: Vec<f64>, expected: &[f64]| {
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12) && found.len() == expected.len()
        };
        assert!(near(holm(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]));
        assert!(near(holm(&[0.9, 0.8]), &[1.0, 1.0]));
        assert!(near(holm(&[0.2]), &[0.2]));
        assert!(holm(&[]).is_empty());
    }
}
