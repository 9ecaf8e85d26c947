//! The `fairhuman` command.
fn main() {}
