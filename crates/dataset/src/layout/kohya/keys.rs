//! The keys of sd-scripts' dataset configs: those that are applied, those that the recipe decides, and those
//! that would change what is trained on and cannot be applied.

use toml::Value;

/// Keys that are applied.
const APPLIED: [&str; 15] = [
    "image_dir",
    "num_repeats",
    "caption_extension",
    "class_tokens",
    "caption_prefix",
    "caption_suffix",
    "conditioning_data_dir",
    "alpha_mask",
    "shuffle_caption",
    "caption_separator",
    "keep_tokens",
    "caption_dropout_rate",
    "caption_tag_dropout_rate",
    "is_reg",
    "subsets",
];

/// Keys about training rather than data: the recipe decides.
const OF_THE_RECIPE: [&str; 16] = [
    "batch_size",
    "resolution",
    "enable_bucket",
    "bucket_no_upscale",
    "bucket_reso_steps",
    "max_bucket_reso",
    "min_bucket_reso",
    "resize_interpolation",
    "skip_image_resolution",
    "max_token_length",
    "validation_seed",
    "validation_split",
    "cache_info",
    "custom_attributes",
    "debug_dataset",
    "cache_latents",
];

/// Keys that are not applied, with what to do; values that switch them off are accepted.
const UNSUPPORTED: [(&str, &str); 12] = [
    ("flip_aug", "pictures are mirrored by `flip = 0.5` in the recipe's [geometry]"),
    ("random_crop", "crops are random with `crop = \"random\"` in the recipe's [geometry]"),
    ("color_aug", "colours are not varied here"),
    (
        "face_crop_aug_range",
        "pictures are not cropped around faces here; objectives with masks take its place",
    ),
    ("keep_tokens_separator", "only the first `keep_tokens` tags can be kept"),
    ("secondary_separator", "tags have one separator, `caption_separator`"),
    ("enable_wildcard", "captions are not expanded: write one caption per picture"),
    ("token_warmup_min", "all tags are used from the first step on"),
    ("token_warmup_step", "all tags are used from the first step on"),
    ("caption_dropout_every_n_epochs", "captions are left out by chance: set `caption_dropout_rate`"),
    ("metadata_file", "write its captions to text files beside the pictures, or to a metadata.jsonl"),
    ("network_multiplier", "a LoRA is trained at full strength"),
];

/// The meaning of a key with a value.
pub(super) enum Meaning {
    Applied,
    /// Without effect here; the recipe decides.
    Ignored,
    /// An error, and its message.
    Wrong(String),
}

/// Tells what a key of a dataset config means.
pub(super) fn meaning(key: &str, value: &Value) -> Meaning {
    if APPLIED.contains(&key) {
        return Meaning::Applied;
    }
    if OF_THE_RECIPE.contains(&key) {
        return Meaning::Ignored;
    }
    let Some((_, advice)) = UNSUPPORTED.iter().find(|(name, _)| *name == key) else {
        return Meaning::Wrong(format!("{key} is no key of a dataset config: is it misspelt?"));
    };
    let is_off = match value {
        Value::Boolean(on) => !on,
        Value::Integer(n) => *n == 0 || key == "network_multiplier" && *n == 1,
        Value::Float(n) => *n == 0.0 || key == "network_multiplier" && *n == 1.0,
        Value::String(text) => text.is_empty(),
        _ => false,
    };
    match is_off {
        true => Meaning::Ignored,
        false => Meaning::Wrong(format!("{key} = {value} cannot be applied: {advice}; remove the key")),
    }
}
