//! Weights of several objectives from the Gram matrix of their gradients: alpha-fair ones, and baselines.
//!
//! With gradients `g_1 .. g_K` and `A_ij = g_i . g_j`, the alpha-fair direction `d = sum_i w_i g_i`
//! has the weights that solve
//!
//! ```text
//! A w = w^(-1/alpha),   w > 0
//! ```
//!
//! | alpha | name | weights |
//! |---|---|---|
//! | 0 | plain sum | 1 |
//! | 1 | proportional fairness (Nash) | `A w = 1/w` |
//! | 2 | Minimum Potential Delay, the default | `A w = 1/sqrt(w)` |
//! | inf | max-min | `A w = 1` where that has `w > 0`; see [`solve`] otherwise |
//!
//! ```
//! use fairhuman_fairness::{Gram, Outcome, solve};
//!
//! // The gradient of a face is smaller than that of the picture, a hand's smaller still.
//! let gram = Gram::new(
//!     ["global", "face", "hand"],
//!     vec![1.0, 0.0, 0.0, 0.0, 0.09, 0.0, 0.0, 0.0, 0.01],
//! )?;
//! let solution = solve(&gram, 2.0)?;
//! assert_eq!(solution.outcome, Outcome::Fair);
//! assert!((solution.weights[1] / solution.weights[0] - 4.98).abs() < 0.005);
//! assert!((solution.weights[2] / solution.weights[0] - 21.5).abs() < 0.05);
//!
//! // The coefficients of the gradients before clipping and the optimiser: K times the weights.
//! assert_eq!(solution.combination()[0], 3.0 * solution.weights[0]);
//!
//! // No hand in this batch: a zero gradient leaves the system instead of getting a huge weight.
//! let gram = Gram::new(["global", "hand"], vec![1.0, 0.0, 0.0, 0.0])?;
//! let solution = solve(&gram, 2.0)?;
//! assert_eq!(solution.weights, [1.0, 0.0]);
//! assert_eq!(solution.absent, [false, true]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Weightings
//!
//! [`Weighting`] is the choice of a method as recipes write it, and [`weigh`] computes its weights for one
//! step. Each method is one file of [`weighting`].
//!
//! # The factor
//!
//! The parameters get the gradient `factor * sum_i w_i g_i`. For alpha-fair weights the factor is K, absent
//! objectives included, so that a step is about as long as one on the sum of the losses. Weights that make a
//! mean of the gradients (such as MGDA's) have the number of present objectives as their factor; weights of
//! the sum (such as [`Weighting::Linear`]'s) have factor 1.
//! [`Solution::combination`] includes the factor.
//!
//! # What this crate does not do
//!
//! It sees no gradient, tensor or file; methods that combine gradients element by element are not here. The
//! gradients must be unscaled (no loss scale: weights are not linear in it), and the sums of the Gram matrix
//! should be in f64. Accumulated and data-parallel gradients are summed *before* the Gram matrix is formed.

mod alpha_fair;
mod error;
mod gram;
mod linalg;
mod nonnegative;
mod random;
mod running;
mod solution;
pub mod weighting;

pub use alpha_fair::{CONFLICT_NORM, RIDGE, solve, solve_with_priorities};
pub use error::WeightingError;
pub use gram::{Gram, GramError, MAX_OBJECTIVES, cosines};
pub use running::RunningGram;
pub use solution::{Outcome, Solution};
pub use weighting::{Needs, Observation, State, Weighting, look_back, weigh};
