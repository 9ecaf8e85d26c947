//! Theorems about alpha-fair weights, each tested over shared matrices.

use crate::common::*;
use fairhuman_fairness::{Outcome, solve};

const SCALES: [f64; 5] = [1e-20, 1e-7, 1.0, 1e6, 1e20];

#[test]
fn the_equation_holds_to_1e_10_at_every_scale() {
    for (name, matrix) in matrices() {
        for scale in SCALES {
            let values = scaled(&matrix, scale);
            for alpha in ALPHAS {
                let solution = solve(&gram(values.clone()), alpha).unwrap();
                let what = format!("{name}, scale {scale}, alpha {alpha}");
                assert_eq!(solution.outcome, Outcome::Fair, "{what}");
                assert_sane(&solution, &what);
                let found = residual(&values, &solution.weights, alpha);
                assert!(found <= 1e-10, "{what}: {found:e}");
                assert!(solution.residual <= 1e-10, "{what}: {:e}", solution.residual);
            }
        }
    }
}

#[test]
fn the_right_side_is_met_to_1e_10_where_the_matrix_is_well_conditioned() {
    let mut random = Random::new(11);
    for k in [2, 3, 5, 12, 32] {
        for scale in SCALES {
            // Mostly independent gradients with norms over eight orders of magnitude.
            let norms: Vec<f64> = (0..k).map(|_| 10f64.powf(random.between(-4.0, 4.0))).collect();
            let cosine = |i: usize, j: usize| if i == j { 1.0 } else { 0.9 / k as f64 };
            let element = |e: usize| scale * norms[e / k] * norms[e % k] * cosine(e / k, e % k);
            let values: Vec<f64> = (0..k * k).map(element).collect();
            for alpha in [0.1, 0.5, 1.0, 2.0, 5.0] {
                let solution = solve(&gram(values.clone()), alpha).unwrap();
                for (w, rate) in solution.weights.iter().zip(&solution.rates) {
                    let wanted = w.powf(-1.0 / alpha);
                    assert!((rate - wanted).abs() <= 1e-10 * wanted, "{k} {scale} {alpha}");
                }
            }
        }
    }
}

#[test]
fn scaling_the_matrix_by_c_scales_the_weights_by_c_to_the_minus_alpha_over_1_plus_alpha() {
    for (name, matrix) in matrices() {
        for alpha in [0.0, 0.5, 1.0, 2.0, 20.0, f64::INFINITY] {
            let base = solve(&gram(matrix.clone()), alpha).unwrap();
            let power = if alpha.is_infinite() { 1.0 } else { alpha / (1.0 + alpha) };
            // Powers of two keep the matrix exact, so that ill-conditioned ones are comparable.
            for factor in [2f64.powi(-60), 0.25, 2f64.powi(64)] {
                let found = solve(&gram(scaled(&matrix, factor)), alpha).unwrap();
                let expected = scaled(&base.weights, factor.powf(-power));
                let error = difference(&found.weights, &expected);
                assert!(error < 1e-9, "{name}, alpha {alpha}, factor {factor}: {error:e}");
            }
        }
    }
}

#[test]
fn permuting_the_objectives_permutes_the_weights() {
    for (name, matrix) in matrices() {
        let k = matrix.len().isqrt();
        let order: Vec<usize> = (0..k).map(|i| (i + k / 2 + 1) % k).rev().collect();
        let permuted = (0..k * k).map(|e| matrix[order[e / k] * k + order[e % k]]);
        let permuted = gram(permuted.collect());
        for alpha in [0.5, 1.0, 2.0, 5.0] {
            let base = solve(&gram(matrix.clone()), alpha).unwrap();
            let found = solve(&permuted, alpha).unwrap();
            let expected: Vec<f64> = order.iter().map(|&i| base.weights[i]).collect();
            let error = difference(&found.weights, &expected);
            assert!(error < 1e-7, "{name}, alpha {alpha}: {error:e}");
        }
    }
}

#[test]
fn alpha_0_is_the_plain_sum() {
    for (_, matrix) in matrices() {
        let solution = solve(&gram(matrix), 0.0).unwrap();
        assert!(solution.weights.iter().all(|&w| w == 1.0));
        assert_eq!(solution.outcome, Outcome::Fair);
    }
}

#[test]
fn alpha_1_of_two_objectives_gives_inverse_norms() {
    // A w = 1/w of two objectives: w_i |g_i| are equal, and w_1^2 (a + b sqrt(a/d)) = 1.
    for (a, b, d) in [(1.0, 0.3, 4.0), (2.0, -1.0, 1e-3 + 0.5), (5.0, 0.0, 1e-9)] {
        let solution = solve(&gram(vec![a, b, b, d]), 1.0).unwrap();
        let first = 1.0 / f64::sqrt(a + b * f64::sqrt(a / d));
        let expected = [first, first * f64::sqrt(a / d)];
        assert!(difference(&solution.weights, &expected) < 1e-10);
    }
}

#[test]
fn orthogonal_gradients_have_weights_in_closed_form() {
    let squares = [4.0, 1e-6, 1.0, 1e8];
    let k = squares.len();
    let element = |e: usize| if e / k == e % k { squares[e / k] } else { 0.0 };
    let matrix = gram((0..k * k).map(element).collect());
    for alpha in [1e-6, 0.1, 1.0, 2.0, 7.0, 1e3, f64::INFINITY] {
        let power = if alpha.is_infinite() { 1.0 } else { alpha / (1.0 + alpha) };
        let expected = squares.map(|a: f64| a.powf(-power));
        let solution = solve(&matrix, alpha).unwrap();
        assert!(difference(&solution.weights, &expected) < 1e-10, "alpha {alpha}");
    }
}

#[test]
fn alpha_inf_makes_all_rates_one_where_that_has_positive_weights() {
    // A w = 1 of [[a, b], [b, d]] is w = (d - b, a - b) / (a d - b^2).
    let (a, b, d) = (2.0, -0.4, 0.5);
    let solution = solve(&gram(vec![a, b, b, d]), f64::INFINITY).unwrap();
    let determinant = a * d - b * b;
    let expected = [(d - b) / determinant, (a - b) / determinant];
    assert!(difference(&solution.weights, &expected) < 1e-12);
    assert!(difference(&solution.rates, &[1.0, 1.0]) < 1e-12);
}

#[test]
fn alpha_inf_is_the_nonnegative_optimum_elsewhere() {
    // b > d: the first objective gains more than enough from the second's gradient.
    let solution = solve(&gram(vec![4.0, 1.0, 1.0, 0.5]), f64::INFINITY).unwrap();
    assert_eq!(solution.weights[0], 0.0);
    assert!((solution.weights[1] - 2.0).abs() < 1e-12);

    let mut random = Random::new(3);
    for case in 0..3000 {
        let k = 1 + random.below(32);
        let values = products(&generic(k, &mut random));
        let solution = solve(&gram(values), f64::INFINITY).unwrap();
        assert_eq!(solution.outcome, Outcome::Fair);
        for (w, rate) in solution.weights.iter().zip(&solution.rates) {
            assert!(*rate > 1.0 - 1e-7, "case {case}: rate {rate}");
            assert!(*w == 0.0 || (rate - 1.0).abs() < 1e-7, "case {case}: {w} {rate}");
        }
    }
}

#[test]
fn large_alpha_tends_to_max_min() {
    let mut random = Random::new(5);
    for k in [2, 3, 6] {
        let matrix = gram(products(&generic(k, &mut random)));
        let limit = solve(&matrix, f64::INFINITY).unwrap();
        let near = solve(&matrix, 1e7).unwrap();
        let largest = limit.rates.iter().copied().fold(1.0, f64::max);
        for (a, b) in limit.rates.iter().zip(&near.rates) {
            assert!((a - b).abs() < 1e-4 * largest, "{k}: {a} {b}");
        }
    }
}

#[test]
fn weights_are_continuous_in_alpha() {
    for (name, matrix) in matrices() {
        let matrix = gram(matrix);
        for alpha in [1e-3, 0.1, 0.999, 1.0, 2.0, 10.0] {
            let here = solve(&matrix, alpha).unwrap();
            let there = solve(&matrix, alpha * (1.0 + 1e-8)).unwrap();
            let error = difference(&here.weights, &there.weights);
            assert!(error < 1e-5, "{name}, alpha {alpha}: {error:e}");
        }
    }
}

#[test]
fn small_alpha_tends_to_the_sum_where_the_sum_lowers_every_loss() {
    let values = vec![1.0, -0.1, 0.0, -0.1, 0.25, 0.0, 0.0, 0.0, 1e-6];
    for alpha in [1e-4, 1e-7, 1e-12] {
        let solution = solve(&gram(values.clone()), alpha).unwrap();
        for w in solution.weights {
            assert!((w - 1.0).abs() < 20.0 * f64::max(alpha, 1e-8), "alpha {alpha}: {w}");
        }
    }
    // Where the sum raises the second loss, the limit is the shortest direction with w >= 1.
    let solution = solve(&gram(vec![1.0, -0.3, -0.3, 0.1]), 1e-8).unwrap();
    assert!(difference(&solution.weights, &[1.0, 3.0]) < 1e-5, "{solution:?}");
}

#[test]
fn published_ratios_hold_at_every_scale() {
    for scale in [1e-20, 1e-6, 1e-5, 1.0, 1e20] {
        let values = scaled(&[1.0, 0.0, 0.0, 0.0, 0.09, 0.0, 0.0, 0.0, 0.01], scale);
        let w = solve(&gram(values), 2.0).unwrap().weights;
        assert!(difference(&[w[1] / w[0]], &[0.09f64.powf(-2.0 / 3.0)]) < 1e-12);
        assert!(difference(&[w[2] / w[0]], &[0.01f64.powf(-2.0 / 3.0)]) < 1e-12);
        assert!((w[1] / w[0] - 4.98).abs() < 0.005 && (w[2] / w[0] - 21.5).abs() < 0.05);
    }
}

#[test]
fn the_direction_lowers_every_loss_unless_they_conflict() {
    let mut random = Random::new(17);
    for _ in 0..2000 {
        let k = 2 + random.below(8);
        let matrix = gram(products(&generic(k, &mut random)));
        let solution = solve(&matrix, 2.0).unwrap();
        assert!(solution.rates.iter().all(|&r| r > 0.0), "{solution:?}");
    }
}

#[test]
fn opposed_gradients_are_reported_and_get_bounded_weights() {
    let third = |a: f64, b: f64| vec![a * a, -a * b, 0.0, -a * b, b * b, 0.0, 0.0, 0.0, 1.0];
    for (a, b) in [(1.0, 1.0), (1.0, 5.0), (1e-9, 1e3)] {
        for alpha in [0.01, 0.5, 1.0, 2.0, 50.0, f64::INFINITY] {
            let solution = solve(&gram(third(a, b)), alpha).unwrap();
            let Outcome::Conflict { ridge, norm } = solution.outcome else {
                panic!("{a} {b} {alpha}: {solution:?}");
            };
            assert!(ridge == fairhuman_fairness::RIDGE && norm < 1e-6);
            assert_sane(&solution, "opposed");
            // The bystander keeps its weight, as if the two were not there.
            assert!((solution.weights[2] - 1.0).abs() < 1e-5, "{solution:?}");
        }
    }
}

#[test]
fn three_gradients_that_sum_to_zero_conflict() {
    let values = products(&[vec![1.0, 0.0], vec![-0.5, 0.75f64.sqrt()], vec![-0.5, -(0.75f64.sqrt())]]);
    let solution = solve(&gram(values), 2.0).unwrap();
    assert!(matches!(solution.outcome, Outcome::Conflict { .. }));
    assert_sane(&solution, "three");
}

#[test]
fn collinear_gradients_that_agree_do_not_conflict() {
    for alpha in [0.5, 2.0, f64::INFINITY] {
        let solution = solve(&gram(vec![1.0; 16]), alpha).unwrap();
        assert_eq!(solution.outcome, Outcome::Fair);
        let share = if alpha.is_infinite() { 0.25 } else { 4f64.powf(-alpha / (1.0 + alpha)) };
        for w in solution.weights {
            assert!((w - share).abs() < 1e-3 * share, "alpha {alpha}: {w}");
        }
    }
}

#[test]
fn absent_objectives_leave_the_system() {
    let without = solve(&gram(vec![2.0, 0.3, 0.3, 0.5]), 2.0).unwrap();
    let zero = gram(vec![2.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.3, 0.0, 0.5]);
    let declared = gram(vec![2.0, 0.1, 0.3, 0.1, 7.0, 0.2, 0.3, 0.2, 0.5]);
    let declared = declared.with_absent(&[false, true, false]).unwrap();
    for matrix in [zero, declared] {
        let solution = solve(&matrix, 2.0).unwrap();
        assert_eq!(solution.absent, [false, true, false]);
        assert_eq!(solution.weights, [without.weights[0], 0.0, without.weights[1]]);
        assert_eq!(solution.rates[1], 0.0);
        // K counts the absent objective too.
        assert_eq!(solution.combination()[0], 3.0 * solution.weights[0]);
    }
    let sum = solve(&gram(vec![1.0, 0.0, 0.0, 0.0]), 0.0).unwrap();
    assert_eq!(sum.weights, [1.0, 0.0]);
}

#[test]
fn without_any_objective_there_is_nothing_to_do() {
    for alpha in [0.0, 2.0, f64::INFINITY] {
        let solution = solve(&gram(vec![0.0; 4]), alpha).unwrap();
        assert_eq!(solution.outcome, Outcome::AllAbsent);
        assert_eq!(solution.weights, [0.0, 0.0]);
    }
}
