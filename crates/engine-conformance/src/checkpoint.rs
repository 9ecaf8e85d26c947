//! Recomputing instead of keeping changes no gradient: no bit of it, if the backend's bits repeat.

use crate::cost::Counts;
use crate::layers::{Maker, Train};
use crate::net::{IMAGE, Memory, build, pass};
use crate::numbers::{noise, tensor};
use crate::{Instance, Subject};
use fairhuman_engine::observe::Phase;
use fairhuman_engine::{Backend, Lanes, ParamGrads, Tape, Var};

fn lanes() -> Lanes {
    Lanes::new(3, &[vec![0, 1, 2], vec![1], vec![0, 2]])
}

/// A checkpointed network, also as one segment with others in it, gives what a plain one gives.
pub fn recomputing_changes_nothing<B: Backend>(subject: &Subject<B>) {
    let lanes = lanes();
    for on in subject.instances() {
        let (net, params) = build(on);
        let shape = [lanes.len(), IMAGE[0], IMAGE[1], IMAGE[2]];
        let cotangent = on.backend.tensor(&shape, &noise(5, shape.iter().product()));
        let run = |memory| pass(on, (&net, &params), &lanes, &cotangent, memory, None).0;
        let kept = run(Memory::Keep);
        for (how, memory) in [("segments", Memory::Checkpoint), ("segments in a segment", Memory::Nested)] {
            for ((name, found), (_, expected)) in run(memory).named().zip(kept.named()) {
                subject.assert_same(&format!("{name}, {how}"), found, expected);
            }
        }
    }
}

/// Segments whose inputs are used in several ways, or need no gradient, are plain calls.
pub fn odd_segments_are_plain_calls<B: Backend>(subject: &Subject<B>) {
    for on in subject.instances() {
        let (found, expected) = (odd_segments(on, true), odd_segments(on, false));
        assert_eq!(found.len(), expected.len());
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            subject.assert_same(&format!("gradient {number}"), found, expected);
        }
    }
}

/// A segment is recomputed once, not once for each objective.
pub fn recomputed_once_for_all_lanes<B: Backend>(subject: &Subject<B>) {
    let lanes = lanes();
    for on in subject.instances() {
        let (net, params) = build(on);
        let cotangent = on.backend.zeros(&[lanes.len(), IMAGE[0], IMAGE[1], IMAGE[2]]);
        let count = |memory| {
            let counts = Counts::default();
            pass(on, (&net, &params), &lanes, &cotangent, memory, Some(&counts));
            [Phase::Forward, Phase::Recompute].map(|phase| counts.of(phase, "group norm"))
        };
        let memory = [Memory::Keep, Memory::Checkpoint, Memory::Nested];
        assert_eq!(memory.map(count), [[2, 0], [2, 2], [2, 2]]);
    }
}

/// Gradients of both parameters of a layer whose input needs none, and of inputs used in several ways.
fn odd_segments<B: Backend>(on: Instance<'_, B>, checkpointing: bool) -> Vec<Vec<f64>> {
    let backend = on.backend;
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
    let mut found = vec![on.values(grads[0].as_ref().expect("a gradient"))];
    found.extend(params.ids().map(|id| on.values(sink.get(id).expect("a gradient"))));
    found
}
