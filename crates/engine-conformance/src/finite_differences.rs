//! Every vector-Jacobian product through the tape equals central differences of the forward pass: for inputs
//! `[L, ...]` lane by lane, for parameters `[K, ...]` objective by objective, absent ones included. Layers
//! are small and parameters of noise, so that a step to either side is exact in f32 and only results are
//! rounded.

use crate::layers::{Maker, Train};
use crate::numbers::{assert_close, tensor};
use crate::{Differences, Instance, Subject};
use fairhuman_engine::{
    Activation, Backend, ConvParams, Lanes, ParamGrads, ParamId, Params, Tape, Var, WeightLayout,
};

/// An instance, and how differences are taken on it.
struct Bench<'a, B: Backend> {
    on: Instance<'a, B>,
    differences: Differences,
}

impl<'a, B: Backend> Bench<'a, B> {
    fn new(subject: &'a Subject<B>) -> impl Iterator<Item = Self> {
        let differences = subject.tolerances.differences;
        subject.instances().map(move |on| Self { on, differences })
    }

    /// Compares all gradients of `forward(tape, layer, inputs)`; every input is a leaf. `layer` refers to
    /// `params`.
    fn assert_gradients<L, F>(
        &self,
        what: &str,
        layer: &L,
        mut params: Params<B>,
        inputs: &[B::Tensor],
        forward: F,
    ) where
        F: for<'m> Fn(&mut Tape<'m, B>, &'m L, &[Var<B>]) -> Var<B>,
    {
        let Self { on, differences: Differences { step, tolerance } } = *self;
        let backend = on.backend;
        let run = |params: &Params<B>, inputs: &[B::Tensor]| {
            let inputs: Vec<_> = inputs.iter().cloned().map(Var::constant).collect();
            forward(&mut Tape::new(backend, params, false), layer, &inputs).value().clone()
        };
        let value = |params: &Params<B>, inputs: &[B::Tensor]| on.values(&run(params, inputs));
        let mut shape = B::shape(&run(&params, inputs)).to_vec();
        let samples = shape[0];
        let lanes = Lanes::new(samples, &[(0..samples).collect(), vec![], vec![samples - 1]]);
        shape[0] = lanes.len();
        let cotangent = tensor(backend, 999, &shape);

        let mut sink = ParamGrads::new(&params, &lanes);
        let mut tape = Tape::new(backend, &params, false);
        let vars: Vec<_> = inputs.iter().map(|x| tape.leaf(x.clone())).collect();
        let result = forward(&mut tape, layer, &vars);
        assert!(result.tracked(), "{what}: the result of tracked values is tracked");
        let leaves: Vec<_> = vars.iter().collect();
        let grads = tape.backward(&result, cotangent.clone(), &lanes, &leaves, &mut sink);

        // The lanes' cotangents applied to the difference of two outputs.
        let cotangent = on.values(&cotangent);
        let per_lane = |plus: Vec<f64>, minus: Vec<f64>| -> Vec<f64> {
            let size = plus.len() / samples;
            let slope = |i: usize| (plus[i] - minus[i]) / (2.0 * f64::from(step));
            let lane = |l: usize| {
                let at = lanes.sample(l) * size;
                (0..size).map(|i| cotangent[l * size + i] * slope(at + i)).sum()
            };
            (0..lanes.len()).map(lane).collect()
        };

        for (number, input) in inputs.iter().enumerate() {
            let count: usize = B::shape(input).iter().product();
            let size = count / samples;
            let mut expected = vec![0.0; lanes.len() * size];
            for i in 0..count {
                let moved = |by| {
                    let mut inputs = inputs.to_vec();
                    inputs[number] = nudged(backend, input, i, by);
                    value(&params, &inputs)
                };
                let slopes = per_lane(moved(step), moved(-step));
                for l in (0..lanes.len()).filter(|&l| lanes.sample(l) == i / size) {
                    expected[l * size + i % size] = slopes[l];
                }
            }
            let found = grads[number].as_ref().expect("a gradient for every input");
            let shape = B::shape(found);
            assert_eq!((shape[0], &shape[1..]), (lanes.len(), &B::shape(input)[1..]), "{what}");
            assert_close(&format!("{what}: input {number}"), &on.values(found), &expected, tolerance);
        }

        for id in params.ids().collect::<Vec<_>>() {
            let original = params.get(id).clone();
            let size = B::shape(&original).iter().product();
            let mut expected = vec![0.0; lanes.objectives() * size];
            for i in 0..size {
                let mut moved = |by| {
                    params.set(id, nudged(backend, &original, i, by));
                    value(&params, inputs)
                };
                let (plus, minus) = (moved(step), moved(-step));
                let slopes = per_lane(plus, minus);
                for k in 0..lanes.objectives() {
                    expected[k * size + i] = slopes[lanes.of_objective(k)].iter().sum();
                }
            }
            params.set(id, original);
            let ParamId(number) = id;
            let found = sink.get(id).expect("a gradient for every parameter");
            assert_eq!(&B::shape(found)[1..], B::shape(params.get(id)), "{what}: parameter {number}");
            assert_close(&format!("{what}: parameter {number}"), &on.values(found), &expected, tolerance);
        }
    }

    /// The same for an operation without parameters, of inputs of noise.
    fn assert_plain<F>(&self, what: &str, shapes: &[&[usize]], forward: F)
    where
        F: for<'m> Fn(&mut Tape<'m, B>, &'m (), &[Var<B>]) -> Var<B>,
    {
        self.assert_gradients(what, &(), Params::default(), &self.inputs(shapes), forward);
    }

    fn inputs(&self, shapes: &[&[usize]]) -> Vec<B::Tensor> {
        shapes.iter().zip(1..).map(|(shape, seed)| tensor(self.on.backend, seed, shape)).collect()
    }
}

fn nudged<B: Backend>(backend: &B, tensor: &B::Tensor, index: usize, by: f32) -> B::Tensor {
    let mut values = backend.read(tensor);
    values[index] += by;
    backend.tensor(B::shape(tensor), &values)
}

/// Linear layers of every kind, with a residual.
pub fn linear_with_bias_and_residual<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        for train in [Train::Everything, Train::Nothing, Train::Adapter(2)] {
            let mut make = Maker::new(bench.on.backend, 10);
            let layer = make.linear(4, 3, train);
            let x = bench.inputs(&[&[2, 3, 4], &[2, 3, 3]]);
            bench.assert_gradients("linear", &layer, make.params, &x, |tape, layer, v| {
                tape.linear(&v[0], layer, Some(&v[1]))
            });
        }
    }
}

/// A linear layer whose input has no positions and is its residual, too.
pub fn linear_of_vectors_and_of_its_own_residual<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        let mut make = Maker::new(bench.on.backend, 11);
        let layer = make.linear(3, 3, Train::Adapter(1));
        bench.assert_gradients("linear", &layer, make.params, &bench.inputs(&[&[2, 3]]), |tape, layer, v| {
            tape.linear(&v[0], layer, Some(&v[0]))
        });
    }
}

/// Convolutions of several sizes, strides and paddings, with a shift and a residual.
pub fn conv2d_in_every_geometry<B: Backend>(subject: &Subject<B>) {
    let geometries = [
        ConvParams::square(3, 1, 1),
        ConvParams::square(3, 2, 1),
        ConvParams::square(1, 1, 0),
        ConvParams::square(1, 2, 0),
        ConvParams { kernel: (3, 3), stride: 2, pad: [0, 0, 1, 1] },
        ConvParams { kernel: (2, 3), stride: 1, pad: [1, 0, 0, 2] },
    ];
    for bench in Bench::new(subject) {
        for geometry in geometries {
            for train in [Train::Everything, Train::Nothing, Train::Adapter(2)] {
                let mut make = Maker::new(bench.on.backend, 12);
                let layer = make.conv(2, 3, geometry, train);
                let (h, w) = geometry.output((4, 5));
                let x = bench.inputs(&[&[2, 4, 5, 2], &[2, 3], &[2, h, w, 3]]);
                bench.assert_gradients(
                    &format!("{geometry:?}"),
                    &layer,
                    make.params,
                    &x,
                    |tape, layer, v| tape.conv2d(&v[0], layer, Some(&v[1]), Some(&v[2])),
                );
            }
        }
    }
}

/// Group normalisation, from one group to a group for each channel.
pub fn group_norm_with_and_without_silu<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        for groups in [1, 2, 4] {
            for silu in [false, true] {
                let mut make = Maker::new(bench.on.backend, 13);
                let layer = make.norm(4, Train::Everything);
                let x = bench.inputs(&[&[2, 3, 2, 4]]);
                bench.assert_gradients("group norm", &layer, make.params, &x, |tape, layer, v| {
                    tape.group_norm(&v[0], layer, groups, silu)
                });
            }
        }
    }
}

/// Layer normalisation.
pub fn layer_norm<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        let mut make = Maker::new(bench.on.backend, 14);
        let layer = make.norm(5, Train::Everything);
        let x = bench.inputs(&[&[2, 3, 5]]);
        bench.assert_gradients("layer norm", &layer, make.params, &x, |tape, layer, v| {
            tape.layer_norm(&v[0], layer)
        });
    }
}

/// Cross-attention, causal attention, and self-attention whose queries, keys and values are one tensor.
pub fn attention_over_other_tokens_and_over_earlier_ones<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        for heads in [1, 2] {
            bench.assert_plain("cross", &[&[2, 3, 4], &[2, 5, 4], &[2, 5, 4]], |tape, (), v| {
                tape.attention(&v[0], &v[1], &v[2], heads, false)
            });
            bench.assert_plain("causal", &[&[2, 4, 4], &[2, 4, 4], &[2, 4, 4]], |tape, (), v| {
                tape.attention(&v[0], &v[1], &v[2], heads, true)
            });
            bench.assert_plain("self", &[&[2, 3, 4]], |tape, (), v| {
                tape.attention(&v[0], &v[0], &v[0], heads, false)
            });
        }
    }
}

/// Pointwise functions, out to where they saturate.
pub fn activations<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        use Activation::{Gelu, GeluTanh, QuickGelu, Relu, Silu};
        for kind in [Silu, Gelu, GeluTanh, QuickGelu, Relu] {
            bench.assert_plain("activation", &[&[2, 7]], |tape, (), v| {
                let x = tape.scale(&v[0], 6.0);
                tape.activation(&x, kind)
            });
        }
        bench.assert_plain("geglu", &[&[2, 3, 6]], |tape, (), v| tape.geglu(&v[0]));
    }
}

/// Sums, of a tensor with itself among them, and multiples.
pub fn sums_and_scales<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        bench.assert_plain("add", &[&[2, 3], &[2, 3]], |tape, (), v| tape.add(&v[0], &v[1]));
        bench.assert_plain("twice", &[&[2, 3]], |tape, (), v| tape.add(&v[0], &v[0]));
        bench.assert_plain("scale", &[&[2, 3]], |tape, (), v| tape.scale(&v[0], -1.5));
    }
}

/// Operations that move values, and the mean of neighbours.
pub fn moved_values<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        bench.assert_plain("concat", &[&[2, 3, 2], &[2, 3, 4]], |tape, (), v| tape.concat(&v[0], &v[1]));
        bench.assert_plain("reshape", &[&[2, 3, 4]], |tape, (), v| tape.reshape(&v[0], &[2, 2, 6]));
        for size in [(4, 6), (3, 5), (1, 2), (5, 4)] {
            bench.assert_plain("resize", &[&[2, 2, 3, 2]], |tape, (), v| tape.resize_nearest(&v[0], size));
        }
        for size in [(4, 2), (3, 3), (1, 2), (5, 1)] {
            let shape = [2, size.0, size.1, 2];
            bench.assert_plain("pool", &[&shape], |tape, (), v| tape.avg_pool2(&v[0]));
        }
        bench.assert_plain("pick token", &[&[3, 4, 2]], |tape, (), v| tape.pick_token(&v[0], &[3, 0, 2]));
    }
}

/// A trained table, rows of which are used several times or never.
pub fn embedding<B: Backend>(subject: &Subject<B>) {
    for bench in Bench::new(subject) {
        let mut make = Maker::new(bench.on.backend, 15);
        let table = make.source(&[5, 3], WeightLayout::Table, Train::Everything);
        bench.assert_gradients("embedding", &table, make.params, &[], |tape, table, _| {
            tape.embedding(&[4, 0, 4, 1, 2, 0], (2, 3), 5, table)
        });
    }
}
