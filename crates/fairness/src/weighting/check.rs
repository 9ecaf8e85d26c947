//! Checks of parameters that several weightings share.

use crate::WeightingError;

/// Refuses a decay outside of 0 (no memory) to below 1.
pub(super) fn check_decay(decay: f64) -> Result<(), WeightingError> {
    if (0.0..1.0).contains(&decay) {
        return Ok(());
    }
    let problem = format!("loss_decay is {decay}; it must be from 0 (each step alone) to below 1");
    Err(WeightingError::Parameter { name: "loss_decay", problem })
}

/// Refuses a parameter that is not positive and finite.
pub(super) fn check_positive(name: &'static str, value: f64) -> Result<(), WeightingError> {
    if value > 0.0 && value.is_finite() {
        return Ok(());
    }
    let problem = format!("{name} is {value}; it must be positive");
    Err(WeightingError::Parameter { name, problem })
}

/// Refuses a value that lies outside of what anybody can mean: beyond it weights vanish, or are all that is
/// left.
pub(super) fn check_within(
    name: &'static str,
    value: f64,
    least: f64,
    most: f64,
) -> Result<(), WeightingError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    // `Debug` writes 1e-300 in six characters.
    let problem = format!("{name} is {value:?}; it must be {least:?} to {most:?}");
    Err(WeightingError::Parameter { name, problem })
}

/// Refuses a learning rate outside of what Adam can learn weights with.
pub(super) fn check_learning_rate(value: f64) -> Result<(), WeightingError> {
    check_within("learning_rate", value, 1e-9, 10.0)
}
