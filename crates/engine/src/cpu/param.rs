//! Work on parameters and their gradients: Gram matrices, combinations, AdamW.

use super::Cpu;
use super::buffer::{Buffer, CpuTensor};
use crate::AdamW;
use multiversion::multiversion;
use rayon::prelude::*;

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

/// Values of every gradient that a task multiplies; the same whatever the number of threads, so that sums are.
const PART: usize = 1 << 15;

pub(super) fn gram(grads: &CpuTensor) -> Vec<f64> {
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

pub(super) fn combine(cpu: &Cpu, grads: &CpuTensor, coefficients: &[f64]) -> CpuTensor {
    let stride = grads.stride();
    assert_eq!(grads.shape()[0], coefficients.len(), "one coefficient per objective");
    let mut out = Buffer::new(&cpu.pool, stride);
    out.par_chunks_mut(1 << 14).enumerate().for_each(|(block, out)| {
        out.fill(0.0);
        for (k, &c) in coefficients.iter().enumerate() {
            let from = &grads.data()[k * stride + (block << 14)..][..out.len()];
            for (o, g) in out.iter_mut().zip(from) {
                *o += c as f32 * g;
            }
        }
    });
    CpuTensor::new(&grads.shape()[1..], out)
}

pub(super) fn sum_of_squares(tensor: &CpuTensor) -> f64 {
    let parts: Vec<f64> = tensor.data().par_chunks(PART).map(|part| dot(part, part)).collect();
    parts.iter().sum()
}

pub(super) fn adamw(
    [param, first, second]: [CpuTensor; 3],
    grad: &CpuTensor,
    grad_scale: f64,
    c: &AdamW,
) -> [CpuTensor; 3] {
    let step = i32::try_from(c.step).unwrap_or(i32::MAX);
    let correction1 = 1.0 - c.beta1.powi(step);
    let correction2 = (1.0 - c.beta2.powi(step)).sqrt();
    let keep = (1.0 - c.lr * c.weight_decay) as f32;
    let size = (c.lr / correction1) as f32;
    let (beta1, beta2) = (c.beta1 as f32, c.beta2 as f32);
    let (new1, new2) = ((1.0 - c.beta1) as f32, (1.0 - c.beta2) as f32);
    let (eps, root) = (c.eps as f32, (1.0 / correction2) as f32);
    let scale = grad_scale as f32;
    let (shape, mut param) = param.into_parts();
    let (_, mut first) = first.into_parts();
    let (_, mut second) = second.into_parts();
    let block = 1 << 14;
    param
        .par_chunks_mut(block)
        .zip(first.par_chunks_mut(block).zip(second.par_chunks_mut(block)))
        .zip(grad.data().par_chunks(block))
        .for_each(|((p, (m, v)), g)| {
            for (((p, m), v), g) in p.iter_mut().zip(m).zip(v).zip(g) {
                let g = g * scale;
                *m = beta1 * *m + new1 * g;
                *v = beta2 * *v + new2 * g * g;
                *p = *p * keep - size * *m / (v.sqrt() * root + eps);
            }
        });
    [CpuTensor::new(&shape, param), CpuTensor::new(&shape, first), CpuTensor::new(&shape, second)]
}
