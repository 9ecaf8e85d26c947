//! The oracle: every operation as plain loops in f64, written to be compared with its formula. Tests measure
//! [`Cpu`](crate::Cpu) and finite differences against it; it is too slow for anything else.

mod array;
mod attention;
mod conv;
mod norm;
mod param;
mod pointwise;
mod product;
mod structure;

pub use array::Array;

use crate::{
    Activation, AdamW, AdamWState, Affine, AttentionSaved, Backend, ConvParams, Epilogue, Lanes, LowRank,
    WeightData, WeightLayout, WeightRef,
};
use norm::Sets;

/// The plain f64 backend. Its tensors are [`Array`]s, which tests create and read in full precision.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

/// The values of a weight, frozen or trained: both are stored in a trained weight's layout.
fn values(weight: WeightRef<'_, Reference>) -> &Array {
    match weight {
        WeightRef::Frozen(array) | WeightRef::Trained(array) => array,
    }
}

/// A filter from the layout of files, `[O, I, kh, kw]`, to `[O, kh, kw, I]`.
fn filter_layout(filter: Array) -> Array {
    let &[outputs, inputs, h, w] = filter.shape() else { panic!("a filter of shape {:?}", filter.shape()) };
    let mut values = Vec::new();
    for o in 0..outputs {
        for tap in 0..h * w {
            values.extend((0..inputs).map(|i| filter.values()[(o * inputs + i) * h * w + tap]));
        }
    }
    Array::new(&[outputs, h, w, inputs], values)
}

impl Backend for Reference {
    type Tensor = Array;
    type Weight = Array;

    fn tensor(&self, shape: &[usize], values: &[f32]) -> Array {
        Array::new(shape, values.iter().map(|&v| f64::from(v)).collect())
    }

    fn read(&self, tensor: &Array) -> Vec<f32> {
        tensor.values().iter().map(|&v| v as f32).collect()
    }

    fn shape(tensor: &Array) -> &[usize] {
        tensor.shape()
    }

    fn reshape(&self, tensor: &Array, shape: &[usize]) -> Array {
        tensor.reshaped(shape)
    }

    fn zeros(&self, shape: &[usize]) -> Array {
        Array::zeros(shape)
    }

    fn weight(&self, data: &WeightData, layout: WeightLayout) -> Array {
        let array = self.tensor(data.shape(), &data.to_f32());
        match layout {
            WeightLayout::Matrix => array.reshaped(&[array.first(), array.stride()]),
            WeightLayout::Filter => filter_layout(array),
            WeightLayout::Table => array,
        }
    }

    fn linear(
        &self,
        x: &Array,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Array, LowRank<'_, Self>)>,
        epilogue: Epilogue<'_, Self>,
    ) -> Array {
        product::linear(x, weight, low_rank, epilogue)
    }

    fn low_rank(&self, x: &Array, low_rank: LowRank<'_, Self>) -> Array {
        product::low_rank(x, low_rank)
    }

    fn linear_vjp(
        &self,
        g: &Array,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Array, &Array)>,
        acc: Option<Array>,
    ) -> Array {
        product::linear_vjp(g, weight, low_rank, acc)
    }

    fn low_rank_vjp(&self, g: &Array, low_rank: LowRank<'_, Self>) -> Array {
        product::low_rank_vjp(g, low_rank)
    }

    fn linear_vjp_params(&self, g: &Array, x: &Array, lanes: &Lanes) -> Array {
        product::linear_vjp_params(g, x, lanes)
    }

    fn low_rank_vjp_params(
        &self,
        (g, h): (&Array, &Array),
        (x, hidden): (&Array, &Array),
        scale: f32,
        lanes: &Lanes,
    ) -> (Array, Array) {
        product::low_rank_vjp_params((g, h), (x, hidden), scale, lanes)
    }

    fn conv2d(
        &self,
        x: &Array,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        epilogue: Epilogue<'_, Self>,
    ) -> Array {
        conv::conv2d(x, weight, geometry, epilogue)
    }

    fn conv2d_vjp(
        &self,
        g: &Array,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        input: (usize, usize),
        acc: Option<Array>,
    ) -> Array {
        conv::conv2d_vjp(g, weight, geometry, input, acc)
    }

    fn conv2d_vjp_params(&self, g: &Array, x: &Array, geometry: ConvParams, lanes: &Lanes) -> Array {
        conv::conv2d_vjp_params(g, x, geometry, lanes)
    }

    fn sum_rows(&self, g: &Array, lanes: &Lanes) -> Array {
        product::sum_rows(g, lanes)
    }

    fn sum_positions(&self, g: &Array) -> Array {
        product::sum_positions(g)
    }

    fn group_norm(&self, x: &Array, groups: usize, affine: Affine<'_, Self>, silu: bool) -> (Array, Array) {
        norm::norm(x, Sets::Groups(groups), affine, silu)
    }

    fn group_norm_vjp(
        &self,
        g: &Array,
        saved: (&Array, &Array),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
        acc: Option<Array>,
    ) -> Array {
        norm::norm_vjp(g, saved, (Sets::Groups(saved.1.shape()[1]), silu), affine, lanes, acc)
    }

    fn group_norm_vjp_params(
        &self,
        g: &Array,
        saved: (&Array, &Array),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
    ) -> (Array, Array) {
        norm::norm_vjp_params(g, saved, (Sets::Groups(saved.1.shape()[1]), silu), affine, lanes)
    }

    fn layer_norm(&self, x: &Array, affine: Affine<'_, Self>) -> (Array, Array) {
        norm::norm(x, Sets::Rows, affine, false)
    }

    fn layer_norm_vjp(
        &self,
        g: &Array,
        saved: (&Array, &Array),
        affine: Affine<'_, Self>,
        lanes: &Lanes,
        acc: Option<Array>,
    ) -> Array {
        norm::norm_vjp(g, saved, (Sets::Rows, false), affine, lanes, acc)
    }

    fn layer_norm_vjp_params(
        &self,
        g: &Array,
        saved: (&Array, &Array),
        affine: Affine<'_, Self>,
        lanes: &Lanes,
    ) -> (Array, Array) {
        norm::norm_vjp_params(g, saved, (Sets::Rows, false), affine, lanes)
    }

    fn attention(&self, q: &Array, k: &Array, v: &Array, heads: usize, causal: bool) -> (Array, Array) {
        attention::attention(q, k, v, heads, causal)
    }

    fn attention_vjp(
        &self,
        g: &Array,
        saved: AttentionSaved<'_, Self>,
        heads: usize,
        causal: bool,
        lanes: &Lanes,
    ) -> [Array; 3] {
        attention::attention_vjp(g, saved, heads, causal, lanes)
    }

    fn activation(&self, x: &Array, kind: Activation) -> Array {
        pointwise::activation(x, kind)
    }

    fn activation_vjp(&self, g: &Array, x: &Array, kind: Activation, lanes: &Lanes) -> Array {
        pointwise::activation_vjp(g, x, kind, lanes)
    }

    fn geglu(&self, x: &Array) -> Array {
        pointwise::geglu(x)
    }

    fn geglu_vjp(&self, g: &Array, x: &Array, lanes: &Lanes) -> Array {
        pointwise::geglu_vjp(g, x, lanes)
    }

    fn add(&self, a: &Array, b: &Array) -> Array {
        a.plus(b)
    }

    fn accumulate(&self, acc: Array, b: &Array) -> Array {
        acc.plus(b)
    }

    fn scale(&self, x: &Array, factor: f32) -> Array {
        x.map(|x| x * f64::from(factor))
    }

    fn concat(&self, a: &Array, b: &Array) -> Array {
        structure::concat(a, b)
    }

    fn split(&self, x: &Array, first: usize) -> (Array, Array) {
        structure::split(x, first)
    }

    fn resize_nearest(&self, x: &Array, size: (usize, usize)) -> Array {
        structure::resize_nearest(x, size)
    }

    fn resize_nearest_vjp(&self, g: &Array, input: (usize, usize)) -> Array {
        structure::resize_nearest_vjp(g, input)
    }

    fn avg_pool2(&self, x: &Array) -> Array {
        structure::avg_pool2(x)
    }

    fn avg_pool2_vjp(&self, g: &Array, input: (usize, usize)) -> Array {
        structure::avg_pool2_vjp(g, input)
    }

    fn embedding(&self, ids: &[u32], shape: (usize, usize), table: WeightRef<'_, Self>) -> Array {
        structure::embedding(ids, shape, table)
    }

    fn embedding_vjp_params(&self, g: &Array, ids: &[u32], rows: usize, lanes: &Lanes) -> Array {
        structure::embedding_vjp_params(g, ids, rows, lanes)
    }

    fn pick_token(&self, x: &Array, index: &[usize]) -> Array {
        structure::pick_token(x, index)
    }

    fn pick_token_vjp(&self, g: &Array, index: &[usize], tokens: usize, lanes: &Lanes) -> Array {
        structure::pick_token_vjp(g, index, tokens, lanes)
    }

    fn gram(&self, grads: &[&Array]) -> Vec<f64> {
        param::gram(grads)
    }

    fn combine(&self, grads: &[&Array], coefficients: &[f64]) -> Vec<Array> {
        grads.iter().map(|grads| param::combine(grads, coefficients)).collect()
    }

    fn norm(&self, tensors: &[&Array]) -> f64 {
        param::norm(tensors)
    }

    fn adamw(&self, states: &mut [AdamWState<'_, Self>], grad_scale: f64, constants: &AdamW) {
        states.iter_mut().for_each(|state| param::adamw(state, grad_scale, constants));
    }

    fn ema(&self, averages: &mut [&mut Array], values: &[&Array], decay: f64) {
        averages.iter_mut().zip(values).for_each(|(average, value)| param::ema(average, value, decay));
    }
}
