//! The network that a run trains, with its trained values and their averages.

use std::borrow::Cow;

use fairhuman_diffusion::net::ModelError;
use fairhuman_engine::{Backend, Params};

use crate::average::Averages;
use crate::method::{Method, Setup};

/// A network in training, its trained values, and their averages where a recipe asks for them.
pub struct Model<B: Backend, M> {
    /// The network.
    pub network: M,
    /// The trained values.
    pub params: Params<B>,
    /// Their moving averages.
    pub averages: Option<Averages<B>>,
}

impl<B: Backend, M: Method<B>> Model<B, M> {
    /// Reads what is trained from the model folder; `ema` is the decay of the averages.
    ///
    /// # Errors
    /// Damaged or missing files, settings that do not fit the network.
    pub fn open(setup: &Setup<'_, B>, settings: &M::Settings, ema: Option<f64>) -> Result<Self, ModelError> {
        let mut params = Params::default();
        let network = M::open(setup, settings, &mut params)?;
        let averages = ema.map(|decay| Averages::new(setup.backend, &params, decay));
        Ok(Self { network, params, averages })
    }

    /// The values that are evaluated and exported: the averages where there are some.
    pub fn eval_params(&self) -> Cow<'_, Params<B>> {
        match &self.averages {
            Some(averages) => Cow::Owned(averages.params(&self.params)),
            None => Cow::Borrowed(&self.params),
        }
    }
}
