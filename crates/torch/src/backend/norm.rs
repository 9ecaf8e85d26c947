//! Group and layer normalisation.
//!
//! Group normalisation is composed of reductions and pointwise work on `[N, positions, groups, C / groups]`:
//! libtorch's own kernels for CUDA copy channels-last images to `[N, C, H, W]` and back, and its backward
//! kernel for the CPU is wrong where its arguments' orders in memory differ. Layer normalisation has kernels
//! that suit.

use super::Torch;
use super::product::position_sums;
use crate::abi::{Handle, Type};
use crate::{Device, Tensor, operators};
use fairhuman_engine::{Affine, Lanes};

/// Group normalisation's shape: `[first, positions, groups, C / groups]`.
fn grouped(x: &Handle, groups: i64) -> Handle {
    x.reshape(&[x.sizes()[0], -1, groups, x.last() / groups])
}

/// A vector of channels beside [`grouped`] values, in f32.
fn per_channel(vector: &Tensor, groups: i64) -> Handle {
    let vector = vector.values_as(Type::F32);
    vector.reshape(&[1, 1, groups, vector.count() / groups])
}

/// One of two statistics `[.., 2]`, dense and of the given sizes.
fn statistic(stats: &Tensor, which: i64, sizes: &[i64]) -> Handle {
    let stats = stats.values_as(Type::F32);
    stats.narrow(stats.sizes().len() - 1, which, 1).reshape(sizes)
}

/// Means and reciprocal standard deviations side by side, `[.., 2]`.
fn together(mean: &Handle, rstd: &Handle, sizes: &[i64]) -> Tensor {
    let open = [sizes, &[1]].concat();
    Tensor::new(operators::cat(&[&mean.reshape(&open), &rstd.reshape(&open)], sizes.len()))
}

/// A group normalisation that is taken apart for its gradients.
struct Parts {
    /// Normalised values of each sample, f32.
    normalised: Handle,
    /// Reciprocal standard deviations `[N, 1, groups, 1]`.
    rstd: Handle,
    /// Cotangent before SiLU, in f32 or the type of activations.
    g: Handle,
}

impl Torch {
    pub(super) fn group_normalise(
        &self,
        x: &Tensor,
        groups: usize,
        affine: Affine<'_, Self>,
        silu: bool,
    ) -> (Tensor, Tensor) {
        let groups = groups as i64;
        let sizes = x.values().sizes();
        // f32 values are used as they are: they are widened anyway.
        let values = grouped(x.values(), groups);
        let wide = operators::to_type(&values, Type::F32);
        let (variance, mean) = operators::var_mean(&wide, &[1, 3]);
        let eps = self.host_scalar(affine.eps);
        let rstd = operators::rsqrt(&operators::add(&variance, &eps, 1.0));
        let factor = operators::mul(&rstd, &per_channel(affine.gamma, groups));
        let centred = operators::add(&values, &mean, -1.0);
        let y = operators::add(&operators::mul(&centred, &factor), &per_channel(affine.beta, groups), 1.0);
        let y = if silu { operators::silu(&y) } else { y };
        (self.activation_of(&y.reshape(&sizes)), together(&mean, &rstd, &[sizes[0], groups]))
    }

    /// A number in f32 without dimensions. It stays on the host, where kernels of every device read it from.
    fn host_scalar(&self, value: f32) -> Handle {
        let scalar = Handle::from_slice(&[1], &[value], Device::Cpu);
        scalar.unwrap_or_else(|| super::out_of_memory(size_of::<f32>())).strided(&[], &[], 0)
    }

    fn parts(
        &self,
        g: &Tensor,
        (x, stats): (&Tensor, &Tensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
    ) -> Parts {
        let groups = stats.shape()[1] as i64;
        let of_sample = [lanes.samples() as i64, 1, groups, 1];
        let (mean, rstd) = (statistic(stats, 0, &of_sample), statistic(stats, 1, &of_sample));
        let centred = operators::add(&grouped(x.values(), groups), &mean, -1.0);
        let normalised = operators::mul(&centred, &rstd);
        let mut g = grouped(self.values(g), groups);
        if silu {
            // Before SiLU, once for all lanes of a sample.
            let scaled = operators::mul(&normalised, &per_channel(affine.gamma, groups));
            let y = operators::add(&scaled, &per_channel(affine.beta, groups), 1.0);
            let (each, y) = self.pair(&operators::to_type(&g, Type::F32), &y, lanes);
            g = operators::silu_backward(&each, &y).reshape(&g.sizes());
        }
        Parts { normalised, rstd, g }
    }

    /// With `h = g * gamma` and the normalised values `z`: `(h - mean(h) - z * mean(h z)) / deviation`.
    pub(super) fn group_normalise_vjp(
        &self,
        g: &Tensor,
        saved: (&Tensor, &Tensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
        acc: Option<Tensor>,
    ) -> Tensor {
        let sizes = g.values().sizes();
        let groups = saved.1.shape()[1] as i64;
        let Parts { normalised, rstd, g } = self.parts(g, saved, affine, silu, lanes);
        let h = operators::mul(&g, &per_channel(affine.gamma, groups));
        let each = h.sizes();
        let together = 1.0 / (each[1] * each[3]) as f64;
        let mean = |x: &Handle| operators::scale(&operators::sum(x, &[1, 3], true, Type::F32), together);
        let (paired, z) = self.pair(&h, &normalised, lanes);
        let mean_hz = mean(&operators::mul(&paired, &z).reshape(&each));
        let mut dx = operators::add(&h, &mean(&h), -1.0);
        // z * mean(h z), with the means in the sizes of the pair.
        let mut of_means = paired.sizes();
        let last = of_means.len();
        (of_means[last - 3], of_means[last - 1]) = (1, 1);
        let along = operators::mul(&z, &mean_hz.reshape(&of_means)).reshape(&each);
        dx = operators::add(&dx, &along, -1.0);
        dx = operators::mul(&dx, &self.per_lane(&rstd, lanes)).reshape(&sizes);
        self.added(dx, acc)
    }

    /// Gradients of gamma (sums of `g z`) and beta (sums of `g`).
    pub(super) fn group_normalise_gradients(
        &self,
        g: &Tensor,
        saved: (&Tensor, &Tensor),
        affine: Affine<'_, Self>,
        silu: bool,
        lanes: &Lanes,
    ) -> (Tensor, Tensor) {
        let Parts { normalised, g, .. } = self.parts(g, saved, affine, silu, lanes);
        let flat = [lanes.len() as i64, -1, g.sizes()[2] * g.sizes()[3]];
        let (paired, z) = self.pair(&g, &normalised, lanes);
        let gz = operators::mul(&paired, &z);
        let sums = |x: &Handle| {
            Tensor::new(self.objective_sums(&position_sums(&x.reshape(&flat), Type::F32), lanes))
        };
        (sums(&gz), sums(&g))
    }

    /// A cotangent in the type of activations, added to a sum.
    fn added(&self, dx: Handle, acc: Option<Tensor>) -> Tensor {
        match acc {
            None => self.activation_of(&dx),
            Some(acc) => self.activation_of(&operators::add(self.values(&acc), &dx, 1.0)),
        }
    }

    /// Gamma or beta as the layer norm kernels want them beside 16-bit values: the CPU's give better
    /// statistics with f32, and CUDA's take their own type only.
    fn of_layer<'t>(&self, vector: &'t Tensor) -> &'t Handle {
        match self.device {
            Device::Cpu => vector.values_as(Type::F32),
            Device::Cuda(_) => self.values(vector),
        }
    }

    pub(super) fn layer_normalise(&self, x: &Tensor, affine: Affine<'_, Self>) -> (Tensor, Tensor) {
        let x = self.values(x);
        let (gamma, beta) = (self.of_layer(affine.gamma), self.of_layer(affine.beta));
        let [y, mean, rstd] = operators::layer_norm(&x.rows(), gamma, beta, affine.eps.into());
        (Tensor::new(y.reshape(&x.sizes())), together(&mean, &rstd, &[mean.count()]))
    }

    pub(super) fn layer_normalise_vjp(
        &self,
        g: &Tensor,
        (x, stats): (&Tensor, &Tensor),
        affine: Affine<'_, Self>,
        lanes: &Lanes,
        acc: Option<Tensor>,
    ) -> Tensor {
        let (g, x) = (self.values(g), self.values(x));
        let samples = lanes.samples() as i64;
        // Rows of one lane's sample, dense: the kernel reads statistics by raw pointer.
        let of_lanes = |x: &Handle| self.per_lane(x, lanes).dense();
        let rows = |which| of_lanes(&statistic(stats, which, &[samples, -1])).reshape(&[-1, 1]);
        let dx = operators::layer_norm_backward(
            &g.rows(),
            &of_lanes(x).rows(),
            (&rows(0), &rows(1)),
            (self.of_layer(affine.gamma), self.of_layer(affine.beta)),
        );
        self.added(dx.reshape(&g.sizes()), acc)
    }

    pub(super) fn layer_normalise_gradients(
        &self,
        g: &Tensor,
        (x, stats): (&Tensor, &Tensor),
        lanes: &Lanes,
    ) -> (Tensor, Tensor) {
        let (g, x) = (self.values(g), self.values(x));
        let samples = lanes.samples() as i64;
        let flat = |first: i64| [first, -1, x.last()];
        let rows = |which| statistic(stats, which, &[samples, -1, 1]);
        let centred = operators::add(&x.reshape(&flat(samples)), &rows(0), -1.0);
        let normalised = operators::mul(&centred, &rows(1));
        let g = g.reshape(&flat(lanes.len() as i64));
        let (paired, z) = self.pair(&g, &normalised, lanes);
        let gz = operators::mul(&paired, &z).reshape(&g.sizes());
        let sums = |x: &Handle| Tensor::new(self.objective_sums(&position_sums(x, Type::F32), lanes));
        (sums(&gz), sums(&g))
    }
}
