//! The Gram matrix of several steps: for runs that do not make one in every step.
//!
//! With `A(t)` the Gram matrix of step t, zero in the rows and columns of absent objectives, and `p_i(t)` 1
//! where objective i is present and 0 elsewhere, both are averaged with a decay: S of `A(t)`, m of `p(t)`.
//! The running Gram matrix is
//!
//! ```text
//! A_ij = S_ij / sqrt(m_i m_j)
//! ```
//!
//! Its diagonal is each objective's mean squared gradient norm over the steps in which it was present, so an
//! objective does not seem weak because it is rare. As `S` is a sum of Gram matrices it is positive
//! semi-definite, and so is A. (Means over the steps in which both of a pair were present would not be.)

use crate::{Gram, GramError, State, WeightingError};

const SUM: &str = "gram.sum";
const MASS: &str = "gram.mass";
const STEP: &str = "gram.step";

/// Below this an objective's gradients were seen too long ago to say anything.
const FORGOTTEN: f64 = 1e-6;

/// A moving average of Gram matrices, kept in a [`State`].
#[derive(Debug, Clone, PartialEq)]
pub struct RunningGram {
    sum: Vec<f64>,
    mass: Vec<f64>,
    step: u64,
}

impl RunningGram {
    /// The average so far, of `objectives` objectives.
    ///
    /// # Errors
    /// A memory of another number of objectives.
    pub fn read(state: &State, objectives: usize) -> Result<Self, WeightingError> {
        let mass = state.list(MASS, objectives, 0.0)?;
        let sum = state.list(SUM, objectives * objectives, 0.0)?;
        // Exact: a recipe has at most 1e9 steps.
        let step = state.list(STEP, 1, 0.0)?[0] as u64;
        Ok(Self { sum, mass, step })
    }

    /// Adds the Gram matrix of step `step`. `length` is that of the memory, in matrices: each counts `1 -
    /// 1/length` times as much as the one after it; 1 forgets all but the last.
    pub fn add(&mut self, gram: &Gram, step: u64, length: u32) {
        self.step = step;
        let share = 1.0 / f64::from(length.max(1));
        let keep = 1.0 - share;
        let k = self.mass.len();
        let there = |i: usize| !gram.absent()[i];
        for i in 0..k {
            self.mass[i] = keep * self.mass[i] + if there(i) { share } else { 0.0 };
            for j in 0..k {
                let value = if there(i) && there(j) { gram.values()[i * k + j] } else { 0.0 };
                self.sum[i * k + j] = keep * self.sum[i * k + j] + share * value;
            }
        }
    }

    /// Keeps it in the state.
    pub fn write(self, state: &mut State) {
        state.set(SUM, self.sum);
        state.set(MASS, self.mass);
        state.set(STEP, vec![self.step as f64]);
    }

    /// The last step that was added; 0 before the first.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// True if an objective's gradients were seen, and not too long ago.
    pub fn knows(&self, objective: usize) -> bool {
        self.mass[objective] > FORGOTTEN
    }

    /// The average for objectives of these names, without those that are absent or not known.
    ///
    /// # Errors
    /// Sums that overflow.
    pub fn gram<N: Into<String>>(
        &self,
        names: impl IntoIterator<Item = N>,
        absent: &[bool],
    ) -> Result<Gram, GramError> {
        let k = self.mass.len();
        let root = |i: usize| if self.knows(i) { self.mass[i].sqrt() } else { f64::INFINITY };
        let value = |e: usize| self.sum[e] / root(e / k) / root(e % k);
        Gram::new(names, (0..k * k).map(value).collect())?.with_absent(absent)
    }
}
