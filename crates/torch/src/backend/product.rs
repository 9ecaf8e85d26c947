//! Linear layers and their adapters.

use super::Torch;
use super::lanes::complete;
use crate::abi::{Handle, Type};
use crate::{Tensor, operators};
use fairhuman_engine::{Epilogue, Lanes, LowRank, WeightRef};

type Pair<'a> = LowRank<'a, Torch>;

impl Torch {
    pub(super) fn linear_of(
        &self,
        x: &Tensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Tensor, Pair<'_>)>,
        epilogue: Epilogue<'_, Self>,
    ) -> Tensor {
        let y = self.linear_values(self.values(x), self.weight_values(weight), low_rank, epilogue);
        Tensor::new(y)
    }

    /// The same for values and a matrix `[O, I]`.
    pub(super) fn linear_values(
        &self,
        x: &Handle,
        weight: &Handle,
        low_rank: Option<(&Tensor, Pair<'_>)>,
        epilogue: Epilogue<'_, Self>,
    ) -> Handle {
        let bias = epilogue.bias.map(|bias| self.values(bias));
        let y = operators::linear(x, weight, bias).dense();
        if let Some((hidden, pair)) = low_rank {
            let (rows, up) = (y.rows(), self.values(pair.up).transpose(0, 1));
            let product = (f64::from(pair.scale), &self.values(hidden).rows(), &up);
            operators::add_product(&rows, (1.0, &rows), product);
        }
        self.with_shift_and_residual(y, epilogue)
    }

    /// `y [N, ..., O]` with the rest of an epilogue; bias has been added.
    pub(super) fn with_shift_and_residual(&self, mut y: Handle, epilogue: Epilogue<'_, Self>) -> Handle {
        let sizes = y.sizes();
        if let Some(shift) = epilogue.shift {
            let shift = self.values(shift).reshape(&[sizes[0], 1, -1]);
            y = operators::add(&y.reshape(&[sizes[0], -1, y.last()]), &shift, 1.0).reshape(&sizes);
        }
        if let Some(residual) = epilogue.residual {
            y = operators::add(&y, self.values(residual), 1.0);
        }
        y
    }

    pub(super) fn times_down(&self, x: &Tensor, pair: Pair<'_>) -> Tensor {
        Tensor::new(operators::linear(self.values(x), self.values(pair.down), None))
    }

    pub(super) fn linear_vjp_of(
        &self,
        g: &Tensor,
        weight: WeightRef<'_, Self>,
        low_rank: Option<(&Tensor, &Tensor)>,
        acc: Option<Tensor>,
    ) -> Tensor {
        let weight = self.weight_values(weight);
        let out = self.linear_vjp_values(self.values(g), weight, acc);
        if let Some((h, down)) = low_rank {
            let rows = out.values().rows();
            let product = (1.0, &self.values(h).rows(), self.values(down));
            operators::add_product(&rows, (1.0, &rows), product);
        }
        out
    }

    /// `g W + acc` for a matrix `[O, I]`, in values that are not shared.
    pub(super) fn linear_vjp_values(&self, g: &Handle, weight: &Handle, acc: Option<Tensor>) -> Tensor {
        let sizes = g.sizes_with_last(weight.last());
        let Some(acc) = acc else {
            return Tensor::new(operators::mm(&g.rows(), weight).reshape(&sizes));
        };
        let own = !acc.is_shared() && acc.values().kind() == self.kind();
        let out = if own { acc.clone() } else { Tensor::new(self.empty(&sizes, self.kind())) };
        let summand = self.values(&acc).rows();
        operators::add_product(&out.values().rows(), (1.0, &summand), (1.0, &g.rows(), weight));
        out
    }

    pub(super) fn times_up(&self, g: &Tensor, pair: Pair<'_>) -> Tensor {
        let (g, up) = (self.values(g), self.values(pair.up));
        let out = self.empty(&g.sizes_with_last(up.last()), self.kind());
        // With a factor of 0 the summand is not read.
        let rows = out.rows();
        operators::add_product(&rows, (0.0, &rows), (f64::from(pair.scale), &g.rows(), up));
        Tensor::new(out)
    }

    pub(super) fn matrix_gradients(&self, g: &Tensor, x: &Tensor, lanes: &Lanes) -> Tensor {
        Tensor::new(self.outer_products(self.values(g), self.values(x), lanes))
    }

    pub(super) fn low_rank_gradients(
        &self,
        (g, h): (&Tensor, &Tensor),
        (x, hidden): (&Tensor, &Tensor),
        scale: f32,
        lanes: &Lanes,
    ) -> (Tensor, Tensor) {
        let up = self.outer_products(self.values(g), self.values(hidden), lanes);
        let up = if scale == 1.0 { up } else { operators::scale(&up, scale.into()) };
        (self.matrix_gradients(h, x, lanes), Tensor::new(up))
    }

    /// `g^T x` over each objective's rows, `[K, O, I]` in f32.
    fn outer_products(&self, g: &Handle, x: &Handle, lanes: &Lanes) -> Handle {
        let (outputs, inputs) = (g.last(), x.last());
        if complete(lanes) {
            // One product for all objectives, which share x.
            let objectives = lanes.objectives() as i64;
            let g = g.reshape(&[objectives, -1, outputs]).transpose(1, 2);
            let x = x.reshape(&[1, -1, inputs]);
            let x = x.expand(&[objectives, x.sizes()[1], inputs]);
            return operators::bmm_f32(&g, &x);
        }
        self.per_objective(lanes, &[outputs, inputs], |objective| {
            let (g, x) = self.of_objective(g, x, lanes, objective);
            operators::mm_f32(&g.rows().transpose(0, 1), &x.rows())
        })
    }

    pub(super) fn row_sums(&self, g: &Tensor, lanes: &Lanes) -> Tensor {
        Tensor::new(self.objective_sums(&position_sums(self.values(g), Type::F32), lanes))
    }

    pub(super) fn lane_sums(&self, g: &Tensor) -> Tensor {
        self.activation_of(&position_sums(self.values(g), Type::F32))
    }
}

/// Sums of `[L, ..., C]` over positions, `[L, C]`.
pub(super) fn position_sums(x: &Handle, kind: Type) -> Handle {
    let sizes = x.sizes();
    if sizes.len() == 2 {
        return operators::to_type(x, kind);
    }
    operators::sum(&x.reshape(&[sizes[0], -1, x.last()]), &[1], false, kind)
}
