//! A hundred thousand random matrices, mostly nasty: an answer or a named refusal, never a panic, a
//! hang or garbage.

use crate::common::*;
use fairhuman_fairness::{CONFLICT_NORM, Gram, GramError, Outcome, solve};

const ALPHAS: [f64; 13] = [0.0, 1e-8, 1e-3, 0.03, 0.3, 1.0, 1.5, 2.0, 5.0, 50.0, 1e4, 1e8, f64::INFINITY];

#[test]
fn no_random_matrix_panics_hangs_or_gets_garbage() {
    let mut random = Random::new(2026);
    let (mut fair, mut conflicts, mut refused) = (0, 0, 0);
    for case in 0..100_000 {
        let largest = if case % 20 == 0 { 32 } else { 5 };
        let k = 1 + random.below(largest);
        let mut values = products(&nasty(k, &mut random));
        let spoiled = (random.below(50) == 0).then(|| random.below(k));
        if let Some(i) = spoiled {
            (0..k).for_each(|j| {
                values[i * k + j] = f64::NAN;
                values[j * k + i] = f64::NAN;
            });
        }
        let alpha = ALPHAS[random.below(ALPHAS.len())];
        let what = format!("case {case}, alpha {alpha}");
        let matrix = match Gram::new(names(k), values.clone()) {
            Err(GramError::NonFinite { objectives }) => {
                let i = spoiled.expect(&what);
                assert_eq!(objectives, [format!("objective {i}")], "{what}");
                refused += 1;
                continue;
            }
            matrix => matrix.expect(&what),
        };
        let solution = solve(&matrix, alpha).expect(&what);
        assert_sane(&solution, &what);
        assert!(solution.iterations < 10_000, "{what}");
        match solution.outcome {
            Outcome::Fair => {
                fair += 1;
                assert!(solution.residual <= 1e-10, "{what}: {:e}", solution.residual);
                let positive = |i: usize| solution.absent[i] || solution.weights[i] > 0.0;
                assert!(alpha > 10.0 || (0..k).all(positive), "{what}: {solution:?}");
            }
            Outcome::Conflict { norm, .. } => {
                conflicts += 1;
                assert!(norm < CONFLICT_NORM && solution.residual <= 1e-10, "{what}: {solution:?}");
            }
            Outcome::AllAbsent => assert!(solution.absent.iter().all(|&gone| gone), "{what}"),
            Outcome::Stalled => panic!("{what}: {values:?}"),
        }
    }
    assert!(fair > 40_000 && conflicts > 10_000 && refused > 1_000, "{fair} {conflicts} {refused}");
}

#[test]
fn arbitrary_numbers_are_refused_or_solved() {
    let mut random = Random::new(99);
    for _ in 0..20_000 {
        let k = 1 + random.below(4);
        let number = |random: &mut Random| match random.below(12) {
            0 => 0.0,
            1 => f64::NAN,
            2 => f64::MIN_POSITIVE / 8.0,
            3 => f64::MAX,
            4 => -1.0,
            _ => 10f64.powf(random.between(-30.0, 30.0)),
        };
        let mut values = vec![0.0; k * k];
        for i in 0..k {
            for j in 0..=i {
                let value = number(&mut random);
                values[i * k + j] = value;
                values[j * k + i] = value;
            }
        }
        if let Ok(matrix) = Gram::new(names(k), values) {
            assert_sane(&solve(&matrix, 2.0).unwrap(), "arbitrary");
        }
    }
}
