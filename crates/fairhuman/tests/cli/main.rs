//! The program from outside: commands in temporary folders, with the tiny model and drawn people.

mod replay;
mod resume;
mod train;
mod whole;
mod world;
