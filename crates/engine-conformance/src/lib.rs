//! The theorems that every backend of the engine is held to, as functions of a [`Subject`]: instances of the
//! backend, its tolerances, and a statement of whether its bits repeat.
//!
//! - [`mod@agreement`]: every operation gives what [`Reference`](fairhuman_engine::Reference) gives.
//! - [`finite_differences`]: every vector-Jacobian product, against central differences.
//! - [`lanes`]: one pass with lanes is the separate passes; one combined pass is their combination.
//! - [`checkpoint`]: recomputing changes no result.
//! - [`cost`]: what is frozen or absent is not computed.
//! - [`updates`]: Gram matrix, combination, norm, AdamW and averages against numbers worked out by hand.
//!
//! A new backend is one test file, in which [`conformance!`] makes a `#[test]` of every theorem:
//!
//! ```ignore
//! fn subject() -> Subject<Mine> {
//!     let tolerances = Tolerances { operations: 1e-5, ..Tolerances::F32 };
//!     Subject::new(vec![Mine::new()], tolerances, false)
//! }
//!
//! fairhuman_engine_conformance::conformance!(crate::subject);
//! ```
//!
//! The specialities of a backend (its instruction sets, its memory) are tested beside it, with the same
//! [`numbers`] and [`layers`].
#![deny(missing_docs)]

pub mod agreement;
pub mod checkpoint;
pub mod cost;
pub mod finite_differences;
pub mod lanes;
pub mod layers;
mod net;
pub mod numbers;
mod subject;
pub mod updates;

pub use subject::{Differences, Instance, Subject, Tolerances};

/// Makes a test of every theorem, for the subject that the function at this path (such as `crate::subject`)
/// returns.
#[macro_export]
macro_rules! conformance {
    ($subject:path) => {
        $crate::agreement!($subject);
        $crate::laws!($subject);
    };
}

/// Makes a test of every theorem that compares the subject with `Reference`; see [`conformance!`].
#[macro_export]
macro_rules! agreement {
    ($subject:path) => {
        $crate::tests! { $subject;
            agreement {
                a_network, activations_at_special_points, activations_far_below_zero_vanish, an_image_of_many_tiles,
                attention_of_a_network, attention_with_huge_scores_is_finite, every_geometry_with_every_weight,
                every_size_of_attention, every_size_of_convolution, every_size_of_group_norm,
                every_size_of_layer_norm, every_size_of_linear_layer, every_size_of_moved_values,
                every_size_of_parameter, every_size_of_pointwise_work, gram_is_accumulated_in_f64,
                linear_layers_of_a_network, wide_filters_over_many_tiles,
            }
        }
    };
}

/// Makes a test of every theorem about the subject alone; see [`conformance!`].
#[macro_export]
macro_rules! laws {
    ($subject:path) => {
        $crate::derivatives!($subject);
        $crate::passes!($subject);
    };
}

/// Makes a test of every theorem about passes and updates, which hold with activations of few digits, too;
/// see [`conformance!`].
#[macro_export]
macro_rules! passes {
    ($subject:path) => {
        $crate::tests! { $subject;
            checkpoint { odd_segments_are_plain_calls, recomputed_once_for_all_lanes, recomputing_changes_nothing, }
            cost {
                nothing_present_means_no_backward_pass, nothing_trained_means_no_backward_pass,
                only_what_lies_above_something_trained_is_computed_backwards,
            }
            lanes {
                combined_cotangent_is_combined_gradient, micro_batches_add_up, one_pass_is_the_separate_passes,
            }
            updates {
                adamw_is_pytorchs, averages_are_their_formula, empty_lists_are_fine,
                gram_combine_and_norm_are_their_formulas, kept_copies_do_not_change,
            }
        }
    };
}

/// Makes a test of every vector-Jacobian product against central differences, for which activations need many
/// digits; see [`conformance!`].
#[macro_export]
macro_rules! derivatives {
    ($subject:path) => {
        $crate::tests! { $subject;
            finite_differences {
                activations, attention_over_other_tokens_and_over_earlier_ones, conv2d_in_every_geometry, embedding,
                group_norm_with_and_without_silu, layer_norm, linear_of_vectors_and_of_its_own_residual,
                linear_with_bias_and_residual, moved_values, sums_and_scales,
            }
        }
    };
}

/// Makes tests of the named theorems.
#[doc(hidden)]
#[macro_export]
macro_rules! tests {
    ($subject:path; $($module:ident { $($theorem:ident,)+ })+) => {
        $(mod $module {
            $(#[test]
            fn $theorem() {
                $crate::$module::$theorem(&$subject());
            })+
        })+
    };
}
