//! Linear layers and convolutions on the tape, with their adapters.

use super::{NodeId, Tape, Var, Vjp, count};
use crate::observe::Op;
use crate::{Adapter, Backend, Conv2d, Epilogue, Linear, LowRank, Params, PerChannel};

fn low_rank<'a, B: Backend>(adapter: Adapter, params: &'a Params<B>) -> LowRank<'a, B> {
    LowRank { down: params.get(adapter.down), up: params.get(adapter.up), scale: adapter.scale }
}

impl<'m, B: Backend> Tape<'m, B> {
    /// `x [N, ..., I] -> [N, ..., O]`, plus `residual [N, ..., O]` if given.
    pub fn linear(&mut self, x: &Var<B>, layer: &'m Linear<B>, residual: Option<&Var<B>>) -> Var<B> {
        let params = self.params;
        let rows = count(x.shape()) / layer.inputs;
        let rank = layer.adapter.map_or(0, |a| B::shape(params.get(a.down))[0]);
        let flops = linear_flops(rows, layer.inputs, layer.outputs, rank);
        let epilogue = Epilogue {
            bias: layer.bias.as_ref().map(|b| b.value(params)),
            shift: None,
            residual: residual.map(Var::value),
        };
        let (value, hidden) = self.observe(
            || Op::product("linear", flops),
            |b| {
                let pair = layer.adapter.map(|a| low_rank(a, params));
                let hidden = pair.map(|pair| b.low_rank(&x.value, pair));
                let addition = hidden.as_ref().zip(pair);
                (b.linear(&x.value, layer.weight.value(params), addition, epilogue), hidden)
            },
        );
        let residual = residual.and_then(|r| r.node);
        let bias = layer.bias.as_ref().and_then(PerChannel::trained);
        let trains_weight = layer.weight.trained().is_some() || layer.adapter.is_some();
        let tracked = x.tracked() || residual.is_some() || bias.is_some() || trains_weight;
        let node = x.node;
        // Only a trained weight or adapter reads the input again.
        let x = trains_weight.then(|| x.value.clone());
        self.result(value, tracked, || linear_node(layer, node, residual, x, hidden))
    }

    /// `x [N, H, W, I] -> [N, H', W', O]`, plus `shift [N, O]` and `residual [N, H', W', O]` if given.
    pub fn conv2d(
        &mut self,
        x: &Var<B>,
        layer: &'m Conv2d<B>,
        shift: Option<&Var<B>>,
        residual: Option<&Var<B>>,
    ) -> Var<B> {
        let y = self.filter(x, layer, shift, residual);
        let Some(adapter) = &layer.adapter else { return y };
        // A low-rank convolution is a convolution to r channels, then a linear layer onto the result.
        let h = self.conv2d(x, &adapter.down, None, None);
        let h = self.scale(&h, adapter.scale);
        self.linear(&h, &adapter.up, Some(&y))
    }

    fn filter(
        &mut self,
        x: &Var<B>,
        layer: &'m Conv2d<B>,
        shift: Option<&Var<B>>,
        residual: Option<&Var<B>>,
    ) -> Var<B> {
        let (params, weight, geometry) = (self.params, &layer.weight, layer.geometry);
        let epilogue = Epilogue {
            bias: layer.bias.as_ref().map(|b| b.value(params)),
            shift: shift.map(Var::value),
            residual: residual.map(Var::value),
        };
        let input = (x.shape()[1], x.shape()[2]);
        let taps = geometry.kernel.0 * geometry.kernel.1 * x.shape()[3];
        let value = self.observe_result(
            |y| Op::product("conv2d", 2.0 * count(B::shape(y)) as f64 * taps as f64),
            |b| b.conv2d(&x.value, weight.value(params), geometry, epilogue),
        );
        let (shift, residual) = (shift.and_then(|s| s.node), residual.and_then(|r| r.node));
        let (weight_id, bias) = (weight.trained(), layer.bias.as_ref().and_then(PerChannel::trained));
        let node = x.node;
        let tracked =
            node.is_some() || shift.is_some() || residual.is_some() || weight_id.is_some() || bias.is_some();
        let x = weight_id.map(|_| x.value.clone());
        self.result(value, tracked, || {
            Box::new(move |pull, g| {
                if let Some(id) = bias {
                    let grad = pull.observe(
                        || Op::memory("bias gradient", count(B::shape(&g))),
                        |b| b.sum_rows(&g, pull.lanes),
                    );
                    pull.add_param(id, grad);
                }
                if let Some(shift) = shift {
                    let grad = pull
                        .observe(|| Op::memory("shift vjp", count(B::shape(&g))), |b| b.sum_positions(&g));
                    pull.add(Some(shift), grad);
                }
                let flops = 2.0 * count(B::shape(&g)) as f64 * taps as f64;
                if let (Some(id), Some(x)) = (weight_id, x) {
                    let grad = pull.observe(
                        || Op::product("conv2d gradient", flops),
                        |b| b.conv2d_vjp_params(&g, &x, geometry, pull.lanes),
                    );
                    pull.add_param(id, grad);
                }
                if let Some(node) = node {
                    let acc = pull.take(node);
                    let grad = pull.observe(
                        || Op::product("conv2d vjp", flops),
                        |b| b.conv2d_vjp(&g, weight.value(pull.params), geometry, input, acc),
                    );
                    pull.put(node, grad);
                }
                pull.add(residual, g);
            })
        })
    }
}

fn linear_flops(rows: usize, inputs: usize, outputs: usize, rank: usize) -> f64 {
    2.0 * rows as f64 * (inputs * outputs + rank * (inputs + outputs)) as f64
}

fn linear_node<'m, B: Backend>(
    layer: &'m Linear<B>,
    node: Option<NodeId>,
    residual: Option<NodeId>,
    x: Option<B::Tensor>,
    hidden: Option<B::Tensor>,
) -> Vjp<'m, B> {
    Box::new(move |pull, g| {
        let rows = count(B::shape(&g)) / layer.outputs;
        if let Some(id) = layer.bias.as_ref().and_then(PerChannel::trained) {
            let grad = pull
                .observe(|| Op::memory("bias gradient", count(B::shape(&g))), |b| b.sum_rows(&g, pull.lanes));
            pull.add_param(id, grad);
        }
        if let (Some(id), Some(x)) = (layer.weight.trained(), &x) {
            let grad = pull.observe(
                || Op::product("linear gradient", linear_flops(rows, layer.inputs, layer.outputs, 0)),
                |b| b.linear_vjp_params(&g, x, pull.lanes),
            );
            pull.add_param(id, grad);
        }
        let params = pull.params;
        let adapter = layer.adapter.map(|a| low_rank(a, params));
        let rank = adapter.map_or(0, |a| B::shape(a.down)[0]);
        let mut low_rank = None;
        if let (Some(ids), Some(pair), Some(x), Some(hidden)) = (layer.adapter, adapter, &x, &hidden) {
            // A product with A's width, and two with B's.
            let flops = 2.0 * (rank * rows * (layer.inputs + 2 * layer.outputs)) as f64;
            let (h, down, up) = pull.observe(
                || Op::product("lora gradient", flops),
                |b| {
                    let h = b.low_rank_vjp(&g, pair);
                    let (down, up) = b.low_rank_vjp_params((&g, &h), (x, hidden), pair.scale, pull.lanes);
                    (h, down, up)
                },
            );
            pull.add_param(ids.down, down);
            pull.add_param(ids.up, up);
            low_rank = Some((h, pair.down));
        }
        drop((x, hidden));
        if let Some(node) = node {
            let acc = pull.take(node);
            let low_rank = low_rank.as_ref().map(|(h, down)| (h, *down));
            let flops = 2.0 * (rows * layer.inputs * (layer.outputs + rank)) as f64;
            let grad = pull.observe(
                || Op::product("linear vjp", flops),
                |b| b.linear_vjp(&g, layer.weight.value(params), low_rank, acc),
            );
            pull.put(node, grad);
        }
        pull.add(residual, g);
    })
}
