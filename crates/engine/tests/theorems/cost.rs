//! What is frozen and has nothing trainable below it is not computed in the backward pass.

use crate::common::{Maker, Train, tensor};
use fairhuman_engine::observe::{Observer, Op, Phase};
use fairhuman_engine::{Activation, Lanes, ParamGrads, Reference, Tape, Var, Window};
use std::cell::{Cell, RefCell};

/// Writes down every operation.
#[derive(Default)]
pub struct Counts {
    open: Cell<bool>,
    list: RefCell<Vec<(Phase, &'static str)>>,
}

impl Counts {
    pub fn of(&self, phase: Phase, name: &str) -> usize {
        self.list.borrow().iter().filter(|&&op| op == (phase, name)).count()
    }

    fn names(&self, phase: Phase) -> Vec<&'static str> {
        self.list.borrow().iter().filter(|op| op.0 == phase).map(|op| op.1).collect()
    }
}

impl Observer for Counts {
    fn begin(&self) {
        assert!(!self.open.replace(true), "operations do not nest");
    }

    fn end(&self, phase: Phase, op: Op) {
        assert!(self.open.replace(false), "an operation begins before it ends");
        self.list.borrow_mut().push((phase, op.name));
    }
}

#[test]
fn only_what_lies_above_something_trained_is_computed_backwards() {
    let mut make = Maker::new(&Reference, 30);
    let stem = make.conv(3, 4, Window::square(3, 1, 1), Train::Nothing);
    let norm = make.norm(4, Train::Nothing);
    let low_rank = make.linear(4, 4, Train::Adapter(2));
    let frozen = make.linear(4, 4, Train::Nothing);
    let params = make.params;
    let counts = Counts::default();
    let lanes = Lanes::single(2);

    let mut tape = Tape::new(&Reference, &params, false).observed(Some(&counts));
    let x = Var::constant(tensor(&Reference, 1, &[2, 4, 4, 3]));
    let h = tape.conv2d(&x, &stem, None, None);
    let h = tape.group_norm(&h, &norm, 2, true);
    assert!(!h.tracked(), "frozen layers of an untracked input");
    let h = tape.linear(&h, &low_rank, None);
    let h = tape.activation(&h, Activation::Gelu);
    let h = tape.linear(&h, &frozen, None);
    assert!(h.tracked());
    let mut sink = ParamGrads::new(&params, &lanes);
    tape.backward(&h, tensor(&Reference, 2, &[2, 4, 4, 4]), &lanes, &[], &mut sink);

    assert_eq!(counts.names(Phase::Forward), ["conv2d", "group norm", "linear", "activation", "linear"]);
    assert_eq!(counts.names(Phase::Backward), ["linear vjp", "activation vjp", "lora gradient"]);
}

#[test]
fn nothing_trained_means_no_backward_pass() {
    let mut make = Maker::new(&Reference, 31);
    let layer = make.linear(3, 3, Train::Nothing);
    let params = make.params;
    let counts = Counts::default();
    let lanes = Lanes::single(2);
    let mut tape = Tape::new(&Reference, &params, true).observed(Some(&counts));
    let x = Var::constant(tensor(&Reference, 1, &[2, 3]));
    let layer = &layer;
    let y = tape.checkpoint(&[&x], move |tape, v| tape.linear(&v[0], layer, None));
    let mut sink = ParamGrads::new(&params, &lanes);
    let grads = tape.backward(&y, tensor(&Reference, 2, &[2, 3]), &lanes, &[&x], &mut sink);
    assert!(grads[0].is_none());
    assert_eq!(counts.names(Phase::Forward), ["linear"]);
    assert!(counts.names(Phase::Backward).is_empty());
}
