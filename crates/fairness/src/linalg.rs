//! Cholesky factorisation (in place) and eigenvalues of small dense symmetric matrices (K <= 32), on
//! row-major slices. A linear-algebra crate would take longer to build, and longer per 3 x 3 call.

/// Replaces the lower triangle of the `n x n` matrix by its Cholesky factor. False, with the matrix
/// partly overwritten, when it is not numerically positive definite.
pub(crate) fn cholesky(matrix: &mut [f64], n: usize) -> bool {
    for i in 0..n {
        for j in 0..=i {
            let mut sum = matrix[i * n + j];
            for k in 0..j {
                sum -= matrix[i * n + k] * matrix[j * n + k];
            }
            if i != j {
                matrix[i * n + j] = sum / matrix[j * n + j];
            } else if sum > 0.0 && sum.is_finite() {
                matrix[i * n + i] = sum.sqrt();
            } else {
                return false;
            }
        }
    }
    true
}

/// Solves `L L' x = b` in place, with the factor that [`cholesky`] left.
pub(crate) fn substitute(factor: &[f64], n: usize, b: &mut [f64]) {
    for i in 0..n {
        for k in 0..i {
            b[i] -= factor[i * n + k] * b[k];
        }
        b[i] /= factor[i * n + i];
    }
    for i in (0..n).rev() {
        for k in i + 1..n {
            b[i] -= factor[k * n + i] * b[k];
        }
        b[i] /= factor[i * n + i];
    }
}

/// Factors `matrix + diag(shift)` into `scratch` and solves for `b` in place; false when it is not
/// numerically positive definite.
pub(crate) fn solve_shifted(matrix: &[f64], shift: &[f64], scratch: &mut Vec<f64>, b: &mut [f64]) -> bool {
    let n = shift.len();
    scratch.clear();
    scratch.extend_from_slice(matrix);
    for i in 0..n {
        scratch[i * n + i] += shift[i];
    }
    let definite = cholesky(scratch, n);
    if definite {
        substitute(scratch, n, b);
    }
    definite
}

/// `(matrix v)_i`.
pub(crate) fn row_product(matrix: &[f64], v: &[f64], i: usize) -> f64 {
    let n = v.len();
    let row = &matrix[i * n..(i + 1) * n];
    row.iter().zip(v).map(|(a, b)| a * b).sum()
}

/// `sum_j |matrix_ij| v_j` for a non-negative v: the size of what cancels in `(matrix v)_i`.
pub(crate) fn row_magnitude(matrix: &[f64], v: &[f64], i: usize) -> f64 {
    let n = v.len();
    let row = &matrix[i * n..(i + 1) * n];
    row.iter().zip(v).map(|(a, b)| a.abs() * b).sum()
}

/// Eigenvalues of the symmetric `n x n` matrix, and the orthogonal matrix whose columns are the eigenvectors:
/// the cyclic Jacobi method (Golub and Van Loan, *Matrix Computations*, 4th edition, algorithm 8.5.3).
pub(crate) fn eigen(matrix: &[f64], n: usize) -> (Vec<f64>, Vec<f64>) {
    /// An upper bound; about 10 are needed.
    const SWEEPS: usize = 60;
    let mut a = matrix.to_vec();
    let mut vectors: Vec<f64> = (0..n * n).map(|e| if e / n == e % n { 1.0 } else { 0.0 }).collect();
    let trace: f64 = (0..n).map(|i| a[i * n + i].abs()).sum();
    for _ in 0..SWEEPS {
        let mut largest = 0.0f64;
        for p in 0..n {
            for q in p + 1..n {
                let off = a[p * n + q];
                largest = largest.max(off.abs());
                if off == 0.0 {
                    continue;
                }
                let half = (a[q * n + q] - a[p * n + p]) / (2.0 * off);
                let tangent = half.signum() / (half.abs() + half.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                let turn = |x: f64, y: f64| (cosine * x - sine * y, sine * x + cosine * y);
                for i in 0..n {
                    let (x, y) = (i * n + p, i * n + q);
                    (a[x], a[y]) = turn(a[x], a[y]);
                    (vectors[x], vectors[y]) = turn(vectors[x], vectors[y]);
                }
                for i in 0..n {
                    let (x, y) = (p * n + i, q * n + i);
                    (a[x], a[y]) = turn(a[x], a[y]);
                }
                (a[p * n + q], a[q * n + p]) = (0.0, 0.0);
            }
        }
        if largest <= 1e-20 * trace {
            break;
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_and_vectors_make_up_the_matrix() {
        let graded = |i: usize, j: usize| 10f64.powi(-((i + j) as i32)) * if i == j { 1.0 } else { 0.3 };
        for n in [1, 2, 3, 8, 32] {
            let flat = |i: usize, j: usize| 1.0 / (1.0 + (i + j) as f64);
            for element in [&graded as &dyn Fn(usize, usize) -> f64, &flat, &|_, _| 1.0, &|_, _| 0.0] {
                let matrix: Vec<f64> = (0..n * n).map(|e| element(e / n, e % n)).collect();
                let (values, vectors) = eigen(&matrix, n);
                let at = |i: usize, j: usize, f: &dyn Fn(usize) -> f64| -> f64 {
                    (0..n).map(|k| vectors[i * n + k] * f(k) * vectors[j * n + k]).sum()
                };
                for (e, element) in matrix.iter().enumerate() {
                    let (i, j) = (e / n, e % n);
                    assert!((at(i, j, &|k| values[k]) - element).abs() < 1e-14 * n as f64);
                    assert!((at(i, j, &|_| 1.0) - f64::from(u8::from(i == j))).abs() < 1e-14 * n as f64);
                }
            }
        }
    }
}
