//! Weights beyond the budget, read as they lie in their file, give the same bits as those kept in panels:
//! every type, sizes around the blocks, and bytes that lie at odd places.

use fairhuman_engine::{Backend, ConvParams, Cpu, DType, Epilogue, WeightData, WeightLayout, WeightRef};
use fairhuman_engine_conformance::numbers::{stored, tensor};

/// A weight that is kept and one that is not, with their backends.
fn both(data: &WeightData, layout: WeightLayout) -> [(Cpu, <Cpu as Backend>::Weight); 2] {
    super::instructions::limit_to_what_is_asked();
    [usize::MAX, 0].map(|budget| {
        let cpu = Cpu::with_panel_budget(3, budget).expect("threads");
        let weight = cpu.weight(data, layout);
        (cpu, weight)
    })
}

fn assert_same(what: &str, [kept, stored]: [Vec<f32>; 2]) {
    assert!(kept.iter().any(|v| *v != 0.0), "{what}: nothing but zeros");
    assert_eq!(kept, stored, "{what}");
}

#[test]
fn a_stored_matrix_gives_the_bits_of_its_panels() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for (rows, inputs, outputs) in [(1, 1, 1), (3, 17, 64), (13, 257, 65), (40, 530, 131), (400, 96, 300)]
        {
            let cpus = both(&stored(dtype, &[outputs, inputs]), WeightLayout::Matrix);
            let what = format!("{dtype:?}, {rows} rows, {inputs} to {outputs}");
            let forward = |(cpu, weight): &(Cpu, _)| {
                let x = tensor(cpu, 1, &[1, rows, inputs]);
                cpu.read(&cpu.linear(&x, WeightRef::Frozen(weight), None, Epilogue::default()))
            };
            assert_same(&what, [forward(&cpus[0]), forward(&cpus[1])]);
            let backward = |(cpu, weight): &(Cpu, _)| {
                let g = tensor(cpu, 2, &[1, rows, outputs]);
                cpu.read(&cpu.linear_vjp(&g, WeightRef::Frozen(weight), None, None))
            };
            assert_same(&format!("{what}, gradient"), [backward(&cpus[0]), backward(&cpus[1])]);
        }
    }
}

/// By Winograd's filters (16 channels and more, many tiles) and without.
#[test]
fn a_stored_filter_gives_the_bits_of_its_panels() {
    let geometry = ConvParams::square(3, 1, 1);
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        for (side, inputs, outputs) in [(3, 5, 7), (12, 16, 16), (13, 37, 50), (16, 33, 17)] {
            let cpus = both(&stored(dtype, &[outputs, inputs, 3, 3]), WeightLayout::Filter);
            let what = format!("{dtype:?}, {side} x {side}, {inputs} to {outputs}");
            let forward = |(cpu, weight): &(Cpu, _)| {
                let x = tensor(cpu, 1, &[2, side, side, inputs]);
                cpu.read(&cpu.conv2d(&x, WeightRef::Frozen(weight), geometry, Epilogue::default()))
            };
            assert_same(&what, [forward(&cpus[0]), forward(&cpus[1])]);
            let backward = |(cpu, weight): &(Cpu, _)| {
                let g = tensor(cpu, 2, &[2, side, side, outputs]);
                cpu.read(&cpu.conv2d_vjp(&g, WeightRef::Frozen(weight), geometry, (side, side), None))
            };
            assert_same(&format!("{what}, gradient"), [backward(&cpus[0]), backward(&cpus[1])]);
        }
    }
}
