//! All integration tests as one program: they share their helpers and link once.

mod buckets;
mod captions;
mod check;
mod check_regions;
mod coco;
mod common;
mod conditioning;
mod edit;
mod geometry;
mod huggingface;
mod kohya;
mod layouts;
mod masks;
mod pictures;
mod pixels;
mod problems;
mod same_geometry;
mod spelling;
