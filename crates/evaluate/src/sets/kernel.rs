//! Distances of sets by kernels: KID, and CMMD.

use super::Features;
use crate::statistics::{Random, mean};

/// Rows of a subset, and subsets, where there are more rows.
const SUBSET: usize = 1000;
const SUBSETS: usize = 100;

/// A kernel distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kid {
    /// The distance; unbiased, so that it may be below 0.
    pub value: f64,
    /// Standard deviation over subsets; none where all rows were used at once.
    pub deviation: Option<f64>,
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// KID (Binkowski et al. 2018): the unbiased squared maximum mean discrepancy with the kernel
/// `(x.y / d + 1)^3`. With more than 1,000 rows in both, the mean over 100 pairs of subsets of 1,000, by a
/// fixed seed; with fewer all rows once. None for fewer than two rows in either.
pub fn kid(first: &Features, second: &Features) -> Option<Kid> {
    if first.len() < 2 || second.len() < 2 || first[0].len() != second[0].len() {
        return None;
    }
    let size = SUBSET.min(first.len()).min(second.len());
    if size < SUBSET {
        let [a, b] = [first, second].map(|set| set.iter().collect::<Vec<_>>());
        return Some(Kid { value: discrepancy(&a, &b), deviation: None });
    }
    let mut random = Random::new(1);
    let mut subset = |set: &'_ Features| -> Vec<usize> {
        let mut all: Vec<usize> = (0..set.len()).collect();
        (0..size).for_each(|i| all.swap(i, i + random.below(set.len() - i)));
        all.truncate(size);
        all
    };
    let values: Vec<f64> = (0..SUBSETS)
        .map(|_| {
            let (a, b) = (subset(first), subset(second));
            let [a, b] = [(first, a), (second, b)]
                .map(|(set, chosen)| chosen.into_iter().map(|i| &set[i]).collect::<Vec<_>>());
            discrepancy(&a, &b)
        })
        .collect();
    let found = mean(&values);
    Some(Kid { value: found.mean, deviation: Some(found.deviation) })
}

fn discrepancy(a: &[&Vec<f32>], b: &[&Vec<f32>]) -> f64 {
    let d = a[0].len() as f64;
    let kernel = |x: &[f32], y: &[f32]| (product(x, y) / d + 1.0).powi(3);
    // Each pair of different rows counts twice.
    let within = |rows: &[&Vec<f32>]| {
        let pairs = (0..rows.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let sum: f64 = pairs.map(|(i, j)| kernel(rows[i], rows[j])).sum();
        2.0 * sum / (rows.len() * (rows.len() - 1)) as f64
    };
    let between: f64 = a.iter().flat_map(|x| b.iter().map(|y| kernel(x, y))).sum();
    within(a) + within(b) - 2.0 * between / (a.len() * b.len()) as f64
}

/// CMMD (Jayasumana et al. 2024): a thousand times the biased squared maximum mean discrepancy of normalised
/// CLIP vectors with a Gaussian kernel of sigma 10. On vectors of length 1 so wide a kernel is nearly linear:
/// the value is about ten times the squared distance of the means. None without rows in either.
pub fn cmmd(first: &Features, second: &Features) -> Option<f64> {
    if first.is_empty() || second.is_empty() || first[0].len() != second[0].len() {
        return None;
    }
    let unit = |set: &Features| -> Features {
        let row = |row: &Vec<f32>| {
            let length = product(row, row).sqrt();
            row.iter().map(|v| (f64::from(*v) / length) as f32).collect()
        };
        set.iter().map(row).collect()
    };
    let (a, b) = (unit(first), unit(second));
    let mean = |a: &Features, b: &Features| {
        let distance =
            |x: &[f32], y: &[f32]| -> f64 { x.iter().zip(y).map(|(x, y)| f64::from(x - y).powi(2)).sum() };
        let sum: f64 = a.iter().flat_map(|x| b.iter().map(|y| (-distance(x, y) / 200.0).exp())).sum();
        sum / (a.len() * b.len()) as f64
    };
    Some(1000.0 * (mean(&a, &a) + mean(&b, &b) - 2.0 * mean(&a, &b)))
}
