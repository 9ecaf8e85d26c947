//! All integration tests in one binary.

mod clip;
mod drawn;
mod features;
mod image_reward;
mod inception;
mod pairs;
mod set_metrics;
mod sets;
mod statistics;
mod truths;
