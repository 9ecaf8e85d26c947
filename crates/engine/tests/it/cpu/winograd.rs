//! Winograd's convolutions give the same bits however their tiles are cut and whether their filters are kept.

use fairhuman_engine::{Backend, ConvParams, Cpu, DType, Epilogue, WeightLayout, WeightRef};
use fairhuman_engine_conformance::numbers::{stored, tensor};

const GEOMETRY: ConvParams = ConvParams { kernel: (3, 3), stride: 1, pad: [1; 4] };

/// A filter too large for one task's cache takes tiles through in chunks; for sixteen threads these tiles are
/// one chunk.
#[test]
fn chunks_of_tiles_change_no_bit() {
    let pass = |threads| {
        let cpu = Cpu::new(threads).unwrap();
        let weight = cpu.weight(&stored(DType::F32, &[80, 72, 3, 3]), WeightLayout::Filter);
        let x = tensor(&cpu, 1, &[2, 47, 50, 72]);
        cpu.read(&cpu.conv2d(&x, WeightRef::Frozen(&weight), GEOMETRY, Epilogue::default()))
    };
    assert_eq!(pass(1), pass(16));
}

#[test]
fn kept_filters_change_no_bit_however_often_they_are_used() {
    let once = |room: usize| -> Vec<Vec<f32>> {
        let cpu = Cpu::new(2).unwrap().with_filter_cache(room);
        let weight = cpu.weight(&stored(DType::F32, &[48, 32, 3, 3]), WeightLayout::Filter);
        let x = tensor(&cpu, 1, &[2, 12, 12, 32]);
        let g = tensor(&cpu, 2, &[2, 12, 12, 48]);
        let pass = |_| {
            let y = cpu.conv2d(&x, WeightRef::Frozen(&weight), GEOMETRY, Epilogue::default());
            let dx = cpu.conv2d_vjp(&g, WeightRef::Frozen(&weight), GEOMETRY, (12, 12), None);
            [cpu.read(&y), cpu.read(&dx)]
        };
        (0..3).flat_map(pass).collect()
    };
    let made = once(0);
    assert_eq!(made[..2], made[2..4]);
    // Room for one direction's filter, and for both.
    for room in [4 * 36 * 48 * 32, 1 << 20] {
        assert_eq!(once(room), made);
    }
}
