//! Convolution: one function lists the (output position, input position, tap) triples, and the forward pass
//! and both products are loops over that list.

use super::array::{Array, add_scaled, dot};
use super::product::add_epilogue;
use super::{Reference, values};
use crate::{ConvParams, Epilogue, Lanes, WeightRef};

/// Every (output position, input position, tap) of one image; padding has none.
fn contacts(geometry: ConvParams, (h, w): (usize, usize)) -> Vec<(usize, usize, usize)> {
    let (out_h, out_w) = geometry.output((h, w));
    let [top, left, _, _] = geometry.pad;
    let mut list = Vec::new();
    for out_y in 0..out_h {
        for out_x in 0..out_w {
            for tap_y in 0..geometry.kernel.0 {
                for tap_x in 0..geometry.kernel.1 {
                    // Coordinates in the padded image, whose content starts at (top, left).
                    let (y, x) = (out_y * geometry.stride + tap_y, out_x * geometry.stride + tap_x);
                    let inside = (top..top + h).contains(&y) && (left..left + w).contains(&x);
                    if inside {
                        let input = (y - top) * w + (x - left);
                        list.push((out_y * out_w + out_x, input, tap_y * geometry.kernel.1 + tap_x));
                    }
                }
            }
        }
    }
    list
}

/// `x [N, H, W, I]` with a filter `[O, kh, kw, I]` to `[N, H', W', O]`.
pub(super) fn conv2d(
    x: &Array,
    weight: WeightRef<'_, Reference>,
    geometry: ConvParams,
    epilogue: Epilogue<'_, Reference>,
) -> Array {
    let weight = values(weight);
    let (input, outputs) = ((x.shape()[1], x.shape()[2]), weight.first());
    let (out_h, out_w) = geometry.output(input);
    let taps = geometry.kernel.0 * geometry.kernel.1;
    let mut values = vec![0.0; x.first() * out_h * out_w * outputs];
    for n in 0..x.first() {
        for (to, from, tap) in contacts(geometry, input) {
            for o in 0..outputs {
                let product = dot(x.row(n * x.positions() + from), weight_row(weight, x, o * taps + tap));
                values[(n * out_h * out_w + to) * outputs + o] += product;
            }
        }
    }
    add_epilogue(Array::new(&[x.first(), out_h, out_w, outputs], values), epilogue)
}

/// The input channels of one tap of one output; a 1x1 filter may be stored as a matrix.
fn weight_row<'a>(weight: &'a Array, x: &Array, row: usize) -> &'a [f64] {
    &weight.values()[row * x.channels()..(row + 1) * x.channels()]
}

/// `g [L, H', W', O]` back to `[L, H, W, I]`.
pub(super) fn conv2d_vjp(
    g: &Array,
    weight: WeightRef<'_, Reference>,
    geometry: ConvParams,
    input: (usize, usize),
    acc: Option<Array>,
) -> Array {
    let weight = values(weight);
    let taps = geometry.kernel.0 * geometry.kernel.1;
    let inputs = weight.values().len() / (weight.first() * taps);
    let positions = input.0 * input.1;
    let mut values = vec![0.0; g.first() * positions * inputs];
    for lane in 0..g.first() {
        for (to, from, tap) in contacts(geometry, input) {
            let start = (lane * positions + from) * inputs;
            for (o, &g) in g.row(lane * g.positions() + to).iter().enumerate() {
                let filter = &weight.values()[(o * taps + tap) * inputs..][..inputs];
                add_scaled(&mut values[start..start + inputs], g, filter);
            }
        }
    }
    Array::new(&[g.first(), input.0, input.1, inputs], values).plus_acc(acc)
}

/// Gradient of the filter, `[K, O, kh, kw, I]`.
pub(super) fn conv2d_vjp_params(g: &Array, x: &Array, geometry: ConvParams, lanes: &Lanes) -> Array {
    let input = (x.shape()[1], x.shape()[2]);
    let (outputs, inputs, taps) = (g.channels(), x.channels(), geometry.kernel.0 * geometry.kernel.1);
    let mut values = vec![0.0; lanes.objectives() * outputs * taps * inputs];
    for k in 0..lanes.objectives() {
        for lane in lanes.of_objective(k) {
            for (to, from, tap) in contacts(geometry, input) {
                let x = x.row(lanes.sample(lane) * x.positions() + from);
                for (o, &g) in g.row(lane * g.positions() + to).iter().enumerate() {
                    let start = ((k * outputs + o) * taps + tap) * inputs;
                    add_scaled(&mut values[start..start + inputs], g, x);
                }
            }
        }
    }
    Array::new(&[lanes.objectives(), outputs, geometry.kernel.0, geometry.kernel.1, inputs], values)
}
