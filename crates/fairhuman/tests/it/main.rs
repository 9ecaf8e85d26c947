//! The program from outside: commands in temporary folders, with the tiny model and drawn people.

mod adapters;
mod annotate;
mod bf16;
mod caption;
mod check;
mod control;
mod control_training;
mod datasets;
mod edit;
mod evaluate;
mod evaluate_control;
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
mod processes;
mod profile;
mod quickstart;
mod refine;
mod refine_found;
mod refine_texts;
mod replay;
mod report;
mod resume;
mod sample;
mod samples;
mod single_file;
mod start;
mod tensorboard;
mod texts;
mod torch;
mod train;
mod union;
mod watch;
mod whole;
mod world;
