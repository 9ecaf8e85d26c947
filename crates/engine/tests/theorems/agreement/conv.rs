//! Convolutions.

use super::{
    CHANNELS, Choices, Experiment, Results, STORED, Stored, assert_agree_within, lanes_with_gaps, optional,
    weight, with_every_acc,
};
use crate::common::{Exact, tensor};
use fairhuman_engine::{Backend, ConvParams, Cpu, Epilogue, WeightLayout};

#[derive(Debug)]
struct ConvCase {
    samples: usize,
    size: (usize, usize),
    inputs: usize,
    outputs: usize,
    geometry: ConvParams,
    stored: Stored,
    bias: bool,
    shift: bool,
    residual: bool,
}

impl Experiment for ConvCase {
    fn run<B: Exact>(&self, b: &B) -> Results {
        let Self { samples, size, inputs, outputs, geometry, .. } = *self;
        let lanes = lanes_with_gaps(samples);
        let out = geometry.output(size);
        let (kh, kw) = geometry.kernel;
        let weight = weight(b, self.stored, WeightLayout::Filter, &[outputs, inputs, kh, kw]);
        let x = tensor(b, 1, &[samples, size.0, size.1, inputs]);
        let bias = optional(b, self.bias, 4, &[outputs]);
        let shift = optional(b, self.shift, 5, &[samples, outputs]);
        let residual = optional(b, self.residual, 6, &[samples, out.0, out.1, outputs]);
        let epilogue = Epilogue { bias: bias.as_ref(), shift: shift.as_ref(), residual: residual.as_ref() };

        let mut results = Results::default();
        results.push(b, "result", &b.conv2d(&x, weight.kernel(), geometry, epilogue));
        let g = tensor(b, 7, &[lanes.len(), out.0, out.1, outputs]);
        with_every_acc(b, &mut results, &[lanes.len(), size.0, size.1, inputs], |acc| {
            b.conv2d_vjp(&g, weight.kernel(), geometry, size, acc)
        });
        results.push(b, "weight", &b.conv2d_vjp_params(&g, &x, geometry, &lanes));
        results.push(b, "bias", &b.sum_rows(&g, &lanes));
        results.push(b, "shift", &b.sum_positions(&g));
        results
    }
}

const WINDOWS: [ConvParams; 9] = [
    ConvParams { kernel: (3, 3), stride: 1, pad: [1; 4] },
    ConvParams { kernel: (3, 3), stride: 2, pad: [1; 4] },
    ConvParams { kernel: (1, 1), stride: 1, pad: [0; 4] },
    ConvParams { kernel: (1, 1), stride: 2, pad: [0; 4] },
    // How diffusers' VAE halves its images.
    ConvParams { kernel: (3, 3), stride: 2, pad: [0, 0, 1, 1] },
    ConvParams { kernel: (3, 3), stride: 1, pad: [0; 4] },
    ConvParams { kernel: (2, 3), stride: 1, pad: [1, 0, 0, 2] },
    ConvParams { kernel: (5, 5), stride: 3, pad: [2; 4] },
    ConvParams { kernel: (4, 4), stride: 4, pad: [0; 4] },
];

fn assert_case(number: usize, geometry: ConvParams, inputs: usize, outputs: usize, sizes: &[(usize, usize)]) {
    let mut choose = Choices(number as u64);
    let fits = |&(h, w): &(usize, usize)| {
        let [top, left, bottom, right] = geometry.pad;
        h + top + bottom >= geometry.kernel.0 && w + left + right >= geometry.kernel.1
    };
    let sizes: Vec<_> = sizes.iter().copied().filter(fits).collect();
    // Winograd's transforms cost a digit (see `cpu/winograd.rs`).
    assert_agree_within(
        4e-5,
        &ConvCase {
            samples: 1 + choose.index(3),
            size: choose.of(&sizes),
            inputs,
            outputs,
            geometry,
            stored: STORED[number % 4],
            bias: choose.flag(),
            shift: choose.flag(),
            residual: choose.flag(),
        },
    );
}

#[test]
fn every_size_of_convolution() {
    let mut number = 0;
    for inputs in CHANNELS {
        for outputs in CHANNELS {
            number += 1;
            let geometry = WINDOWS[if number % 2 == 0 { 0 } else { number / 2 % WINDOWS.len() }];
            assert_case(number, geometry, inputs, outputs, &[(1, 1), (5, 7), (4, 4), (3, 11), (2, 9)]);
        }
    }
}

#[test]
fn every_geometry_with_every_weight() {
    for (number, geometry) in WINDOWS.iter().cycle().take(8 * WINDOWS.len()).enumerate() {
        // Nine geometries and four kinds of weight: every pair comes up.
        let (inputs, outputs) = [(4, 5), (17, 3), (3, 33), (1, 1)][number / 9 % 4];
        assert_case(number, *geometry, inputs, outputs, &[(1, 1), (1, 8), (7, 5), (8, 8), (16, 17)]);
    }
}

#[test]
fn an_image_of_many_tiles() {
    for (number, geometry) in WINDOWS.into_iter().enumerate() {
        assert_case(number, geometry, 6, 10, &[(37, 41)]);
    }
}

#[test]
fn wide_filters_over_many_tiles() {
    let sizes = [(17, 14), (16, 16), (13, 21)];
    for (number, (inputs, outputs)) in [(16, 16), (33, 17), (17, 48), (40, 24)].into_iter().enumerate() {
        for (geometry, other) in [(WINDOWS[0], 0), (WINDOWS[5], 4), (WINDOWS[0], 8)] {
            assert_case(number + other, geometry, inputs, outputs, &sizes);
        }
    }
}

/// A filter too large for one task's cache takes tiles through in chunks; for sixteen threads these tiles are one chunk.
#[test]
fn chunks_of_tiles_change_no_bit() {
    assert_case(1, WINDOWS[0], 72, 80, &[(13, 21)]);
    let pass = |threads| {
        let cpu = Cpu::new(threads).unwrap();
        let weight = weight(&cpu, STORED[0], WeightLayout::Filter, &[80, 72, 3, 3]);
        let x = tensor(&cpu, 1, &[2, 47, 50, 72]);
        let y =
            cpu.conv2d(&x, weight.kernel(), WINDOWS[0], Epilogue { bias: None, shift: None, residual: None });
        cpu.read(&y)
    };
    assert_eq!(pass(1), pass(16));
}

#[test]
fn kept_filters_change_no_bit_however_often_they_are_used() {
    let once = |room: usize| -> Vec<Vec<f32>> {
        let cpu = Cpu::new(2).unwrap().with_filter_cache(room);
        let weight = weight(&cpu, STORED[0], WeightLayout::Filter, &[48, 32, 3, 3]);
        let x = tensor(&cpu, 1, &[2, 12, 12, 32]);
        let g = tensor(&cpu, 2, &[2, 12, 12, 48]);
        let geometry = ConvParams::square(3, 1, 1);
        let pass = |_| {
            let y = cpu.conv2d(
                &x,
                weight.kernel(),
                geometry,
                Epilogue { bias: None, shift: None, residual: None },
            );
            let dx = cpu.conv2d_vjp(&g, weight.kernel(), geometry, (12, 12), None);
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
