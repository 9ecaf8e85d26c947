//! One row for each weighting: golden weights and what the method claims. `every.rs` tests the claims.

use crate::common::*;
use fairhuman_fairness::Weighting;

/// A weighting with the weights that it must give in step 1 of a run with seed 0.
pub struct Row {
    /// Its settings as in a recipe, for a number of objectives.
    pub settings: fn(usize) -> String,
    /// Weights for the matrices A to F with [`losses`], from `reference/weightings_golden.py` (12 digits).
    pub golden: [&'static [f64]; 6],
    /// Gradients c times as long get weights `c^power` times as large.
    pub power: f64,
    /// True if the weights move with the objectives when those are listed in another order.
    pub equivariant: bool,
}

#[allow(clippy::approx_constant, reason = "golden values are given with the digits of the script")]
pub const TABLE: &[Row] = &[
    Row {
        settings: |_| "kind = \"alpha-fair\", alpha = 0.5".into(),
        golden: [
            &[1.0, 0.629960524947],
            &[0.819546985165, 0.55775634259],
            &[1.32874227243, 0.762348465057],
            &[1.0, 2.23144316694, 4.64158883361],
            &[5.79718020102, 2.38216913686, 3.03973202688],
            &[1.14558917873, 2.23683402691, 1.43719306133],
        ],
        power: -2.0 / 3.0,
        equivariant: true,
    },
    Row {
        settings: |_| "kind = \"alpha-fair\", alpha = 1.0".into(),
        golden: [
            &[1.0, 0.5],
            &[0.790569415042, 0.395284707521],
            &[1.41421356237, 0.707106781187],
            &[1.0, 3.33333333333, 10.0],
            &[15.6705572543, 3.48411376948, 5.17829705815],
            &[1.2872194521, 2.91594769047, 1.82216582381],
        ],
        power: -1.0,
        equivariant: true,
    },
    Row {
        settings: |_| "kind = \"alpha-fair\", alpha = 2.0".into(),
        golden: [
            &[1.0, 0.396850262992],
            &[0.8079332456, 0.253831759152],
            &[1.49532092214, 0.67754787039],
            &[1.0, 4.97933860729, 21.5443469003],
            &[44.5228950469, 4.52282176902, 8.44015199919],
            &[1.48921837095, 3.79346859118, 2.34134544585],
        ],
        power: -4.0 / 3.0,
        equivariant: true,
    },
    Row {
        settings: |_| "kind = \"alpha-fair\", alpha = inf".into(),
        golden: [
            &[1.0, 0.25],
            &[1.0, 0.0],
            &[1.66666666667, 0.666666666667],
            &[1.0, 11.1111111111, 100.0],
            &[368.601142891, 0.0, 12.7404344284],
            &[2.14285714286, 6.42857142857, 3.92857142857],
        ],
        power: -2.0,
        equivariant: true,
    },
    Row {
        settings: |_| "kind = \"linear\"".into(),
        golden: [&[1.0; 2], &[1.0; 2], &[1.0; 2], &[1.0; 3], &[1.0; 3], &[1.0; 3]],
        power: 0.0,
        equivariant: true,
    },
    Row {
        settings: |k| {
            let weights: Vec<f64> = (0..k).map(|i| [1.0, 5.0, 20.0][i % 3]).collect();
            format!("kind = \"fixed\", weights = {weights:?}")
        },
        golden: [
            &[1.0, 5.0],
            &[1.0, 5.0],
            &[1.0, 5.0],
            &[1.0, 5.0, 20.0],
            &[1.0, 5.0, 20.0],
            &[1.0, 5.0, 20.0],
        ],
        power: 0.0,
        equivariant: false,
    },
    Row {
        settings: |_| "kind = \"rlw\"".into(),
        golden: [
            &[0.26971130015, 0.73028869985],
            &[0.26971130015, 0.73028869985],
            &[0.26971130015, 0.73028869985],
            &[0.116462403537, 0.315341541912, 0.568196054551],
            &[0.116462403537, 0.315341541912, 0.568196054551],
            &[0.116462403537, 0.315341541912, 0.568196054551],
        ],
        power: 0.0,
        equivariant: false,
    },
];

/// The matrices A to F of the golden weights.
pub fn golden_matrices() -> [Vec<f64>; 6] {
    [
        // Orthogonal.
        vec![1.0, 0.0, 0.0, 4.0],
        // Max-min needs the first alone.
        vec![1.0, 1.2, 1.2, 4.0],
        // A conflict with cosine -1/2.
        vec![1.0, -1.0, -1.0, 4.0],
        // Picture, face and hand.
        vec![1.0, 0.0, 0.0, 0.0, 0.09, 0.0, 0.0, 0.0, 0.01],
        // The first step of a training run.
        vec![0.002657, 0.003959, 0.001619, 0.003959, 0.06293, 0.001105, 0.001619, 0.001105, 0.03165],
        // A conflict of three.
        vec![1.0, -0.3, 0.2, -0.3, 0.5, -0.4, 0.2, -0.4, 0.8],
    ]
}

/// Losses to go with any matrix.
pub fn losses(k: usize) -> Vec<f64> {
    match k {
        2 => vec![0.5, 2.0],
        3 => vec![0.2616, 0.7792, 0.5058],
        k => (0..k).map(|i| 0.2 + 0.1 * (i % 7) as f64).collect(),
    }
}

impl Row {
    pub fn weighting(&self, k: usize) -> Weighting {
        #[derive(serde::Deserialize)]
        struct Recipe {
            weighting: Weighting,
        }
        let text = format!("weighting = {{ {} }}", (self.settings)(k));
        toml::from_str::<Recipe>(&text).unwrap_or_else(|e| panic!("{text}: {e}")).weighting
    }
}

#[test]
fn every_weighting_has_a_row() {
    for kind in Weighting::KINDS {
        assert!(TABLE.iter().any(|row| row.weighting(3).kind() == *kind), "no row for {kind}");
    }
}

#[test]
fn weights_are_the_golden_ones() {
    for row in TABLE {
        for (values, expected) in golden_matrices().iter().zip(row.golden) {
            let weighting = row.weighting(expected.len());
            let found = weigh_once(&gram(values.clone()), &weighting).unwrap().weights;
            let error = difference(&found, expected);
            assert!(error < 1e-11, "{weighting:?}, {values:?}: {found:?}, not {expected:?} ({error:e})");
        }
    }
}
