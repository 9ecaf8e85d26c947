//! Theorems about every weighting of the table, tested over the shared matrices. A new weighting is covered
//! as soon as it has its row in `golden`.

use std::collections::BTreeMap;

use crate::common::*;
use crate::golden::{golden_matrices, losses, table};
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
    for row in table() {
        for (name, matrix) in all_matrices() {
            for scale in [1e-30, 1e-15, 1.0, 1e15] {
                let gram = gram(scaled(&matrix, scale));
                let weighting = row.weighting(gram.k());
                let what = format!("{weighting:?}, {name}, scale {scale}");
                let solution = one_step(&gram, &weighting);
                assert_sensible(&solution, row.signed, &what);
                assert!(solution.factor.is_finite() && solution.factor >= 0.0, "{what}");
                for (i, &rate) in solution.rates.iter().enumerate() {
                    let terms = gram.values()[i * gram.k()..].iter().zip(&solution.weights);
                    let terms: Vec<f64> = terms.map(|(a, w)| a * w).collect();
                    let size: f64 = terms.iter().map(|t| t.abs()).sum();
                    assert!((rate - terms.iter().sum::<f64>()).abs() <= 1e-14 * size, "{what}: rate {rate}");
                }
            }
        }
    }
}

#[test]
fn no_loss_rises_along_the_direction_where_the_row_claims_it() {
    let mut random = Random::new(41);
    let mut all = regular_matrices();
    all.extend(matrices().into_iter().map(|(_, values)| values));
    all.extend((0..300).map(|i| products(&generic(2 + i % 7, &mut random))));
    for row in table().filter(|row| row.descends) {
        for values in &all {
            let gram = gram(values.clone());
            let k = gram.k();
            let weighting = row.weighting(k);
            let solution = one_step(&gram, &weighting);
            for (i, &rate) in solution.rates.iter().enumerate() {
                let terms = (0..k).map(|j| (gram.values()[i * k + j] * solution.weights[j]).abs());
                let rounding = 1e-11 * terms.sum::<f64>();
                assert!(rate >= -rounding, "{weighting:?}, {values:?}: rate {rate:e}");
            }
        }
    }
}

#[test]
fn no_random_matrix_panics_hangs_or_gets_garbage() {
    let mut random = Random::new(43);
    for case in 0..3000 {
        let k = 1 + random.below(if case % 20 == 0 { 32 } else { 5 });
        let matrix = gram(products(&nasty(k, &mut random)));
        for row in table() {
            let weighting = row.weighting(k);
            let what = format!("case {case}, {weighting:?}");
            let solution = one_step(&matrix, &weighting);
            assert_sensible(&solution, row.signed, &what);
            assert_ne!(solution.outcome, Outcome::Stalled, "{what}");
            assert!(solution.iterations < 10_000, "{what}");
        }
    }
}

#[test]
fn absent_objectives_get_weight_0_and_the_others_are_weighted_as_if_alone() {
    for row in table() {
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
    for row in table() {
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
    for row in table() {
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
    for row in table().filter(|row| row.equivariant) {
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
fn nothing_is_read_but_what_the_weighting_says_that_it_needs() {
    let mut random = Random::new(53);
    let mut without_a_matrix = 0;
    // Gradients of equal lengths: GradNorm's weights are moved by the losses alone.
    let equal = vec![1.0, 0.1, 0.2, 0.1, 1.0, 0.1, 0.2, 0.1, 1.0];
    for row in table() {
        let weighting = row.weighting(3);
        let needs = weighting.needs();
        let mut run = |gram: bool, losses: bool| -> Vec<Vec<f64>> {
            let mut state = State::default();
            (1..=5)
                .map(|step| {
                    let other = products(&generic(3, &mut random));
                    let matrix = if gram { equal.clone() } else { other };
                    let matrix = crate::common::gram(matrix).with_absent(&[false, step == 3, false]).unwrap();
                    let mut loss = |i: i32| match losses {
                        true => f64::from(i) / step as f64,
                        false => random.unit() + 0.1,
                    };
                    let losses: Vec<f64> = (1..=3).map(&mut loss).collect();
                    let seen = Observation { gram: &matrix, losses: &losses, seed: 9, step };
                    weigh(&weighting, &seen, &mut state).unwrap().weights
                })
                .collect()
        };
        let same = run(true, true);
        assert_eq!(run(needs.gram, needs.losses), same, "{weighting:?}");
        assert!(!needs.gram || run(false, true) != same, "{weighting:?} needs no Gram matrix");
        assert!(!needs.losses || run(true, false) != same, "{weighting:?} needs no losses");
        without_a_matrix += usize::from(!needs.gram);
    }
    assert_eq!(without_a_matrix, 9);
}

#[test]
fn a_state_that_was_written_and_read_goes_on_with_the_same_bits() {
    let mut random = Random::new(31);
    let steps: Vec<(Gram, Vec<f64>)> = (0..6)
        .map(|_| (gram(products(&generic(3, &mut random))), (0..3).map(|_| random.unit() + 0.1).collect()))
        .collect();
    for row in table() {
        let weighting = row.weighting(3);
        let run = |resumed: bool| -> Vec<Vec<u64>> {
            let mut state = State::default();
            let mut all = Vec::new();
            for (step, (gram, losses)) in (1..).zip(&steps) {
                let gram = &gram.clone().with_absent(&[step == 2, false, step == 4]).unwrap();
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

/// The state after a few steps with three objectives, and then one more without the last.
fn states_before_and_after_an_absence(weighting: &Weighting) -> [State; 2] {
    let mut random = Random::new(37);
    let mut state = State::default();
    let mut before = State::default();
    for step in 1..=4 {
        let gram = gram(products(&generic(3, &mut random)));
        let gram = gram.with_absent(&[false, false, step == 4]).unwrap();
        let losses: Vec<f64> = (0..3).map(|_| random.unit() + 0.1).collect();
        before = state.clone();
        weigh(weighting, &Observation { gram: &gram, losses: &losses, seed: 9, step }, &mut state).unwrap();
    }
    [before, state]
}

#[test]
fn an_absent_objective_has_the_same_memory_afterwards() {
    for row in table() {
        let weighting = row.weighting(3);
        let states = states_before_and_after_an_absence(&weighting).map(|state| {
            let written = serde_json::to_string(&state).unwrap();
            serde_json::from_str::<BTreeMap<String, String>>(&written).unwrap()
        });
        for (name, list) in &states[0] {
            let third = |list: &String| list.split(' ').nth(2).map(str::to_owned);
            assert_eq!(third(list), third(&states[1][name]), "{weighting:?}, {name}");
        }
    }
}

#[test]
fn memory_of_another_number_of_objectives_is_refused() {
    let two = gram(vec![1.0, 0.0, 0.0, 1.0]);
    let mut with_memory = 0;
    for row in table() {
        let [_, mut state] = states_before_and_after_an_absence(&row.weighting(3));
        if !state.is_empty() {
            let seen = Observation { gram: &two, losses: &[1.0; 2], seed: 0, step: 5 };
            let error = weigh(&row.weighting(2), &seen, &mut state).unwrap_err();
            assert!(error.to_string().contains("3 numbers for 2 objectives"), "{error}");
            with_memory += 1;
        }
    }
    assert_eq!(with_memory, 7);
}

#[test]
fn losses_that_cannot_be_used_are_refused_by_name_or_not_read() {
    let gram = gram(vec![1.0, 0.0, 0.0, 1.0]);
    for row in table() {
        for loss in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let weighting = row.weighting(2);
            let with_losses = |losses: &[f64]| {
                let seen = Observation { gram: &gram, losses, seed: 0, step: 1 };
                weigh(&weighting, &seen, &mut State::default())
            };
            match with_losses(&[1.0, loss]) {
                Ok(solution) => assert_eq!(solution, with_losses(&[1.0; 2]).unwrap()),
                Err(error) => assert!(error.to_string().contains("\"objective 1\""), "{error}"),
            }
        }
    }
}

#[test]
fn settings_survive_recipes_and_logs_and_have_a_label() {
    for row in table() {
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
    for row in table() {
        let matrix = gram(vec![1.0, 0.0, 0.0, 1.0]);
        let seen = Observation { gram: &matrix, losses: &[1.0], seed: 0, step: 1 };
        let error = weigh(&row.weighting(2), &seen, &mut State::default()).unwrap_err();
        assert_eq!(error.to_string(), "1 losses for 2 objectives");
    }
}
