//! Work on parameters and their gradients: Gram matrices, combinations, norms, AdamW and averages.
//!
//! Every function takes all parameters. Sums are made parameter by parameter, in parts of a fixed length, and
//! then in order, so that they do not depend on the number of threads.

use super::Cpu;
use super::buffer::{Buffer, CpuTensor};
use crate::{AdamW, AdamWState};
use multiversion::multiversion;
use rayon::prelude::*;

/// Parameters that a thread works through by itself: an adapter has hundreds of small ones.
const FEW: usize = 8;

/// Values of a block, whose products are summed by themselves before they join the total.
const BLOCK: usize = 1 << 10;

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut total = 0.0;
    for (a, b) in a.chunks(BLOCK).zip(b.chunks(BLOCK)) {
        let mut sums = [0.0f64; 16];
        let (a, a_rest) = a.as_chunks::<16>();
        let (b, b_rest) = b.as_chunks::<16>();
        for (a, b) in a.iter().zip(b) {
            for j in 0..16 {
                sums[j] += a[j] as f64 * b[j] as f64;
            }
        }
        total += sums.iter().sum::<f64>();
        total += a_rest.iter().zip(b_rest).map(|(&a, &b)| a as f64 * b as f64).sum::<f64>();
    }
    total
}

/// Values of every gradient that a task multiplies.
const PART: usize = 1 << 15;

/// Values that a task changes.
const CHANGED: usize = 1 << 14;

pub(super) fn gram(grads: &[&CpuTensor]) -> Vec<f64> {
    let products: Vec<_> = grads.par_iter().with_min_len(FEW).map(|grads| gram_of_one(grads)).collect();
    let mut gram = vec![0.0; products.first().map_or(0, Vec::len)];
    for values in products {
        gram.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    gram
}

fn gram_of_one(grads: &CpuTensor) -> Vec<f64> {
    let (k, stride) = (grads.shape()[0], grads.stride());
    // One pass over memory: a part of all gradients is multiplied while it is in the cache.
    let parts: Vec<Vec<f64>> = (0..stride.div_ceil(PART))
        .into_par_iter()
        .map(|part| {
            let range = part * PART..stride.min((part + 1) * PART);
            let row = |i: usize| &grads.data()[i * stride..(i + 1) * stride][range.clone()];
            (0..k).flat_map(|i| (0..=i).map(move |j| (i, j))).map(|(i, j)| dot(row(i), row(j))).collect()
        })
        .collect();
    let mut gram = vec![0.0; k * k];
    for (place, (i, j)) in (0..k).flat_map(|i| (0..=i).map(move |j| (i, j))).enumerate() {
        let value = parts.iter().map(|part| part[place]).sum();
        gram[i * k + j] = value;
        gram[j * k + i] = value;
    }
    gram
}

pub(super) fn combine(cpu: &Cpu, grads: &[&CpuTensor], coefficients: &[f64]) -> Vec<CpuTensor> {
    grads.par_iter().with_min_len(FEW).map(|grads| combination(cpu, grads, coefficients)).collect()
}

fn combination(cpu: &Cpu, grads: &CpuTensor, coefficients: &[f64]) -> CpuTensor {
    let stride = grads.stride();
    assert_eq!(grads.shape()[0], coefficients.len(), "one coefficient per objective");
    let mut out = Buffer::new(&cpu.pool, stride);
    out.par_chunks_mut(CHANGED).enumerate().for_each(|(block, out)| {
        out.fill(0.0);
        for (k, &c) in coefficients.iter().enumerate() {
            let from = &grads.data()[k * stride + block * CHANGED..][..out.len()];
            for (o, g) in out.iter_mut().zip(from) {
                *o += c as f32 * g;
            }
        }
    });
    CpuTensor::new(&grads.shape()[1..], out)
}

pub(super) fn norm(tensors: &[&CpuTensor]) -> f64 {
    let squares: Vec<f64> = tensors.par_iter().with_min_len(FEW).map(|tensor| squares(tensor)).collect();
    squares.iter().fold(0.0, |sum, squares| sum + squares).sqrt()
}

fn squares(tensor: &CpuTensor) -> f64 {
    let parts: Vec<f64> = tensor.data().par_chunks(PART).map(|part| dot(part, part)).collect();
    parts.iter().sum()
}

/// Gives each tensor values of its own where others share them. Nothing is changed before all copies are
/// made.
fn unshare(tensors: &mut [&mut CpuTensor]) {
    let copies: Vec<_> = tensors.par_iter().map(|tensor| tensor.copy_if_shared()).collect();
    for (tensor, copy) in tensors.iter_mut().zip(copies) {
        if let Some(copy) = copy {
            **tensor = copy;
        }
    }
}

/// AdamW's constants as every value needs them.
struct Factors {
    scale: f32,
    keep: f32,
    size: f32,
    beta1: f32,
    beta2: f32,
    new1: f32,
    new2: f32,
    eps: f32,
    root: f32,
}

impl Factors {
    fn new(grad_scale: f64, c: &AdamW) -> Self {
        let step = i32::try_from(c.step).unwrap_or(i32::MAX);
        let correction1 = 1.0 - c.beta1.powi(step);
        let correction2 = (1.0 - c.beta2.powi(step)).sqrt();
        Self {
            scale: grad_scale as f32,
            keep: (1.0 - c.lr * c.weight_decay) as f32,
            size: (c.lr / correction1) as f32,
            beta1: c.beta1 as f32,
            beta2: c.beta2 as f32,
            new1: (1.0 - c.beta1) as f32,
            new2: (1.0 - c.beta2) as f32,
            eps: c.eps as f32,
            root: (1.0 / correction2) as f32,
        }
    }
}

pub(super) fn adamw(states: &mut [AdamWState<'_, Cpu>], grad_scale: f64, constants: &AdamW) {
    let tensors = states.iter_mut().flat_map(|s| [&mut *s.param, &mut *s.first, &mut *s.second]);
    unshare(&mut tensors.collect::<Vec<_>>());
    let factors = Factors::new(grad_scale, constants);
    states.par_iter_mut().with_min_len(FEW).for_each(|state| {
        let AdamWState { param, first, second, grad } = state;
        let Factors { scale, keep, size, beta1, beta2, new1, new2, eps, root } = factors;
        let (param, first, second) = (param.own_data(), first.own_data(), second.own_data());
        param
            .par_chunks_mut(CHANGED)
            .zip(first.par_chunks_mut(CHANGED).zip(second.par_chunks_mut(CHANGED)))
            .zip(grad.data().par_chunks(CHANGED))
            .for_each(|((p, (m, v)), g)| {
                for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
                    let g = g * scale;
                    *m = beta1 * *m + new1 * g;
                    *v = beta2 * *v + new2 * g * g;
                    *p = *p * keep - size * *m / (v.sqrt() * root + eps);
                }
            });
    });
}

pub(super) fn ema(averages: &mut [&mut CpuTensor], values: &[&CpuTensor], decay: f64) {
    unshare(averages);
    let (keep, add) = (decay as f32, (1.0 - decay) as f32);
    averages.par_iter_mut().zip(values).with_min_len(FEW).for_each(|(average, value)| {
        let average = average.own_data().par_chunks_mut(CHANGED);
        average.zip(value.data().par_chunks(CHANGED)).for_each(|(average, value)| {
            for (a, v) in average.iter_mut().zip(value) {
                *a = keep * *a + add * v;
            }
        });
    });
}
