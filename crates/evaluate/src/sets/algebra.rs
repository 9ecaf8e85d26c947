//! Dense matrices in f64: the little linear algebra that a Fréchet distance needs.

/// The sum of the singular values of a `rows x columns` matrix: half the sum of the sizes of the eigenvalues
/// of `[[0, M], [M', 0]]`, which keeps small ones exact where those of `M M'` would not.
pub(super) fn nuclear_norm(matrix: &[f64], rows: usize, columns: usize) -> f64 {
    let n = rows + columns;
    let mut both = vec![0.0; n * n];
    for (i, row) in matrix.chunks_exact(columns.max(1)).enumerate().take(rows) {
        for (j, &value) in row.iter().enumerate() {
            both[i * n + rows + j] = value;
            both[(rows + j) * n + i] = value;
        }
    }
    0.5 * symmetric_eigenvalues(both, n).iter().map(|value| value.abs()).sum::<f64>()
}

/// The eigenvalues of a symmetric matrix, in no order: Householder's reduction to three diagonals, then the
/// QL method with implicit shifts (Wilkinson & Reinsch 1971, tred1 and imtql1).
pub(super) fn symmetric_eigenvalues(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    let mut beside = vec![0.0; n];
    for i in (1..n).rev() {
        let (above, rest) = a.split_at_mut(i * n);
        let row = &mut rest[..i];
        let scale: f64 = row.iter().map(|v| v.abs()).sum();
        if i == 1 || scale == 0.0 {
            beside[i] = row[i - 1];
            continue;
        }
        row.iter_mut().for_each(|v| *v /= scale);
        let mut h: f64 = row.iter().map(|v| v * v).sum();
        let last = row[i - 1];
        let g = if last >= 0.0 { -h.sqrt() } else { h.sqrt() };
        beside[i] = scale * g;
        h -= last * g;
        row[i - 1] = last - g;
        // p = A u / h, of which the lower triangle is read once, row by row.
        let p = &mut beside[..i];
        p.fill(0.0);
        for j in 0..i {
            let line = &above[j * n..j * n + j + 1];
            let u = row[j];
            let mut sum = line[j] * u;
            for ((value, own), other) in line[..j].iter().zip(&row[..j]).zip(&mut p[..j]) {
                sum += value * own;
                *other += value * u;
            }
            p[j] += sum;
        }
        let mut f = 0.0;
        for (p, u) in p.iter_mut().zip(&*row) {
            *p /= h;
            f += *p * u;
        }
        let half = f / (h + h);
        p.iter_mut().zip(&*row).for_each(|(p, u)| *p -= half * u);
        for j in 0..i {
            let (u, q) = (row[j], p[j]);
            let line = &mut above[j * n..j * n + j + 1];
            for ((value, other), own) in line.iter_mut().zip(&*p).zip(&*row) {
                *value -= u * other + q * own;
            }
        }
    }
    let diagonal = (0..n).map(|i| a[i * n + i]).collect();
    beside.rotate_left(1.min(n));
    of_three_diagonals(diagonal, beside)
}

/// Eigenvalues of the matrix with this diagonal `d` and, beside it, `e`, whose last is 0.
fn of_three_diagonals(mut d: Vec<f64>, mut e: Vec<f64>) -> Vec<f64> {
    let n = d.len();
    if let Some(last) = e.last_mut() {
        *last = 0.0;
    }
    for l in 0..n {
        // Sixty sweeps are twice what any matrix of numbers needs; others end as they are.
        for _ in 0..60 {
            let small = |m: usize| e[m].abs() <= f64::EPSILON * (d[m].abs() + d[m + 1].abs());
            let m = (l..n - 1).find(|&m| small(m)).unwrap_or(n - 1);
            if m == l {
                break;
            }
            let mut g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let mut r = g.hypot(1.0);
            g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut underflow = false;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    underflow = true;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if !underflow {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    d
}

/// A matrix of at most as many rows as columns with the same products of columns `A' A`: of a higher one the
/// triangle of its QR decomposition.
pub(super) fn shortened(mut a: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let columns = a.first().map_or(0, Vec::len);
    if a.len() <= columns {
        return a;
    }
    for k in 0..columns {
        let norm = a[k..].iter().map(|row| row[k] * row[k]).sum::<f64>().sqrt();
        if norm == 0.0 {
            continue;
        }
        let alpha = if a[k][k] > 0.0 { -norm } else { norm };
        let mut u: Vec<f64> = a[k..].iter().map(|row| row[k]).collect();
        u[0] -= alpha;
        let square: f64 = u.iter().map(|v| v * v).sum();
        let mut sums = vec![0.0; columns - k];
        for (row, u) in a[k..].iter().zip(&u) {
            sums.iter_mut().zip(&row[k..]).for_each(|(sum, v)| *sum += u * v);
        }
        for (row, u) in a[k..].iter_mut().zip(&u) {
            row[k..].iter_mut().zip(&sums).for_each(|(v, sum)| *v -= 2.0 * u * sum / square);
        }
    }
    a.truncate(columns);
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_matrices_that_are_known() {
        let sorted = |matrix: &[f64], n| {
            let mut found = symmetric_eigenvalues(matrix.to_vec(), n);
            found.sort_by(f64::total_cmp);
            found
        };
        let near =
            |found: &[f64], expected: &[f64]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near(&sorted(&[2.0, 1.0, 1.0, 2.0], 2), &[1.0, 3.0]));
        assert!(near(
            &sorted(&[4.0, 1.0, 0.0, 1.0, 4.0, 1.0, 0.0, 1.0, 4.0], 3),
            &[4.0 - 2f64.sqrt(), 4.0, 4.0 + 2f64.sqrt()]
        ));
        assert!(near(&sorted(&[7.0], 1), &[7.0]));
        assert!(near(&sorted(&[0.0; 25], 5), &[0.0; 5]));
        // All ones: n, and n - 1 zeros; the trace and the sum of squares are those of any matrix.
        let found = sorted(&[1.0; 36], 6);
        assert!((found[5] - 6.0).abs() < 1e-12 && found[..5].iter().all(|v| v.abs() < 1e-12), "{found:?}");
        let n = 40;
        let matrix: Vec<f64> = (0..n * n).map(|i| (((i / n) * (i % n)) as f64 * 0.37).sin()).collect();
        let found = sorted(&matrix, n);
        let trace: f64 = (0..n).map(|i| matrix[i * n + i]).sum();
        let squares: f64 = matrix.iter().map(|v| v * v).sum();
        assert!((found.iter().sum::<f64>() - trace).abs() < 1e-10);
        assert!((found.iter().map(|v| v * v).sum::<f64>() - squares).abs() < 1e-9);
    }

    #[test]
    fn a_higher_matrix_is_shortened_without_changing_its_products() {
        let a: Vec<Vec<f64>> =
            (0..9).map(|i| (0..4).map(|j| ((i * 3 + j * 7) as f64).cos()).collect()).collect();
        let short = shortened(a.clone());
        assert_eq!(short.len(), 4);
        let product = |a: &[Vec<f64>], j: usize, k: usize| a.iter().map(|row| row[j] * row[k]).sum::<f64>();
        for (j, k) in (0..16).map(|i| (i / 4, i % 4)) {
            assert!((product(&a, j, k) - product(&short, j, k)).abs() < 1e-12);
        }
        assert!(
            (nuclear_norm(&[3.0, 0.0, 0.0, 4.0, 0.0, 0.0], 2, 3) - 5.0).abs() < 1e-12,
            "rank one: |(3, 4)|"
        );
    }
}
