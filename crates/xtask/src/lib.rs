//! The development commands that tests run, too.

pub mod tidy;
