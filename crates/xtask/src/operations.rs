//! Measures the products of the mini network as shares of the machine's peak.
//!
//! Sizes and counts are those of one step at batch 4, latents 32x32: forward with 4 samples, input gradients
//! with 12 lanes. A convolution's operations are those of its definition, so Winograd's method may exceed the
//! peak.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fairhuman_engine::{Backend, ConvParams, Cpu, Epilogue, WeightData, WeightLayout, WeightRef};

use crate::measurements::median;

/// Rows of the forward pass, inputs, outputs, uses in a step, and whether the input's gradient is needed
/// (that of the prompt is not).
const LINEAR: [(usize, usize, usize, usize, bool); 8] = [
    (1024, 128, 128, 70, true),
    (1024, 128, 1024, 10, true),
    (1024, 512, 128, 10, true),
    (308, 256, 128, 20, false),
    (256, 256, 256, 156, true),
    (256, 256, 2048, 24, true),
    (256, 1024, 256, 24, true),
    (308, 256, 256, 48, false),
];

/// Side of the image, inputs, outputs, uses in a step.
const CONVOLUTION: [(usize, usize, usize, usize); 14] = [
    (32, 64, 64, 7),
    (32, 128, 64, 2),
    (32, 192, 64, 1),
    (32, 128, 128, 1),
    (16, 64, 128, 1),
    (16, 128, 128, 6),
    (16, 192, 128, 1),
    (16, 256, 128, 1),
    (16, 384, 128, 1),
    (16, 256, 256, 1),
    (8, 128, 256, 1),
    (8, 256, 256, 10),
    (8, 384, 256, 1),
    (8, 512, 256, 2),
];

const SAMPLES: usize = 4;
const OBJECTIVES: usize = 3;

/// One operation at one size.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    /// Kind: `linear`, `linear gradient`, `convolution`, `convolution gradient`.
    pub kind: &'static str,
    /// Sizes.
    pub size: String,
    /// Uses in a step.
    pub uses: usize,
    /// Floating-point operations of one use.
    pub flops: f64,
    /// Seconds of one use.
    pub seconds: f64,
}

/// Rates of a kind over all its uses in a step, GFLOP/s.
pub(crate) fn rate<'a>(operations: impl Iterator<Item = &'a Operation>) -> f64 {
    let (flops, seconds) = operations.fold((0.0, 0.0), |(flops, seconds), o| {
        let uses = o.uses as f64;
        (flops + uses * o.flops, seconds + uses * o.seconds)
    });
    flops / seconds * 1e-9
}

/// Seconds of a call: the median of `rounds` rounds of at least 30 ms, after one that warms up.
fn time(rounds: usize, mut call: impl FnMut()) -> f64 {
    let mut round = || {
        let (start, mut calls) = (Instant::now(), 0);
        while calls == 0 || start.elapsed() < Duration::from_millis(30) {
            call();
            calls += 1;
        }
        start.elapsed().as_secs_f64() / f64::from(calls)
    };
    round();
    median((0..rounds).map(|_| round()).collect()).unwrap_or(f64::NAN)
}

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 506.0).collect()
}

/// Times every size on `cpu`.
pub(crate) fn measure(cpu: &Cpu, rounds: usize) -> Vec<Operation> {
    let mut found = Vec::new();
    let tensor = |shape: &[usize]| cpu.tensor(shape, &values(shape.iter().product()));
    let weight = |shape: &[usize], layout| {
        cpu.weight(&WeightData::from_f32(shape, &values(shape.iter().product())), layout)
    };
    for (rows, inputs, outputs, uses, gradient) in LINEAR {
        let w = weight(&[outputs, inputs], WeightLayout::Matrix);
        let size = |rows: usize| format!("{rows} x {inputs} -> {outputs}");
        let flops = |rows: usize| 2.0 * (rows * inputs * outputs) as f64;
        let x = tensor(&[SAMPLES, rows / SAMPLES, inputs]);
        let bias = tensor(&[outputs]);
        let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
        let seconds = time(rounds, || {
            black_box(cpu.linear(&x, WeightRef::Frozen(&w), None, epilogue));
        });
        found.push(Operation { kind: "linear", size: size(rows), uses, flops: flops(rows), seconds });
        if gradient {
            let rows = OBJECTIVES * rows;
            let g = tensor(&[OBJECTIVES * SAMPLES, rows / SAMPLES / OBJECTIVES, outputs]);
            let seconds = time(rounds, || {
                black_box(cpu.linear_vjp(&g, WeightRef::Frozen(&w), None, None));
            });
            let (size, flops) = (size(rows), flops(rows));
            found.push(Operation { kind: "linear gradient", size, uses, flops, seconds });
        }
    }
    for (side, inputs, outputs, uses) in CONVOLUTION {
        let w = weight(&[outputs, inputs, 3, 3], WeightLayout::Filter);
        let geometry = ConvParams::square(3, 1, 1);
        let size = |images: usize| format!("{images} x {side} x {side}, {inputs} -> {outputs}");
        let flops = |images: usize| 2.0 * (images * side * side * 9 * inputs * outputs) as f64;
        let x = tensor(&[SAMPLES, side, side, inputs]);
        let bias = tensor(&[outputs]);
        let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
        let seconds = time(rounds, || {
            black_box(cpu.conv2d(&x, WeightRef::Frozen(&w), geometry, epilogue));
        });
        found.push(Operation {
            kind: "convolution",
            size: size(SAMPLES),
            uses,
            flops: flops(SAMPLES),
            seconds,
        });
        let lanes = OBJECTIVES * SAMPLES;
        let g = tensor(&[lanes, side, side, outputs]);
        let seconds = time(rounds, || {
            black_box(cpu.conv2d_vjp(&g, WeightRef::Frozen(&w), geometry, (side, side), None));
        });
        let (size, flops) = (size(lanes), flops(lanes));
        found.push(Operation { kind: "convolution gradient", size, uses, flops, seconds });
    }
    found
}
