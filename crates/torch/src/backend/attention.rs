//! Attention: fused kernels that keep no probabilities, with lanes as a batch whose strides are 0 where a
//! sample is repeated; and the same written out, for heads that no fused kernel takes.

use super::Torch;
use crate::abi::{Handle, Type};
use crate::operators::{self, Kept};
use crate::{Device, Tensor};
use fairhuman_engine::{AttentionSaved, Lanes};

/// Kernels of attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attention {
    /// The device's fused kernels, for the heads that they take.
    Fused,
    /// Products, exponentials and sums: for all heads, with memory for all probabilities.
    WrittenOut,
}

/// The kernel of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernel {
    Cpu,
    Flash,
    Efficient,
    WrittenOut,
}

/// `[N, T, heads * D]` as `[N, heads, T, D]`.
fn split_heads(x: &Handle, heads: i64) -> Handle {
    let sizes = x.sizes();
    let width = sizes[2] / heads;
    let strides = x.strides();
    let split = [strides[0], width * strides[2], strides[1], strides[2]];
    x.strided(&[sizes[0], heads, sizes[1], width], &split, 0)
}

/// The way back; a copy if the kernel left the heads apart.
fn join_heads(x: &Handle) -> Handle {
    let sizes = x.sizes();
    x.transpose(1, 2).reshape(&[sizes[0], sizes[2], sizes[1] * sizes[3]])
}

/// `[N, heads, T, D]` as the stack of matrices `[N * heads, T, D]` in f32.
fn stacked(x: &Handle) -> Handle {
    let sizes = x.sizes();
    operators::to_type(x, Type::F32).reshape(&[sizes[0] * sizes[1], sizes[2], sizes[3]])
}

impl Torch {
    fn kernel(&self, width: i64) -> Kernel {
        match (self.attention, self.device, self.kind()) {
            (Attention::WrittenOut, ..) => Kernel::WrittenOut,
            (_, Device::Cpu, _) => Kernel::Cpu,
            (_, Device::Cuda(_), Type::Bf16) if width % 8 == 0 && width <= 256 => Kernel::Flash,
            (_, Device::Cuda(_), Type::Bf16) if width % 8 == 0 => Kernel::Efficient,
            (_, Device::Cuda(_), Type::F32) if width % 4 == 0 => Kernel::Efficient,
            _ => Kernel::WrittenOut,
        }
    }

    pub(super) fn attend(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        heads: usize,
        causal: bool,
    ) -> (Tensor, Tensor) {
        let [q, k, v] = [q, k, v].map(|x| split_heads(self.values(x), heads as i64));
        let [out, log_sum] = match self.kernel(q.last()) {
            Kernel::Cpu => operators::attention_cpu(&q, &k, &v, causal),
            Kernel::Flash => operators::attention_flash(&q, &k, &v, causal),
            Kernel::Efficient => operators::attention_efficient(&q, &k, &v, causal),
            Kernel::WrittenOut => self.written_out(&q, &k, &v, causal),
        };
        (self.activation_of(&join_heads(&out)), Tensor::new(log_sum))
    }

    pub(super) fn attend_vjp(
        &self,
        g: &Tensor,
        saved: AttentionSaved<'_, Self>,
        heads: usize,
        causal: bool,
        lanes: &Lanes,
    ) -> [Tensor; 3] {
        let heads = heads as i64;
        let of_lanes = |x: &Tensor| split_heads(&self.per_lane(self.values(x), lanes), heads);
        let [q, k, v, out] = [saved.q, saved.k, saved.v, saved.out].map(of_lanes);
        // Read by raw pointer.
        let log_sum = self.per_lane(saved.log_sum.values(), lanes).dense();
        let g = split_heads(self.values(g), heads);
        let kept = Kept { q: &q, k: &k, v: &v, out: &out, log_sum: &log_sum };
        let gradients = match self.kernel(q.last()) {
            Kernel::Cpu => operators::attention_cpu_backward(&g, &kept, causal),
            Kernel::Flash => operators::attention_flash_backward(&g, &kept, causal),
            Kernel::Efficient => operators::attention_efficient_backward(&g, &kept, causal),
            Kernel::WrittenOut => self.written_out_vjp(&g, &kept, causal),
        };
        gradients.map(|gradient| self.activation_of(&join_heads(&gradient)))
    }

    /// Scaled scores `[N * heads, T, S]` in f32; hidden ones are minus infinity.
    fn scores(&self, q: &Handle, k: &Handle, causal: bool) -> Handle {
        let scale = 1.0 / (q.last() as f64).sqrt();
        let scores = operators::bmm(&operators::scale(&stacked(q), scale), &stacked(k).transpose(1, 2));
        if !causal {
            return scores;
        }
        let (queries, keys) = (q.sizes()[2], k.sizes()[2]);
        let hidden = |i: i64| if i % keys > i / keys { f32::NEG_INFINITY } else { 0.0 };
        let mask: Vec<f32> = (0..queries * keys).map(hidden).collect();
        operators::add(&scores, &self.host_data(&[1, queries, keys], &mask), 1.0)
    }

    fn written_out(&self, q: &Handle, k: &Handle, v: &Handle, causal: bool) -> [Handle; 2] {
        let scores = self.scores(q, k, causal);
        let log_sum = operators::logsumexp(&scores);
        let shape = q.sizes();
        let log_sums = log_sum.reshape(&[log_sum.sizes()[0], shape[2], 1]);
        let probabilities = operators::exp(&operators::add(&scores, &log_sums, -1.0));
        let out = operators::bmm(&probabilities, &stacked(v));
        [out.reshape(&shape), log_sum.reshape(&shape[..3])]
    }

    /// With probabilities `p` and output `o`: `dv = p^T g`, `ds = p * (g v^T - g . o)`, `dq = ds k`, `dk =
    /// ds^T q`.
    fn written_out_vjp(&self, g: &Handle, kept: &Kept<'_>, causal: bool) -> [Handle; 3] {
        let scores = self.scores(kept.q, kept.k, causal);
        let batch = scores.sizes()[0];
        let log_sums = kept.log_sum.reshape(&[batch, -1, 1]);
        let p = operators::exp(&operators::add(&scores, &log_sums, -1.0));
        let (q, k, v, out, g) =
            (stacked(kept.q), stacked(kept.k), stacked(kept.v), stacked(kept.out), stacked(g));
        let of_out = operators::sum(&operators::mul(&g, &out), &[-1], true, Type::F32);
        let dp = operators::add(&operators::bmm(&g, &v.transpose(1, 2)), &of_out, -1.0);
        let ds = operators::scale(&operators::mul(&p, &dp), 1.0 / (q.last() as f64).sqrt());
        let [dq, dk, dv] = [
            operators::bmm(&ds, &k),
            operators::bmm(&ds.transpose(1, 2), &q),
            operators::bmm(&p.transpose(1, 2), &g),
        ];
        [dq.reshape(&kept.q.sizes()), dk.reshape(&kept.k.sizes()), dv.reshape(&kept.v.sizes())]
    }
}
