//! A whole small network, forwards and backwards.

use super::{Experiment, Results};
use crate::lanes::a_pass;
use crate::{Instance, Subject};
use fairhuman_engine::Backend;

#[derive(Debug)]
struct Pass;

impl Experiment for Pass {
    fn run<B: Backend>(&self, on: Instance<'_, B>) -> Results {
        let outcome = a_pass(on);
        let values = [("output", outcome.output), ("image", outcome.image), ("Gram matrix", outcome.gram)];
        let params = outcome.params.into_iter().map(|values| ("gradient of a parameter", values));
        Results(values.into_iter().chain(params).map(|(name, v)| (name, vec![v.len()], v)).collect())
    }
}

/// Output and all gradients of a network with every kind of layer.
pub fn a_network<B: Backend>(subject: &Subject<B>) {
    subject.assert_agrees_within(subject.tolerances.networks, &Pass);
}
