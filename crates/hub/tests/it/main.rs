//! The cache and the download, with a server of the tests' own on this machine.

mod downloads;
mod names;
mod server;
