//! Weights of three toy objectives by each method: `cargo run -p fairhuman-fairness --example weights`.
//!
//! A large, a small and a tiny gradient, the first two in conflict. The rate of an objective is `g_i . d`,
//! the speed at which its loss falls along the direction d; it is printed in per cent of the sum.

use fairhuman_fairness::weighting::{AlphaFair, Fixed, Normalise};
use fairhuman_fairness::{Gram, Observation, State, Weighting, weigh};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gradients = [[1.0, 0.2, 0.0], [-0.15, 0.25, 0.0], [0.02, 0.0, 0.05]];
    let dot = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    let products = gradients.iter().flat_map(|&a| gradients.iter().map(move |&b| dot(a, b))).collect();
    let gram = Gram::new(["global", "face", "hand"], products)?;
    let losses = [0.26, 0.78, 0.51];

    let mut weightings: Vec<Weighting> = vec![
        Fixed { weights: vec![1.0, 5.0, 20.0] }.into(),
        AlphaFair::new(0.5).into(),
        AlphaFair::new(1.0).into(),
        AlphaFair::new(f64::INFINITY).into(),
        AlphaFair { priority: vec![1.0, 1.0, 8.0], ..AlphaFair::default() }.into(),
        AlphaFair { normalise: Normalise::Gradient, ..AlphaFair::default() }.into(),
    ];
    // The others with their defaults; fixed weights have none.
    let others = Weighting::KINDS.iter().filter(|kind| **kind != "fixed");
    for kind in others {
        weightings.push(serde_json::from_value(serde_json::json!({ "kind": kind }))?);
    }
    println!("{:66}{:>10}{:>10}{:>10}   rates in %", "", "global", "face", "hand");
    for weighting in &weightings {
        let seen = Observation { gram: &gram, losses: &losses, seed: 0, step: 1 };
        let solution = weigh(weighting, &seen, &mut State::default())?;
        print!("{:66}", weighting.label());
        solution.combination().iter().for_each(|weight| print!("{weight:10.3}"));
        let total: f64 = solution.rates.iter().sum();
        solution.rates.iter().for_each(|rate| print!("{:8.1}", 100.0 * rate / total));
        println!();
    }
    Ok(())
}
