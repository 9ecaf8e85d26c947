//! One file per command: options in, work of the libraries, a few lines out.

pub mod annotate;
pub mod caption;
pub mod check;
pub mod control;
pub mod convert;
mod drawn_pose;
pub mod edit;
pub mod evaluate;
mod finders;
pub mod init;
pub mod init_control;
pub mod init_model;
mod mask_file;
pub mod merge;
pub mod models;
pub mod people;
mod png_names;
pub mod quickstart;
pub mod refine;
pub mod replay;
pub mod report;
pub mod sample;
pub mod text;
mod there;
pub mod train;
pub mod version;
pub mod watch;
