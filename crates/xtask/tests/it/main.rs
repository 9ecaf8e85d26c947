//! All integration tests in one binary.

mod judge;
mod tidy;
