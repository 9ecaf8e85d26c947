//! The checked Gram matrix. Bad input is refused here, by the objective's name, so that the solvers can rely
//! on a symmetric, finite, positive semi-definite matrix.

use crate::linalg::{cholesky, row_product};

/// The largest number of objectives that a [`Gram`] takes.
pub const MAX_OBJECTIVES: usize = 32;

/// Largest accepted asymmetry, excess over Cauchy-Schwarz, and negative eigenvalue of the matrix of
/// cosines. Gram matrices summed in f64 stay far below; one summed in half precision does not.
const TOLERANCE: f64 = 1e-7;

/// Squared gradient norms that f32 gradients can have lie well inside this range. Below it a
/// gradient counts as zero, above it the weights could overflow.
const SQUARED_NORMS: std::ops::RangeInclusive<f64> = 1e-120..=1e120;

/// The Gram matrix `A_ij = g_i . g_j` of the gradients of K named objectives, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    names: Vec<String>,
    values: Vec<f64>,
    absent: Vec<bool>,
}

/// Reasons why a matrix is not the Gram matrix of K gradients.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GramError {
    /// No objective, or more than [`MAX_OBJECTIVES`].
    #[error("a Gram matrix needs 1 to {MAX_OBJECTIVES} objectives, found {found}")]
    Count {
        /// Number of names.
        found: usize,
    },
    /// The values do not fill a K x K matrix.
    #[error(
        "a Gram matrix of {objectives} objectives has {expected} values, found {found}; \
         give all rows, diagonal included"
    )]
    Size {
        /// K.
        objectives: usize,
        /// K squared.
        expected: usize,
        /// Values given.
        found: usize,
    },
    /// Not one absent flag per objective.
    #[error("expected {expected} absent flags, one per objective, found {found}")]
    AbsentFlags {
        /// K.
        expected: usize,
        /// Flags given.
        found: usize,
    },
    /// NaN or infinity: a gradient is not finite.
    #[error(
        "the gradient of {} is not finite; leave this step out and look at its samples and loss",
        quoted(objectives)
    )]
    NonFinite {
        /// The objectives whose gradients are not finite. Where only a product of two is not, both.
        objectives: Vec<String>,
    },
    /// A squared norm is negative.
    #[error("the squared gradient norm of \"{objective}\" is {value}; it cannot be negative")]
    NegativeNorm {
        /// The objective.
        objective: String,
        /// The diagonal element.
        value: f64,
    },
    /// A squared norm is beyond what f32 gradients can have.
    #[error("the squared gradient norm of \"{objective}\" is {value}; above 1e120 the weights overflow")]
    TooLarge {
        /// The objective.
        objective: String,
        /// The diagonal element.
        value: f64,
    },
    /// The products (i, j) and (j, i) differ.
    #[error(
        "the products of \"{row}\" and \"{column}\" differ ({upper} and {lower}); \
         a Gram matrix is symmetric to 1e-7 of the norms"
    )]
    Asymmetric {
        /// Objective i.
        row: String,
        /// Objective j.
        column: String,
        /// Element (i, j).
        upper: f64,
        /// Element (j, i).
        lower: f64,
    },
    /// A product exceeds the product of the norms.
    #[error(
        "the product of \"{row}\" and \"{column}\" is {value}, but their norms allow {bound} at most; \
         sum the Gram matrix in f64"
    )]
    CauchySchwarz {
        /// Objective i.
        row: String,
        /// Objective j.
        column: String,
        /// Element (i, j).
        value: f64,
        /// Product of the two norms.
        bound: f64,
    },
    /// No set of gradients has these products.
    #[error(
        "no gradients have these products: the matrix has an eigenvalue below -1e-7 of the norms; \
         sum the Gram matrix in f64"
    )]
    Indefinite,
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

impl Gram {
    /// Checks a row-major K x K matrix of the named objectives' gradient products.
    ///
    /// Asymmetry of up to 1e-7 of the two norms is averaged away. An objective whose squared norm is
    /// below 1e-120 (an f32 gradient of zeros) is absent.
    ///
    /// # Errors
    /// [`GramError`] names the objective and what was found: wrong size, non-finite, asymmetric, or
    /// not the Gram matrix of any gradients.
    pub fn new<N: Into<String>>(
        names: impl IntoIterator<Item = N>,
        values: Vec<f64>,
    ) -> Result<Gram, GramError> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let k = names.len();
        if k == 0 || k > MAX_OBJECTIVES {
            return Err(GramError::Count { found: k });
        }
        if values.len() != k * k {
            return Err(GramError::Size { objectives: k, expected: k * k, found: values.len() });
        }
        refuse_non_finite(&names, &values)?;
        let absent = check_diagonal(&names, &values)?;
        let mut gram = Gram { names, values, absent };
        gram.symmetrise()?;
        gram.refuse_indefinite()?;
        Ok(gram)
    }

    /// Declares objectives absent (true) in addition to those with a zero gradient.
    ///
    /// # Errors
    /// [`GramError::AbsentFlags`] when there are not exactly K flags.
    pub fn with_absent(mut self, absent: &[bool]) -> Result<Gram, GramError> {
        if absent.len() != self.k() {
            return Err(GramError::AbsentFlags { expected: self.k(), found: absent.len() });
        }
        for (flag, declared) in self.absent.iter_mut().zip(absent) {
            *flag |= declared;
        }
        Ok(self)
    }

    /// The number of objectives, absent ones included.
    pub fn k(&self) -> usize {
        self.names.len()
    }

    /// The names of the objectives.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The symmetric matrix, row-major K x K.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Per objective, true if it has no gradient in this step.
    pub fn absent(&self) -> &[bool] {
        &self.absent
    }

    /// The indices of the objectives that are not absent.
    pub(crate) fn present(&self) -> Vec<usize> {
        (0..self.k()).filter(|&i| !self.absent[i]).collect()
    }

    /// The norms of the gradients of the chosen objectives.
    pub(crate) fn norms_of(&self, chosen: &[usize]) -> Vec<f64> {
        chosen.iter().map(|&i| self.at(i, i).sqrt()).collect()
    }

    /// The Gram matrix of the gradients divided by their norms.
    pub(crate) fn unit(&self) -> Gram {
        Gram { names: self.names.clone(), values: cosines(self), absent: self.absent.clone() }
    }

    /// `A_ij`.
    pub(crate) fn at(&self, i: usize, j: usize) -> f64 {
        self.values[i * self.k() + j]
    }

    /// `(A w)_i`, 0 for absent objectives.
    pub(crate) fn rates(&self, weights: &[f64]) -> Vec<f64> {
        let rate = |i: usize| match self.absent[i] {
            true => 0.0,
            false => row_product(&self.values, weights, i),
        };
        (0..self.k()).map(rate).collect()
    }

    /// The cosine of gradients i and j, 0 where one of them is zero.
    fn cosine(&self, i: usize, j: usize) -> f64 {
        let norms = self.at(i, i).sqrt() * self.at(j, j).sqrt();
        if norms < *SQUARED_NORMS.start() {
            return 0.0;
        }
        if i == j { 1.0 } else { (self.at(i, j) / norms).clamp(-1.0, 1.0) }
    }

    /// Cosines of the chosen objectives, row-major.
    pub(crate) fn cosines_of(&self, chosen: &[usize]) -> Vec<f64> {
        let pairs = chosen.iter().flat_map(|&i| chosen.iter().map(move |&j| (i, j)));
        pairs.map(|(i, j)| self.cosine(i, j)).collect()
    }

    fn symmetrise(&mut self) -> Result<(), GramError> {
        let k = self.k();
        for i in 0..k {
            for j in i + 1..k {
                let (upper, lower) = (self.at(i, j), self.at(j, i));
                let bound = self.at(i, i).sqrt() * self.at(j, j).sqrt();
                let slack = TOLERANCE * bound + SQUARED_NORMS.start();
                let (row, column) = (self.names[i].clone(), self.names[j].clone());
                if (upper - lower).abs() > slack {
                    return Err(GramError::Asymmetric { row, column, upper, lower });
                }
                let value = 0.5 * (upper + lower);
                if value.abs() > bound + slack {
                    return Err(GramError::CauchySchwarz { row, column, value, bound });
                }
                self.values[i * k + j] = value;
                self.values[j * k + i] = value;
            }
        }
        Ok(())
    }

    fn refuse_indefinite(&self) -> Result<(), GramError> {
        let present = self.present();
        let n = present.len();
        let mut matrix = self.cosines_of(&present);
        for i in 0..n {
            matrix[i * n + i] += TOLERANCE;
        }
        if cholesky(&mut matrix, n) { Ok(()) } else { Err(GramError::Indefinite) }
    }
}

/// The K x K cosines between the gradients, row-major, for logs: negative where two objectives
/// conflict, 0 in the rows and columns of zero gradients.
pub fn cosines(gram: &Gram) -> Vec<f64> {
    let all: Vec<usize> = (0..gram.k()).collect();
    gram.cosines_of(&all)
}

fn refuse_non_finite(names: &[String], values: &[f64]) -> Result<(), GramError> {
    let k = names.len();
    let select = |bad: &dyn Fn(usize) -> bool| -> Vec<String> {
        let chosen = (0..k).filter(|&i| bad(i));
        chosen.map(|i| names[i].clone()).collect()
    };
    let mut objectives = select(&|i| !values[i * k + i].is_finite());
    if objectives.is_empty() {
        let bad = |i: usize, j: usize| !values[i * k + j].is_finite() || !values[j * k + i].is_finite();
        objectives = select(&|i| (0..k).any(|j| bad(i, j)));
    }
    if objectives.is_empty() { Ok(()) } else { Err(GramError::NonFinite { objectives }) }
}

fn check_diagonal(names: &[String], values: &[f64]) -> Result<Vec<bool>, GramError> {
    let k = names.len();
    let check = |i: usize| {
        let value = values[i * k + i];
        let objective = names[i].clone();
        if value < 0.0 {
            return Err(GramError::NegativeNorm { objective, value });
        }
        if value > *SQUARED_NORMS.end() {
            return Err(GramError::TooLarge { objective, value });
        }
        Ok(value < *SQUARED_NORMS.start())
    };
    (0..k).map(check).collect()
}
