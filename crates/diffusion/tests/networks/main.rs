//! The networks against PyTorch, diffusers, transformers and PEFT, on small random models.

mod clip;
mod golden;
mod lora_apply;
mod pipeline;
mod unet;
mod vae;
