//! The networks, files, samplers and pictures against PyTorch, diffusers, transformers and PEFT, on small
//! random models.

mod clip;
mod control;
mod control_files;
mod golden;
mod guides;
mod inpaint;
mod lora_apply;
mod lora_file;
mod lora_kinds;
mod pictures;
mod pipeline;
mod plan;
mod residuals;
mod schedule;
mod single_file;
mod tokenizer;
mod trajectories;
mod unet;
mod union;
mod vae;
mod variants;
mod weights;
