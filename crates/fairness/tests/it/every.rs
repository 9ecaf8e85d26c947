//! Theorems about every weighting of the table, tested over the shared matrices. A new weighting is covered
//! as soon as it has its row in `golden.rs`.

use crate::common::*;
use crate::golden::{TABLE, golden_matrices, losses};
use fairhuman_fairness::{Gram, Observation, Outcome, Solution, State, Weighting, weigh};

/// The shared matrices, with opposed and zero gradients beside them.
fn all_matrices() -> Vec<(String, Vec<f64>)> {
    let mut all = matrices();
    all.extend([
        ("opposed".into(), vec![1.0, -1.0, -1.0, 1.0]),
        ("opposed, with a bystander".into(), vec![1.0, -5.0, 0.0, -5.0, 25.0, 0.0, 0.0, 0.0, 1.0]),
        ("a zero gradient".into(), vec![2.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.3, 0.0, 0.5]),
        ("zero".into(), vec![0.0; 9]),
    ]);
    all
}

/// Matrices of gradients in general position, for which every weighting has one answer.
fn regular_matrices() -> Vec<Vec<f64>> {
    let mut random = Random::new(23);
    let mut all = golden_matrices().to_vec();
    all.extend([4, 8, 32].map(|k| products(&generic(k, &mut random))));
    all
}

fn one_step(gram: &Gram, weighting: &Weighting) -> Solution {
    let losses = losses(gram.k());
    let seen = Observation { gram, losses: &losses, seed: 5, step: 7 };
    weigh(weighting, &seen, &mut State::default()).unwrap()
}

#[test]
fn weights_are_finite_and_rates_are_those_of_the_direction() {
    for row in TABLE {
        for (name, matrix) in all_matrices() {
            for scale in [1e-30, 1e-15, 1.0, 1e15] {
                let gram = gram(scaled(&matrix, scale));
                let weighting = row.weighting(gram.k());
                let what = format!("{weighting:?}, {name}, scale {scale}");
                let solution = one_step(&gram, &weighting);
                assert_sane(&solution, &what);
                assert!(solution.factor.is_finite() && solution.factor >= 0.0, "{what}");
                for (i, &rate) in solution.rates.iter().enumerate() {
                    let row = gram.values()[i * gram.k()..].iter().zip(&solution.weights);
                    let terms: Vec<f64> = row.map(|(a, w)| a * w).collect();
                    let size: f64 = terms.iter().map(|t| t.abs()).sum();
                    assert!((rate - terms.iter().sum::<f64>()).abs() <= 1e-14 * size, "{what}: rate {rate}");
                }
            }
        }
    }
}

#[test]
fn absent_objectives_get_weight_0_and_the_others_are_weighted_as_if_alone() {
    for row in TABLE {
        for values in regular_matrices().into_iter().filter(|values| values.len() > 4) {
            let gram = gram(values);
            let k = gram.k();
            let weighting = row.weighting(k);
            let last_is_absent: Vec<bool> = (0..k).map(|i| i == k - 1).collect();
            let solution = one_step(&gram.clone().with_absent(&last_is_absent).unwrap(), &weighting);
            assert_eq!(solution.weights[k - 1], 0.0, "{weighting:?}");
            assert_eq!(solution.absent, last_is_absent, "{weighting:?}");
            assert_eq!(solution.rates[k - 1], 0.0, "{weighting:?}");

            // The row of an absent objective is not read.
            let mut other = gram.values().to_vec();
            (0..k).for_each(|i| other[(k - 1) * k + i] = 0.0);
            (0..k).for_each(|i| other[i * k + k - 1] = 0.0);
            let zeroed = one_step(&crate::common::gram(other), &weighting);
            assert_eq!(solution.weights, zeroed.weights, "{weighting:?}");
        }
    }
}

#[test]
fn without_any_objective_nothing_is_weighted() {
    for row in TABLE {
        let weighting = row.weighting(3);
        for matrix in [gram(vec![0.0; 9]), gram(vec![1.0; 9]).with_absent(&[true; 3]).unwrap()] {
            let solution = one_step(&matrix, &weighting);
            assert_eq!(solution.outcome, Outcome::AllAbsent, "{weighting:?}");
            assert_eq!(solution.combination(), [0.0; 3], "{weighting:?}");
        }
    }
}

#[test]
fn longer_gradients_scale_the_weights_as_the_row_claims() {
    for row in TABLE {
        for values in regular_matrices() {
            let weighting = row.weighting(values.len().isqrt());
            let base = one_step(&gram(values.clone()), &weighting);
            for length in [2f64.powi(-30), 0.5, 2f64.powi(32)] {
                let found = one_step(&gram(scaled(&values, length * length)), &weighting);
                let error = difference(&found.weights, &scaled(&base.weights, length.powf(row.power)));
                assert!(error < 1e-9, "{weighting:?}, {length}: {error:e}");
            }
        }
    }
}

#[test]
fn permuting_the_objectives_permutes_the_weights_where_the_row_claims_it() {
    for row in TABLE.iter().filter(|row| row.equivariant) {
        for values in regular_matrices() {
            let k = values.len().isqrt();
            let weighting = row.weighting(k);
            let order: Vec<usize> = (0..k).map(|i| (i + k / 2 + 1) % k).rev().collect();
            let permuted: Vec<f64> = (0..k * k).map(|e| values[order[e / k] * k + order[e % k]]).collect();
            let here = losses(k);
            let there: Vec<f64> = order.iter().map(|&i| here[i]).collect();
            let step = |values: Vec<f64>, losses: &[f64]| {
                let seen = Observation { gram: &gram(values), losses, seed: 5, step: 7 };
                weigh(&weighting, &seen, &mut State::default()).unwrap().weights
            };
            let base = step(values, &here);
            let expected: Vec<f64> = order.iter().map(|&i| base[i]).collect();
            let error = difference(&step(permuted, &there), &expected);
            assert!(error < 1e-7, "{weighting:?}: {error:e}");
        }
    }
}

#[test]
fn a_state_that_was_written_and_read_goes_on_with_the_same_bits() {
    let mut random = Random::new(31);
    let steps: Vec<(Gram, Vec<f64>)> = (0..6)
        .map(|_| (gram(products(&generic(3, &mut random))), (0..3).map(|_| random.unit() + 0.1).collect()))
        .collect();
    for row in TABLE {
        let weighting = row.weighting(3);
        let run = |resumed: bool| -> Vec<Vec<u64>> {
            let mut state = State::default();
            let mut all = Vec::new();
            for (step, (gram, losses)) in (1..).zip(&steps) {
                let seen = Observation { gram, losses, seed: 9, step };
                let weights = weigh(&weighting, &seen, &mut state).unwrap().weights;
                all.push(weights.iter().map(|w| w.to_bits()).collect());
                if resumed {
                    let written = serde_json::to_string(&state).unwrap();
                    state = serde_json::from_str(&written).unwrap();
                }
            }
            all
        };
        assert_eq!(run(false), run(true), "{weighting:?}");
    }
}

#[test]
fn settings_survive_recipes_and_logs_and_have_a_label() {
    for row in TABLE {
        let weighting = row.weighting(3);
        let written = serde_json::to_string(&weighting).unwrap();
        assert_eq!(serde_json::from_str::<Weighting>(&written).unwrap(), weighting, "{written}");
        let written = toml::to_string(&weighting).unwrap();
        assert_eq!(toml::from_str::<Weighting>(&written).unwrap(), weighting, "{written}");
        assert!(!weighting.label().is_empty());
        assert!(written.contains(weighting.kind()));
    }
}

#[test]
fn as_many_losses_as_objectives_are_needed() {
    for row in TABLE {
        let matrix = gram(vec![1.0, 0.0, 0.0, 1.0]);
        let seen = Observation { gram: &matrix, losses: &[1.0], seed: 0, step: 1 };
        let error = weigh(&row.weighting(2), &seen, &mut State::default()).unwrap_err();
        assert_eq!(error.to_string(), "1 losses for 2 objectives");
    }
}
