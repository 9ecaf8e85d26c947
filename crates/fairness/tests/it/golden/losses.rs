//! Rows of the weightings that read losses, and their weights in a run of several steps, as most of them have
//! a memory.

use super::{Row, golden_matrices, parse};
use crate::common::*;
use fairhuman_fairness::{Observation, State, look_back, weigh};

pub const ROWS: &[Row] = &[
    Row {
        settings: |_| "kind = \"log\", loss_decay = 0.9".into(),
        golden: [
            &[2.0, 0.5],
            &[2.0, 0.5],
            &[2.0, 0.5],
            &[3.82262996942, 1.28336755647, 1.97706603401],
            &[3.82262996942, 1.28336755647, 1.97706603401],
            &[3.82262996942, 1.28336755647, 1.97706603401],
        ],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
    Row {
        settings: |_| "kind = \"db-mtl\", loss_decay = 0.9".into(),
        golden: [
            &[2.0, 1.0],
            &[2.0, 1.0],
            &[2.0, 1.0],
            &[3.82262996942, 12.7420998981, 38.2262996942],
            &[6.82357948712, 1.40210057139, 1.97706603401],
            &[3.82262996942, 5.40601514669, 4.27383023222],
        ],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
    Row {
        settings: |_| "kind = \"uncertainty\", learning_rate = 0.1, loss_decay = 0.9".into(),
        golden: [&[1.0; 2], &[1.0; 2], &[1.0; 2], &[1.0; 3], &[1.0; 3], &[1.0; 3]],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
    Row {
        settings: |_| "kind = \"dwa\", temperature = 0.5, window = 2".into(),
        golden: [&[1.0; 2], &[1.0; 2], &[1.0; 2], &[1.0; 3], &[1.0; 3], &[1.0; 3]],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
    Row {
        settings: |_| "kind = \"stch\", mu = 0.5, warmup = 2, loss_decay = 0.9".into(),
        golden: [
            &[2.0, 0.5],
            &[2.0, 0.5],
            &[2.0, 0.5],
            &[3.82262996942, 1.28336755647, 1.97706603401],
            &[3.82262996942, 1.28336755647, 1.97706603401],
            &[3.82262996942, 1.28336755647, 1.97706603401],
        ],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
    Row {
        settings: |_| "kind = \"famo\", learning_rate = 0.1, gamma = 0.01".into(),
        golden: [
            &[0.8, 0.2],
            &[0.8, 0.2],
            &[0.8, 0.2],
            &[0.539685961745, 0.181188202762, 0.279125835493],
            &[0.539685961745, 0.181188202762, 0.279125835493],
            &[0.539685961745, 0.181188202762, 0.279125835493],
        ],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
    Row {
        settings: |_| "kind = \"famo-ema\", learning_rate = 0.1, gamma = 0.01, loss_decay = 0.9".into(),
        golden: [
            &[0.8, 0.2],
            &[0.8, 0.2],
            &[0.8, 0.2],
            &[0.539685961745, 0.181188202762, 0.279125835493],
            &[0.539685961745, 0.181188202762, 0.279125835493],
            &[0.539685961745, 0.181188202762, 0.279125835493],
        ],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
    Row {
        settings: |_| "kind = \"gradnorm\", learning_rate = 0.1, warmup = 2, loss_decay = 0.9".into(),
        golden: [&[1.0; 2], &[1.0; 2], &[1.0; 2], &[1.0; 3], &[1.0; 3], &[1.0; 3]],
        power: 0.0,
        equivariant: true,
        signed: false,
        descends: false,
    },
];

/// Losses of the run, whose matrices are E and F by turns. The third objective is absent in step 3.
const LOSSES: [[f64; 3]; 6] = [
    [0.30, 0.80, 0.60],
    [0.25, 0.90, 0.50],
    [0.35, 0.70, f64::NAN],
    [0.28, 0.75, 0.55],
    [0.24, 0.82, 0.45],
    [0.26, 0.72, 0.52],
];

/// Settings with the weights of every step of the run, from `reference/weightings_golden.py`.
const RUNS: &[(&str, [&[f64]; 6])] = &[
    (
        "kind = \"log\", loss_decay = 0.9",
        [
            &[3.33333333333, 1.25, 1.66666666667],
            &[3.65384615385, 1.17283950617, 1.82692307692],
            &[3.31295843521, 1.25579240037, 0.0],
            &[3.38417634324, 1.2773939529, 1.82368775236],
            &[3.54683088223, 1.26275832722, 1.92402372161],
            &[3.60673593396, 1.28771626649, 1.9237924328],
        ],
    ),
    (
        "kind = \"db-mtl\", loss_decay = 0.9",
        [
            &[6.08335417082, 1.25, 1.7625929216],
            &[3.65384615385, 5.16731878559, 4.08512418966],
            &[6.11154394918, 1.25579240037, 0.0],
            &[3.38417634324, 4.78594808207, 3.78362417567],
            &[6.64051102678, 1.36448389332, 1.92402372161],
            &[3.60673593396, 5.10069487371, 4.03245336261],
        ],
    ),
    (
        "kind = \"uncertainty\", learning_rate = 0.1, loss_decay = 0.9",
        [
            &[1.0, 1.0, 1.0],
            &[1.1051709165, 1.10517091255, 1.10517091531],
            &[1.22139132055, 1.20323451318, 0.0],
            &[1.34921397613, 1.29957978364, 1.22136087233],
            &[1.48972665401, 1.37737857146, 1.34845023032],
            &[1.64413876535, 1.41052398035, 1.48720259094],
        ],
    ),
    (
        "kind = \"dwa\", temperature = 0.5, window = 2",
        [
            &[1.0, 1.0, 1.0],
            &[1.0, 1.0, 1.0],
            &[1.0, 1.0, 0.0],
            &[1.0, 1.0, 1.0],
            &[1.30170219944, 0.725166535905, 0.973131264652],
            &[1.37590000741, 0.766501464428, 0.857598528165],
        ],
    ),
    (
        "kind = \"stch\", mu = 0.5, warmup = 2, loss_decay = 0.9",
        [
            &[3.33333333333, 1.25, 1.66666666667],
            &[3.65384615385, 1.17283950617, 1.82692307692],
            &[3.83335482872, 1.05853371182, 0.0],
            &[3.91152809748, 1.08468121725, 1.81463367788],
            &[3.97722075267, 1.16930410182, 1.83294639674],
            &[4.0076906379, 1.1749405464, 1.87840974804],
        ],
    ),
    (
        "kind = \"famo\", learning_rate = 0.1, gamma = 0.01",
        [
            &[0.533333333333, 0.2, 0.266666666667],
            &[0.512827623795, 0.173987927429, 0.313184448776],
            &[0.614603664827, 0.385396335173, 0.0],
            &[0.4221249909, 0.226946651587, 0.350928357513],
            &[0.397174739827, 0.185908752572, 0.416916507601],
            &[0.35767003728, 0.222167891467, 0.420162071253],
        ],
    ),
    (
        "kind = \"famo-ema\", learning_rate = 0.1, gamma = 0.01, loss_decay = 0.9",
        [
            &[0.533333333333, 0.2, 0.266666666667],
            &[0.528525813964, 0.207211279054, 0.264262906982],
            &[0.696063017298, 0.303936982702, 0.0],
            &[0.527487677961, 0.219263558961, 0.253248763078],
            &[0.544105494539, 0.210303518055, 0.245590987406],
            &[0.552452707813, 0.211214250117, 0.23633304207],
        ],
    ),
    (
        "kind = \"gradnorm\", learning_rate = 0.1, warmup = 2, loss_decay = 0.9",
        [
            &[1.0, 1.0, 1.0],
            &[1.13793103188, 0.931034483922, 0.931034484193],
            &[1.11340905945, 0.929693691447, 0.0],
            &[1.13668863074, 0.90641412015, 0.956897249106],
            &[1.10045871775, 0.89161581564, 1.00792546661],
            &[1.10004248276, 0.868021505787, 1.03193601145],
        ],
    ),
];

#[test]
fn weights_of_a_run_are_the_golden_ones() {
    let [.., e, f] = golden_matrices();
    for (settings, golden) in RUNS {
        let weighting = parse(settings);
        let mut state = State::default();
        for (step, (losses, expected)) in (1..).zip(LOSSES.iter().zip(golden)) {
            let values = if step % 2 == 1 { e.clone() } else { f.clone() };
            let gram = gram(values).with_absent(&losses.map(f64::is_nan)).unwrap();
            let seen = Observation { gram: &gram, losses, seed: 0, step };
            let found = weigh(&weighting, &seen, &mut state).unwrap().weights;
            // After step t the loss of objective i is .9 + .02 (i + t) times what it was.
            let change = |(i, loss): (usize, &f64)| loss * (0.9 + 0.02 * (i as f64 + step as f64));
            let after: Vec<f64> = losses.iter().enumerate().map(change).collect();
            look_back(&weighting, &seen, &after, &mut state).unwrap();
            let error = difference(&found, expected);
            assert!(error < 1e-11, "{settings}, step {step}: {found:?}, not {expected:?} ({error:e})");
        }
    }
}
