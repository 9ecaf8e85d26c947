//! Time of the fair solve, per size and alpha: `cargo bench -p fairhuman-fairness`.

use divan::{Bencher, black_box};
use fairhuman_fairness::{Gram, solve};

fn main() {
    divan::main();
}

/// Gradients of norms 1, 1/2, 1/4 .. that share a third of their direction.
fn gram(k: usize) -> Gram {
    let element = |i: usize, j: usize| {
        let norms = 0.5f64.powi((i % 8 + j % 8) as i32);
        if i == j { norms } else { norms / 3.0 }
    };
    let values = (0..k * k).map(|e| element(e / k, e % k)).collect();
    Gram::new((0..k).map(|i| format!("objective {i}")), values).expect("a Gram matrix")
}

#[divan::bench(args = [1.0, 2.0, 0.1, f64::INFINITY])]
fn three_objectives(bencher: Bencher, alpha: f64) {
    let gram = gram(3);
    bencher.bench_local(|| solve(black_box(&gram), black_box(alpha)));
}

#[divan::bench]
fn three_objectives_one_against_two(bencher: Bencher) {
    let values = vec![1.0, -0.4, -0.3, -0.4, 0.25, 0.1, -0.3, 0.1, 0.1];
    let gram = Gram::new(["global", "face", "hand"], values).expect("a Gram matrix");
    bencher.bench_local(|| solve(black_box(&gram), black_box(2.0)));
}

#[divan::bench(args = [1, 8, 32])]
fn minimum_potential_delay(bencher: Bencher, k: usize) {
    let gram = gram(k);
    bencher.bench_local(|| solve(black_box(&gram), black_box(2.0)));
}

#[divan::bench]
fn check_three_objectives(bencher: Bencher) {
    let values = gram(3).values().to_vec();
    bencher.bench_local(|| Gram::new(["global", "face", "hand"], black_box(values.clone())));
}
