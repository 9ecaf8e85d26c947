//! A small network with every kind of layer and of use: adapters, trained and frozen weights, a skip
//! connection past checkpointed segments, an input that needs no gradient, a parameter that nothing uses.

use crate::Instance;
use crate::layers::{Maker, Train};
use fairhuman_engine::{
    Activation, Backend, Conv2d, ConvParams, Lanes, Linear, Norm, ParamGrads, ParamId, Params, Tape, Var,
    observe::Observer,
};

const CHANNELS: usize = 8;
const CONTEXT: usize = 6;
const TIME: usize = 5;

/// Layers of the network; its parameters lie beside it.
pub struct Net<B: Backend> {
    stem: Conv2d<B>,
    time: Linear<B>,
    norms: [Norm<B>; 2],
    convs: [Conv2d<B>; 2],
    down: Conv2d<B>,
    attention_norm: Norm<B>,
    projections: [Linear<B>; 4],
    feed: [Linear<B>; 2],
    head: Conv2d<B>,
    /// Not used by the forward pass.
    pub unused: ParamId,
}

/// Treatment of activations in a pass.
#[derive(Clone, Copy, PartialEq)]
pub enum Memory {
    Keep,
    Checkpoint,
    /// The whole network is one segment, with the inner ones nested in it.
    Nested,
}

pub fn build<B: Backend>(on: Instance<'_, B>) -> (Net<B>, Params<B>) {
    let mut make = Maker::new(on.backend, 100).with_inputs(on.inputs);
    let (same, half) = (ConvParams::square(3, 1, 1), ConvParams::square(3, 2, 1));
    let net = Net {
        stem: make.conv(4, CHANNELS, same, Train::Adapter(2)),
        time: make.linear(TIME, CHANNELS, Train::Adapter(2)),
        norms: [make.norm(CHANNELS, Train::Everything), make.norm(CHANNELS, Train::Nothing)],
        convs: [
            make.conv(CHANNELS, CHANNELS, same, Train::Nothing),
            make.conv(CHANNELS, CHANNELS, same, Train::Adapter(3)),
        ],
        down: make.conv(CHANNELS, CHANNELS, half, Train::Everything),
        attention_norm: make.norm(CHANNELS, Train::Nothing),
        projections: [CHANNELS, CONTEXT, CONTEXT, CHANNELS]
            .map(|inputs| make.linear(inputs, CHANNELS, Train::Adapter(2))),
        feed: [
            make.linear(CHANNELS, 2 * 12, Train::Adapter(2)),
            make.linear(12, CHANNELS, Train::Everything),
        ],
        head: make.conv(2 * CHANNELS, 4, ConvParams::square(1, 1, 0), Train::Everything),
        unused: make.param(&[3]),
    };
    (net, make.params)
}

/// Residual block with a time shift.
fn block<'m, B: Backend>(tape: &mut Tape<'m, B>, net: &'m Net<B>, x: &Var<B>, time: &Var<B>) -> Var<B> {
    let shift = tape.activation(time, Activation::Silu);
    let shift = tape.linear(&shift, &net.time, None);
    let h = tape.group_norm(x, &net.norms[0], 4, true);
    let h = tape.conv2d(&h, &net.convs[0], Some(&shift), None);
    let h = tape.group_norm(&h, &net.norms[1], 2, false);
    tape.conv2d(&h, &net.convs[1], None, Some(x))
}

/// Cross-attention and a gated feed-forward layer over the image's tokens.
fn mixer<'m, B: Backend>(tape: &mut Tape<'m, B>, net: &'m Net<B>, x: &Var<B>, context: &Var<B>) -> Var<B> {
    let [q, k, v, out] = &net.projections;
    let shape = x.shape().to_vec();
    let tokens = tape.reshape(x, &[shape[0], shape[1] * shape[2], shape[3]]);
    let h = tape.layer_norm(&tokens, &net.attention_norm);
    let (q, k, v) = (tape.linear(&h, q, None), tape.linear(context, k, None), tape.linear(context, v, None));
    let h = tape.attention(&q, &k, &v, 2, false);
    let h = tape.linear(&h, out, Some(&tokens));
    let gated = tape.linear(&h, &net.feed[0], None);
    let gated = tape.geglu(&gated);
    let h = tape.linear(&gated, &net.feed[1], Some(&h));
    tape.reshape(&h, &shape)
}

fn body<'m, B: Backend>(tape: &mut Tape<'m, B>, net: &'m Net<B>, [x, time, context]: [&Var<B>; 3]) -> Var<B> {
    let size = (x.shape()[1], x.shape()[2]);
    let skip = tape.conv2d(x, &net.stem, None, None);
    let h = tape.checkpoint(&[&skip, time], move |tape, v| block(tape, net, &v[0], &v[1]));
    let h = tape.conv2d(&h, &net.down, None, None);
    let h = tape.checkpoint(&[&h, context], move |tape, v| mixer(tape, net, &v[0], &v[1]));
    let h = tape.scale(&h, 0.5);
    let h = tape.resize_nearest(&h, size);
    let h = tape.concat(&h, &skip);
    tape.conv2d(&h, &net.head, None, None)
}

/// Results of a pass.
#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub output: Vec<f64>,
    /// Cotangent of the image, `[L, ...]`.
    pub image: Vec<f64>,
    /// `[K, ...]` of every parameter; empty where there is none.
    pub params: Vec<Vec<f64>>,
    pub gram: Vec<f64>,
}

impl Outcome {
    /// All values with their names.
    pub fn named(&self) -> impl Iterator<Item = (String, &[f64])> {
        let params = self.params.iter().enumerate();
        let params = params.map(|(id, values)| (format!("parameter {id}"), values.as_slice()));
        let others = [("output", &self.output), ("image", &self.image), ("Gram matrix", &self.gram)];
        others.into_iter().map(|(name, values)| (name.to_owned(), values.as_slice())).chain(params)
    }
}

pub const IMAGE: [usize; 3] = [6, 5, 4];

/// One forward and backward pass over `lanes.samples()` samples with `cotangent [L, 6, 5, 4]`.
pub fn pass<B: Backend>(
    on: Instance<'_, B>,
    (net, params): (&Net<B>, &Params<B>),
    lanes: &Lanes,
    cotangent: &B::Tensor,
    memory: Memory,
    observer: Option<&dyn Observer>,
) -> (Outcome, ParamGrads<B>) {
    let (n, backend) = (lanes.samples(), on.backend);
    let mut tape = Tape::new(backend, params, memory != Memory::Keep).observed(observer);
    let image = tape.leaf(on.tensor(1, &[n, IMAGE[0], IMAGE[1], IMAGE[2]]));
    let time = Var::constant(on.tensor(2, &[n, TIME]));
    let context = Var::constant(on.tensor(3, &[n, 3, CONTEXT]));
    let output = match memory {
        Memory::Nested => {
            tape.checkpoint(&[&image, &time, &context], move |tape, v| body(tape, net, [&v[0], &v[1], &v[2]]))
        }
        _ => body(&mut tape, net, [&image, &time, &context]),
    };
    let mut sink = ParamGrads::new(params, lanes);
    let grads = tape.backward(&output, cotangent.clone(), lanes, &[&image], &mut sink);
    let params = params.ids().map(|id| sink.get(id).map_or(Vec::new(), |g| on.values(g))).collect();
    let outcome = Outcome {
        output: on.values(output.value()),
        image: grads[0].as_ref().map_or(Vec::new(), |g| on.values(g)),
        params,
        gram: sink.gram(backend),
    };
    (outcome, sink)
}
