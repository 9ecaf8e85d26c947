//! What the dataset promises, as one program, so that the tests share their helpers and link once.

mod buckets;
mod captions;
mod check;
mod check_regions;
mod coco;
mod common;
mod geometry;
mod huggingface;
mod kohya;
mod layouts;
mod masks;
mod pixels;
mod problems;
mod same_geometry;
