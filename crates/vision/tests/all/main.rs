//! The crate's tests in one program: one link, and shared helpers without warnings.

mod common;
mod mediapipe;
mod models;
