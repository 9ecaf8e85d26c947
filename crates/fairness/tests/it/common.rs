//! Matrices and error measures shared by the tests.

use fairhuman_fairness::{Gram, Observation, Solution, State, Weighting, WeightingError, weigh};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Uniform and gaussian numbers that are a function of the seed.
pub struct Random(ChaCha8Rng);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(ChaCha8Rng::seed_from_u64(seed))
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.0.next_u64() % n as u64) as usize
    }

    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    pub fn normals(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.normal()).collect()
    }
}

pub fn names(k: usize) -> Vec<String> {
    (0..k).map(|i| format!("objective {i}")).collect()
}

pub fn gram(values: Vec<f64>) -> Gram {
    let k = values.len().isqrt();
    Gram::new(names(k), values).unwrap()
}

/// The weights of the first step, of a run with seed 0 and losses of 1.
pub fn weigh_once(gram: &Gram, weighting: &Weighting) -> Result<Solution, WeightingError> {
    let losses = vec![1.0; gram.k()];
    weigh(weighting, &Observation { gram, losses: &losses, seed: 0, step: 1 }, &mut State::default())
}

pub fn products(gradients: &[Vec<f64>]) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let rows = gradients.iter();
    rows.flat_map(|a| gradients.iter().map(move |b| dot(a, b))).collect()
}

pub fn scaled(values: &[f64], factor: f64) -> Vec<f64> {
    values.iter().map(|v| v * factor).collect()
}

/// Gradients in no special position: norms over four orders of magnitude, any angles.
pub fn generic(k: usize, random: &mut Random) -> Vec<Vec<f64>> {
    let gradient = |random: &mut Random| {
        let norm = 10f64.powf(random.between(-2.0, 2.0));
        scaled(&random.normals(k + 3), norm)
    };
    (0..k).map(|_| gradient(random)).collect()
}

/// Gradients with zero, collinear, opposed and nearly opposed ones among them, of any rank, with norms
/// over up to twelve orders of magnitude.
pub fn nasty(k: usize, random: &mut Random) -> Vec<Vec<f64>> {
    let dimension = 1 + random.below(k + 1);
    let spread = [0.0, 1.0, 6.0][random.below(3)];
    let agreement = [0.0, 0.5, 2.0][random.below(3)];
    let mut gradients: Vec<Vec<f64>> = Vec::new();
    for i in 0..k {
        let norm = 10f64.powf(random.between(-spread, spread));
        let mut gradient: Vec<f64> = random.normals(dimension);
        gradient.iter_mut().for_each(|v| *v = (*v + agreement) * norm);
        match if i == 0 { 0 } else { random.below(12) } {
            1 => gradient = vec![0.0; dimension],
            2 => gradient = scaled(&gradients[random.below(i)], norm),
            3 => gradient = scaled(&gradients[random.below(i)], -norm),
            4 => {
                let angle = 10f64.powf(random.between(-9.0, 0.0));
                let other = &gradients[random.below(i)];
                let pairs = other.iter().zip(&gradient);
                gradient = pairs.map(|(o, g)| -norm * (o + angle * g)).collect();
            }
            _ => {}
        }
        gradients.push(gradient);
    }
    gradients
}

/// Named matrices from benign to degenerate; none conflicts.
pub fn matrices() -> Vec<(String, Vec<f64>)> {
    let mut random = Random::new(7);
    let mut all = vec![
        ("one objective".into(), vec![3.0]),
        ("sizes of picture, face and hand".into(), vec![1.0, 0.0, 0.0, 0.0, 0.09, 0.0, 0.0, 0.0, 0.01]),
        ("equal gradients".into(), vec![2.0; 9]),
        ("collinear, 1 : 3".into(), vec![1.0, 3.0, 3.0, 9.0]),
        ("norms 1 : 1e-12".into(), vec![1.0, 3e-13, 3e-13, 1e-24]),
        ("norms 1 : 1e-6 : 1e6, correlated".into(), {
            let d = [1.0, 1e-6, 1e6];
            let c = [1.0, 0.9, -0.5, 0.9, 1.0, -0.3, -0.5, -0.3, 1.0];
            (0..9).map(|e| c[e] * d[e / 3] * d[e % 3]).collect()
        }),
        ("small against large, obtuse".into(), vec![1.0, -0.09, -0.09, 0.01]),
        ("rank 2 of 3".into(), products(&[vec![1.0, 0.0], vec![0.0, 1.0], vec![1.0, 1.0]])),
        ("right angle lost by 1e-4".into(), products(&[vec![1.0, 0.0], vec![-1.0, 1e-4]])),
    ];
    for k in [2, 3, 4, 8, 16, 32] {
        let values = products(&generic(k, &mut random));
        all.push((format!("generic {k}"), values));
        let shared: Vec<Vec<f64>> =
            (0..k).map(|_| random.normals(4).iter().map(|v| v.abs()).collect()).collect();
        all.push((format!("rank 4 of {k}"), products(&shared)));
    }
    all
}

pub const ALPHAS: [f64; 9] = [1e-3, 0.05, 0.5, 1.0, 2.0, 3.0, 20.0, 1e3, 1e6];

/// Largest residual of `A w = w^(-1/alpha)`, each row relative to the terms it sums.
pub fn residual(values: &[f64], weights: &[f64], alpha: f64) -> f64 {
    let k = weights.len();
    let row = |i: usize| {
        let terms = (0..k).map(|j| values[i * k + j] * weights[j]);
        let wanted = weights[i].powf(-1.0 / alpha);
        let size: f64 = terms.clone().map(f64::abs).sum::<f64>() + wanted;
        if weights[i] < 1e-250 {
            // The weight has vanished, with few digits left; only the sign of its rate can be checked.
            return if terms.sum::<f64>() > 0.0 { 0.0 } else { 1.0 };
        }
        (terms.sum::<f64>() - wanted).abs() / size
    };
    (0..k).map(row).fold(0.0, f64::max)
}

/// Largest relative difference, of numbers that matter beside the largest.
pub fn difference(a: &[f64], b: &[f64]) -> f64 {
    let pairs = a.iter().zip(b);
    let relative = |(x, y): (&f64, &f64)| {
        let size = x.abs().max(y.abs());
        if size == 0.0 { 0.0 } else { (x - y).abs() / size }
    };
    pairs.map(relative).fold(0.0, f64::max)
}

pub fn assert_sane(solution: &Solution, what: &str) {
    assert_sensible(solution, false, what);
}

/// Finite weights, negative ones only if they are allowed, and 0 for absent objectives.
pub fn assert_sensible(solution: &Solution, signed: bool, what: &str) {
    for (i, &w) in solution.weights.iter().enumerate() {
        assert!(w.is_finite() && (signed || w >= 0.0), "{what}: weight {w}");
        assert!(!solution.absent[i] || w == 0.0, "{what}: absent with weight {w}");
    }
}
