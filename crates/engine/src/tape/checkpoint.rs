//! Activation checkpointing (Chen et al. 2016): keep a segment's inputs, recompute the rest when its
//! backward pass comes. All lanes share the one recomputation.

use super::{Mode, Tape, Var};
use crate::Backend;
use crate::observe::Phase;

impl<'m, B: Backend> Tape<'m, B> {
    /// Runs `segment` on `inputs`. On a checkpointing tape only the inputs are kept; on others this is a
    /// plain call.
    pub fn checkpoint<F>(&mut self, inputs: &[&Var<B>], segment: F) -> Var<B>
    where
        F: Fn(&mut Tape<'m, B>, &[Var<B>]) -> Var<B> + 'm,
    {
        let inputs: Vec<Var<B>> = inputs.iter().map(|&v| v.clone()).collect();
        if !self.checkpointing || self.mode != Mode::Record {
            return segment(self, &inputs);
        }
        let mut probe = Tape {
            observer: self.observer,
            phase: self.phase,
            mode: Mode::Probe,
            ..Tape::new(self.backend, self.params, false)
        };
        let local = probe.leaves_like(&inputs);
        let output = segment(&mut probe, &local);
        let tracked = output.tracked();
        self.result(output.value, tracked, || {
            Box::new(move |pull, g| {
                let mut tape = Tape {
                    observer: pull.observer,
                    phase: Phase::Recompute,
                    ..Tape::new(pull.backend, pull.params, false)
                };
                let local = tape.leaves_like(&inputs);
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

    /// Values of another tape on this one: tracked ones as leaves, a value given twice as one leaf.
    fn leaves_like(&mut self, inputs: &[Var<B>]) -> Vec<Var<B>> {
        let mut local: Vec<Var<B>> = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let twin = inputs[..i].iter().position(|other| input.tracked() && other.node == input.node);
            local.push(match twin {
                Some(twin) => local[twin].clone(),
                None if input.tracked() => self.leaf(input.value.clone()),
                None => input.clone(),
            });
        }
        local
    }
}
