//! Convolutions of NHWC images: channels-last views, so that libtorch copies nothing. Filters are `[O, kh,
//! kw, I]`, channels last likewise. Those that are linear layers of every cell run as such.

use super::Torch;
use crate::abi::{Handle, Type};
use crate::{Device, Tensor, operators};
use fairhuman_engine::{ConvParams, Epilogue, Lanes, WeightRef};

/// True for a linear layer of every cell.
fn is_linear(geometry: ConvParams) -> bool {
    geometry == ConvParams::square(1, 1, 0)
}

/// Zeros that the convolution adds itself; none if it cannot, because the ends differ.
fn even_pad(geometry: ConvParams) -> Option<[i64; 2]> {
    let [top, left, bottom, right] = geometry.pad;
    (top == bottom && left == right).then_some([top as i64, left as i64])
}

/// An NHWC image as a convolution takes it, `[N, C, H, W]`, and the zeros that are left to add.
fn padded(x: &Handle, geometry: ConvParams) -> (Handle, [i64; 2]) {
    if let Some(pad) = even_pad(geometry) {
        return (x.nchw(), pad);
    }
    let [top, left, bottom, right] = geometry.pad.map(|zeros| zeros as i64);
    (operators::pad(x, &[0, 0, left, right, top, bottom], 0.0).nchw(), [0, 0])
}

/// A filter `[O, kh, kw, I]`, or a matrix of a 1x1 one, as a matrix.
fn matrix(filter: &Handle) -> Handle {
    filter.reshape(&[filter.sizes()[0], -1])
}

impl Torch {
    /// An operand in the type that convolutions compute with: that of activations, but f32 on the CPU.
    /// oneDNN's kernels for bf16 (3.10, with AMX) are wrong where stride and kernel are equal, and leave
    /// gradients of taps that meet no value uninitialised.
    fn of_convolution(&self, x: &Handle) -> Handle {
        operators::to_type(x, if self.device == Device::Cpu { Type::F32 } else { self.kind() })
    }

    pub(super) fn convolve(
        &self,
        x: &Tensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        epilogue: Epilogue<'_, Self>,
    ) -> Tensor {
        let (x, filter) = (self.values(x), self.weight_values(weight));
        if is_linear(geometry) {
            return Tensor::new(self.linear_values(x, &matrix(filter), None, epilogue));
        }
        let (x, pad) = padded(&self.of_convolution(x), geometry);
        let filter = self.of_convolution(filter).nchw();
        let bias = epilogue.bias.map(|bias| self.of_convolution(self.values(bias)));
        let y = operators::convolution(&x, &filter, bias.as_ref(), geometry.stride as i64, pad).nhwc();
        let y = operators::to_type(&y, self.kind()).dense();
        Tensor::new(self.with_shift_and_residual(y, epilogue))
    }

    pub(super) fn convolve_vjp(
        &self,
        g: &Tensor,
        weight: WeightRef<'_, Self>,
        geometry: ConvParams,
        (h, w): (usize, usize),
        acc: Option<Tensor>,
    ) -> Tensor {
        let (g, filter) = (self.values(g), self.weight_values(weight));
        if is_linear(geometry) {
            return self.linear_vjp_values(g, &matrix(filter), acc);
        }
        let [top, left, bottom, right] = geometry.pad;
        let (pad, size) = match even_pad(geometry) {
            Some(pad) => (pad, [h, w]),
            None => ([0, 0], [h + top + bottom, w + left + right]),
        };
        let stride = geometry.stride as i64;
        let sizes = g.sizes();
        // Inputs at the far ends that no window reaches.
        let extra = |input: usize, outputs: i64, pad: i64, kernel: usize| {
            input as i64 - ((outputs - 1) * stride - 2 * pad + kernel as i64)
        };
        let extra = [
            extra(size[0], sizes[1], pad[0], geometry.kernel.0),
            extra(size[1], sizes[2], pad[1], geometry.kernel.1),
        ];
        let (g, filter) = (self.of_convolution(g).nchw(), self.of_convolution(filter).nchw());
        let dx = operators::convolution_transposed(&g, &filter, stride, pad, extra).nhwc();
        let dx = operators::to_type(&dx, self.kind());
        let dx = if size == [h, w] {
            dx
        } else {
            dx.narrow(1, top as i64, h as i64).narrow(2, left as i64, w as i64)
        };
        match acc {
            None => Tensor::new(dx),
            Some(acc) => Tensor::new(operators::add(self.values(&acc), &dx, 1.0)),
        }
    }

    pub(super) fn filter_gradients(
        &self,
        g: &Tensor,
        x: &Tensor,
        geometry: ConvParams,
        lanes: &Lanes,
    ) -> Tensor {
        let (outputs, inputs) = (g.shape()[3] as i64, x.shape()[3] as i64);
        let (kh, kw) = (geometry.kernel.0 as i64, geometry.kernel.1 as i64);
        let sizes = [outputs, kh, kw, inputs];
        if is_linear(geometry) {
            let gradients = self.matrix_gradients(g, x, lanes);
            return gradients
                .view(gradients.values().reshape(&[&[lanes.objectives() as i64], &sizes[..]].concat()));
        }
        let (g, x) = (self.of_convolution(self.values(g)), self.of_convolution(self.values(x)));
        // Only its sizes and order in memory are read.
        let filter = self.empty(&sizes, g.kind());
        Tensor::new(self.per_objective(lanes, &sizes, |objective| {
            let (g, x) = self.of_objective(&g, &x, lanes, objective);
            let (x, pad) = padded(&x, geometry);
            let stride = geometry.stride as i64;
            operators::filter_gradient(&g.nchw(), &x, &filter.nchw(), stride, pad).nhwc()
        }))
    }
}
