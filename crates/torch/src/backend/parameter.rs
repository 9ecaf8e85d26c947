//! Work on all parameters at once: few calls, and one wait for the device. Gradients are joined into groups
//! of some megabytes, so that a thousand small ones take as few calls as a dozen large ones.

use super::Torch;
use crate::Tensor;
use crate::abi::{Handle, Type};
use crate::operators::{self, Updates};
use fairhuman_engine::{AdamW, AdamWState};

/// Bytes of gradients that are joined.
const GROUP: usize = 64 << 20;
/// Products that are summed in f32 before they are added in f64. With 4,096 a processor with AVX2 was off by
/// 4e-6 where all products are alike.
const CHUNK: i64 = 512;

/// Neighbours that together take at most `most`; what takes more stands alone.
pub(super) fn groups<T>(list: &[T], size: impl Fn(&T) -> usize, most: usize) -> Vec<&[T]> {
    let (mut groups, mut start, mut sum) = (Vec::new(), 0, 0);
    for (i, item) in list.iter().enumerate() {
        let own = size(item);
        if i > start && sum + own > most {
            groups.push(&list[start..i]);
            (start, sum) = (i, 0);
        }
        sum += own;
    }
    if start < list.len() {
        groups.push(&list[start..]);
    }
    groups
}

/// f32 tensors as matrices `[K, values]`, joined into groups.
fn joined(tensors: &[&Tensor], objectives: i64) -> Vec<Handle> {
    let bytes = |tensor: &&Tensor| Type::F32.size() * tensor.values().count() as usize;
    let join = |group: &[&Tensor]| {
        let flat: Vec<_> =
            group.iter().map(|tensor| tensor.values_as(Type::F32).reshape(&[objectives, -1])).collect();
        match flat.as_slice() {
            [alone] => alone.clone(),
            several => operators::cat(&several.iter().collect::<Vec<_>>(), 1),
        }
    };
    groups(tensors, bytes, GROUP).into_iter().map(join).collect()
}

/// Inner products of the rows of `[K, P]`, in f64: f32 products of chunks, which are summed in f64.
fn products(x: &Handle) -> Handle {
    let sizes = x.sizes();
    let whole = sizes[1] / CHUNK;
    let of = |x: &Handle| operators::sum(&operators::bmm(x, &x.transpose(1, 2)), &[0], false, Type::F64);
    let rest = x.narrow(1, whole * CHUNK, sizes[1] % CHUNK);
    let rest = of(&rest.reshape(&[1, sizes[0], -1]));
    if whole == 0 {
        return rest;
    }
    let row = x.strides()[0];
    let chunks = x.strided(&[whole, sizes[0], CHUNK], &[CHUNK, row, 1], 0);
    operators::add(&of(&chunks), &rest, 1.0)
}

/// Inner products over all groups, read once.
fn all_products(groups: &[Handle]) -> Vec<f64> {
    let products = groups.iter().map(products);
    let sum = products.reduce(|a, b| operators::add(&a, &b, 1.0));
    sum.map_or(Vec::new(), |sum| sum.to_vec::<f64>())
}

impl Torch {
    pub(super) fn gram_of(&self, grads: &[&Tensor]) -> Vec<f64> {
        let Some(first) = grads.first() else { return Vec::new() };
        all_products(&joined(grads, first.shape()[0] as i64))
    }

    pub(super) fn norm_of(&self, tensors: &[&Tensor]) -> f64 {
        all_products(&joined(tensors, 1)).first().copied().unwrap_or(0.0).sqrt()
    }

    /// One product for each group, and views of it for its parameters.
    pub(super) fn combined(&self, grads: &[&Tensor], coefficients: &[f64]) -> Vec<Tensor> {
        let factors: Vec<f32> = coefficients.iter().map(|&c| c as f32).collect();
        let factors = self.host_data(&[1, factors.len() as i64], &factors);
        let mut rest = grads.iter();
        let mut results = Vec::with_capacity(grads.len());
        for group in joined(grads, coefficients.len() as i64) {
            let sum = operators::mm(&factors, &group);
            let mut start = 0;
            let mut views = Vec::new();
            while start < sum.last() {
                let Some(grad) = rest.next() else { break };
                let shape: Vec<i64> = grad.values().sizes()[1..].to_vec();
                let count = shape.iter().product();
                views.push(sum.narrow(1, start, count).reshape(&shape));
                start += count;
            }
            results.extend(Tensor::views(&sum, views));
        }
        results
    }

    /// A number without dimensions, on the device.
    fn scalar(&self, value: f32) -> Handle {
        self.host_data(&[1], &[value]).strided(&[], &[], 0)
    }

    pub(super) fn step_adamw(&self, states: &mut [AdamWState<'_, Self>], grad_scale: f64, constants: &AdamW) {
        if states.is_empty() {
            return;
        }
        // All memory first: nothing is changed before it is there.
        let step = self.scalar(constants.step as f32);
        let grads: Vec<&Handle> = states.iter().map(|state| state.grad.values_as(Type::F32)).collect();
        let scaled = if grad_scale == 1.0 {
            Vec::new()
        } else {
            operators::foreach_mul(&grads, &self.scalar(grad_scale as f32))
        };
        own_all(
            states.iter_mut().flat_map(|state| [&mut *state.param, &mut *state.first, &mut *state.second]),
        );
        let mut updates = Updates::default();
        for (i, state) in states.iter().enumerate() {
            updates.params.push(state.param.values());
            updates.first.push(state.first.values());
            updates.second.push(state.second.values());
            updates.grads.push(scaled.get(i).unwrap_or_else(|| state.grad.values_as(Type::F32)));
        }
        operators::fused_adamw(&updates, &step, constants);
        for state in states {
            for tensor in [&mut *state.param, &mut *state.first, &mut *state.second] {
                tensor.changed();
            }
        }
    }

    pub(super) fn move_averages(&self, averages: &mut [&mut Tensor], values: &[&Tensor], decay: f64) {
        let weight = self.scalar((1.0 - decay) as f32);
        own_all(averages.iter_mut().map(|average| &mut **average));
        for (average, value) in averages.iter_mut().zip(values) {
            operators::lerp_in_place(average.values(), value.values_as(Type::F32), &weight);
            average.changed();
        }
    }
}

/// Copies what others share, all or none: copies wait until all of them are there.
fn own_all<'a>(tensors: impl Iterator<Item = &'a mut Tensor>) {
    let shared: Vec<_> = tensors.filter(|tensor| tensor.is_shared()).collect();
    let copies: Vec<_> = shared.iter().map(|tensor| tensor.copied()).collect();
    for (tensor, copy) in shared.into_iter().zip(copies) {
        *tensor = copy;
    }
}
