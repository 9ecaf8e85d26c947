//! The table of weightings: each is one file here, named by one line below, and is chosen by its `kind` in a
//! recipe.
//!
//! A weighting reads the Gram matrix and the losses of a step, may draw random numbers from (seed, step), and
//! may keep a few numbers from step to step in a [`State`]. To add one, write its file (parameters,
//! validation, label, weights), its line in the table, and a row with its golden values in
//! `tests/it/golden`; the theorems that hold for every weighting are then tested on it, too.

mod adam;
mod average;
mod check;
mod softmax;
mod state;

use serde::{Deserialize, Serialize};

use crate::{Gram, Solution, WeightingError};
pub use aligned_mtl::AlignedScale;
pub use alpha_fair::Normalise;
pub use state::State;

/// The inputs of a weighting in one step.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// The gradients' inner products, with the absent objectives marked.
    pub gram: &'a Gram,
    /// K losses; those of absent objectives are not read.
    pub losses: &'a [f64],
    /// The run's seed.
    pub seed: u64,
    /// The step, counted from 1.
    pub step: u64,
}

/// The parts of a step that a weighting reads. Where it reads no Gram matrix, its weights can be known before
/// the gradients, and the gradient of the weighted sum of the losses is all that a step needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needs {
    /// The gradients' inner products.
    pub gram: bool,
    /// The losses.
    pub losses: bool,
    /// The losses of the same samples after the step, see [`look_back`].
    pub losses_after: bool,
}

impl Needs {
    /// Nothing but the seed and the step.
    pub const NOTHING: Needs = Needs { gram: false, losses: false, losses_after: false };
    /// The Gram matrix alone.
    pub const GRAM: Needs = Needs { gram: true, ..Needs::NOTHING };
    /// The losses alone.
    pub const LOSSES: Needs = Needs { losses: true, ..Needs::NOTHING };
    /// Both.
    pub const BOTH: Needs = Needs { gram: true, ..Needs::LOSSES };
}

/// A weighting that needs no gradient element by element.
trait GramWeighting {
    /// The parts of a step that it reads; it is the same whatever the others are.
    fn needs(&self) -> Needs;

    /// Checks the parameters for a number of objectives; a method without parameters takes any.
    fn validate(&self, _objectives: usize) -> Result<(), WeightingError> {
        Ok(())
    }

    /// The method with its parameters, for reports: "fixed weights [1, 5]".
    fn label(&self) -> String;

    /// The weights of one step. Validated parameters and one loss per objective are given.
    ///
    /// Absent objectives are left out: their weight is 0, and their part of the state does not change.
    fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, WeightingError>;

    /// Learns from the losses of the same samples after the step, where [`Needs::losses_after`]. Of the Gram
    /// matrix only the absent objectives are read.
    fn look_back(
        &self,
        _seen: &Observation<'_>,
        _after: &[f64],
        _state: &mut State,
    ) -> Result<(), WeightingError> {
        Ok(())
    }
}

/// Declares the modules of the weightings and the enum over them. (`cargo fmt` does not look into modules
/// that a macro declares: run `rustfmt` on a new file.)
macro_rules! weightings {
    ($($kind:literal => $module:ident::$method:ident,)+) => {
        $(mod $module; pub use $module::$method;)+

        /// A weighting of the objectives' gradients with its parameters. In a recipe:
        ///
        /// ```toml
        /// weighting = { kind = "alpha-fair", alpha = 2.0 }        # the default: Minimum Potential Delay
        /// # weighting = { kind = "alpha-fair", alpha = inf }      # max-min
        /// # weighting = { kind = "alpha-fair", priority = [1, 1, 2], normalise = "gradient" }
        /// # weighting = { kind = "linear" }                       # the plain sum
        /// # weighting = { kind = "fixed", weights = [1, 5, 20] }  # in the order of the objectives
        /// # weighting = { kind = "nash" }                         # Nash-MTL
        /// # weighting = { kind = "mgda" }
        /// # weighting = { kind = "imtl-g" }
        /// # weighting = { kind = "cagrad", c = 0.5 }
        /// # weighting = { kind = "pcgrad" }
        /// # weighting = { kind = "aligned-mtl", scale = "min" }   # or "rmse"
        /// # weighting = { kind = "upgrad" }
        /// # weighting = { kind = "unit" }                         # gradients of norm 1
        /// # weighting = { kind = "log" }                          # 1 / loss
        /// # weighting = { kind = "uncertainty" }
        /// # weighting = { kind = "dwa", window = 100 }
        /// # weighting = { kind = "famo" }
        /// # weighting = { kind = "famo-ema" }                     # FAMO without its second forward pass
        /// # weighting = { kind = "gradnorm", alpha = 1.5 }
        /// # weighting = { kind = "stch", mu = 1.0 }
        /// # weighting = { kind = "db-mtl" }                       # without its moving average
        /// # weighting = { kind = "rlw" }                          # random weights, a baseline
        /// ```
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind")]
        pub enum Weighting {
            $(
                #[doc = concat!("See [`", stringify!($method), "`].")]
                #[serde(rename = $kind)]
                $method($method),
            )+
        }

        impl Weighting {
            /// Every `kind` that a recipe can name.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];

            /// The `kind` of this weighting.
            pub fn kind(&self) -> &'static str {
                match self { $(Weighting::$method(_) => $kind),+ }
            }

            fn method(&self) -> &dyn GramWeighting {
                match self { $(Weighting::$method(method) => method),+ }
            }
        }

        $(impl From<$method> for Weighting {
            fn from(method: $method) -> Weighting { Weighting::$method(method) }
        })+
    };
}

weightings! {
    "alpha-fair" => alpha_fair::AlphaFair,
    "linear" => linear::Linear,
    "fixed" => fixed::Fixed,
    "nash" => nash::Nash,
    "mgda" => mgda::Mgda,
    "imtl-g" => imtl_g::ImtlG,
    "cagrad" => cagrad::CaGrad,
    "pcgrad" => pcgrad::PcGrad,
    "aligned-mtl" => aligned_mtl::AlignedMtl,
    "upgrad" => upgrad::UpGrad,
    "unit" => unit::Unit,
    "log" => log::Log,
    "uncertainty" => uncertainty::Uncertainty,
    "dwa" => dwa::Dwa,
    "famo" => famo::Famo,
    "famo-ema" => famo_ema::FamoEma,
    "gradnorm" => gradnorm::GradNorm,
    "stch" => stch::Stch,
    "db-mtl" => db_mtl::DbMtl,
    "rlw" => rlw::Rlw,
}

impl Default for Weighting {
    /// Minimum Potential Delay.
    fn default() -> Self {
        AlphaFair::default().into()
    }
}

impl Weighting {
    /// Checks the weighting for a number of objectives, before anything is trained with it.
    ///
    /// # Errors
    /// [`WeightingError`] says which value is wrong.
    pub fn validate(&self, objectives: usize) -> Result<(), WeightingError> {
        self.method().validate(objectives)
    }

    /// The method with its parameters in a few words, for reports.
    pub fn label(&self) -> String {
        self.method().label()
    }

    /// The parts of a step that it reads.
    pub fn needs(&self) -> Needs {
        self.method().needs()
    }
}

/// The weights of one step. `state` is the weighting's memory of the steps before, [`State::default`] in the
/// first, and is updated. If the step may still be refused, pass a copy and keep it once the step is taken.
///
/// # Errors
/// [`WeightingError`] when the weighting does not fit the number of objectives or is invalid.
pub fn weigh(
    weighting: &Weighting,
    seen: &Observation<'_>,
    state: &mut State,
) -> Result<Solution, WeightingError> {
    let (expected, found) = (seen.gram.k(), seen.losses.len());
    weighting.validate(expected)?;
    if found != expected {
        return Err(WeightingError::Losses { expected, found });
    }
    weighting.method().weigh(seen, state)
}

/// Tells a weighting that asks for them ([`Needs::losses_after`]) the losses of the same samples after the
/// step. `seen` is the step as it was given to [`weigh`].
///
/// # Errors
/// [`WeightingError`] when a loss cannot be used; the state is then as it was.
pub fn look_back(
    weighting: &Weighting,
    seen: &Observation<'_>,
    after: &[f64],
    state: &mut State,
) -> Result<(), WeightingError> {
    let expected = seen.gram.k();
    if let Some(found) = [seen.losses.len(), after.len()].into_iter().find(|&found| found != expected) {
        return Err(WeightingError::Losses { expected, found });
    }
    weighting.method().look_back(seen, after, state)
}
