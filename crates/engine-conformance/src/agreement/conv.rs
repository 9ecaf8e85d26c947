//! Convolutions.

use super::{
    CHANNELS, Choices, Experiment, Results, STORED, Stored, lanes_with_gaps, optional, weight, with_every_acc,
};
use crate::{Instance, Subject};
use fairhuman_engine::{Backend, ConvParams, Epilogue, WeightLayout};

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
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let b = on.backend;
        let Self { samples, size, inputs, outputs, geometry, .. } = *self;
        let lanes = lanes_with_gaps(samples);
        let out = geometry.output(size);
        let (kh, kw) = geometry.kernel;
        let weight = weight(on, self.stored, WeightLayout::Filter, &[outputs, inputs, kh, kw]);
        let x = on.tensor(1, &[samples, size.0, size.1, inputs]);
        let bias = optional(on, self.bias, 4, &[outputs]);
        let shift = optional(on, self.shift, 5, &[samples, outputs]);
        let residual = optional(on, self.residual, 6, &[samples, out.0, out.1, outputs]);
        let epilogue = Epilogue { bias: bias.as_ref(), shift: shift.as_ref(), residual: residual.as_ref() };

        let mut results = Results::default();
        results.push(on, "result", &b.conv2d(&x, weight.value(), geometry, epilogue));
        let g = on.tensor(7, &[lanes.len(), out.0, out.1, outputs]);
        with_every_acc(on, &mut results, &[lanes.len(), size.0, size.1, inputs], |acc| {
            b.conv2d_vjp(&g, weight.value(), geometry, size, acc)
        });
        results.push(on, "weight", &b.conv2d_vjp_params(&g, &x, geometry, &lanes));
        results.push(on, "bias", &b.sum_rows(&g, &lanes));
        results.push(on, "shift", &b.sum_positions(&g));
        results
    }
}

const GEOMETRIES: [ConvParams; 9] = [
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

fn assert_case<B: Backend>(
    subject: &Subject<B>,
    number: usize,
    geometry: ConvParams,
    (inputs, outputs): (usize, usize),
    sizes: &[(usize, usize)],
) {
    let mut choose = Choices(number as u64);
    let fits = |&(h, w): &(usize, usize)| {
        let [top, left, bottom, right] = geometry.pad;
        h + top + bottom >= geometry.kernel.0 && w + left + right >= geometry.kernel.1
    };
    let sizes: Vec<_> = sizes.iter().copied().filter(fits).collect();
    subject.assert_agrees_within(
        subject.tolerances.convolutions,
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

/// Numbers of channels around the tiles of kernels.
pub fn every_size_of_convolution<B: Backend>(subject: &Subject<B>) {
    let mut number = 0;
    for inputs in CHANNELS {
        for outputs in CHANNELS {
            number += 1;
            let geometry = GEOMETRIES[if number % 2 == 0 { 0 } else { number / 2 % GEOMETRIES.len() }];
            assert_case(
                subject,
                number,
                geometry,
                (inputs, outputs),
                &[(1, 1), (5, 7), (4, 4), (3, 11), (2, 9)],
            );
        }
    }
}

/// Every geometry with every type of weight.
pub fn every_geometry_with_every_weight<B: Backend>(subject: &Subject<B>) {
    for (number, geometry) in GEOMETRIES.iter().cycle().take(8 * GEOMETRIES.len()).enumerate() {
        // Nine geometries and four kinds of weight: every pair comes up.
        let channels = [(4, 5), (17, 3), (3, 33), (1, 1)][number / 9 % 4];
        assert_case(subject, number, *geometry, channels, &[(1, 1), (1, 8), (7, 5), (8, 8), (16, 17)]);
    }
}

/// Every geometry over many tiles.
pub fn an_image_of_many_tiles<B: Backend>(subject: &Subject<B>) {
    for (number, geometry) in GEOMETRIES.into_iter().enumerate() {
        assert_case(subject, number, geometry, (6, 10), &[(37, 41)]);
    }
}

/// Enough channels for Winograd's transforms to pay.
pub fn wide_filters_over_many_tiles<B: Backend>(subject: &Subject<B>) {
    let sizes = [(17, 14), (16, 16), (13, 21)];
    for (number, channels) in [(16, 16), (33, 17), (17, 48), (40, 24)].into_iter().enumerate() {
        for (geometry, other) in [(GEOMETRIES[0], 0), (GEOMETRIES[5], 4), (GEOMETRIES[0], 8)] {
            assert_case(subject, number + other, geometry, channels, &sizes);
        }
    }
    // A filter too large for one task's cache.
    assert_case(subject, 1, GEOMETRIES[0], (72, 80), &[(13, 21)]);
}
