//! Properties of the geometry, for any picture, regions and model.

mod colours;
mod layout;
mod masks;
mod regions;
