//! The tape: runs operations eagerly and records what their backward pass needs, for operations that depend
//! on a parameter or a leaf.
//!
//! ```text
//! forward   x ──op──op──op── y         each op on a tracked input leaves a node: a closure that owns the
//!                                      tensors its vector-Jacobian product reads
//! backward  [L,..]──vjp──vjp──▶ grads  nodes in reverse; a node's tensors are freed as soon as it ran
//! ```

mod attention;
mod checkpoint;
mod norm;
mod pointwise;
mod product;
mod structure;

use crate::observe::{Observer, Op, Phase};
use crate::{Backend, Lanes, ParamGrads, ParamId, Params};

/// A value on a tape. Cheap to clone. `node` is none for constants, which depend on nothing trainable.
pub struct Var<B: Backend> {
    value: B::Tensor,
    node: Option<NodeId>,
}

impl<B: Backend> Clone for Var<B> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), node: self.node }
    }
}

impl<B: Backend> Var<B> {
    /// A value that needs no gradient.
    pub fn constant(value: B::Tensor) -> Self {
        Self { value, node: None }
    }

    /// The value.
    pub fn value(&self) -> &B::Tensor {
        &self.value
    }

    /// Its shape.
    pub fn shape(&self) -> &[usize] {
        B::shape(&self.value)
    }

    /// True if a gradient flows through it.
    pub fn tracked(&self) -> bool {
        self.node.is_some()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct NodeId(usize);

type Vjp<'m, B> = Box<dyn FnOnce(&mut Pullback<'_, 'm, B>, <B as Backend>::Tensor) + 'm>;

/// Purpose of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Keep what the backward pass needs.
    Record,
    /// Only determine what is tracked: the forward pass of a checkpointed segment.
    Probe,
    /// Track nothing: there will be no backward pass.
    Inference,
}

/// A forward pass and what its backward pass needs.
pub struct Tape<'m, B: Backend> {
    backend: &'m B,
    params: &'m Params<B>,
    observer: Option<&'m dyn Observer>,
    watcher: Option<Watcher<'m, B>>,
    /// The phase of its operations, for the observer.
    phase: Phase,
    nodes: Vec<Option<Vjp<'m, B>>>,
    mode: Mode,
    checkpointing: bool,
}

/// Is shown the gradients so far, many times in a backward pass.
pub type Watcher<'m, B> = &'m (dyn Fn(&ParamGrads<B>) + Sync);

/// The state of a backward pass that a node's closure works on.
struct Pullback<'a, 'm, B: Backend> {
    backend: &'m B,
    params: &'m Params<B>,
    observer: Option<&'m dyn Observer>,
    lanes: &'a Lanes,
    grads: Vec<Option<B::Tensor>>,
    sink: &'a mut ParamGrads<B>,
}

impl<'m, B: Backend> Tape<'m, B> {
    /// An empty tape over `params`. With `checkpointing`, [`Tape::checkpoint`] keeps inputs only.
    pub fn new(backend: &'m B, params: &'m Params<B>, checkpointing: bool) -> Self {
        Self {
            backend,
            params,
            observer: None,
            watcher: None,
            phase: Phase::Forward,
            nodes: Vec::new(),
            mode: Mode::Record,
            checkpointing,
        }
    }

    /// A tape that records nothing, for evaluation: a value is freed when its last [`Var`] is dropped.
    /// [`Tape::backward`] panics on it.
    pub fn inference(backend: &'m B, params: &'m Params<B>) -> Self {
        Self { mode: Mode::Inference, ..Self::new(backend, params, false) }
    }

    /// Reports every operation to `observer` (profiles).
    pub fn observed(mut self, observer: Option<&'m dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Shows `watcher` the gradients after every operation (or checkpointed segment) of the backward pass, so
    /// that those that are whole can be used while the pass goes on.
    pub fn watched(mut self, watcher: Option<Watcher<'m, B>>) -> Self {
        self.watcher = watcher;
        self
    }

    /// The backend.
    pub fn backend(&self) -> &'m B {
        self.backend
    }

    /// A leaf: [`Tape::backward`] returns its gradient. A constant on an inference tape.
    pub fn leaf(&mut self, value: B::Tensor) -> Var<B> {
        if self.mode == Mode::Inference {
            return Var::constant(value);
        }
        self.nodes.push(None);
        Var { value, node: Some(NodeId(self.nodes.len() - 1)) }
    }

    /// The vector-Jacobian products of `output` with `cotangent [L, ...]`. Gradients of all parameters go to
    /// `sink`; those of `leaves` are returned (`[L, ...]`, none where nothing flowed). Consumes the tape:
    /// saved tensors are freed as the pass goes. Without lanes, nothing is computed.
    ///
    /// # Panics
    /// On a tape made by [`Tape::inference`].
    pub fn backward(
        self,
        output: &Var<B>,
        cotangent: B::Tensor,
        lanes: &Lanes,
        leaves: &[&Var<B>],
        sink: &mut ParamGrads<B>,
    ) -> Vec<Option<B::Tensor>> {
        let leaves: Vec<_> = leaves.iter().map(|&leaf| (leaf, None)).collect();
        self.backward_onto(output, cotangent, lanes, leaves, sink)
    }

    /// Like [`Tape::backward`], but adds to the gradients that leaves have from elsewhere, in the order in
    /// which one tape would have added them: a checkpointed segment gives the same bits as a plain one.
    fn backward_onto(
        mut self,
        output: &Var<B>,
        cotangent: B::Tensor,
        lanes: &Lanes,
        leaves: Vec<(&Var<B>, Option<B::Tensor>)>,
        sink: &mut ParamGrads<B>,
    ) -> Vec<Option<B::Tensor>> {
        assert_eq!(self.mode, Mode::Record, "only a recording tape has a backward pass");
        let last = match output.node {
            Some(NodeId(last)) if !lanes.is_empty() => last,
            _ => return leaves.into_iter().map(|(_, gathered)| gathered).collect(),
        };
        let mut pull = Pullback {
            backend: self.backend,
            params: self.params,
            observer: self.observer,
            lanes,
            grads: (0..self.nodes.len()).map(|_| None).collect(),
            sink,
        };
        let leaves: Vec<_> = leaves
            .into_iter()
            .map(|(leaf, gathered)| {
                if let (Some(NodeId(id)), Some(gathered)) = (leaf.node, gathered) {
                    pull.grads[id] = Some(gathered);
                }
                leaf.node
            })
            .collect();
        pull.add(output.node, cotangent);
        for id in (0..=last).rev() {
            let Some(vjp) = self.nodes[id].take() else { continue };
            if let Some(g) = pull.grads[id].take() {
                vjp(&mut pull, g);
                if let Some(watcher) = self.watcher {
                    watcher(pull.sink);
                }
            }
        }
        leaves.into_iter().map(|node| node.and_then(|NodeId(id)| pull.grads[id].take())).collect()
    }

    /// Wraps a result: a node with its VJP if `tracked`, a constant otherwise. `vjp` is only built if it will
    /// be needed, so that no tensor is kept in vain.
    fn result(&mut self, value: B::Tensor, tracked: bool, vjp: impl FnOnce() -> Vjp<'m, B>) -> Var<B> {
        if !tracked || self.mode == Mode::Inference {
            return Var::constant(value);
        }
        self.nodes.push((self.mode == Mode::Record).then(vjp));
        Var { value, node: Some(NodeId(self.nodes.len() - 1)) }
    }

    fn observe<T>(&self, op: impl FnOnce() -> Op, run: impl FnOnce(&'m B) -> T) -> T {
        self.observe_result(|_| op(), run)
    }

    /// For operations whose cost is known from their result.
    fn observe_result<T>(&self, op: impl FnOnce(&T) -> Op, run: impl FnOnce(&'m B) -> T) -> T {
        observe(self.backend, self.observer, self.phase, op, run)
    }
}

impl<'m, B: Backend> Pullback<'_, 'm, B> {
    /// The gradient accumulated so far, to be added to.
    fn take(&mut self, node: NodeId) -> Option<B::Tensor> {
        self.grads[node.0].take()
    }

    /// Stores a gradient that already includes what [`Pullback::take`] returned.
    fn put(&mut self, node: NodeId, grad: B::Tensor) {
        self.grads[node.0] = Some(grad);
    }

    /// Adds a gradient.
    fn add(&mut self, node: Option<NodeId>, grad: B::Tensor) {
        let Some(node) = node else { return };
        let sum = match self.take(node) {
            None => grad,
            Some(sum) => {
                let count = count(B::shape(&sum));
                self.observe(|| Op::memory("accumulate", 3 * count), |b| b.accumulate(sum, &grad))
            }
        };
        self.put(node, sum);
    }

    fn add_param(&mut self, id: ParamId, grad: B::Tensor) {
        self.sink.add(self.backend, id, grad);
    }

    fn observe<T>(&self, op: impl FnOnce() -> Op, run: impl FnOnce(&'m B) -> T) -> T {
        observe(self.backend, self.observer, Phase::Backward, |_| op(), run)
    }
}

/// Runs an operation, between whose begin and end an observer sees nothing else of the backend.
fn observe<'m, B: Backend, T>(
    backend: &'m B,
    observer: Option<&dyn Observer>,
    phase: Phase,
    op: impl FnOnce(&T) -> Op,
    run: impl FnOnce(&'m B) -> T,
) -> T {
    let Some(observer) = observer else { return run(backend) };
    backend.synchronize();
    observer.begin();
    let value = run(backend);
    backend.synchronize();
    observer.end(phase, op(&value));
    value
}

fn count(shape: &[usize]) -> usize {
    shape.iter().product()
}

#[cfg(test)]
mod tests {
    use super::{Tape, Var};
    use crate::{Backend, Linear, Params, Reference, Weight};

    #[test]
    fn an_inference_tape_computes_the_same_and_records_nothing() {
        let mut params = Params::<Reference>::default();
        let weight = Weight::Trained(params.add("weight", Reference.tensor(&[1, 2], &[3.0, 4.0])));
        let layer = Linear { weight, bias: None, adapter: None, inputs: 2, outputs: 1 };
        let x = Reference.tensor(&[1, 2], &[5.0, 6.0]);
        let mut tape = Tape::inference(&Reference, &params);
        let leaf = tape.leaf(x.clone());
        let y = tape.linear(&leaf, &layer, None);
        assert!(!y.tracked() && tape.nodes.is_empty());
        let recorded = Tape::new(&Reference, &params, false).linear(&Var::constant(x), &layer, None);
        assert!(recorded.tracked());
        assert_eq!(Reference.read(y.value()), Reference.read(recorded.value()));
    }
}
