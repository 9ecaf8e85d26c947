//! Refused input with its error messages, and weightings in recipes.

use crate::common::*;
use fairhuman_fairness::weighting::{AlphaFair, Fixed, Linear};
use fairhuman_fairness::{Gram, GramError, Weighting, WeightingError, cosines, solve};

const THREE: [&str; 3] = ["global", "face", "hand"];

#[test]
fn a_non_finite_gradient_is_refused_by_its_objectives_name() {
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        // A gradient with a NaN spoils its whole row and column; its square gives it away.
        let values = vec![1.0, 0.0, bad, 0.0, 1.0, bad, bad, bad, bad];
        let error = Gram::new(THREE, values).unwrap_err();
        assert_eq!(error, GramError::NonFinite { objectives: vec!["hand".into()] });
        assert!(error.to_string().contains("gradient of \"hand\" is not finite"), "{error}");
        let values = vec![1.0, bad, 0.0, bad, 1.0, 0.0, 0.0, 0.0, 1.0];
        let error = Gram::new(THREE, values).unwrap_err();
        assert!(error.to_string().contains("\"global\", \"face\""), "{error}");
    }
}

#[test]
fn what_is_no_gram_matrix_is_refused() {
    let refuse = |values: &[f64]| Gram::new(names(values.len().isqrt()), values.to_vec()).unwrap_err();
    assert!(matches!(Gram::new(THREE, vec![1.0; 8]), Err(GramError::Size { expected: 9, found: 8, .. })));
    assert!(matches!(Gram::new(names(0), vec![]), Err(GramError::Count { found: 0 })));
    assert!(matches!(Gram::new(names(33), vec![0.0; 33 * 33]), Err(GramError::Count { found: 33 })));
    assert!(matches!(refuse(&[1.0, 0.5, 0.4, 1.0]), GramError::Asymmetric { .. }));
    assert!(matches!(refuse(&[1.0, 0.0, 0.0, -1.0]), GramError::NegativeNorm { .. }));
    assert!(matches!(refuse(&[1.0, 1.1, 1.1, 1.0]), GramError::CauchySchwarz { .. }));
    assert!(matches!(refuse(&[1.0, 1e-3, 1e-3, 0.0]), GramError::CauchySchwarz { .. }));
    assert!(matches!(refuse(&[1e200]), GramError::TooLarge { .. }));
    let angles = [1.0, -0.9, -0.9, -0.9, 1.0, -0.9, -0.9, -0.9, 1.0];
    assert_eq!(refuse(&angles), GramError::Indefinite);
    assert!(gram(vec![1.0]).with_absent(&[true, false]).is_err());
}

#[test]
fn rounding_asymmetry_is_averaged_away() {
    let matrix = gram(vec![1.0, 0.5, 0.5 + 1e-9, 1.0]);
    assert_eq!(matrix.values()[1], matrix.values()[2]);
}

#[test]
fn alpha_must_not_be_negative_or_nan() {
    for alpha in [-1.0, f64::NAN, f64::NEG_INFINITY] {
        let error = solve(&gram(vec![1.0]), alpha).unwrap_err();
        assert!(matches!(error, WeightingError::Parameter { name: "alpha", .. }));
        assert!(Weighting::from(AlphaFair::new(alpha)).validate(1).is_err());
    }
}

#[test]
fn cosines_are_those_of_the_gradients() {
    let matrix = gram(vec![4.0, -3.0, 0.0, -3.0, 9.0, 0.0, 0.0, 0.0, 0.0]);
    let expected = [1.0, -0.5, 0.0, -0.5, 1.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(cosines(&matrix), expected);
}

#[test]
fn weightings_read_from_and_written_to_recipes() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Recipe {
        weighting: Weighting,
    }
    let fixed = Weighting::from(Fixed { weights: vec![1.0, 5.0] });
    let infinite = Weighting::from(AlphaFair::new(f64::INFINITY));
    for (text, expected) in [
        ("{ kind = \"alpha-fair\" }", Weighting::default()),
        ("{ kind = \"alpha-fair\", alpha = 2 }", AlphaFair::new(2.0).into()),
        ("{ kind = \"alpha-fair\", alpha = inf }", infinite),
        ("{ kind = \"linear\" }", Linear {}.into()),
        ("{ kind = \"fixed\", weights = [1, 5] }", fixed),
    ] {
        let recipe: Recipe = toml::from_str(&format!("weighting = {text}")).unwrap();
        assert_eq!(recipe.weighting, expected, "{text}");
        let written = toml::to_string(&recipe).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&written).unwrap(), recipe, "{written}");
        let written = serde_json::to_string(&recipe).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&written).unwrap(), recipe, "{written}");
    }
    for (text, word) in [
        ("{ kind = \"alpha-fair\", alhpa = 2 }", "alhpa"),
        ("{ kind = \"linear\", alpha = 2 }", "alpha"),
        ("{ kind = \"equal\" }", "equal"),
        ("{ kind = \"alpha-fair\", alpha = -1 }", "-1"),
        ("{ kind = \"alpha-fair\", alpha = nan }", "NaN"),
    ] {
        let error = toml::from_str::<Recipe>(&format!("weighting = {text}")).unwrap_err();
        assert!(error.to_string().contains(word), "{text}: {error}");
    }
}

#[test]
fn fixed_and_linear_weights_skip_absent_objectives() {
    let matrix = Gram::new(THREE, vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 4.0]).unwrap();
    let (fixed, linear) = (Fixed { weights: vec![1.0, 2.0, 3.0] }.into(), Linear {}.into());
    assert_eq!(weigh_once(&matrix, &fixed).unwrap().weights, [1.0, 0.0, 3.0]);
    assert_eq!(weigh_once(&matrix, &fixed).unwrap().rates, [1.0, 0.0, 12.0]);
    assert_eq!(weigh_once(&matrix, &linear).unwrap().weights, [1.0, 0.0, 1.0]);
    // Given weights are those of the sum of the losses; only weights that were solved for are multiplied by
    // K.
    assert_eq!(weigh_once(&matrix, &fixed).unwrap().combination(), [1.0, 0.0, 3.0]);
    assert_eq!(weigh_once(&matrix, &linear).unwrap().combination(), [1.0, 0.0, 1.0]);
    assert_eq!(weigh_once(&matrix, &Weighting::default()).unwrap().factor, 3.0);
    for weights in [vec![1.0], vec![1.0, -2.0, 1.0], vec![0.0; 3], vec![f64::NAN; 3]] {
        assert!(weigh_once(&matrix, &Fixed { weights }.into()).is_err());
    }
}

#[test]
fn a_solution_survives_a_log() {
    for values in [vec![1.0, -1.0, -1.0, 1.0], vec![1.0, 0.0, 0.0, 0.0], vec![0.0; 4]] {
        let solution = solve(&gram(values), 2.0).unwrap();
        let written = serde_json::to_string(&solution).unwrap();
        let read: fairhuman_fairness::Solution = serde_json::from_str(&written).unwrap();
        assert_eq!(read.outcome, solution.outcome);
        assert_eq!(read.absent, solution.absent);
    }
}
