//! What is done with gradients: Gram matrix, combination, AdamW.

use crate::common::{CPUS, Exact, adamw, assert_close, tensor};
use fairhuman_engine::{AdamW, Reference};

fn gram_and_combine_are_their_formulas<B: Exact>(backend: &B) {
    let grads = backend.tensor(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 2.0]);
    let more = backend.tensor(&[2, 1], &[2.0, 0.5]);
    assert_eq!(backend.gram(&[&grads]), [14.0, 6.0, 6.0, 5.25]);
    assert_eq!(backend.gram(&[&grads, &more]), [18.0, 7.0, 7.0, 5.5]);
    let combined = backend.combine(&[&grads, &more], &[2.0, -1.0]);
    let values: Vec<_> = combined.iter().map(|tensor| backend.values(tensor)).collect();
    assert_eq!(values, [vec![3.0, 3.5, 4.0], vec![3.5]]);
    assert_eq!(backend.norm(&[&grads]), 19.25_f64.sqrt());
    assert_eq!(backend.norm(&[&grads, &more]), 23.5_f64.sqrt());
}

/// Two steps of `torch.optim.AdamW([1.0, -2.0], lr=0.1, betas=(0.9, 0.99), eps=1e-2, weight_decay=0.5)` with
/// gradients (0.5, 4.0) and (-1.0, 0.25), worked out from its documented update rule:
/// p <- p (1 - lr wd); m, v; p <- p - lr m^ / (sqrt(v^) + eps).
fn adamw_is_pytorchs<B: Exact>(backend: &B, tolerance: f64) {
    let constants = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-2, weight_decay: 0.5, step: 1 };
    let zeros = backend.zeros(&[2]);
    let state = [backend.tensor(&[2], &[1.0, -2.0]), zeros.clone(), zeros];
    let half = |a: f32, b: f32| backend.tensor(&[2], &[a / 2.0, b / 2.0]);
    let state = adamw(backend, state, &half(0.5, 4.0), 2.0, &constants);
    // The first corrected moments are the gradient and its square.
    let first = [0.95 - 0.1 * 0.5 / 0.51, -1.9 - 0.1 * 4.0 / 4.01];
    assert_close("first step", &backend.values(&state[0]), &first, tolerance);
    let state = adamw(backend, state, &half(-1.0, 0.25), 2.0, &AdamW { step: 2, ..constants });
    let second = |p: f64, a: f64, b: f64| {
        let m = (0.9 * 0.1 * a + 0.1 * b) / (1.0 - 0.81);
        let v = (0.99 * 0.01 * a * a + 0.01 * b * b) / (1.0 - 0.9801);
        p * 0.95 - 0.1 * m / (v.sqrt() + 0.01)
    };
    let expected = [second(first[0], 0.5, -1.0), second(first[1], 4.0, 0.25)];
    assert_close("second step", &backend.values(&state[0]), &expected, tolerance);
}

fn moments_do_not_alias_their_past<B: Exact>(backend: &B) {
    let constants = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
    let state = [1, 2, 3].map(|seed| tensor(backend, seed, &[5]));
    let before = state.each_ref().map(|t| backend.values(t));
    adamw(backend, state.clone(), &tensor(backend, 4, &[5]), 1.0, &constants);
    assert_eq!(state.each_ref().map(|t| backend.values(t)), before, "a kept copy changed");
    let [acc, b, _] = state;
    backend.accumulate(acc.clone(), &b);
    assert_eq!(backend.values(&acc), before[0], "a kept copy changed");
}

#[test]
fn gram_and_combine_are_their_formulas_on_reference() {
    gram_and_combine_are_their_formulas(&Reference);
}

#[test]
fn adamw_is_pytorchs_on_reference() {
    adamw_is_pytorchs(&Reference, 1e-12);
}

#[test]
fn moments_do_not_alias_their_past_on_reference() {
    moments_do_not_alias_their_past(&Reference);
}

#[test]
fn gram_and_combine_are_their_formulas_on_cpu() {
    gram_and_combine_are_their_formulas(&CPUS[1]);
}

#[test]
fn adamw_is_pytorchs_on_cpu() {
    adamw_is_pytorchs(&CPUS[1], 1e-6);
}

#[test]
fn moments_do_not_alias_their_past_on_cpu() {
    moments_do_not_alias_their_past(&CPUS[1]);
}
