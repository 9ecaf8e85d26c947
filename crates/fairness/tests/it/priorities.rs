//! Theorems about priorities and normalised gradients in alpha-fair weights.

use crate::common::*;
use fairhuman_fairness::weighting::{AlphaFair, Normalise};
use fairhuman_fairness::{Outcome, Weighting, solve, solve_with_priorities};

const ALPHAS: [f64; 7] = [0.05, 0.3, 0.5, 1.0, 2.0, 5.0, 50.0];

fn priorities(k: usize, random: &mut Random) -> Vec<f64> {
    (0..k).map(|_| 10f64.powf(random.between(-3.0, 3.0))).collect()
}

fn norm(weights: &[f64], rates: &[f64]) -> f64 {
    weights.iter().zip(rates).map(|(w, r)| w * r).sum::<f64>().sqrt()
}

#[test]
fn priorities_of_1_change_no_bit() {
    for (name, matrix) in matrices() {
        let gram = gram(matrix);
        for alpha in [0.0, 1e-3, 0.5, 1.0, 2.0, 20.0, f64::INFINITY] {
            let plain = solve(&gram, alpha).unwrap();
            assert_eq!(plain, solve_with_priorities(&gram, alpha, &vec![1.0; gram.k()]).unwrap(), "{name}");
            let ones = AlphaFair { priority: vec![1.0; gram.k()], ..AlphaFair::new(alpha) };
            assert_eq!(plain, weigh_once(&gram, &ones.into()).unwrap(), "{name}");
        }
    }
}

#[test]
fn the_equation_with_priorities_holds_to_1e_10() {
    let mut random = Random::new(51);
    for (name, matrix) in matrices() {
        let gram = gram(matrix);
        for alpha in ALPHAS {
            let p = priorities(gram.k(), &mut random);
            let solution = solve_with_priorities(&gram, alpha, &p).unwrap();
            assert_eq!(solution.outcome, Outcome::Fair, "{name}, {alpha}, {p:?}");
            let (k, w) = (gram.k(), &solution.weights);
            // A weight that has vanished has few digits left; only the sign of its rate can be checked.
            assert!((0..k).all(|i| w[i] > 1e-250 || solution.rates[i] > 0.0), "{name}, {alpha}, {p:?}");
            for i in (0..k).filter(|&i| w[i] > 1e-250) {
                let wanted = (p[i] / w[i]).powf(1.0 / alpha);
                let terms = (0..k).map(|j| (gram.values()[i * k + j] * w[j]).abs());
                let error = (solution.rates[i] - wanted).abs() / (terms.sum::<f64>() + wanted);
                assert!(error < 1e-10, "{name}, alpha {alpha}, {p:?}: {error:e}");
            }
        }
    }
}

#[test]
fn orthogonal_gradients_with_priorities_have_weights_in_closed_form() {
    let (squares, p) = ([4.0, 1e-4, 1.0], [1.0, 30.0, 0.2]);
    let element = |e: usize| if e / 3 == e % 3 { squares[e / 3] } else { 0.0 };
    let matrix = gram((0..9).map(element).collect());
    for alpha in ALPHAS {
        let closed = |i: usize| f64::powf(p[i] / f64::powf(squares[i], alpha), 1.0 / (1.0 + alpha));
        let expected: Vec<f64> = (0..3).map(closed).collect();
        let found = solve_with_priorities(&matrix, alpha, &p).unwrap().weights;
        assert!(difference(&found, &expected) < 1e-10, "alpha {alpha}: {found:?}, not {expected:?}");
    }
    assert_eq!(solve_with_priorities(&matrix, 0.0, &p).unwrap().weights, p);
}

#[test]
fn an_objective_with_more_priority_is_served_more() {
    let mut random = Random::new(53);
    let mut more = 0;
    for case in 0..400 {
        let k = 2 + random.below(6);
        let gram = gram(products(&generic(k, &mut random)));
        let alpha = ALPHAS[case % ALPHAS.len()];
        let mut p = priorities(k, &mut random);
        let chosen = random.below(k);
        let served: Vec<[f64; 3]> = (0..4)
            .map(|_| {
                let solution = solve_with_priorities(&gram, alpha, &p).unwrap();
                p[chosen] *= 1.5;
                let (w, rate) = (&solution.weights, solution.rates[chosen]);
                let terms = (0..k).map(|j| (gram.values()[chosen * k + j] * w[j]).abs());
                [rate, 1e-10 * terms.sum::<f64>(), norm(w, &solution.rates)]
            })
            .collect();
        for pair in served.windows(2) {
            let ([before, _, shorter], [now, rounding, longer]) = (pair[0], pair[1]);
            assert!(now + rounding >= before, "case {case}, alpha {alpha}: {now} after {before}");
            // Along directions of length 1, too.
            let (before, now) = (before / shorter, (now + rounding) / longer);
            assert!(now >= before * (1.0 - 1e-9), "case {case}, alpha {alpha}: {now} after {before}");
        }
        more += usize::from(served[3][0] > served[0][0] * (1.0 + 1e-9) + served[3][1]);
    }
    // In the others too little to be told from rounding.
    assert!(more > 300, "{more}");
}

#[test]
fn more_scale_is_less_service_above_alpha_1_and_the_reason_for_priorities() {
    // Share of the second of two orthogonal gradients in the direction's length, before and after it is
    // made three times as long.
    let share = |alpha, length: f64, normalise| {
        let gram = gram(vec![1.0, 0.0, 0.0, length * length]);
        let weighting = AlphaFair { normalise, ..AlphaFair::new(alpha) };
        let w = weigh_once(&gram, &weighting.into()).unwrap().weights;
        w[1] * length / w[0]
    };
    assert!(share(2.0, 3.0, Normalise::None) < 0.7 * share(2.0, 1.0, Normalise::None));
    assert!(share(0.5, 3.0, Normalise::None) > 1.4 * share(0.5, 1.0, Normalise::None));
    assert!((share(2.0, 3.0, Normalise::Gradient) - 1.0).abs() < 1e-12);
}

#[test]
fn normalised_gradients_with_their_weights_do_not_change_with_any_length() {
    let mut random = Random::new(57);
    for case in 0..200 {
        let k = 1 + random.below(6);
        let gradients = generic(k, &mut random);
        let alpha = [0.0, 0.5, 1.0, 2.0, 5.0, f64::INFINITY][case % 6];
        let priority = if alpha.is_finite() { priorities(k, &mut random) } else { Vec::new() };
        let weighting: Weighting = AlphaFair { alpha, priority, normalise: Normalise::Gradient }.into();
        let direction = |gradients: &[Vec<f64>]| -> Vec<f64> {
            let weights = weigh_once(&gram(products(gradients)), &weighting).unwrap().weights;
            let parts = |e: usize| weights.iter().zip(gradients).map(move |(w, g)| w * g[e]);
            (0..gradients[0].len()).map(|e| parts(e).sum()).collect()
        };
        let lengths: Vec<f64> = (0..k).map(|_| 10f64.powf(random.between(-6.0, 6.0))).collect();
        let longer: Vec<Vec<f64>> = gradients.iter().zip(&lengths).map(|(g, &l)| scaled(g, l)).collect();
        let (here, there) = (direction(&gradients), direction(&longer));
        let size = here.iter().fold(0.0f64, |most, v| most.max(v.abs()));
        for (a, b) in here.iter().zip(&there) {
            assert!((a - b).abs() < 1e-8 * size, "case {case}, alpha {alpha}: {here:?}, {there:?}");
        }
    }
}

#[test]
fn priorities_that_make_no_sense_are_refused() {
    let matrix = gram(vec![1.0, 0.0, 0.0, 1.0]);
    for (alpha, priority, words) in [
        (2.0, vec![1.0], "1 priorities for 2 objectives"),
        (2.0, vec![1.0, 0.0], "priority 1 is 0"),
        (2.0, vec![f64::NAN, 1.0], "priority 0 is NaN"),
        (f64::INFINITY, vec![1.0, 2.0], "max-min"),
    ] {
        let weighting = AlphaFair { priority, ..AlphaFair::new(alpha) }.into();
        let error = weigh_once(&matrix, &weighting).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
