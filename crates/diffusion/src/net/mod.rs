//! Common ground of all networks: a plan of named layers and the weights that fill it.
//!
//! A network is described once, as a [`Plan`]: the names, shapes and constants that follow from its
//! `config.json`. Loading fills the plan from files, making a random model fills it from a seed, a LoRA
//! looks its modules up in it. The blocks themselves are plain data that refer to layers by id.

mod component;
mod error;
mod export;
mod fit;
mod layers;
mod plan;
pub(crate) mod random;

pub use component::{StoredTensor, write_component};
pub use error::ModelError;
pub use layers::{Fresh, Layers, Trainable};
pub(crate) use layers::{channels_first, channels_last};
pub use plan::{
    ConvId, ConvSpec, Init, LayerInit, LinearId, LinearSpec, NormId, NormKind, NormSpec, Plan, TableId,
    TableSpec, TensorSpec,
};
