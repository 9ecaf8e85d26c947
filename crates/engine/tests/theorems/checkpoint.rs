//! Recomputing instead of keeping changes no bit of any gradient.

use crate::common::{CPUS, Exact, Maker, Train, noise, tensor};
use crate::cost::Counts;
use crate::net::{IMAGE, Memory, build, pass};
use fairhuman_engine::observe::Phase;
use fairhuman_engine::{Lanes, ParamGrads, Reference, Tape, Var};

fn lanes() -> Lanes {
    Lanes::new(3, &[vec![0, 1, 2], vec![1], vec![0, 2]])
}

fn recomputing_changes_no_bit<B: Exact>(backend: &B) {
    let lanes = lanes();
    let (net, params) = build(backend);
    let shape = [lanes.len(), IMAGE[0], IMAGE[1], IMAGE[2]];
    let cotangent = backend.tensor(&shape, &noise(5, shape.iter().product()));
    let run = |memory| pass(backend, (&net, &params), &lanes, &cotangent, memory, None).0;
    let kept = run(Memory::Keep);
    assert!(kept == run(Memory::Checkpoint), "segments");
    assert!(kept == run(Memory::Nested), "segments in a segment");
}

/// Gradients of both parameters of a layer whose input needs none, and of inputs used in several ways.
fn odd_segments<B: Exact>(backend: &B, checkpointing: bool) -> Vec<Vec<f64>> {
    let lanes = lanes();
    let mut make = Maker::new(backend, 20);
    let (first, second) = (make.linear(4, 4, Train::Everything), make.linear(4, 4, Train::Adapter(2)));
    let params = make.params;
    let (first, second) = (&first, &second);
    let mut tape = Tape::new(backend, &params, checkpointing);
    let x = tape.leaf(tensor(backend, 1, &[3, 2, 4]));
    let fixed = Var::constant(tensor(backend, 2, &[3, 2, 4]));
    let a = tape.checkpoint(&[&fixed], move |tape, v| tape.linear(&v[0], first, None));
    assert!(a.tracked(), "a trained layer on a constant is tracked");
    let b = tape.checkpoint(&[&x, &a, &x], move |tape, v| {
        let h = tape.linear(&v[0], second, Some(&v[1]));
        tape.add(&h, &v[2])
    });
    let same = tape.checkpoint(&[&b], |_, v| v[0].clone());
    let ignored = tape.checkpoint(&[&same, &x], |tape, v| tape.scale(&v[0], 3.0));
    let constant = tape.checkpoint(&[&fixed], |tape, v| tape.scale(&v[0], 3.0));
    assert!(!constant.tracked(), "nothing trainable below");
    let sum = tape.add(&ignored, &x);
    let sum = tape.add(&sum, &constant);
    let output = tape.add(&sum, &b);
    let mut sink = ParamGrads::new(&params, &lanes);
    let cotangent = tensor(backend, 3, &[lanes.len(), 2, 4]);
    let grads = tape.backward(&output, cotangent, &lanes, &[&x, &a], &mut sink);
    assert!(grads[1].is_none(), "only leaves keep their gradients");
    let mut found = vec![backend.values(grads[0].as_ref().expect("a gradient"))];
    found.extend(params.ids().map(|id| backend.values(sink.get(id).expect("a gradient"))));
    found
}

fn recomputed_once_for_all_lanes<B: Exact>(backend: &B) {
    let lanes = lanes();
    let (net, params) = build(backend);
    let cotangent = backend.zeros(&[lanes.len(), IMAGE[0], IMAGE[1], IMAGE[2]]);
    let count = |memory| {
        let counts = Counts::default();
        pass(backend, (&net, &params), &lanes, &cotangent, memory, Some(&counts));
        counts.of(Phase::Forward, "group norm")
    };
    assert_eq!((count(Memory::Keep), count(Memory::Checkpoint), count(Memory::Nested)), (2, 4, 4));
}

#[test]
fn recomputing_changes_no_bit_on_reference() {
    recomputing_changes_no_bit(&Reference);
}

#[test]
fn odd_segments_are_plain_calls_on_reference() {
    assert_eq!(odd_segments(&Reference, true), odd_segments(&Reference, false));
}

#[test]
fn recomputed_once_for_all_lanes_on_reference() {
    recomputed_once_for_all_lanes(&Reference);
}

#[test]
fn recomputing_changes_no_bit_on_cpu() {
    recomputing_changes_no_bit(&CPUS[1]);
}

#[test]
fn odd_segments_are_plain_calls_on_cpu() {
    assert_eq!(odd_segments(&CPUS[1], true), odd_segments(&CPUS[1], false));
}
