//! The clock that is lent to the libraries.

use std::time::Instant;

/// Seconds since this call, whenever the result is called.
pub fn start() -> impl Fn() -> f64 {
    let start = Instant::now();
    move || start.elapsed().as_secs_f64()
}
