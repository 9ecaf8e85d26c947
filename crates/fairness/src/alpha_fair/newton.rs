//! Alpha-fair weights for a finite alpha > 0: `A w = w^(-1/alpha)` (Ban and Ji, *Fair Resource
//! Allocation in Multi-Task Learning*, ICML 2024; FairHuman, arXiv 2507.02714, uses alpha = 2), or with
//! priorities p, `A w = (w/p)^(-1/alpha)`.
//!
//! With `A = D C D` (D the gradient norms, C their cosines), `v = w/p`, `z = D P v` and `b = 1/alpha` it is
//! split into a linear and a separable part, with the rates s as unknowns of their own:
//!
//! ```text
//! C z - s = 0                          log s_i + b log v_i + log d_i = 0
//! ```
//!
//! Newton's method on both, damped to stay inside `z > 0, s > 0`, is a primal-dual interior-point
//! method (Wright, *Primal-Dual Interior-Point Methods*, 1997; b = 1 is its centring step). Eliminating
//! s leaves `C + b diag(s/z)`: positive definite and well scaled whatever the norms. As s is never
//! recomputed from C z, nothing is lost to cancellation where gradients nearly oppose each other. Where
//! Newton does not converge from the centre to b at once, it goes in steps along `b^t` and `p^t`
//! (continuation).

use crate::linalg::{row_magnitude, row_product, solve_shifted};

/// Newton steps in all, over all continuation steps: an upper bound, so that nothing can hang.
const MAX_ITERATIONS: usize = 1500;
/// Newton steps for one continuation step before a shorter one is tried.
const PATIENCE: usize = 60;
/// Largest step, as a share of the distance to the boundary.
const INSIDE: f64 = 0.98;
/// Relative distance, of the order of the next Newton step, at which the next continuation step can start.
const CLOSE: f64 = 0.3;
/// Backward error at which the solution is accepted once the errors have stopped shrinking.
const ACCEPTED: f64 = 1e-13;
/// A term this small beside those it is added to does not matter to their sum.
const NEGLIGIBLE: f64 = 1e-25;
/// Relative rounding error of a row of `C z`.
const ROUNDING: f64 = 4.0 * f64::EPSILON;
/// Largest size, relative to those, at which a vanished term may come back at once.
const RETURN: f64 = 1e-3;

pub(crate) struct Point {
    pub weights: Vec<f64>,
    pub iterations: usize,
    /// `max_i |(C z)_i - v_i^(-b)/d_i| / (sum_j |C_ij| z_j + v_i^(-b)/d_i)`.
    pub residual: f64,
    /// False when the point solves the equation of another alpha, on the way to the requested one.
    pub arrived: bool,
}

/// Solves for the weights from the centre `z` of the cosines; `norms` are the gradient norms.
pub(crate) fn alpha_fair(cosines: &[f64], norms: &[f64], priorities: &[f64], z: &[f64], alpha: f64) -> Point {
    let mut system = System::new(cosines, norms);
    let mut state: Vec<Unknown> = z
        .iter()
        .zip(norms)
        .map(|(&z, d)| Unknown {
            z,
            x: (z / d).ln(),
            s: 1.0 / z,
            log_s: -z.ln(),
            vanished: Vanished::Neither,
        })
        .collect();
    let log_b = -alpha.ln();
    let (mut done, mut leap, mut iterations) = (0.0, 1.0, 0);
    let mut arrived = false;
    while iterations < MAX_ITERATIONS && !arrived {
        let target = f64::min(done + leap, 1.0);
        let last = target == 1.0;
        let b = if last { 1.0 / alpha } else { (target * log_b).exp() };
        let mut trial = state.clone();
        system.set_priorities(norms, priorities, target);
        for (u, p) in trial.iter_mut().zip(priorities) {
            u.x -= (target - done) * p.ln();
        }
        if system.correct(b, &mut trial, last, &mut iterations) {
            (state, done) = (trial, target);
            leap *= 2.0;
            arrived = last;
        } else {
            leap *= 0.25;
        }
    }
    Point {
        residual: system.residual(1.0 / alpha, &state),
        weights: state.iter().zip(priorities).map(|(u, p)| u.x.exp() * p).collect(),
        iterations,
        arrived,
    }
}

/// One objective's `z = d p v` and rate s. Their logarithms are kept beside them: they hold what z and s
/// cannot, a weight near 1 raised to a large power and numbers below the smallest f64.
#[derive(Clone, Copy)]
struct Unknown {
    z: f64,
    /// `log v`.
    x: f64,
    s: f64,
    log_s: f64,
    vanished: Vanished,
}

/// The factor of an objective that is too small to change the linear equation, if any. It then follows from
/// the other factor, and no longer limits the steps.
#[derive(Clone, Copy, PartialEq)]
enum Vanished {
    Neither,
    Weight,
    Rate,
}

/// Errors of a state, each the largest over the objectives.
struct Errors {
    /// Of the equation in w alone, relative to its terms.
    backward: f64,
    /// Of both equations, each relative to its terms.
    each: f64,
    /// Relative change of an unknown that the equations ask for.
    distance: f64,
}

impl Errors {
    /// True if the errors are at the level of rounding. Near a conflict, rounding shows in each equation long
    /// before it shows in the two together.
    fn accepted(&self) -> bool {
        self.backward <= ACCEPTED && self.each <= 1e-3
    }
}

/// The equations for one matrix, with the buffers that Newton's method reuses.
struct System<'a> {
    cosines: &'a [f64],
    log_norms: Vec<f64>,
    /// `d p^t`, the factors from v to z.
    factors: Vec<f64>,
    log_factors: Vec<f64>,
    z: Vec<f64>,
    /// `s - C z`.
    gap: Vec<f64>,
    /// `log s + b log v + log d`.
    curve: Vec<f64>,
    shift: Vec<f64>,
    step: Vec<f64>,
    scratch: Vec<f64>,
}

impl<'a> System<'a> {
    fn new(cosines: &'a [f64], norms: &'a [f64]) -> Self {
        let zeros = vec![0.0; norms.len()];
        let log_norms: Vec<f64> = norms.iter().map(|d| d.ln()).collect();
        System {
            cosines,
            factors: norms.to_vec(),
            log_factors: log_norms.clone(),
            log_norms,
            z: zeros.clone(),
            gap: zeros.clone(),
            curve: zeros.clone(),
            shift: zeros.clone(),
            step: zeros,
            scratch: Vec::with_capacity(cosines.len()),
        }
    }

    /// Sets the priorities `p^t`.
    fn set_priorities(&mut self, norms: &[f64], priorities: &[f64], t: f64) {
        for (i, p) in priorities.iter().enumerate() {
            self.factors[i] = norms[i] * p.powf(t);
            self.log_factors[i] = self.log_norms[i] + t * p.ln();
        }
    }

    /// Computes the right-hand sides of Newton's method at this state.
    fn evaluate(&mut self, b: f64, state: &mut [Unknown]) -> Errors {
        for (z, u) in self.z.iter_mut().zip(&*state) {
            *z = u.z;
        }
        let largest = self.z.iter().copied().fold(0.0, f64::max);
        let (mut backward, mut each, mut distance) = (0.0f64, 0.0f64, 0.0f64);
        for (i, u) in state.iter_mut().enumerate() {
            let magnitude = row_magnitude(self.cosines, &self.z, i);
            u.vanish(b, self.log_norms[i], self.log_factors[i], magnitude, largest);
            self.gap[i] = u.s - row_product(self.cosines, &self.z, i);
            self.curve[i] = u.log_s + b * u.x + self.log_norms[i];
            let (gap, curve) = (self.gap[i].abs(), self.curve[i].abs());
            // Difference between s and its value on the curve.
            let off = u.s * (-self.curve[i]).exp_m1().abs();
            backward = larger(backward, (gap + off) / (magnitude + u.s));
            each = larger(each, gap / (magnitude + u.s));
            // A gap below the rounding of C z is not known, and does not matter: it only decides how
            // collinear gradients share a weight.
            let rounding = ROUNDING * magnitude;
            distance = larger(distance, (gap - rounding).max(0.0) / u.s);
            if off > rounding {
                each = larger(each, curve / (1.0 + u.log_s.abs()));
                distance = larger(distance, curve / b.min(1.0));
            }
        }
        Errors { backward, each, distance }
    }

    fn residual(&mut self, b: f64, state: &[Unknown]) -> f64 {
        for (z, u) in self.z.iter_mut().zip(state) {
            *z = u.z;
        }
        let row = |i: usize| {
            let wanted = (-b * state[i].x - self.log_norms[i]).exp();
            let gap = row_product(self.cosines, &self.z, i) - wanted;
            gap.abs() / (row_magnitude(self.cosines, &self.z, i) + wanted)
        };
        (0..state.len()).map(row).fold(0.0, larger)
    }

    /// Newton's method at one exponent b; true if it converged.
    fn correct(&mut self, b: f64, state: &mut [Unknown], last: bool, iterations: &mut usize) -> bool {
        let floor = f64::EPSILON * state.len() as f64;
        let mut before = f64::INFINITY;
        for _ in 0..PATIENCE {
            let errors = self.evaluate(b, state);
            let stalled = errors.accepted() && errors.each > 0.25 * before;
            if errors.each <= floor || stalled || (!last && errors.distance <= CLOSE) {
                return true;
            }
            before = errors.each;
            *iterations += 1;
            if !errors.each.is_finite() || !self.newton(b, state) {
                return false;
            }
        }
        self.evaluate(b, state).accepted()
    }

    /// One damped step; false when the system cannot be solved.
    fn newton(&mut self, b: f64, state: &mut [Unknown]) -> bool {
        for (i, u) in state.iter().enumerate() {
            self.shift[i] = (b * u.s / u.z).min(1e200);
            self.step[i] = self.gap[i] - u.s * self.curve[i];
        }
        if !solve_shifted(self.cosines, &self.shift, &mut self.scratch, &mut self.step) {
            return false;
        }
        // Relative changes of z and s.
        let change = |i: usize, u: &Unknown| {
            let dz = self.step[i] / u.z;
            match u.vanished {
                Vanished::Neither => (dz, -self.curve[i] - b * dz),
                Vanished::Rate => (dz, 0.0),
                Vanished::Weight => {
                    let moved = row_product(self.cosines, &self.step, i) - self.gap[i];
                    (0.0, moved / u.s)
                }
            }
        };
        let changes = state.iter().enumerate().map(|(i, u)| change(i, u));
        let shrink = changes.clone().fold(0.0f64, |most, (dz, ds)| most.max(-dz).max(-ds));
        let length = if shrink > INSIDE { INSIDE / shrink } else { 1.0 };
        let changes: Vec<(f64, f64)> = changes.collect();
        for (i, (u, (dz, ds))) in state.iter_mut().zip(changes).enumerate() {
            u.advance(length * dz, length * ds, self.factors[i]);
        }
        true
    }
}

impl Unknown {
    /// Multiplies z and s by `1 + dz` and `1 + ds`.
    fn advance(&mut self, dz: f64, ds: f64, factor: f64) {
        // The one of z and its logarithm that holds more digits is updated, the other follows.
        self.x += dz.ln_1p();
        if self.x.abs() < 0.5 {
            self.z = factor * self.x.exp();
        } else if self.vanished != Vanished::Weight {
            self.z *= 1.0 + dz;
            self.x = (self.z / factor).ln();
        }
        if self.vanished != Vanished::Rate {
            self.s *= 1.0 + ds;
            self.log_s = self.s.ln();
        }
    }

    /// Computes a factor that has all but vanished from the other one, by the curve.
    fn vanish(&mut self, b: f64, log_norm: f64, log_factor: f64, magnitude: f64, largest: f64) {
        self.vanished = Vanished::Neither;
        if self.s < NEGLIGIBLE * magnitude {
            self.vanished = Vanished::Rate;
            self.log_s = (-b * self.x - log_norm).min((RETURN * magnitude).ln());
            self.s = self.log_s.exp();
        } else if self.z < NEGLIGIBLE * largest {
            self.vanished = Vanished::Weight;
            self.x = (-(self.log_s + log_norm) / b).min((RETURN * largest).ln() - log_factor);
            self.z = (self.x + log_factor).exp();
        }
    }
}

/// The larger of two numbers, infinite when one is NaN, so that NaN does not get lost.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::INFINITY } else { a.max(b) }
}
