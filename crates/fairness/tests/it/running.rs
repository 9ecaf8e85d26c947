//! Theorems about the Gram matrix of several steps.

use fairhuman_fairness::{Gram, RunningGram, State};

use crate::common::*;

const NAMES: [&str; 3] = ["a", "b", "c"];
const PRESENT: [bool; 3] = [false; 3];

fn running(steps: &[(Vec<f64>, [bool; 3])], length: u32) -> RunningGram {
    let mut state = State::default();
    for (step, (values, absent)) in (1..).zip(steps) {
        let mut running = RunningGram::read(&state, 3).unwrap();
        running.add(&gram(values.clone()).with_absent(absent).unwrap(), step, length);
        running.write(&mut state);
        // As in a checkpoint.
        state = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    }
    RunningGram::read(&state, 3).unwrap()
}

fn random_steps(count: usize) -> Vec<(Vec<f64>, [bool; 3])> {
    let mut random = Random::new(3);
    let step = |_| {
        let matrix = products(&generic(3, &mut random));
        (matrix, [0.3, 0.3, 0.9].map(|share| random.unit() < share))
    };
    (0..count).map(step).collect()
}

#[test]
fn the_average_of_equal_matrices_is_that_matrix_whatever_was_absent_when() {
    let matrix = products(&generic(3, &mut Random::new(1)));
    for length in [1, 2, 10, 1000] {
        let found = running(&vec![(matrix.clone(), PRESENT); 5], length).gram(NAMES, &PRESENT).unwrap();
        assert!(difference(found.values(), &matrix) < 1e-13, "{length}");
    }
    // The third is there every other time: its own norm is what it is, its cosines are nearer to 0.
    let steps: Vec<_> = (0..40).map(|i| (matrix.clone(), [false, false, i % 2 == 1])).collect();
    let found = running(&steps, 10).gram(NAMES, &PRESENT).unwrap();
    for i in 0..3 {
        let error = found.values()[4 * i] / matrix[4 * i] - 1.0;
        assert!(error.abs() < 1e-13, "{i}: {error:e}");
    }
    assert!(found.values()[2].abs() < matrix[2].abs() && found.values()[2] * matrix[2] > 0.0);
}

#[test]
fn a_memory_of_one_step_is_the_last_matrix_and_a_longer_one_its_decaying_mean() {
    let steps = random_steps(7).into_iter().map(|(matrix, _)| (matrix, PRESENT)).collect::<Vec<_>>();
    let last = running(&steps, 1);
    assert_eq!(last.step(), 7);
    assert!(difference(last.gram(NAMES, &PRESENT).unwrap().values(), &steps[6].0) < 1e-14);
    let weights: Vec<f64> = (0..7).map(|t| 0.75f64.powi(6 - t)).collect();
    let total: f64 = weights.iter().sum();
    let mean = |e: usize| steps.iter().zip(&weights).map(|((m, _), w)| m[e] * w).sum::<f64>() / total;
    let expected: Vec<f64> = (0..9).map(mean).collect();
    let found = running(&steps, 4).gram(NAMES, &PRESENT).unwrap();
    assert!(difference(found.values(), &expected) < 1e-13);
}

/// Means over the steps in which both of a pair were present would not be a Gram matrix.
#[test]
fn it_is_a_gram_matrix_whatever_is_absent() {
    let correlated = |sign: f64| vec![1.0, sign, 0.0, sign, 1.0, 0.0, 0.0, 0.0, 1.0];
    let mut steps = vec![(correlated(1.0), [false, false, true]), (correlated(-1.0), [false, false, true])];
    steps.extend(random_steps(300));
    for until in 1..steps.len() {
        let found = running(&steps[..until], 5).gram(NAMES, &PRESENT);
        assert!(found.is_ok(), "after {until}: {found:?}");
    }
}

#[test]
fn what_was_never_seen_or_long_ago_is_not_known_and_absent() {
    let matrix = products(&generic(3, &mut Random::new(1)));
    assert_eq!(running(&[], 10).step(), 0);
    let once = running(&[(matrix.clone(), [false, false, true])], 10);
    assert_eq!([0, 1, 2].map(|i| once.knows(i)), [true, true, false]);
    assert_eq!(once.gram(NAMES, &PRESENT).unwrap().absent(), [false, false, true]);
    assert_eq!(once.gram(NAMES, &[true, false, false]).unwrap().absent(), [true, false, true]);

    let mut steps = vec![(matrix.clone(), PRESENT)];
    steps.extend(vec![(matrix, [false, false, true]); 200]);
    let long_ago = running(&steps, 10);
    assert_eq!([0, 1, 2].map(|i| long_ago.knows(i)), [true, true, false]);
}

#[test]
fn a_memory_of_other_objectives_is_refused() {
    let mut state = State::default();
    let mut running = RunningGram::read(&state, 3).unwrap();
    running.add(&Gram::new(NAMES, vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]).unwrap(), 1, 1);
    running.write(&mut state);
    let error = RunningGram::read(&state, 2).unwrap_err();
    assert!(error.to_string().contains("3 numbers for 2 objectives"), "{error}");
}
