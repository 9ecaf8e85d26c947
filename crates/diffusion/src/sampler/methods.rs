//! The methods themselves, each as short as its idea.
//!
//! `denoised` are the network's clean latents at a step's start. With lambda = ln(signal / noise), h is the
//! length of a step in lambda.

use super::{Denoise, Level, Step};

/// sum of c_k v_k, in f64.
fn sum(terms: &[(f64, &[f32])]) -> Vec<f32> {
    let length = terms.first().map_or(0, |(_, v)| v.len());
    (0..length).map(|i| terms.iter().map(|(c, v)| c * f64::from(v[i])).sum::<f64>() as f32).collect()
}

/// The noise that is in `x` if `denoised` is what is clean.
fn noise_in(x: &[f32], denoised: &[f32], at: Level) -> Vec<f32> {
    sum(&[(1.0 / at.noise, x), (-at.signal / at.noise, denoised)])
}

/// From `x` to the end of `step` along the straight way to `denoised`: the same clean latents with less of
/// the same noise. In the variables x / signal and sigma = noise / signal this is Euler's step, x + (x -
/// denoised) / sigma * dt.
pub fn advance(x: &[f32], denoised: &[f32], step: &Step) -> Vec<f32> {
    let Step { from, to } = step;
    let kept = to.noise / from.noise;
    sum(&[(kept, x), (to.signal - kept * from.signal, denoised)])
}

/// DDIM without added noise (Song et al. 2021, equation 12 with sigma = 0). The method is Euler's; what
/// differs are the levels that its steps visit.
///
/// # Errors
/// Errors of `denoise`.
pub fn ddim<E>(steps: &[Step], x: Vec<f32>, denoise: Denoise<'_, E>) -> Result<Vec<f32>, E> {
    euler(steps, x, denoise)
}

/// Euler's method (Karras et al. 2022, algorithm 1 without its correction).
///
/// # Errors
/// Errors of `denoise`.
pub fn euler<E>(steps: &[Step], mut x: Vec<f32>, denoise: Denoise<'_, E>) -> Result<Vec<f32>, E> {
    for step in steps {
        let denoised = denoise(&x, step.from)?;
        x = advance(&x, &denoised, step);
    }
    Ok(x)
}

/// Euler's method to a lower level of noise than the step's, sigma_down, and fresh noise back up to the
/// step's, so that the variance is right (k-diffusion's "ancestral" sampling with eta = 1, which takes DDPM's
/// posterior variance).
///
/// # Errors
/// Errors of `denoise`.
pub fn euler_ancestral<E>(
    steps: &[Step],
    mut x: Vec<f32>,
    denoise: Denoise<'_, E>,
    noise: &mut dyn FnMut(usize) -> Vec<f32>,
) -> Result<Vec<f32>, E> {
    for (i, step) in steps.iter().enumerate() {
        let denoised = denoise(&x, step.from)?;
        let (from, to) = (step.from.sigma(), step.to.sigma());
        let up = to * (1.0 - (to / from).powi(2)).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        let old = noise_in(&x, &denoised, step.from);
        let signal = step.to.signal;
        x = sum(&[(signal, &denoised), (signal * down, &old), (signal * up, &noise(i))]);
    }
    Ok(x)
}

/// Heun's second-order method (Karras et al. 2022, algorithm 1): the slope is the mean of those at both ends.
///
/// # Errors
/// Errors of `denoise`.
pub fn heun<E>(steps: &[Step], mut x: Vec<f32>, denoise: Denoise<'_, E>) -> Result<Vec<f32>, E> {
    for step in steps {
        let Step { from, to } = *step;
        let denoised = denoise(&x, from)?;
        let ahead = advance(&x, &denoised, step);
        if to.noise == 0.0 {
            x = ahead;
            continue;
        }
        let slope = noise_in(&x, &denoised, from);
        let slope_ahead = noise_in(&ahead, &denoise(&ahead, to)?, to);
        let half = 0.5 * to.signal * (to.sigma() - from.sigma());
        x = sum(&[(to.signal / from.signal, &x), (half, &slope), (half, &slope_ahead)]);
    }
    Ok(x)
}

/// `denoised` continued to the middle of `step` by the line through the evaluation before it, h_before
/// earlier (Lu et al. 2022, DPM-Solver++, algorithm 2).
fn extrapolated(denoised: &[f32], before: &[f32], step: &Step, h_before: f64) -> Vec<f32> {
    let ratio = 0.5 * step.h() / h_before;
    sum(&[(1.0 + ratio, denoised), (-ratio, before)])
}

/// DPM-Solver++(2M): Euler's step towards extrapolated clean latents. The first step has no evaluation before
/// it; the last is of first order where it ends without noise, and in runs of fewer than 15 steps.
///
/// # Errors
/// Errors of `denoise`.
pub fn dpmpp_2m<E>(steps: &[Step], mut x: Vec<f32>, denoise: Denoise<'_, E>) -> Result<Vec<f32>, E> {
    let mut before: Option<(Vec<f32>, f64)> = None;
    for (i, step) in steps.iter().enumerate() {
        let denoised = denoise(&x, step.from)?;
        let plain = i + 1 == steps.len() && (step.to.noise == 0.0 || steps.len() < 15);
        x = match &before {
            Some((before, h)) if !plain => advance(&x, &extrapolated(&denoised, before, step, *h), step),
            _ => advance(&x, &denoised, step),
        };
        before = Some((denoised, step.h()));
    }
    Ok(x)
}

/// UniPC of order 2 with B(h) = e^h - 1, "bh2" (Zhao et al. 2023, algorithm 1): the predictor is that of
/// [`dpmpp_2m`]; once the network has been evaluated at a step's end, the step is taken again with what was
/// seen there.
///
/// # Errors
/// Errors of `denoise`.
pub fn unipc<E>(steps: &[Step], mut x: Vec<f32>, denoise: Denoise<'_, E>) -> Result<Vec<f32>, E> {
    /// A step that was taken: where from, what the network saw there, and, if of second order, before that.
    struct Taken<'s> {
        step: &'s Step,
        x: Vec<f32>,
        denoised: Vec<f32>,
        before: Option<(Vec<f32>, f64)>,
    }
    let mut taken: Option<Taken<'_>> = None;
    for (i, step) in steps.iter().enumerate() {
        let denoised = denoise(&x, step.from)?;
        let mut before = None;
        if let Some(last) = taken {
            x = advance(&last.x, &corrected(&last.denoised, last.before, &denoised, last.step), last.step);
            before = Some((last.denoised, last.step.h()));
        }
        // The last step is of first order.
        before = before.filter(|_| i + 1 < steps.len());
        let ahead = match &before {
            Some((before, h)) => advance(&x, &extrapolated(&denoised, before, step, *h), step),
            None => advance(&x, &denoised, step),
        };
        taken = Some(Taken { step, x, denoised, before });
        x = ahead;
    }
    Ok(x)
}

/// UniC: the clean latents to take `step` towards, now that `after` was seen at its end. In a step of second
/// order the weights of both differences solve the order conditions R rho = b (Zhao et al. 2023, equation 8).
fn corrected(denoised: &[f32], before: Option<(Vec<f32>, f64)>, after: &[f32], step: &Step) -> Vec<f32> {
    let Some((before, h_before)) = before else { return sum(&[(0.5, denoised), (0.5, after)]) };
    let h = -step.h();
    let b_h = h.exp_m1();
    let phi = b_h / h - 1.0;
    let b = [phi / b_h, 2.0 * (phi / h - 0.5) / b_h];
    // Rows (1, 1) and (r, 1), r being where `before` lies if the step goes from 0 to 1.
    let r = -h_before / step.h();
    let rho_before = (b[0] - b[1]) / (1.0 - r);
    let rho_after = b[0] - rho_before;
    let slope = rho_before / r;
    sum(&[(1.0 - slope - rho_after, denoised), (slope, &before), (rho_after, after)])
}
