//! The tests of the people crate: drawn pictures, and dataset folders of them.

mod datasets;
mod pictures;
