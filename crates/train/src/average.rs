//! The exponential moving average of the trained values (Polyak and Juditsky 1992; the decay rises as in
//! TensorFlow's `ExponentialMovingAverage`): what is sampled and exported, where a recipe asks for it.

use fairhuman_engine::{Backend, Params};

/// The averages, in the order of the parameters.
pub struct Averages<B: Backend> {
    /// One per parameter.
    pub values: Vec<B::Tensor>,
    decay: f64,
}

impl<B: Backend> Averages<B> {
    /// Averages that start at the parameters' values. They are copies, so that an update needs no further
    /// memory.
    pub fn new(backend: &B, params: &Params<B>, decay: f64) -> Self {
        Self { values: params.iter().map(|p| backend.scale(&p.value, 1.0)).collect(), decay }
    }

    /// Moves the averages towards `params` after update number `updates` (from 1).
    pub fn update(&mut self, backend: &B, params: &Params<B>, updates: u64) {
        let decay = self.decay.min((1.0 + updates as f64) / (10.0 + updates as f64));
        let values: Vec<_> = params.iter().map(|param| &param.value).collect();
        backend.ema(&mut self.values.iter_mut().collect::<Vec<_>>(), &values, decay);
    }

    /// Parameters whose values are the averages.
    pub fn params(&self, params: &Params<B>) -> Params<B> {
        let mut averaged = Params::default();
        for (param, value) in params.iter().zip(&self.values) {
            averaged.add(param.name.clone(), value.clone());
        }
        averaged
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairhuman_engine::Reference;

    #[test]
    fn an_average_follows_quickly_at_first_and_then_by_its_decay() {
        let backend = Reference;
        let mut params = Params::default();
        let id = params.add("a", backend.tensor(&[1], &[0.0]));
        let mut averages = Averages::new(&backend, &params, 0.5);
        params.set(id, backend.tensor(&[1], &[1.0]));
        averages.update(&backend, &params, 1);
        let first = backend.read(&averages.values[0])[0];
        assert!((first - 9.0 / 11.0).abs() < 1e-6, "decay 2/11 at first: {first}");
        averages.update(&backend, &params, 1000);
        let second = backend.read(&averages.values[0])[0];
        assert!((second - (0.5 * first + 0.5)).abs() < 1e-6, "{second}");
        assert_eq!(backend.read(params.get(id)), [1.0], "the parameters stay as they are");
    }
}
