//! The trained parameters and their gradients.

use crate::{Backend, Lanes};

/// Index of a parameter in its [`Params`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamId(pub usize);

/// One trained tensor.
pub struct Param<B: Backend> {
    /// Unique name, as checkpoints store it.
    pub name: String,
    /// Current value.
    pub value: B::Tensor,
}

/// All trained tensors of a run, in a fixed order.
pub struct Params<B: Backend> {
    list: Vec<Param<B>>,
}

impl<B: Backend> Clone for Param<B> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), value: self.value.clone() }
    }
}

/// Cheap: the values are shared.
impl<B: Backend> Clone for Params<B> {
    fn clone(&self) -> Self {
        Self { list: self.list.clone() }
    }
}

impl<B: Backend> Default for Params<B> {
    fn default() -> Self {
        Self { list: Vec::new() }
    }
}

impl<B: Backend> Params<B> {
    /// Adds a parameter.
    pub fn add(&mut self, name: impl Into<String>, value: B::Tensor) -> ParamId {
        self.list.push(Param { name: name.into(), value });
        ParamId(self.list.len() - 1)
    }

    /// The value of a parameter.
    pub fn get(&self, id: ParamId) -> &B::Tensor {
        &self.list[id.0].value
    }

    /// Replaces a value.
    pub fn set(&mut self, id: ParamId, value: B::Tensor) {
        self.list[id.0].value = value;
    }

    /// Parameters in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Param<B>> {
        self.list.iter()
    }

    /// Their values in order, to change them.
    pub fn values_mut(&mut self) -> impl ExactSizeIterator<Item = &mut B::Tensor> {
        self.list.iter_mut().map(|param| &mut param.value)
    }

    /// Their ids, in order.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = ParamId> + use<B> {
        (0..self.list.len()).map(ParamId)
    }

    /// Number of parameters (tensors).
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True if nothing is trained.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of trained values.
    pub fn values(&self) -> usize {
        self.list.iter().map(|p| B::shape(&p.value).iter().product::<usize>()).sum()
    }
}

/// Per-objective gradients of every parameter: `[K, ...]` each, absent until something contributed.
pub struct ParamGrads<B: Backend> {
    objectives: usize,
    list: Vec<Option<B::Tensor>>,
    /// Contributions so far, of every parameter.
    contributions: Vec<u32>,
    /// Where gradients are multiplied with each other as they come, and not kept.
    products: Option<Products>,
}

/// The Gram matrix so far.
#[derive(Debug, Clone)]
struct Products {
    gram: Vec<f64>,
    contributed: Vec<bool>,
    /// A parameter that contributed twice: the products of its sum are not those of its parts.
    repeated: Option<ParamId>,
}

/// Cheap: the values are shared.
impl<B: Backend> Clone for ParamGrads<B> {
    fn clone(&self) -> Self {
        Self {
            objectives: self.objectives,
            list: self.list.clone(),
            contributions: self.contributions.clone(),
            products: self.products.clone(),
        }
    }
}

impl<B: Backend> ParamGrads<B> {
    /// No gradients yet, for `params` and the objectives of `lanes`.
    pub fn new(params: &Params<B>, lanes: &Lanes) -> Self {
        let list = (0..params.len()).map(|_| None).collect();
        let contributions = vec![0; params.len()];
        Self { objectives: lanes.objectives(), list, contributions, products: None }
    }

    /// Only the Gram matrix is wanted: each parameter's gradients are released when they have been multiplied
    /// with each other. For networks that use every parameter once, and one backward pass.
    pub fn products_only(params: &Params<B>, lanes: &Lanes) -> Self {
        let k = lanes.objectives();
        let contributed = vec![false; params.len()];
        let products = Products { gram: vec![0.0; k * k], contributed, repeated: None };
        Self { products: Some(products), ..Self::new(params, lanes) }
    }

    /// A parameter whose gradients came in parts although only products are wanted: the Gram matrix is wrong.
    pub fn repeated(&self) -> Option<ParamId> {
        self.products.as_ref()?.repeated
    }

    /// Number of objectives `K`.
    pub fn objectives(&self) -> usize {
        self.objectives
    }

    /// Adds a contribution `[K, ...]`.
    pub fn add(&mut self, backend: &B, id: ParamId, grad: B::Tensor) {
        self.contributions[id.0] += 1;
        if let Some(products) = &mut self.products {
            let own = backend.gram(&[&grad]);
            products.gram.iter_mut().zip(own).for_each(|(sum, product)| *sum += product);
            if std::mem::replace(&mut products.contributed[id.0], true) {
                products.repeated = Some(id);
            }
            return;
        }
        let slot = &mut self.list[id.0];
        *slot = Some(match slot.take() {
            None => grad,
            Some(sum) => backend.accumulate(sum, &grad),
        });
    }

    /// Adds the gradients of another pass (a further micro-batch).
    pub fn add_all(&mut self, backend: &B, other: Self) {
        for (id, grad) in other.list.into_iter().enumerate() {
            if let Some(grad) = grad {
                self.add(backend, ParamId(id), grad);
            }
        }
    }

    /// The gradients `[K, ...]` of a parameter; none if the output does not depend on it.
    pub fn get(&self, id: ParamId) -> Option<&B::Tensor> {
        self.list[id.0].as_ref()
    }

    /// The number of contributions to each parameter so far. It is the same after every pass of a network,
    /// so that a pass in progress tells which parameters' gradients are whole.
    pub fn contributions(&self) -> &[u32] {
        &self.contributions
    }

    /// Takes a parameter's gradients out.
    pub fn take(&mut self, id: ParamId) -> Option<B::Tensor> {
        self.list[id.0].take()
    }

    /// Takes all gradients out; the numbers of contributions stay.
    #[must_use]
    pub fn take_all(&mut self) -> Self {
        let rest = Self {
            objectives: self.objectives,
            list: vec![None; self.list.len()],
            contributions: self.contributions.clone(),
            products: None,
        };
        std::mem::replace(self, rest)
    }

    /// Puts a parameter's gradients `[K, ...]` in the place of what it has.
    pub fn set(&mut self, id: ParamId, grads: Option<B::Tensor>) {
        self.list[id.0] = grads;
    }

    /// The gradients of all parameters, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&B::Tensor>> {
        self.list.iter().map(Option::as_ref)
    }

    /// The Gram matrix of the objectives' gradients over all parameters, row-major `K x K`, in f64.
    pub fn gram(&self, backend: &B) -> Vec<f64> {
        if let Some(products) = &self.products {
            return products.gram.clone();
        }
        let grads: Vec<_> = self.list.iter().flatten().collect();
        if grads.is_empty() { vec![0.0; self.objectives * self.objectives] } else { backend.gram(&grads) }
    }

    /// `sum_k coefficients[k] * grad_k` of every parameter; none where it has no gradients.
    pub fn combine(&self, backend: &B, coefficients: &[f64]) -> Vec<Option<B::Tensor>> {
        let grads: Vec<_> = self.list.iter().flatten().collect();
        if grads.is_empty() {
            return vec![None; self.list.len()];
        }
        let mut combined = backend.combine(&grads, coefficients).into_iter();
        self.list.iter().map(|grad| grad.as_ref().and_then(|_| combined.next())).collect()
    }
}
