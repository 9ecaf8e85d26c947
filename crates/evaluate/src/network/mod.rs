//! Layers filled from weight files, and the vision transformer that CLIP, DINOv2 and BLIP share.

mod reader;
mod vit;
mod weights;

pub(crate) use reader::Reader;
pub(crate) use vit::{Vit, VitConfig, split_names};
pub(crate) use weights::{digest, open};
