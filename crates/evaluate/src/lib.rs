//! Scores of generated pictures that can be trusted: judges, and the statistics of paired comparisons.
//!
//! A [`PictureSet`] is a folder of pictures with their prompts. A [`Judge`] gives each picture some numbers;
//! [`score`] looks at those that are not scored yet. Two sets are compared by [`difference`]: per prompt the
//! mean over its pictures, paired by noise, with a bootstrap over prompts, the sign test and Holm's
//! correction. What has no score is counted, and never skipped in silence.
//!
//! ```
//! use fairhuman_evaluate::statistics::{bootstrap, sign_test};
//!
//! let differences = [0.1, 0.3, -0.1, 0.2, 0.4, 0.2];
//! let found = bootstrap(&differences, 10_000).expect("several prompts");
//! assert!(found.percentile.low > 0.0 && found.percentile.high < 0.4);
//! assert!(sign_test(5, 1) > 0.05, "six prompts are few");
//! ```
//!
//! | judges | modules |
//! |---|---|
//! | CLIP's family | [`clip`]: CLIP score, PickScore, HPS v2.1, aesthetic score |
//! | without further weights | [`detection`] (MediaPipe's networks), [`drawn`] (people drawn by `fairhuman people`) |
//! | ImageReward | [`image_reward`] |
//! | of sets | [`sets`]: FD, KID, CMMD, diversity, by the features of [`dino`], CLIP or [`inception`] |
//!
//! It does not print, read the clock, or draw pictures.
#![deny(missing_docs)]

pub mod bicubic;
pub mod clip;
mod comparison;
pub mod detection;
pub mod dino;
pub mod drawn;
mod error;
pub mod image_reward;
pub mod inception;
mod judge;
mod lines;
mod network;
mod picture_set;
mod preprocess;
mod run;
mod scores;
pub mod sets;
pub mod statistics;
mod truth;
mod truths;

pub use comparison::{
    Difference, Level, RESAMPLES, Range, correct, difference, difference_of_units, level, level_of_units,
};
pub use error::EvaluateError;
pub use judge::{Better, Item, Judge, Metric};
pub use picture_set::{
    Expected, METADATA, Pairs, Picture, PictureSet, Prompts, pair_up, pairs, prompt_lines, read_prompts, unit,
};
pub use preprocess::{Fit, preprocessed};
pub use run::{Progress, score};
pub use scores::{Score, Scores};
pub use truth::{Body, Part, Truth};
pub use truths::KeptTruths;
