//! The engine's promises, as named theorems. Everything here is small and takes seconds. Those that every
//! backend is held to are in `engine-conformance`; here is one module for each backend, with what is special
//! to it.

mod cpu;
mod reference;
