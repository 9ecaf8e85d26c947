//! Work on parameters and their gradients against numbers worked out by hand: Gram matrix, combination, norm,
//! AdamW and averages.

use crate::Subject;
use crate::numbers::{assert_close, tensor};
use fairhuman_engine::{AdamW, AdamWState, Backend};

/// A parameter and its moments after one more step of AdamW.
pub(crate) fn adamw<B: Backend>(
    backend: &B,
    state: [B::Tensor; 3],
    grad: &B::Tensor,
    grad_scale: f64,
    constants: &AdamW,
) -> [B::Tensor; 3] {
    let [mut param, mut first, mut second] = state;
    let state = AdamWState { param: &mut param, first: &mut first, second: &mut second, grad };
    backend.adamw(&mut [state], grad_scale, constants);
    [param, first, second]
}

/// Over one parameter and over two.
pub fn gram_combine_and_norm_are_their_formulas<B: Backend>(subject: &Subject<B>) {
    for on in subject.instances() {
        let backend = on.backend;
        let grads = backend.tensor(&[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 2.0]);
        let more = backend.tensor(&[2, 1], &[2.0, 0.5]);
        assert_eq!(backend.gram(&[&grads]), [14.0, 6.0, 6.0, 5.25]);
        assert_eq!(backend.gram(&[&grads, &more]), [18.0, 7.0, 7.0, 5.5]);
        let combined = backend.combine(&[&grads, &more], &[2.0, -1.0]);
        let values: Vec<_> = combined.iter().map(|tensor| on.values(tensor)).collect();
        assert_eq!(values, [vec![3.0, 3.5, 4.0], vec![3.5]]);
        assert_eq!(backend.norm(&[&grads]), 19.25_f64.sqrt());
        assert_eq!(backend.norm(&[&grads, &more]), 23.5_f64.sqrt());
        assert_eq!(backend.read_many(&[&more, &combined[1]]), [vec![2.0, 0.5], vec![3.5]]);
    }
}

/// No parameters, no results.
pub fn empty_lists_are_fine<B: Backend>(subject: &Subject<B>) {
    for on in subject.instances() {
        let constants = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
        assert!(on.backend.gram(&[]).is_empty());
        assert!(on.backend.combine(&[], &[1.0, 2.0]).is_empty());
        assert_eq!(on.backend.norm(&[]), 0.0);
        assert!(on.backend.read_many(&[]).is_empty());
        on.backend.adamw(&mut [], 1.0, &constants);
        on.backend.ema(&mut [], &[], 0.5);
    }
}

/// Two steps of `torch.optim.AdamW([1.0, -2.0], lr=0.1, betas=(0.9, 0.99), eps=1e-2, weight_decay=0.5)` with
/// gradients (0.5, 4.0) and (-1.0, 0.25), worked out from its documented update rule:
/// p <- p (1 - lr wd); m, v; p <- p - lr m^ / (sqrt(v^) + eps).
pub fn adamw_is_pytorchs<B: Backend>(subject: &Subject<B>) {
    let tolerance = subject.tolerances.sums;
    for on in subject.instances() {
        let backend = on.backend;
        let constants = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-2, weight_decay: 0.5, step: 1 };
        let zeros = backend.zeros(&[2]);
        let state = [backend.tensor(&[2], &[1.0, -2.0]), zeros.clone(), zeros];
        let half = |a: f32, b: f32| backend.tensor(&[2], &[a / 2.0, b / 2.0]);
        let state = adamw(backend, state, &half(0.5, 4.0), 2.0, &constants);
        // The first corrected moments are the gradient and its square.
        let first = [0.95 - 0.1 * 0.5 / 0.51, -1.9 - 0.1 * 4.0 / 4.01];
        assert_close("first step", &on.values(&state[0]), &first, tolerance);
        let state = adamw(backend, state, &half(-1.0, 0.25), 2.0, &AdamW { step: 2, ..constants });
        let second = |p: f64, a: f64, b: f64| {
            let m = (0.9 * 0.1 * a + 0.1 * b) / (1.0 - 0.81);
            let v = (0.99 * 0.01 * a * a + 0.01 * b * b) / (1.0 - 0.9801);
            p * 0.95 - 0.1 * m / (v.sqrt() + 0.01)
        };
        let expected = [second(first[0], 0.5, -1.0), second(first[1], 4.0, 0.25)];
        assert_close("second step", &on.values(&state[0]), &expected, tolerance);
    }
}

/// Each average moves towards its own value.
pub fn averages_are_their_formula<B: Backend>(subject: &Subject<B>) {
    for on in subject.instances() {
        let backend = on.backend;
        let mut averages = [backend.tensor(&[2], &[1.0, -2.0]), backend.tensor(&[1], &[8.0])];
        let values = [backend.tensor(&[2], &[5.0, 2.0]), backend.tensor(&[1], &[0.0])];
        backend.ema(&mut averages.each_mut(), &values.each_ref(), 0.75);
        assert_eq!(averages.each_ref().map(|average| on.values(average)), [vec![2.0, -1.0], vec![6.0]]);
    }
}

/// Operations that change tensors in place leave copies as they were.
pub fn kept_copies_do_not_change<B: Backend>(subject: &Subject<B>) {
    for on in subject.instances() {
        let backend = on.backend;
        let constants = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
        let state = [1, 2, 3].map(|seed| tensor(backend, seed, &[5]));
        let before = state.each_ref().map(|t| on.values(t));
        adamw(backend, state.clone(), &tensor(backend, 4, &[5]), 1.0, &constants);
        assert_eq!(state.each_ref().map(|t| on.values(t)), before, "a kept copy changed");
        let [acc, b, average] = state;
        backend.accumulate(acc.clone(), &b);
        assert_eq!(on.values(&acc), before[0], "a kept copy changed");
        backend.ema(&mut [&mut average.clone()], &[&b], 0.5);
        assert_eq!(on.values(&average), before[2], "a kept copy changed");
    }
}
