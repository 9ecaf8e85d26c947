//! The program from outside: commands in temporary folders, with the tiny model and drawn people.

mod annotate;
mod bf16;
mod check;
mod control;
mod control_training;
mod datasets;
mod evaluate;
mod every;
mod hub;
mod init;
mod inpaint;
#[cfg(target_os = "linux")]
mod memory;
mod merge;
#[cfg(unix)]
mod no_file;
#[cfg(unix)]
mod numbers;
mod overwriting;
#[cfg(unix)]
mod pipe;
mod quickstart;
mod refine;
mod refine_found;
mod replay;
mod report;
mod resume;
mod sample;
mod samples;
mod single_file;
mod torch;
mod train;
mod union;
mod whole;
mod world;
