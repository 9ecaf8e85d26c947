//! The development commands that tests run, too.

pub mod judge;
pub mod tidy;
