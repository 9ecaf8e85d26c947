//! The tests of the report crate: the page for all kinds of runs, and reading run folders.

mod folders;
mod page;
mod runs;
