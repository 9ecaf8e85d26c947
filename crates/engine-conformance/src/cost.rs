//! The backward pass computes nothing for frozen layers that have nothing trainable below them.

use crate::Subject;
use crate::layers::{Maker, Train};
use crate::net::{IMAGE, Memory, build, pass};
use crate::numbers::tensor;
use fairhuman_engine::observe::{Observer, Op, Phase};
use fairhuman_engine::{Activation, Backend, ConvParams, Lanes, ParamGrads, Tape, Var};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Remembers every operation.
#[derive(Default)]
pub(crate) struct Counts {
    open: AtomicBool,
    list: Mutex<Vec<(Phase, &'static str)>>,
}

impl Counts {
    pub fn of(&self, phase: Phase, name: &str) -> usize {
        self.names(phase).into_iter().filter(|&n| n == name).count()
    }

    fn names(&self, phase: Phase) -> Vec<&'static str> {
        let list = self.list.lock().expect("the list");
        list.iter().filter(|op| op.0 == phase).map(|op| op.1).collect()
    }
}

impl Observer for Counts {
    fn begin(&self) {
        assert!(!self.open.swap(true, Ordering::Relaxed), "operations do not nest");
    }

    fn end(&self, phase: Phase, op: Op) {
        assert!(self.open.swap(false, Ordering::Relaxed), "an operation begins before it ends");
        self.list.lock().expect("the list").push((phase, op.name));
    }
}

/// The backward pass ends at the lowest trained layer.
pub fn only_what_lies_above_something_trained_is_computed_backwards<B: Backend>(subject: &Subject<B>) {
    let Some(on) = subject.instances().next() else { return };
    let backend = on.backend;
    let mut make = Maker::new(backend, 30);
    let stem = make.conv(3, 4, ConvParams::square(3, 1, 1), Train::Nothing);
    let norm = make.norm(4, Train::Nothing);
    let low_rank = make.linear(4, 4, Train::Adapter(2));
    let frozen = make.linear(4, 4, Train::Nothing);
    let params = make.params;
    let counts = Counts::default();
    let lanes = Lanes::single(2);

    let mut tape = Tape::new(backend, &params, false).observed(Some(&counts));
    let x = Var::constant(tensor(backend, 1, &[2, 4, 4, 3]));
    let h = tape.conv2d(&x, &stem, None, None);
    let h = tape.group_norm(&h, &norm, 2, true);
    assert!(!h.tracked(), "frozen layers of an untracked input");
    let h = tape.linear(&h, &low_rank, None);
    let h = tape.activation(&h, Activation::Gelu);
    let h = tape.linear(&h, &frozen, None);
    assert!(h.tracked());
    let mut sink = ParamGrads::new(&params, &lanes);
    tape.backward(&h, tensor(backend, 2, &[2, 4, 4, 4]), &lanes, &[], &mut sink);

    assert_eq!(counts.names(Phase::Forward), ["conv2d", "group norm", "linear", "activation", "linear"]);
    assert_eq!(counts.names(Phase::Backward), ["linear vjp", "activation vjp", "lora gradient"]);
}

/// Nor has a network without anything trained.
pub fn nothing_trained_means_no_backward_pass<B: Backend>(subject: &Subject<B>) {
    let Some(on) = subject.instances().next() else { return };
    let backend = on.backend;
    let mut make = Maker::new(backend, 31);
    let layer = make.linear(3, 3, Train::Nothing);
    let params = make.params;
    let counts = Counts::default();
    let lanes = Lanes::single(2);
    let mut tape = Tape::new(backend, &params, true).observed(Some(&counts));
    let x = Var::constant(tensor(backend, 1, &[2, 3]));
    let layer = &layer;
    let y = tape.checkpoint(&[&x], move |tape, v| tape.linear(&v[0], layer, None));
    let mut sink = ParamGrads::new(&params, &lanes);
    let grads = tape.backward(&y, tensor(backend, 2, &[2, 3]), &lanes, &[&x], &mut sink);
    assert!(grads[0].is_none());
    assert_eq!(counts.names(Phase::Forward), ["linear"]);
    assert!(counts.names(Phase::Backward).is_empty());
}

/// Nor has a step in which no objective has pixels.
pub fn nothing_present_means_no_backward_pass<B: Backend>(subject: &Subject<B>) {
    let lanes = Lanes::new(2, &[vec![], vec![]]);
    for on in subject.instances() {
        let (net, params) = build(on);
        for memory in [Memory::Keep, Memory::Checkpoint] {
            let counts = Counts::default();
            let cotangent = on.backend.zeros(&[0, IMAGE[0], IMAGE[1], IMAGE[2]]);
            let (outcome, _) = pass(on, (&net, &params), &lanes, &cotangent, memory, Some(&counts));
            assert_eq!(outcome.gram, [0.0; 4]);
            assert!(outcome.params.iter().all(Vec::is_empty));
            assert!(counts.names(Phase::Backward).is_empty());
        }
    }
}
