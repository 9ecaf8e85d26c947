//! Times each operation of `Cpu` at the sizes of the mini network (batch 4, latents 32x32, three objectives):
//! `cargo bench -p fairhuman-engine`. For comparing two states of the code on one quiet machine; nothing
//! fails for being slow. Products count their floating-point operations, the others the values they touch.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use fairhuman_engine::{
    AdamW, AdamWState, Affine, AttentionSaved, Backend, ConvParams, Cpu, CpuTensor, Epilogue, Lanes, LowRank,
    WeightData, WeightLayout, WeightRef,
};
use std::sync::LazyLock;

fn main() {
    divan::main();
}

/// All cores, as in training.
static CPU: LazyLock<Cpu> = LazyLock::new(|| Cpu::new(0).expect("threads"));

const SAMPLES: usize = 4;
const OBJECTIVES: usize = 3;
const RANK: usize = 16;

/// Rows, inputs and outputs of the linear layers: queries, feed-forward up and down, at both widths.
const LINEAR: [[usize; 3]; 6] = [
    [1024, 128, 128],
    [1024, 128, 1024],
    [1024, 512, 128],
    [256, 256, 256],
    [256, 256, 2048],
    [256, 1024, 256],
];
/// Side, inputs and outputs of the 3x3 convolutions.
const CONVOLUTION: [[usize; 3]; 6] =
    [[32, 64, 64], [32, 192, 64], [16, 128, 128], [16, 384, 128], [8, 256, 256], [8, 512, 256]];
/// Queries, keys and channels; heads are 64 wide. The last is latents 64x64.
const ATTENTION: [[usize; 3]; 4] = [[256, 256, 128], [256, 77, 128], [64, 64, 256], [1024, 1024, 128]];
/// Side and channels of the normalised images.
const IMAGE: [[usize; 2]; 3] = [[32, 64], [16, 128], [8, 256]];
/// Tokens and channels of the normalised rows and the feed-forward layers.
const TOKENS: [[usize; 2]; 2] = [[256, 128], [64, 256]];

fn values(count: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 % 1013) as f32 - 506.0) / 506.0).collect()
}

fn tensor(shape: &[usize]) -> CpuTensor {
    CPU.tensor(shape, &values(shape.iter().product()))
}

fn weight(shape: &[usize], layout: WeightLayout) -> <Cpu as Backend>::Weight {
    CPU.weight(&WeightData::from_f32(shape, &values(shape.iter().product())), layout)
}

/// Every objective has every sample.
fn lanes() -> Lanes {
    Lanes::new(SAMPLES, &vec![(0..SAMPLES).collect(); OBJECTIVES])
}

/// Times `call`, which does `count` operations or touches as many values.
fn time<T>(bencher: Bencher, count: usize, call: impl Fn() -> T) {
    bencher.counter(ItemsCount::new(count)).bench_local(|| black_box(call()));
}

#[divan::bench(args = LINEAR)]
fn linear(bencher: Bencher, [rows, inputs, outputs]: [usize; 3]) {
    let (w, bias) = (weight(&[outputs, inputs], WeightLayout::Matrix), tensor(&[outputs]));
    let x = tensor(&[SAMPLES, rows / SAMPLES, inputs]);
    let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
    time(bencher, 2 * rows * inputs * outputs, || CPU.linear(&x, WeightRef::Frozen(&w), None, epilogue));
}

#[divan::bench(args = LINEAR)]
fn linear_vjp(bencher: Bencher, [rows, inputs, outputs]: [usize; 3]) {
    let w = weight(&[outputs, inputs], WeightLayout::Matrix);
    let g = tensor(&[OBJECTIVES * SAMPLES, rows / SAMPLES, outputs]);
    let flops = OBJECTIVES * 2 * rows * inputs * outputs;
    time(bencher, flops, || CPU.linear_vjp(&g, WeightRef::Frozen(&w), None, None));
}

/// Runs `work` with an input, cotangents and an adapter of one attention projection.
fn with_adapter(
    [tokens, channels]: [usize; 2],
    work: impl FnOnce(&CpuTensor, &CpuTensor, LowRank<'_, Cpu>, &<Cpu as Backend>::Weight),
) {
    let x = tensor(&[SAMPLES, tokens, channels]);
    let g = tensor(&[OBJECTIVES * SAMPLES, tokens, channels]);
    let (down, up) = (tensor(&[RANK, channels]), tensor(&[channels, RANK]));
    let w = weight(&[channels, channels], WeightLayout::Matrix);
    work(&x, &g, LowRank { down: &down, up: &up, scale: 1.0 }, &w);
}

#[divan::bench(args = TOKENS)]
fn lora_linear(bencher: Bencher, [tokens, channels]: [usize; 2]) {
    with_adapter([tokens, channels], |x, _, adapter, w| {
        let flops = 2 * SAMPLES * tokens * (channels * channels + 2 * RANK * channels);
        time(bencher, flops, || {
            let hidden = CPU.low_rank(x, adapter);
            CPU.linear(x, WeightRef::Frozen(w), Some((&hidden, adapter)), Epilogue::default())
        });
    });
}

#[divan::bench(args = TOKENS)]
fn lora_linear_vjp(bencher: Bencher, [tokens, channels]: [usize; 2]) {
    with_adapter([tokens, channels], |_, g, adapter, w| {
        let flops = OBJECTIVES * 2 * SAMPLES * tokens * (channels * channels + RANK * channels);
        let h = CPU.low_rank_vjp(g, adapter);
        time(bencher, flops, || CPU.linear_vjp(g, WeightRef::Frozen(w), Some((&h, adapter.down)), None));
    });
}

#[divan::bench(args = TOKENS)]
fn lora_gradients(bencher: Bencher, [tokens, channels]: [usize; 2]) {
    let lanes = lanes();
    with_adapter([tokens, channels], |x, g, adapter, _| {
        // For every objective: g B and the two gradients.
        let flops = 3 * OBJECTIVES * 2 * SAMPLES * tokens * RANK * channels;
        let hidden = CPU.low_rank(x, adapter);
        time(bencher, flops, || {
            let h = CPU.low_rank_vjp(g, adapter);
            CPU.low_rank_vjp_params((g, &h), (x, &hidden), adapter.scale, &lanes)
        });
    });
}

#[divan::bench(args = CONVOLUTION)]
fn convolution(bencher: Bencher, [side, inputs, outputs]: [usize; 3]) {
    let (w, bias) = (weight(&[outputs, inputs, 3, 3], WeightLayout::Filter), tensor(&[outputs]));
    let x = tensor(&[SAMPLES, side, side, inputs]);
    let epilogue = Epilogue { bias: Some(&bias), ..Epilogue::default() };
    let flops = 2 * SAMPLES * side * side * 9 * inputs * outputs;
    time(bencher, flops, || CPU.conv2d(&x, WeightRef::Frozen(&w), ConvParams::square(3, 1, 1), epilogue));
}

#[divan::bench(args = CONVOLUTION)]
fn convolution_vjp(bencher: Bencher, [side, inputs, outputs]: [usize; 3]) {
    let w = weight(&[outputs, inputs, 3, 3], WeightLayout::Filter);
    let g = tensor(&[OBJECTIVES * SAMPLES, side, side, outputs]);
    let flops = OBJECTIVES * 2 * SAMPLES * side * side * 9 * inputs * outputs;
    let geometry = ConvParams::square(3, 1, 1);
    time(bencher, flops, || CPU.conv2d_vjp(&g, WeightRef::Frozen(&w), geometry, (side, side), None));
}

fn queries_keys_values([queries, keys, channels]: [usize; 3]) -> [CpuTensor; 3] {
    [queries, keys, keys].map(|tokens| tensor(&[SAMPLES, tokens, channels]))
}

#[divan::bench(args = ATTENTION)]
fn attention(bencher: Bencher, size: [usize; 3]) {
    let [q, k, v] = queries_keys_values(size);
    let [queries, keys, channels] = size;
    let flops = 4 * SAMPLES * queries * keys * channels;
    time(bencher, flops, || CPU.attention(&q, &k, &v, channels / 64, false));
}

#[divan::bench(args = ATTENTION)]
fn attention_vjp(bencher: Bencher, size: [usize; 3]) {
    let [q, k, v] = queries_keys_values(size);
    let [queries, keys, channels] = size;
    let (out, log_sum) = CPU.attention(&q, &k, &v, channels / 64, false);
    let lanes = lanes();
    let g = tensor(&[lanes.len(), queries, channels]);
    // The scores once, and four products for every objective.
    let flops = (1 + 4 * OBJECTIVES) * 2 * SAMPLES * queries * keys * channels;
    time(bencher, flops, || {
        let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &out, log_sum: &log_sum };
        CPU.attention_vjp(&g, saved, channels / 64, false, &lanes)
    });
}

#[divan::bench(args = IMAGE)]
fn group_norm_silu(bencher: Bencher, [side, channels]: [usize; 2]) {
    let x = tensor(&[SAMPLES, side, side, channels]);
    let (gamma, beta) = (tensor(&[channels]), tensor(&[channels]));
    let affine = Affine { gamma: &gamma, beta: &beta, eps: 1e-5 };
    time(bencher, SAMPLES * side * side * channels, || CPU.group_norm(&x, 32, affine, true));
}

#[divan::bench(args = IMAGE)]
fn group_norm_silu_vjp(bencher: Bencher, [side, channels]: [usize; 2]) {
    let x = tensor(&[SAMPLES, side, side, channels]);
    let (gamma, beta) = (tensor(&[channels]), tensor(&[channels]));
    let affine = Affine { gamma: &gamma, beta: &beta, eps: 1e-5 };
    let (_, stats) = CPU.group_norm(&x, 32, affine, true);
    let lanes = lanes();
    let g = tensor(&[lanes.len(), side, side, channels]);
    let count = lanes.len() * side * side * channels;
    time(bencher, count, || CPU.group_norm_vjp(&g, (&x, &stats), affine, true, &lanes, None));
}

#[divan::bench(args = TOKENS)]
fn layer_norm(bencher: Bencher, [tokens, channels]: [usize; 2]) {
    let x = tensor(&[SAMPLES, tokens, channels]);
    let (gamma, beta) = (tensor(&[channels]), tensor(&[channels]));
    let affine = Affine { gamma: &gamma, beta: &beta, eps: 1e-5 };
    time(bencher, SAMPLES * tokens * channels, || CPU.layer_norm(&x, affine));
}

#[divan::bench(args = TOKENS)]
fn layer_norm_vjp(bencher: Bencher, [tokens, channels]: [usize; 2]) {
    let x = tensor(&[SAMPLES, tokens, channels]);
    let (gamma, beta) = (tensor(&[channels]), tensor(&[channels]));
    let affine = Affine { gamma: &gamma, beta: &beta, eps: 1e-5 };
    let (_, stats) = CPU.layer_norm(&x, affine);
    let lanes = lanes();
    let g = tensor(&[lanes.len(), tokens, channels]);
    let count = lanes.len() * tokens * channels;
    time(bencher, count, || CPU.layer_norm_vjp(&g, (&x, &stats), affine, &lanes, None));
}

#[divan::bench(args = TOKENS)]
fn geglu(bencher: Bencher, [tokens, channels]: [usize; 2]) {
    let x = tensor(&[SAMPLES, tokens, 8 * channels]);
    time(bencher, SAMPLES * tokens * 8 * channels, || CPU.geglu(&x));
}

#[divan::bench(args = TOKENS)]
fn geglu_vjp(bencher: Bencher, [tokens, channels]: [usize; 2]) {
    let lanes = lanes();
    let x = tensor(&[SAMPLES, tokens, 8 * channels]);
    let g = tensor(&[lanes.len(), tokens, 4 * channels]);
    time(bencher, lanes.len() * tokens * 8 * channels, || CPU.geglu_vjp(&g, &x, &lanes));
}

/// The values of one adapter matrix.
const PARAMETER: [usize; 2] = [RANK * 128, RANK * 256];

#[divan::bench(args = PARAMETER)]
fn gram(bencher: Bencher, parameter: usize) {
    let gradients = tensor(&[OBJECTIVES, parameter]);
    time(bencher, OBJECTIVES * parameter, || CPU.gram(&[&gradients]));
}

#[divan::bench(args = PARAMETER)]
fn adamw(bencher: Bencher, parameter: usize) {
    let gradient = tensor(&[parameter]);
    let constants = AdamW { lr: 1e-5, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 1e-2, step: 10 };
    bencher
        .counter(ItemsCount::new(parameter))
        .with_inputs(|| [tensor(&[parameter]), CPU.zeros(&[parameter]), CPU.zeros(&[parameter])])
        .bench_local_refs(|[param, first, second]| {
            let state = AdamWState { param, first, second, grad: &gradient };
            CPU.adamw(&mut [state], 0.5, &constants);
        });
}
