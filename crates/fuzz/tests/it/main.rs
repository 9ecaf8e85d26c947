//! A short run of every target: bounded, the same inputs every time.

mod mutations;
mod targets;
