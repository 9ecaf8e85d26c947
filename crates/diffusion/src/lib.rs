//! Stable Diffusion's networks and their files: SD 1.5, SD 2.x and SDXL, read from diffusers folders.
//!
//! ```no_run
//! use fairhuman_diffusion::pipeline::Pipeline;
//! use fairhuman_engine::Cpu;
//!
//! let backend = Cpu::new(4)?;
//! let model = Pipeline::open(&backend, "stable-diffusion-xl".as_ref())?;
//! let text = model.text.encode(&backend, &["a woman waving"])?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - [`pipeline`] opens a whole folder; [`unet`], [`vae`] and [`clip`] are its networks, [`tokenizer`] and
//!   [`schedule`] the rest. All networks are generic over the engine's backend and run on its tape.
//! - [`controlnet`] and [`adapter`] are networks that a control image steers a U-Net with; [`control`] tells
//!   them apart.
//! - [`net`] has their building blocks: a plan of named layers, filled from files, a seed or a trainer.
//! - [`lora`] puts LoRAs on a network and merges them; [`lora_file`] reads and writes their files.
//! - [`weights`] maps safetensors files; [`config_check`] reads configurations and refuses keys it does not
//!   know.
//! - [`sampler`] integrates from noise to clean latents; [`generate`] makes pictures of prompts.
//! - [`init`] makes random models.
//!
//! A setting that changes the mathematics and is not implemented is an error that names it, as is a tensor
//! that is missing or left over. Golden files from PyTorch hold every network to its original.
//!
//! Not here: training, picture files, pickled weights, single-file checkpoints.

pub mod adapter;
pub mod clip;
pub mod config_check;
pub mod control;
mod control_network;
pub mod controlnet;
pub mod generate;
pub mod init;
pub mod lora;
pub mod lora_file;
pub mod net;
pub mod pipeline;
pub mod sampler;
pub mod schedule;
pub mod single_file;
pub mod tokenizer;
pub mod unet;
pub mod vae;
pub mod weights;
