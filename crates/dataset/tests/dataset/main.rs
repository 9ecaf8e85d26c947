//! What the dataset promises, as one program, so that the tests share their helpers and link once.

mod common;
mod geometry;
mod layouts;
mod masks;
mod pixels;
mod problems;
mod same_geometry;
