//! The program from outside: commands in temporary folders, with the tiny model and drawn people.

mod annotate;
mod check;
mod datasets;
mod replay;
mod resume;
mod train;
mod whole;
mod world;
