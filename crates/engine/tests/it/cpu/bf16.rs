//! `Cpu` in bfloat16 conforms within its digits, with the same bits whatever the number of threads and
//! wherever its weights lie. Products are as exact as their rounded operands allow, at every size around the
//! kernels' tiles, and what is not a product with a frozen weight has the bits of f32.

use fairhuman_engine::{
    Backend, ConvParams, Cpu, CpuTensor, DType, Epilogue, LowRank, Reference, WeightData, WeightLayout,
    WeightRef,
};
use fairhuman_engine_conformance::numbers::{assert_close, noise, stored_values, tensor};
use fairhuman_engine_conformance::{Subject, Tolerances};
use std::sync::LazyLock;

fn rounded(value: f32) -> f32 {
    half::bf16::from_f32(value).to_f32()
}

static SUBJECT: LazyLock<Subject<Cpu>> = LazyLock::new(|| {
    super::instructions::limit_to_what_is_asked();
    let cpus = [Cpu::new(1), Cpu::new(3), Cpu::with_panel_budget(3, 0), Cpu::new(16)];
    let cpus = cpus.map(|cpu| cpu.expect("threads").in_bf16());
    // Convolutions are given operands that are bfloat16: what is left to round are sums of f32.
    let tolerances = Tolerances { convolutions: Tolerances::F32.convolutions, ..Tolerances::BF16 };
    Subject::new(cpus.into(), tolerances, true).with_inputs(rounded)
});

fn subject() -> &'static Subject<Cpu> {
    &SUBJECT
}

fairhuman_engine_conformance::agreement!(crate::cpu::bf16::subject);
fairhuman_engine_conformance::passes!(crate::cpu::bf16::subject);

fn cpu(threads: usize) -> Cpu {
    super::instructions::limit_to_what_is_asked();
    Cpu::new(threads).expect("threads")
}

/// Rounding of f32 sums, relative to the largest result: operands that are bfloat16 lose nothing.
const SUMS: f64 = 2e-6;

fn values(seed: u64, shape: &[usize]) -> Vec<f32> {
    noise(seed, shape.iter().product()).into_iter().map(rounded).collect()
}

/// A product and its input gradient, on any backend.
fn linear<B: Backend>(b: &B, weight: &WeightData, rows: usize) -> [B::Tensor; 2] {
    let [outputs, inputs] = *weight.shape() else { panic!("a matrix") };
    let weight = b.weight(weight, WeightLayout::Matrix);
    let x = b.tensor(&[1, rows, inputs], &values(1, &[rows, inputs]));
    let g = b.tensor(&[1, rows, outputs], &values(2, &[rows, outputs]));
    let bias = b.tensor(&[outputs], &values(3, &[outputs]));
    let residual = b.tensor(&[1, rows, outputs], &noise(4, rows * outputs));
    let epilogue = Epilogue { bias: Some(&bias), residual: Some(&residual), shift: None };
    let acc = b.tensor(&[1, rows, inputs], &noise(5, rows * inputs));
    let weight = WeightRef::Frozen(&weight);
    [b.linear(&x, weight, None, epilogue), b.linear_vjp(&g, weight, None, Some(acc))]
}

#[test]
fn products_of_bfloat16_are_as_exact_as_f32_sums() {
    for rows in [1, 15, 17, 33, 300] {
        for (inputs, outputs) in [(1, 1), (15, 33), (17, 15), (33, 17), (31, 64), (97, 130), (2100, 48)] {
            let weight = stored_values(DType::BF16, &[outputs, inputs], &values(9, &[outputs, inputs]));
            let expected = linear(&Reference, &weight, rows);
            let found = [1, 3].map(|threads| {
                let cpu = cpu(threads).in_bf16();
                linear(&cpu, &weight, rows).map(|y| cpu.read(&y))
            });
            assert_eq!(found[0], found[1], "{rows} rows, {inputs} to {outputs}: other bits of three threads");
            for (found, expected) in found[0].iter().zip(&expected) {
                let found: Vec<f64> = found.iter().copied().map(f64::from).collect();
                assert_close(&format!("{rows} rows, {inputs} to {outputs}"), &found, expected.values(), SUMS);
            }
        }
    }
}

/// A convolution and its input gradient, on any backend.
fn convolution<B: Backend>(
    b: &B,
    weight: &WeightData,
    (height, width): (usize, usize),
    geometry: ConvParams,
) -> [B::Tensor; 2] {
    let [outputs, inputs, ..] = *weight.shape() else { panic!("a filter") };
    let weight = b.weight(weight, WeightLayout::Filter);
    let out = geometry.output((height, width));
    let (x_shape, y_shape) = ([2, height, width, inputs], [2, out.0, out.1, outputs]);
    let x = b.tensor(&x_shape, &values(1, &x_shape));
    let g = b.tensor(&y_shape, &values(2, &y_shape));
    let shift = b.tensor(&[2, outputs], &noise(3, 2 * outputs));
    let residual = b.tensor(&y_shape, &noise(4, y_shape.iter().product()));
    let epilogue = Epilogue { bias: None, residual: Some(&residual), shift: Some(&shift) };
    let weight = WeightRef::Frozen(&weight);
    [b.conv2d(&x, weight, geometry, epilogue), b.conv2d_vjp(&g, weight, geometry, (height, width), None)]
}

/// Pictures whose rows are and are not whole groups of 16 positions, smaller than one, and larger than a
/// task; borders on some sides alone.
#[test]
fn convolutions_of_bfloat16_are_as_exact_as_f32_sums() {
    let one_sided = ConvParams { kernel: (2, 3), stride: 1, pad: [1, 0, 0, 2] };
    let same = ConvParams::square(3, 1, 1);
    let cases = [
        ((1, 1), same),
        ((5, 3), same),
        ((8, 8), same),
        ((16, 16), same),
        ((7, 31), same),
        ((33, 17), same),
        ((20, 48), ConvParams::square(5, 1, 2)),
        ((9, 16), one_sided),
        ((6, 18), ConvParams::square(3, 1, 0)),
    ];
    for (number, (size, geometry)) in cases.into_iter().enumerate() {
        let (kh, kw) = geometry.kernel;
        for (inputs, outputs) in [(16, 16), (33, 17), (48, 70)] {
            let shape = [outputs, inputs, kh, kw];
            let weight = stored_values(DType::BF16, &shape, &values(9, &shape));
            let expected = convolution(&Reference, &weight, size, geometry);
            let found = [1, 3].map(|threads| {
                let cpu = cpu(threads).in_bf16();
                convolution(&cpu, &weight, size, geometry).map(|y| cpu.read(&y))
            });
            assert_eq!(found[0], found[1], "case {number}: other bits of three threads");
            for (found, expected) in found[0].iter().zip(&expected) {
                let found: Vec<f64> = found.iter().copied().map(f64::from).collect();
                assert_close(
                    &format!("case {number}, {inputs} to {outputs}"),
                    &found,
                    expected.values(),
                    SUMS,
                );
            }
        }
    }
}

/// Trained weights and adapters, whose values are f32, and the exact backend.
#[test]
fn what_is_trained_and_the_exact_backend_have_the_bits_of_f32() {
    let (plain, rounding) = (cpu(2), cpu(2).in_bf16());
    let products = |cpu: &Cpu| {
        let x = tensor(cpu, 1, &[2, 40, 50]);
        let trained = tensor(cpu, 2, &[60, 50]);
        let y = cpu.linear(&x, WeightRef::Trained(&trained), None, Epilogue::default());
        let (down, up) = (tensor(cpu, 3, &[8, 50]), tensor(cpu, 4, &[60, 8]));
        let hidden = cpu.low_rank(&x, LowRank { down: &down, up: &up, scale: 0.5 });
        let filter = tensor(cpu, 5, &[20, 3, 3, 24]);
        let image = tensor(cpu, 6, &[1, 9, 9, 24]);
        let z =
            cpu.conv2d(&image, WeightRef::Trained(&filter), ConvParams::square(3, 1, 1), Epilogue::default());
        [y, hidden, z].map(|tensor| cpu.read(&tensor))
    };
    assert_eq!(products(&plain), products(&rounding));
    let weight = stored_values(DType::F32, &[60, 50], &noise(9, 3000));
    let bits = |cpu: &Cpu| linear(cpu, &weight, 40).map(|y: CpuTensor| cpu.read(&y));
    assert_eq!(bits(&plain), bits(rounding.exact()));
    assert_ne!(bits(&plain), bits(&rounding));
    assert_eq!(plain.exact().threads(), 2);
}

#[test]
fn a_value_that_is_no_number_stays_none() {
    let cpu = cpu(1).in_bf16();
    let weight = cpu.weight(&stored_values(DType::F32, &[17, 40], &noise(1, 680)), WeightLayout::Matrix);
    for value in [f32::NAN, f32::INFINITY] {
        let mut values = noise(2, 3 * 40);
        values[45] = value;
        let x = cpu.tensor(&[1, 3, 40], &values);
        let y = cpu.read(&cpu.linear(&x, WeightRef::Frozen(&weight), None, Epilogue::default()));
        let (before, rest) = y.split_at(17);
        let (with, after) = rest.split_at(17);
        assert!(before.iter().chain(after).all(|v| v.is_finite()));
        assert!(with.iter().all(|v| !v.is_finite()), "{with:?}");
    }
}
