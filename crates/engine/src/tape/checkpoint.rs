//! Activation checkpointing (Chen et al. 2016): keep a segment's inputs, recompute the rest when its
//! backward pass comes. All lanes share the one recomputation.

use super::{Mode, Tape, Var};
use crate::Backend;

impl<'m, B: Backend> Tape<'m, B> {
    /// Runs `segment` on `inputs`. On a checkpointing tape only the inputs are kept; elsewhere this is a call.
    pub fn checkpoint<F>(&mut self, inputs: &[&Var<B>], segment: F) -> Var<B>
    where
        F: Fn(&mut Tape<'m, B>, &[Var<B>]) -> Var<B> + 'm,
    {
        let inputs: Vec<Var<B>> = inputs.iter().map(|&v| v.clone()).collect();
        if !self.checkpointing || self.mode == Mode::Probe {
            return segment(self, &inputs);
        }
        let mut probe = self.sub_tape(Mode::Probe);
        let local: Vec<_> = inputs.iter().map(|v| probe.like(v)).collect();
        let output = segment(&mut probe, &local);
        let tracked = output.tracked();
        self.result(output.value, tracked, || {
            Box::new(move |pull, g| {
                let mut tape = Tape {
                    backend: pull.backend,
                    params: pull.params,
                    observer: pull.observer,
                    nodes: Vec::new(),
                    mode: Mode::Record,
                    checkpointing: false,
                };
                let local: Vec<_> = inputs.iter().map(|v| tape.like(v)).collect();
                let output = segment(&mut tape, &local);
                let leaves = inputs.iter().zip(&local);
                let leaves =
                    leaves.map(|(v, leaf)| (leaf, v.node.and_then(|node| pull.take(node)))).collect();
                let grads = tape.backward_onto(&output, g, pull.lanes, leaves, pull.sink);
                for (input, grad) in inputs.iter().zip(grads) {
                    if let Some(grad) = grad {
                        pull.add(input.node, grad);
                    }
                }
            })
        })
    }

    fn sub_tape(&self, mode: Mode) -> Self {
        Tape {
            backend: self.backend,
            params: self.params,
            observer: self.observer,
            nodes: Vec::new(),
            mode,
            checkpointing: false,
        }
    }

    /// A value of another tape as a leaf of this one, tracked where it was.
    fn like(&mut self, var: &Var<B>) -> Var<B> {
        if var.tracked() { self.leaf(var.value.clone()) } else { var.clone() }
    }
}
