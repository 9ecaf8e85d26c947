//! Names that other trainers have for the keys of a recipe: kohya's sd-scripts, diffusers and PEFT,
//! ai-toolkit, OneTrainer, SimpleTuner.

/// The counterpart of another trainer's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Here {
    /// A key, by its tables.
    Key(&'static str),
    /// Words, where no single key has its place.
    Words(&'static str),
}

use Here::{Key, Words};

const STEPS: &str = "a run is as long as `steps` says: epochs times pictures over `batch`";
const RATE: &str = "optimizer.learning_rate";
const ALWAYS: &str = "it is not needed: that is always so";
const NONE: &str = "there is no such choice here";

/// Other names, in small letters with underlines, and what takes their place.
const NAMES: &[(&[&str], Here)] = &[
    (&["network_dim", "network_rank", "lora_rank", "lora_dim", "linear", "r", "dim"], Key("lora.rank")),
    (&["network_alpha", "lora_alpha", "linear_alpha"], Key("lora.alpha")),
    (&["target_modules", "lora_target_modules", "layer_filter", "lora_layers"], Key("lora.targets")),
    (&["network_module", "network_type", "peft_type", "adapter_type", "training_method"], Key("method")),
    (&["network_weights", "lora_model_name", "init_lora", "lora_weights"], Key("lora.from")),
    (
        &["conv_dim", "conv_alpha"],
        Words("convolutions have the same rank: targets = [\"attention\", \"conv\"] in [lora]"),
    ),
    (
        &["network_dropout", "rank_dropout", "module_dropout", "lora_dropout", "dropout_probability"],
        Words(NONE),
    ),
    (&["lr", "unet_lr", "base_lr", "learning_rate"], Key(RATE)),
    (
        &["text_encoder_lr", "text_encoder_learning_rate", "train_text_encoder"],
        Words(
            "a LoRA here has the U-Net alone; method = \"full\" trains text encoders, with [full] text_encoders = true, at the same rate",
        ),
    ),
    (
        &["optimizer_type", "optimizer_name"],
        Words("the optimiser is AdamW; its constants are in [optimizer]"),
    ),
    (&["adam_beta1"], Key("optimizer.beta1")),
    (&["adam_beta2"], Key("optimizer.beta2")),
    (&["adam_epsilon", "adam_eps"], Key("optimizer.eps")),
    (&["adam_weight_decay"], Key("optimizer.weight_decay")),
    (&["lr_scheduler", "learning_rate_scheduler", "scheduler"], Key("schedule.decay")),
    (&["lr_warmup_steps", "learning_rate_warmup_steps", "warmup_steps", "warm_up"], Key("schedule.warmup")),
    (&["train_batch_size", "batch_size", "per_device_train_batch_size"], Key("batch")),
    (&["gradient_accumulation_steps", "gradient_accumulation", "grad_accumulation"], Key("accumulation")),
    (&["max_train_steps", "max_steps", "total_steps", "num_train_steps", "train_steps"], Key("steps")),
    (&["max_train_epochs", "num_train_epochs", "epochs", "epoch", "num_epochs"], Words(STEPS)),
    (&["gradient_checkpointing"], Key("activation_checkpointing")),
    (&["clip_grad_norm", "gradient_clipping"], Key("max_grad_norm")),
    (&["snr_gamma", "min_snr"], Key("min_snr_gamma")),
    (
        &["mixed_precision", "train_dtype", "dtype", "full_bf16", "full_fp16", "weight_dtype"],
        Key("precision"),
    ),
    (&["ema_decay", "use_ema", "ema_config"], Key("ema")),
    (&["train_seed"], Key("seed")),
    (
        &["output_dir", "workspace_dir", "training_folder", "output_name", "output_model_destination"],
        Key("out"),
    ),
    (&["cache_dir", "cache_text_encoder_outputs"], Key("cache")),
    (
        &["cache_latents", "cache_latents_to_disk"],
        Words("it is not needed: latents are always cached, on disk, where `cache` says"),
    ),
    (
        &[
            "pretrained_model_name_or_path",
            "base_model_name",
            "name_or_path",
            "model_name_or_path",
            "checkpoint",
        ],
        Key("model.path"),
    ),
    (&["pretrained_vae_model_name_or_path", "vae_path"], Key("model.vae")),
    (&["clip_skip", "text_encoder_layer_skip"], Key("model.clip_skip")),
    (&["v_parameterization", "v2", "is_v_pred", "prediction_type"], Key("model.prediction")),
    (
        &[
            "train_data_dir",
            "image_dir",
            "instance_data_dir",
            "folder_path",
            "dataset_name",
            "data_dir",
            "concept_file_name",
        ],
        Key("dataset.path"),
    ),
    (&["caption_ext"], Key("dataset.caption_extension")),
    (&["shuffle_caption", "shuffle_tokens", "shuffle_tags"], Key("dataset.captions.shuffle")),
    (&["keep_tokens", "keep_tags_count"], Key("dataset.captions.keep")),
    (&["caption_separator", "tag_delimiter"], Key("dataset.captions.separator")),
    (
        &["caption_dropout_rate", "caption_dropout", "proportion_empty_prompts"],
        Key("dataset.captions.dropout"),
    ),
    (&["caption_tag_dropout_rate", "token_dropout_rate"], Key("dataset.captions.tag_dropout")),
    (&["num_repeats", "repeats"], Key("dataset.folders.repeats")),
    (&["resolution", "image_size", "size"], Words("here they are `width` and `height` in [geometry]")),
    (&["flip_aug", "random_flip", "flip_x"], Key("geometry.flip")),
    (&["random_crop", "center_crop"], Key("geometry.crop")),
    (&["enable_bucket", "aspect_ratio_bucketing"], Words("a table [geometry.buckets] switches them on")),
    (&["min_bucket_reso"], Key("geometry.buckets.min_side")),
    (&["max_bucket_reso"], Key("geometry.buckets.max_side")),
    (&["bucket_reso_steps"], Key("geometry.buckets.step")),
    (
        &["masked_loss", "masked_training", "mask_path", "unmasked_weight"],
        Words("each region is an objective: [[objective]] with name and mask"),
    ),
    (&["save_every_n_steps", "save_every", "checkpointing_steps", "save_steps"], Key("checkpoints.every")),
    (&["max_step_saves_to_keep", "checkpoints_total_limit", "save_last_n_steps"], Key("checkpoints.keep")),
    (&["sample_prompts", "validation_prompt", "validation_prompts"], Key("samples.prompts")),
    (&["sample_every_n_steps", "sample_every", "validation_steps", "sample_after"], Key("samples.every")),
    (&["sample_sampler"], Key("samples.sampler")),
    (&["sample_steps", "num_inference_steps"], Key("samples.steps")),
    (&["guidance_scale", "cfg_scale"], Key("samples.guidance")),
    (&["negative_prompt", "neg"], Key("samples.negative")),
    (&["logging_dir", "report_to", "log_with", "tensorboard"], Key("log.tensorboard")),
    (&["logging_steps", "log_every"], Words("every step is in the run's events.jsonl")),
    (
        &["num_workers", "max_data_loader_n_workers", "dataloader_num_workers"],
        Words("pictures of the next step are read while one is computed, by as many `threads` as there are"),
    ),
    (&["xformers", "sdpa", "mem_eff_attn", "fused_attention"], Words(ALWAYS)),
    (&["allow_tf32", "noise_offset", "multires_noise_iterations", "zero_terminal_snr"], Words(NONE)),
    (&["network", "network_arguments", "lora_config"], Words("the adapter's table is [lora]")),
    (
        &["train", "training_arguments", "training"],
        Words("keys of training come before the first [table]; `learning_rate` is in [optimizer]"),
    ),
    (&["optimizer_arguments"], Words("the table is [optimizer]")),
    (
        &["datasets", "data", "concepts", "dataset_arguments", "subsets"],
        Words("the table is [dataset], and parts of it are [[dataset.folders]]"),
    ),
    (&["sample", "sample_arguments", "sampling"], Words("the table is [samples]")),
    (&["save", "saving_arguments", "checkpoint_arguments"], Words("the table is [checkpoints]")),
    (&["objectives"], Words("each is a table of its own, [[objective]]")),
];

/// The counterpart of another trainer's key.
pub fn find(key: &str) -> Option<Here> {
    let key = key.to_lowercase().replace('-', "_");
    NAMES.iter().find(|(names, _)| names.contains(&key.as_str())).map(|(_, here)| *here)
}

#[cfg(test)]
mod tests {
    use super::super::unknown::keys;
    use super::*;

    #[test]
    fn every_counterpart_is_a_key_and_no_name_is_there_twice() {
        let keys = keys(&super::super::schema());
        let mut seen = std::collections::BTreeSet::new();
        for (names, here) in NAMES {
            if let Key(key) = here {
                assert!(keys.iter().any(|known| known == key), "{key}");
            }
            for name in *names {
                assert!(seen.insert(name), "{name}");
                assert!(!keys.iter().any(|key| key == name), "{name} is a key itself");
            }
        }
    }
}
