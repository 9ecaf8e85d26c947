//! The list of operations, each in its family's words.

use super::Torch;
use crate::{Device, Tensor, memory};
use fairhuman_engine::{
    Activation, AdamW, AdamWState, Affine, AttentionSaved, Backend, ConvParams, Epilogue, Lanes, LowRank,
    WeightData, WeightLayout, WeightRef,
};

impl Backend for Torch {
    type Tensor = Tensor;
    /// In the type of activations, as [`WeightLayout`]'s trained counterpart is laid out.
    type Weight = Tensor;

    fn synchronize(&self) {
        let Self { device, libtorch, .. } = self;
        if let (Device::Cuda(index), Ok(cuda)) = (device, libtorch.cuda()) {
            cuda.synchronize((*index).into());
        }
    }

    fn exact(&self) -> &Self {
        self.exact.as_deref().unwrap_or(self)
    }

    /// Of all backends of this process.
    fn bytes_in_use(&self) -> usize {
        memory::in_use()
    }

    fn tensor(&self, shape: &[usize], values: &[f32]) -> Tensor {
        self.tensor_of(shape, values)
    }

    fn read(&self, tensor: &Tensor) -> Vec<f32> {
        self.read_all(&[tensor]).swap_remove(0)
    }

    fn read_many(&self, tensors: &[&Tensor]) -> Vec<Vec<f32>> {
        self.read_all(tensors)
    }

    fn shape(tensor: &Tensor) -> &[usize] {
        tensor.shape()
    }

    fn reshape(&self, tensor: &Tensor, shape: &[usize]) -> Tensor {
        self.reshaped(tensor, shape)
    }

    fn zeros(&self, shape: &[usize]) -> Tensor {
        self.zero_tensor(shape)
    }

    fn weight(&self, data: &WeightData, layout: WeightLayout) -> Tensor {
        self.frozen(data, layout)
    }

    fn linear(
        &self,
        x: &Tensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Tensor, LowRank<'_, Self>)>,
        epilogue: Epilogue<'_, Self>,
    ) -> Tensor {
        self.linear_of(x, weight, low_rank, epilogue)
    }

    fn low_rank(&self, x: &Tensor, low_rank: LowRank<'_, Self>) -> Tensor {
        self.times_down(x, low_rank)
    }

    fn linear_vjp(
        &self,
        g: &Tensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Tensor, &Tensor)>,
        acc: Option<Tensor>,
    ) -> Tensor {
        self.linear_vjp_of(g, weight, low_rank, acc)
    }

    fn low_rank_vjp(&self, g: &Tensor, low_rank: LowRank<'_, Self>) -> Tensor {
        self.times_up(g, low_rank)
    }

    fn linear_vjp_params(&self, g: &Tensor, x: &Tensor, lanes: &Lanes) -> Tensor {
        self.matrix_gradients(g, x, lanes)
    }

    fn low_rank_vjp_params(
        &self,
        cotangents: (&Tensor, &Tensor),
        values: (&Tensor, &Tensor),
        scale: f32,
        lanes: &Lanes,
    ) -> (Tensor, Tensor) {
        self.low_rank_gradients(cotangents, values, scale, lanes)
    }

    fn conv2d(
        &self,
        x: &Tensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        epilogue: Epilogue<'_, Self>,
    ) -> Tensor {
        self.convolve(x, weight, geometry, epilogue)
    }

    fn conv2d_vjp(
        &self,
        g: &Tensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        input: (usize, usize),
        acc: Option<Tensor>,
    ) -> Tensor {
        self.convolve_vjp(g, weight, geometry, input, acc)
    }

    fn conv2d_vjp_params(&self, g: &Tensor, x: &Tensor, geometry: ConvParams, lanes: &Lanes) -> Tensor {
        self.filter_gradients(g, x, geometry, lanes)
    }

    fn sum_rows(&self, g: &Tensor, lanes: &Lanes) -> Tensor {
        self.row_sums(g, lanes)
    }

    fn sum_positions(&self, g: &Tensor) -> Tensor {
        self.lane_sums(g)
    }

    fn group_norm(
        &self,
        x: &Tensor,
        groups: usize,
        affine: Affine<'_, Self>,
        silu: bool,
    ) -> (Tensor, Tensor) {
        self.group_normalise(x, groups, affine, silu)
    }

    fn group_norm_vjp(
        &self,
        g: &Tensor,
        saved: (&Tensor, &Tensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
        acc: Option<Tensor>,
    ) -> Tensor {
        self.group_normalise_vjp(g, saved, affine, silu, lanes, acc)
    }

    fn group_norm_vjp_params(
        &self,
        g: &Tensor,
        saved: (&Tensor, &Tensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
    ) -> (Tensor, Tensor) {
        self.group_normalise_gradients(g, saved, affine, silu, lanes)
    }

    fn layer_norm(&self, x: &Tensor, affine: Affine<'_, Self>) -> (Tensor, Tensor) {
        self.layer_normalise(x, affine)
    }

    fn layer_norm_vjp(
        &self,
        g: &Tensor,
        saved: (&Tensor, &Tensor),
        affine: Affine<'_, Self>,
        lanes: &Lanes,
        acc: Option<Tensor>,
    ) -> Tensor {
        self.layer_normalise_vjp(g, saved, affine, lanes, acc)
    }

    fn layer_norm_vjp_params(
        &self,
        g: &Tensor,
        saved: (&Tensor, &Tensor),
        _: Affine<'_, Self>,
        lanes: &Lanes,
    ) -> (Tensor, Tensor) {
        self.layer_normalise_gradients(g, saved, lanes)
    }

    fn attention(&self, q: &Tensor, k: &Tensor, v: &Tensor, heads: usize, causal: bool) -> (Tensor, Tensor) {
        self.attend(q, k, v, heads, causal)
    }

    fn attention_vjp(
        &self,
        g: &Tensor,
        saved: AttentionSaved<'_, Self>,
        heads: usize,
        causal: bool,
        lanes: &Lanes,
    ) -> [Tensor; 3] {
        self.attend_vjp(g, saved, heads, causal, lanes)
    }

    fn activation(&self, x: &Tensor, kind: Activation) -> Tensor {
        self.activate(x, kind)
    }

    fn activation_vjp(&self, g: &Tensor, x: &Tensor, kind: Activation, lanes: &Lanes) -> Tensor {
        self.activate_vjp(g, x, kind, lanes)
    }

    fn geglu(&self, x: &Tensor) -> Tensor {
        self.gated(x)
    }

    fn geglu_vjp(&self, g: &Tensor, x: &Tensor, lanes: &Lanes) -> Tensor {
        self.gated_vjp(g, x, lanes)
    }

    fn add(&self, a: &Tensor, b: &Tensor) -> Tensor {
        self.plus(a, b)
    }

    fn accumulate(&self, acc: Tensor, b: &Tensor) -> Tensor {
        self.plus(&acc, b)
    }

    fn scale(&self, x: &Tensor, factor: f32) -> Tensor {
        self.times(x, factor)
    }

    fn concat(&self, a: &Tensor, b: &Tensor) -> Tensor {
        self.joined(a, b)
    }

    fn split(&self, x: &Tensor, first: usize) -> (Tensor, Tensor) {
        self.split_at(x, first)
    }

    fn resize_nearest(&self, x: &Tensor, size: (usize, usize)) -> Tensor {
        self.resized(x, size)
    }

    fn resize_nearest_vjp(&self, g: &Tensor, input: (usize, usize)) -> Tensor {
        self.resized_vjp(g, input)
    }

    fn avg_pool2(&self, x: &Tensor) -> Tensor {
        self.pooled(x)
    }

    fn avg_pool2_vjp(&self, g: &Tensor, input: (usize, usize)) -> Tensor {
        self.pooled_vjp(g, input)
    }

    fn embedding(&self, ids: &[u32], shape: (usize, usize), table: WeightRef<'_, Self>) -> Tensor {
        self.rows_of_table(ids, shape, table)
    }

    fn embedding_vjp_params(&self, g: &Tensor, ids: &[u32], rows: usize, lanes: &Lanes) -> Tensor {
        self.table_gradients(g, ids, rows, lanes)
    }

    fn pick_token(&self, x: &Tensor, index: &[usize]) -> Tensor {
        self.picked(x, index)
    }

    fn pick_token_vjp(&self, g: &Tensor, index: &[usize], tokens: usize, lanes: &Lanes) -> Tensor {
        self.picked_vjp(g, index, tokens, lanes)
    }

    fn gram(&self, grads: &[&Tensor]) -> Vec<f64> {
        self.gram_of(grads)
    }

    fn combine(&self, grads: &[&Tensor], coefficients: &[f64]) -> Vec<Tensor> {
        self.combined(grads, coefficients)
    }

    fn norm(&self, tensors: &[&Tensor]) -> f64 {
        self.norm_of(tensors)
    }

    fn adamw(&self, states: &mut [AdamWState<'_, Self>], grad_scale: f64, constants: &AdamW) {
        self.step_adamw(states, grad_scale, constants);
    }

    fn ema(&self, averages: &mut [&mut Tensor], values: &[&Tensor], decay: f64) {
        self.move_averages(averages, values, decay);
    }
}
