//! The fast backend: f32 on all cores, with the best vector instructions that the machine has.
//!
//! Expensive operations are matrix products (see `product` and `microkernel`, and `bf16` for those that need
//! not be as exact); the others are bound by memory and pass over it as seldom as possible. Results do not
//! depend on the number of threads.

mod attention;
pub(crate) mod bf16;
mod buffer;
mod busy_wait;
mod conv;
mod device;
mod features;
mod group_norm;
mod layer_norm;
mod linear;
mod math;
mod microkernel;
mod operands;
mod packing;
mod panels;
mod param;
mod partition;
mod pointwise;
mod prefetch;
mod product;
mod scratch;
mod simd;
mod structure;
mod values;
mod weight;
mod winograd;

use crate::peak::{self, Peak};
use crate::{
    Activation, AdamW, AdamWState, Affine, AttentionSaved, Backend, ConvParams, Epilogue, Lanes, LowRank,
    WeightData, WeightLayout, WeightRef,
};
use buffer::Buffer;
pub use buffer::CpuTensor;
use busy_wait::KeepAwake;
pub use device::Cpu;
pub use features::{Instructions, limit_instructions};
use rayon::prelude::*;
use std::sync::atomic::Ordering;
pub use weight::CpuWeight;

/// Values (cells times channels) of small activations: their operations end before another thread has started
/// to help.
const SMALL: usize = 1 << 16;

/// Number of rows of the last dimension.
fn rows_of(x: &CpuTensor) -> usize {
    let shape = x.shape();
    shape[..shape.len() - 1].iter().product()
}

impl Backend for Cpu {
    type Tensor = CpuTensor;
    type Weight = CpuWeight;

    fn scope<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        // The outermost scope only moves to the workers: work inside it may wait for files or people.
        let inner = self.workers.current_thread_index().is_some();
        self.run(|| {
            let _awake = inner.then(|| KeepAwake::start(&self.awake));
            work()
        })
    }

    fn exact(&self) -> &Self {
        self.exact.as_deref().unwrap_or(self)
    }

    fn prefers_side_by_side(&self, values: usize) -> bool {
        values <= SMALL
    }

    fn concurrency(&self) -> usize {
        self.threads()
    }

    fn side_by_side<I: Send, T: Send>(&self, items: Vec<I>, work: impl Fn(I) -> T + Send + Sync) -> Vec<T> {
        self.scope(|| items.into_par_iter().with_max_len(1).map(work).collect())
    }

    /// Without what waits to be used again.
    fn bytes_in_use(&self) -> usize {
        size_of::<f32>() * self.pool.lent()
    }

    fn measure_peak(&self, clock: &(dyn Fn() -> f64 + Sync)) -> Option<Peak> {
        Some(peak::measure(self.threads(), clock))
    }

    fn tensor(&self, shape: &[usize], values: &[f32]) -> CpuTensor {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{} values as {shape:?}", values.len());
        let mut data = Buffer::new(&self.pool, values.len());
        data.copy_from_slice(values);
        CpuTensor::new(shape, data)
    }

    fn read(&self, tensor: &CpuTensor) -> Vec<f32> {
        tensor.data().to_vec()
    }

    fn shape(tensor: &CpuTensor) -> &[usize] {
        tensor.shape()
    }

    fn reshape(&self, tensor: &CpuTensor, shape: &[usize]) -> CpuTensor {
        tensor.reshaped(shape)
    }

    fn zeros(&self, shape: &[usize]) -> CpuTensor {
        let count = shape.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
        let mut data = Buffer::new(&self.pool, count.unwrap_or(usize::MAX));
        data.fill(0.0);
        CpuTensor::new(shape, data)
    }

    fn weight(&self, data: &WeightData, layout: WeightLayout) -> CpuWeight {
        // Both directions' panels may come to be.
        let value = if self.bf16 { 2 } else { 4 };
        let bytes = 2 * value * data.len();
        let left = |left: usize| left.checked_sub(bytes);
        let keep = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok();
        CpuWeight::new(data, layout, keep, &self.room)
    }

    fn linear(
        &self,
        x: &CpuTensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&CpuTensor, LowRank<'_, Self>)>,
        epilogue: Epilogue<'_, Self>,
    ) -> CpuTensor {
        self.run(|| linear::linear(self, x, weight, low_rank, epilogue))
    }

    fn low_rank(&self, x: &CpuTensor, low_rank: LowRank<'_, Self>) -> CpuTensor {
        self.run(|| linear::times_down(self, x, low_rank))
    }

    fn linear_vjp(
        &self,
        g: &CpuTensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&CpuTensor, &CpuTensor)>,
        acc: Option<CpuTensor>,
    ) -> CpuTensor {
        self.run(|| linear::linear_vjp(self, g, weight, low_rank, acc))
    }

    fn low_rank_vjp(&self, g: &CpuTensor, low_rank: LowRank<'_, Self>) -> CpuTensor {
        self.run(|| linear::times_up(self, g, low_rank))
    }

    fn linear_vjp_params(&self, g: &CpuTensor, x: &CpuTensor, lanes: &Lanes) -> CpuTensor {
        self.run(|| linear::linear_vjp_params(self, g, x, lanes))
    }

    fn low_rank_vjp_params(
        &self,
        cotangents: (&CpuTensor, &CpuTensor),
        values: (&CpuTensor, &CpuTensor),
        scale: f32,
        lanes: &Lanes,
    ) -> (CpuTensor, CpuTensor) {
        self.run(|| linear::low_rank_vjp_params(self, cotangents, values, scale, lanes))
    }

    fn conv2d(
        &self,
        x: &CpuTensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        epilogue: Epilogue<'_, Self>,
    ) -> CpuTensor {
        self.run(|| conv::conv2d(self, x, weight, geometry, epilogue))
    }

    fn conv2d_vjp(
        &self,
        g: &CpuTensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        input: (usize, usize),
        acc: Option<CpuTensor>,
    ) -> CpuTensor {
        self.run(|| conv::conv2d_vjp(self, g, weight, geometry, input, acc))
    }

    fn conv2d_vjp_params(
        &self,
        g: &CpuTensor,
        x: &CpuTensor,
        geometry: ConvParams,
        lanes: &Lanes,
    ) -> CpuTensor {
        self.run(|| conv::conv2d_vjp_params(self, g, x, geometry, lanes))
    }

    fn sum_rows(&self, g: &CpuTensor, lanes: &Lanes) -> CpuTensor {
        self.run(|| structure::sum_rows(self, g, lanes))
    }

    fn sum_positions(&self, g: &CpuTensor) -> CpuTensor {
        self.run(|| structure::sum_positions(self, g))
    }

    fn group_norm(
        &self,
        x: &CpuTensor,
        groups: usize,
        affine: Affine<'_, Self>,
        silu: bool,
    ) -> (CpuTensor, CpuTensor) {
        self.run(|| group_norm::group_norm(self, x, groups, affine, silu))
    }

    fn group_norm_vjp(
        &self,
        g: &CpuTensor,
        saved: (&CpuTensor, &CpuTensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
        acc: Option<CpuTensor>,
    ) -> CpuTensor {
        self.run(|| group_norm::group_norm_vjp(self, g, saved, affine, silu, lanes, acc))
    }

    fn group_norm_vjp_params(
        &self,
        g: &CpuTensor,
        saved: (&CpuTensor, &CpuTensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
    ) -> (CpuTensor, CpuTensor) {
        self.run(|| group_norm::group_norm_vjp_params(self, g, saved, affine, silu, lanes))
    }

    fn layer_norm(&self, x: &CpuTensor, affine: Affine<'_, Self>) -> (CpuTensor, CpuTensor) {
        self.run(|| layer_norm::layer_norm(self, x, affine))
    }

    fn layer_norm_vjp(
        &self,
        g: &CpuTensor,
        saved: (&CpuTensor, &CpuTensor),
        affine: Affine<'_, Self>,
        lanes: &Lanes,
        acc: Option<CpuTensor>,
    ) -> CpuTensor {
        self.run(|| layer_norm::layer_norm_vjp(self, g, saved, affine, lanes, acc))
    }

    fn layer_norm_vjp_params(
        &self,
        g: &CpuTensor,
        saved: (&CpuTensor, &CpuTensor),
        _affine: Affine<'_, Self>,
        lanes: &Lanes,
    ) -> (CpuTensor, CpuTensor) {
        self.run(|| layer_norm::layer_norm_vjp_params(self, g, saved, lanes))
    }

    fn attention(
        &self,
        q: &CpuTensor,
        k: &CpuTensor,
        v: &CpuTensor,
        heads: usize,
        causal: bool,
    ) -> (CpuTensor, CpuTensor) {
        self.run(|| attention::attention(self, [q, k, v], heads, causal))
    }

    fn attention_vjp(
        &self,
        g: &CpuTensor,
        saved: AttentionSaved<'_, Self>,
        heads: usize,
        causal: bool,
        lanes: &Lanes,
    ) -> [CpuTensor; 3] {
        self.run(|| attention::attention_vjp(self, g, saved, heads, causal, lanes))
    }

    fn activation(&self, x: &CpuTensor, kind: Activation) -> CpuTensor {
        self.run(|| pointwise::activation(self, x, kind))
    }

    fn activation_vjp(&self, g: &CpuTensor, x: &CpuTensor, kind: Activation, lanes: &Lanes) -> CpuTensor {
        self.run(|| pointwise::activation_vjp(self, g, x, kind, lanes))
    }

    fn geglu(&self, x: &CpuTensor) -> CpuTensor {
        self.run(|| pointwise::geglu(self, x))
    }

    fn geglu_vjp(&self, g: &CpuTensor, x: &CpuTensor, lanes: &Lanes) -> CpuTensor {
        self.run(|| pointwise::geglu_vjp(self, g, x, lanes))
    }

    fn add(&self, a: &CpuTensor, b: &CpuTensor) -> CpuTensor {
        self.run(|| pointwise::add(self, a, b))
    }

    fn accumulate(&self, acc: CpuTensor, b: &CpuTensor) -> CpuTensor {
        self.run(|| pointwise::accumulate(acc, b))
    }

    fn scale(&self, x: &CpuTensor, factor: f32) -> CpuTensor {
        self.run(|| pointwise::scale(self, x, factor))
    }

    fn concat(&self, a: &CpuTensor, b: &CpuTensor) -> CpuTensor {
        self.run(|| structure::concat(self, a, b))
    }

    fn split(&self, x: &CpuTensor, first: usize) -> (CpuTensor, CpuTensor) {
        self.run(|| structure::split(self, x, first))
    }

    fn resize_nearest(&self, x: &CpuTensor, size: (usize, usize)) -> CpuTensor {
        self.run(|| structure::resize_nearest(self, x, size))
    }

    fn resize_nearest_vjp(&self, g: &CpuTensor, input: (usize, usize)) -> CpuTensor {
        self.run(|| structure::resize_nearest_vjp(self, g, input))
    }

    fn avg_pool2(&self, x: &CpuTensor) -> CpuTensor {
        self.run(|| structure::avg_pool2(self, x))
    }

    fn avg_pool2_vjp(&self, g: &CpuTensor, input: (usize, usize)) -> CpuTensor {
        self.run(|| structure::avg_pool2_vjp(self, g, input))
    }

    fn embedding(&self, ids: &[u32], shape: (usize, usize), table: WeightRef<'_, Self>) -> CpuTensor {
        structure::embedding(self, ids, shape, table)
    }

    fn embedding_vjp_params(&self, g: &CpuTensor, ids: &[u32], rows: usize, lanes: &Lanes) -> CpuTensor {
        structure::embedding_vjp_params(self, g, ids, rows, lanes)
    }

    fn pick_token(&self, x: &CpuTensor, index: &[usize]) -> CpuTensor {
        structure::pick_token(self, x, index)
    }

    fn pick_token_vjp(&self, g: &CpuTensor, index: &[usize], tokens: usize, lanes: &Lanes) -> CpuTensor {
        structure::pick_token_vjp(self, g, index, tokens, lanes)
    }

    fn gram(&self, grads: &[&CpuTensor]) -> Vec<f64> {
        self.run(|| param::gram(grads))
    }

    fn combine(&self, grads: &[&CpuTensor], coefficients: &[f64]) -> Vec<CpuTensor> {
        self.run(|| param::combine(self, grads, coefficients))
    }

    fn norm(&self, tensors: &[&CpuTensor]) -> f64 {
        self.run(|| param::norm(tensors))
    }

    fn adamw(&self, states: &mut [AdamWState<'_, Self>], grad_scale: f64, constants: &AdamW) {
        self.run(|| param::adamw(states, grad_scale, constants));
    }

    fn ema(&self, averages: &mut [&mut CpuTensor], values: &[&CpuTensor], decay: f64) {
        self.run(|| param::ema(averages, values, decay));
    }
}
