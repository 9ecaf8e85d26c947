//! The clock that is lent to the libraries, and the date.

use std::time::{Instant, SystemTime};

use chrono::{DateTime, SecondsFormat};

/// Seconds since this call, whenever the result is called.
pub fn start() -> impl Fn() -> f64 {
    let start = Instant::now();
    move || start.elapsed().as_secs_f64()
}

/// Seconds since 1970.
pub fn seconds() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// The present day and time, UTC, as ISO 8601 has them: `2026-11-30T08:15:00Z`.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    time.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}
