//! Every vector-Jacobian product through the tape equals central differences of the forward pass, in f64:
//! for inputs `[L, ...]` lane by lane, for parameters `[K, ...]` objective by objective, absent ones included.

use crate::common::{Maker, Train, assert_close, tensor};
use fairhuman_engine::{
    Activation, Array, ConvParams, Lanes, ParamGrads, ParamId, Params, Reference, Tape, Var, WeightLayout,
};

const STEP: f64 = 1e-5;
const TOLERANCE: f64 = 1e-6;

/// Compares all gradients of `forward(tape, layer, inputs)`; every input is a leaf. `layer` refers to `params`.
fn assert_gradients<L, F>(what: &str, layer: &L, mut params: Params<Reference>, inputs: &[Array], forward: F)
where
    F: for<'m> Fn(&mut Tape<'m, Reference>, &'m L, &[Var<Reference>]) -> Var<Reference>,
{
    let value = |params: &Params<Reference>, inputs: &[Array]| {
        let inputs: Vec<_> = inputs.iter().cloned().map(Var::constant).collect();
        forward(&mut Tape::new(&Reference, params, false), layer, &inputs).value().clone()
    };
    let output = value(&params, inputs);
    let samples = output.shape()[0];
    let lanes = Lanes::new(samples, &[(0..samples).collect(), vec![], vec![samples - 1]]);
    let mut shape = output.shape().to_vec();
    shape[0] = lanes.len();
    let cotangent = tensor(&Reference, 999, &shape);

    let mut sink = ParamGrads::new(&params, &lanes);
    let mut tape = Tape::new(&Reference, &params, false);
    let vars: Vec<_> = inputs.iter().map(|x| tape.leaf(x.clone())).collect();
    let result = forward(&mut tape, layer, &vars);
    assert!(result.tracked(), "{what}: the result of tracked values is tracked");
    let leaves: Vec<_> = vars.iter().collect();
    let grads = tape.backward(&result, cotangent.clone(), &lanes, &leaves, &mut sink);

    // The lanes' cotangents applied to the difference of two outputs.
    let per_lane = |plus: Array, minus: Array| -> Vec<f64> {
        let size = output.values().len() / samples;
        let slope = |i: usize| (plus.values()[i] - minus.values()[i]) / (2.0 * STEP);
        let lane = |l: usize| {
            let at = lanes.sample(l) * size;
            (0..size).map(|i| cotangent.values()[l * size + i] * slope(at + i)).sum()
        };
        (0..lanes.len()).map(lane).collect()
    };

    for (number, input) in inputs.iter().enumerate() {
        let size = input.values().len() / samples;
        let mut expected = vec![0.0; lanes.len() * size];
        for i in 0..input.values().len() {
            let moved = |by| {
                let mut inputs = inputs.to_vec();
                inputs[number] = nudged(input, i, by);
                value(&params, &inputs)
            };
            let slopes = per_lane(moved(STEP), moved(-STEP));
            for l in (0..lanes.len()).filter(|&l| lanes.sample(l) == i / size) {
                expected[l * size + i % size] = slopes[l];
            }
        }
        let found = grads[number].as_ref().expect("a gradient for every input");
        assert_eq!((found.shape()[0], &found.shape()[1..]), (lanes.len(), &input.shape()[1..]), "{what}");
        assert_close(&format!("{what}: input {number}"), found.values(), &expected, TOLERANCE);
    }

    for id in params.ids().collect::<Vec<_>>() {
        let original = params.get(id).clone();
        let size = original.values().len();
        let mut expected = vec![0.0; lanes.objectives() * size];
        for i in 0..size {
            let mut moved = |by| {
                params.set(id, nudged(&original, i, by));
                value(&params, inputs)
            };
            let (plus, minus) = (moved(STEP), moved(-STEP));
            let slopes = per_lane(plus, minus);
            for k in 0..lanes.objectives() {
                expected[k * size + i] = slopes[lanes.of_objective(k)].iter().sum();
            }
        }
        params.set(id, original);
        let ParamId(number) = id;
        let found = sink.get(id).expect("a gradient for every parameter");
        assert_eq!(&found.shape()[1..], params.get(id).shape(), "{what}: parameter {number}");
        assert_close(&format!("{what}: parameter {number}"), found.values(), &expected, TOLERANCE);
    }
}

fn nudged(array: &Array, index: usize, by: f64) -> Array {
    let mut values = array.values().to_vec();
    values[index] += by;
    Array::new(array.shape(), values)
}

fn inputs(shapes: &[&[usize]]) -> Vec<Array> {
    shapes.iter().zip(1..).map(|(shape, seed)| tensor(&Reference, seed, shape)).collect()
}

/// An operation without parameters.
fn assert_plain<F>(what: &str, shapes: &[&[usize]], forward: F)
where
    F: for<'m> Fn(&mut Tape<'m, Reference>, &'m (), &[Var<Reference>]) -> Var<Reference>,
{
    assert_gradients(what, &(), Params::default(), &inputs(shapes), forward);
}

#[test]
fn linear_with_bias_and_residual() {
    for train in [Train::Everything, Train::Nothing, Train::Adapter(2)] {
        let mut make = Maker::new(&Reference, 10);
        let layer = make.linear(4, 3, train);
        let x = inputs(&[&[2, 3, 4], &[2, 3, 3]]);
        assert_gradients("linear", &layer, make.params, &x, |tape, layer, v| {
            tape.linear(&v[0], layer, Some(&v[1]))
        });
    }
}

#[test]
fn linear_of_vectors_and_of_its_own_residual() {
    let mut make = Maker::new(&Reference, 11);
    let layer = make.linear(3, 3, Train::Adapter(1));
    assert_gradients("linear", &layer, make.params, &inputs(&[&[2, 3]]), |tape, layer, v| {
        tape.linear(&v[0], layer, Some(&v[0]))
    });
}

#[test]
fn conv2d_in_every_geometry() {
    let geometries = [
        ConvParams::square(3, 1, 1),
        ConvParams::square(3, 2, 1),
        ConvParams::square(1, 1, 0),
        ConvParams::square(1, 2, 0),
        ConvParams { kernel: (3, 3), stride: 2, pad: [0, 0, 1, 1] },
        ConvParams { kernel: (2, 3), stride: 1, pad: [1, 0, 0, 2] },
    ];
    for geometry in geometries {
        for train in [Train::Everything, Train::Nothing, Train::Adapter(2)] {
            let mut make = Maker::new(&Reference, 12);
            let layer = make.conv(2, 3, geometry, train);
            let (h, w) = geometry.output((4, 5));
            let x = inputs(&[&[2, 4, 5, 2], &[2, 3], &[2, h, w, 3]]);
            assert_gradients(&format!("{geometry:?}"), &layer, make.params, &x, |tape, layer, v| {
                tape.conv2d(&v[0], layer, Some(&v[1]), Some(&v[2]))
            });
        }
    }
}

#[test]
fn group_norm_with_and_without_silu() {
    for groups in [1, 2, 4] {
        for silu in [false, true] {
            let mut make = Maker::new(&Reference, 13);
            let layer = make.norm(4, Train::Everything);
            let x = inputs(&[&[2, 3, 2, 4]]);
            assert_gradients("group norm", &layer, make.params, &x, |tape, layer, v| {
                tape.group_norm(&v[0], layer, groups, silu)
            });
        }
    }
}

#[test]
fn layer_norm() {
    let mut make = Maker::new(&Reference, 14);
    let layer = make.norm(5, Train::Everything);
    assert_gradients("layer norm", &layer, make.params, &inputs(&[&[2, 3, 5]]), |tape, layer, v| {
        tape.layer_norm(&v[0], layer)
    });
}

#[test]
fn attention_over_other_tokens_and_over_earlier_ones() {
    for heads in [1, 2] {
        assert_plain("cross", &[&[2, 3, 4], &[2, 5, 4], &[2, 5, 4]], |tape, (), v| {
            tape.attention(&v[0], &v[1], &v[2], heads, false)
        });
        assert_plain("causal", &[&[2, 4, 4], &[2, 4, 4], &[2, 4, 4]], |tape, (), v| {
            tape.attention(&v[0], &v[1], &v[2], heads, true)
        });
        assert_plain("self", &[&[2, 3, 4]], |tape, (), v| tape.attention(&v[0], &v[0], &v[0], heads, false));
    }
}

#[test]
fn activations() {
    for kind in [Activation::Silu, Activation::Gelu, Activation::GeluTanh, Activation::QuickGelu] {
        // Out to where the functions saturate.
        assert_plain("activation", &[&[2, 7]], |tape, (), v| {
            let x = tape.scale(&v[0], 6.0);
            tape.activation(&x, kind)
        });
    }
    assert_plain("geglu", &[&[2, 3, 6]], |tape, (), v| tape.geglu(&v[0]));
}

#[test]
fn sums_and_scales() {
    assert_plain("add", &[&[2, 3], &[2, 3]], |tape, (), v| tape.add(&v[0], &v[1]));
    assert_plain("twice", &[&[2, 3]], |tape, (), v| tape.add(&v[0], &v[0]));
    assert_plain("scale", &[&[2, 3]], |tape, (), v| tape.scale(&v[0], -1.5));
}

#[test]
fn moved_values() {
    assert_plain("concat", &[&[2, 3, 2], &[2, 3, 4]], |tape, (), v| tape.concat(&v[0], &v[1]));
    assert_plain("reshape", &[&[2, 3, 4]], |tape, (), v| tape.reshape(&v[0], &[2, 2, 6]));
    for size in [(4, 6), (3, 5), (1, 2), (5, 4)] {
        assert_plain("resize", &[&[2, 2, 3, 2]], |tape, (), v| tape.resize_nearest(&v[0], size));
    }
    assert_plain("pick token", &[&[3, 4, 2]], |tape, (), v| tape.pick_token(&v[0], &[3, 0, 2]));
}

#[test]
fn embedding() {
    let mut make = Maker::new(&Reference, 15);
    let table = make.source(&[5, 3], WeightLayout::Table, Train::Everything);
    assert_gradients("embedding", &table, make.params, &[], |tape, table, _| {
        tape.embedding(&[4, 0, 4, 1, 2, 0], (2, 3), 5, table)
    });
}
