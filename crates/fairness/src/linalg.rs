//! Cholesky factorisation of small dense symmetric matrices (K <= 32), in place on row-major slices. A
//! linear-algebra crate would take longer to build, and longer per 3 x 3 call.

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
