//! Products in bfloat16 are exact products of rounded factors: nothing else is lost. On machines without the
//! instructions the backend says so and computes in f32.

use fairhuman_engine::{Backend, Compute, Cpu, Form, Kernel, Plus, WeightData};

fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// `a [m, k] b^T [n, k]` of rounded values, in f64.
fn product(a: &[f32], b: &[f32], [m, k, n]: [usize; 3], round: impl Fn(f32) -> f64) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] = (0..k).map(|l| round(a[i * k + l]) * round(b[j * k + l])).sum();
        }
    }
    c
}

fn worst(got: &[f32], want: &[f64]) -> f64 {
    let scale = want.iter().fold(1e-30f64, |a, b| a.max(b.abs()));
    got.iter().zip(want).map(|(&g, w)| (g as f64 - w).abs() / scale).fold(0.0, f64::max)
}

#[test]
fn products_are_those_of_rounded_factors() {
    let cpu = Cpu::new(2).expect("threads").with_compute(Compute::Bf16);
    let round = |v: f32| match Compute::Bf16.available() {
        true => half::bf16::from_f32(v).to_f64(),
        false => v as f64,
    };
    for [m, inputs, outputs] in [[1, 1, 1], [5, 7, 3], [13, 64, 33], [200, 129, 65], [37, 400, 16]] {
        let (x, w) = (values(m * inputs, 1), values(outputs * inputs, 2));
        let weight = cpu.weight(&WeightData::from_f32(&[outputs, inputs], &w), Form::Matrix);
        let y = cpu.linear(&cpu.tensor(&[m, inputs], &x), Kernel::Frozen(&weight), None, Plus::default());
        let want = product(&x, &w, [m, inputs, outputs], round);
        assert!(worst(&cpu.read(&y), &want) < 1e-5, "forward {m}x{inputs}x{outputs}");

        let g = values(m * outputs, 3);
        let turned: Vec<f32> = (0..inputs)
            .flat_map(|i| (0..outputs).map(move |o| (i, o)))
            .map(|(i, o)| w[o * inputs + i])
            .collect();
        let dx = cpu.linear_vjp(&cpu.tensor(&[m, outputs], &g), Kernel::Frozen(&weight), None, None);
        let want = product(&g, &turned, [m, outputs, inputs], round);
        assert!(worst(&cpu.read(&dx), &want) < 1e-5, "backward {m}x{inputs}x{outputs}");
    }
}
