//! The sizes of the presets, as configuration files.

use serde_json::{Value, json};

use super::Preset;

/// Tokens at most: the bytes twice, the two marks, and spellings for the corpus.
pub(super) const TOKENS: usize = 2048;

/// Phrases that the tokenizers of random models have short spellings for; everything else is spelt in
/// letters.
pub(super) const CORPUS: [&str; 24] = [
    "a photo of a person, a man, a woman, a boy, a girl, a child, people, two people, three people",
    "a photo of a person standing, sitting, walking, running, waving, pointing, dancing, reaching, kneeling",
    "a drawing of a person with both hands up, with a raised hand, with an open hand, with a closed fist",
    "a portrait of a woman smiling, laughing, looking at the camera, with long brown hair and glasses",
    "a portrait of a man with short black hair and a beard, smiling, looking to the left, to the right",
    "a person with five fingers, a hand showing one finger, two fingers, three fingers, four fingers, a thumb",
    "thumbs up, a victory sign, an open palm, a relaxed hand, a pointing finger, hands on the hips, hands together",
    "a face with eyes, eyebrows, a nose, a mouth, ears, cheeks, a chin; a happy face, a sad face, a surprised face",
    "wearing a red shirt and blue trousers, a green dress, a yellow coat, a white blouse, a black jacket, a hat",
    "wearing a striped sweater, a skirt, shorts, jeans, boots, shoes, a scarf, a tie, a suit, a pink hoodie",
    "with light skin, with dark skin, with brown skin, with tan skin, with blond hair, with red hair, with grey hair",
    "curly hair, straight hair, wavy hair, a ponytail, a bun, bald, a moustache",
    "in front of a plain background, in a park, on a street, in a room, at the beach, in the mountains, in a city",
    "a sunny day, at night, at sunset, in the rain, in the snow, under trees, near a window, by the sea",
    "on the left, on the right, in the middle, in the background, in the foreground, close up, from the side",
    "holding a cup, holding a book, holding a phone, holding a ball, holding flowers, playing the guitar",
    "orange, purple, violet, teal, beige, cream, maroon, navy, olive, turquoise, silver, gold, brown, grey",
    "a group of three friends standing side by side and waving at the camera with open hands",
    "a tall man and a short woman holding hands; an old man, a young woman, a baby, a family",
    "a detailed, realistic, high quality photograph, sharp focus, natural light, 8k",
    "blurry, low quality, deformed hands, extra fingers, missing fingers, bad anatomy, cropped",
    "one person stands and waves with the left hand, wearing a blue shirt and a hat, in front of a green hill",
    "two persons sit on a bench and smile, one with an open palm and the other with a thumbs up",
    "a figure with arms raised, arms down, arms crossed, legs apart, head tilted, body turned",
];

/// The words of drawn people's captions.
pub(super) const PEOPLE: [&str; 8] = [
    "a an and angry at back background bald balloon beach beanie beard behind bench black blond blue bob both boy",
    "braids brown bun calm cap chin city close cream curly dark dotted dress fingers fist flower forest girl gives",
    "glasses gray green hair hand hands hat hips holds ice in jacket jumps laughing light long makes man moustache of",
    "old on open orange palm park peace people pink points ponytail portrait purple raises red room sad shirt short",
    "shorts shows side sign signs sits skin skirt smiling snow spiky stands striped sunset surprised sweater tan the",
    "three thumb thumbs to trousers two up view walks waves white winking with woman yellow",
    "women men girls boys person figure drawing picture photo",
    "one four five many left right top bottom face faces eyes mouth nose arm arms leg legs shoe shoes",
];

/// The text that a preset's tokenizers are trained on.
pub(super) fn corpus(preset: Preset) -> Vec<&'static str> {
    match preset {
        // What occurs twice gets a token of its own.
        Preset::Small => PEOPLE.repeat(2),
        _ => CORPUS.to_vec(),
    }
}

/// Sizes that a preset's configurations are made from.
pub(super) struct Sizes {
    sample: usize,
    channels: [usize; 3],
    layers: usize,
    depth: [usize; 3],
    heads: [usize; 3],
    groups: usize,
    time_dim: usize,
    /// Width, inner width, layers and heads of the two text encoders.
    text: [[usize; 4]; 2],
    pooled: usize,
    /// Tokens that the text encoders have room for; none: as many as the tokenizer has.
    vocabulary: Option<usize>,
    vae_channels: &'static [usize],
    vae_layers: usize,
    vae_groups: usize,
}

impl Sizes {
    pub(super) fn of(preset: Preset) -> Self {
        match preset {
            Preset::Tiny => Self {
                sample: 32,
                channels: [32, 64, 64],
                layers: 1,
                depth: [1, 1, 2],
                heads: [1, 2, 2],
                groups: 8,
                time_dim: 8,
                text: [[16, 64, 2, 2], [16, 64, 2, 2]],
                pooled: 24,
                vocabulary: None,
                vae_channels: &[16, 32, 32, 32],
                vae_layers: 1,
                vae_groups: 8,
            },
            Preset::Small => Self {
                sample: 24,
                channels: [64, 128, 160],
                layers: 1,
                depth: [1, 1, 1],
                heads: [2, 4, 5],
                groups: 16,
                time_dim: 8,
                text: [[64, 256, 3, 2], [64, 256, 3, 2]],
                pooled: 64,
                vocabulary: None,
                vae_channels: &[16, 32, 64],
                vae_layers: 1,
                vae_groups: 8,
            },
            Preset::Mini => Self {
                sample: 32,
                channels: [64, 128, 256],
                layers: 2,
                depth: [1, 2, 4],
                heads: [1, 2, 4],
                groups: 32,
                time_dim: 32,
                text: [[128, 512, 4, 4], [128, 512, 4, 4]],
                pooled: 128,
                vocabulary: None,
                vae_channels: &[16, 32, 32, 32],
                vae_layers: 1,
                vae_groups: 8,
            },
            Preset::Sdxl => Self {
                sample: 128,
                channels: [320, 640, 1280],
                layers: 2,
                depth: [1, 2, 10],
                heads: [5, 10, 20],
                groups: 32,
                time_dim: 256,
                text: [[768, 3072, 12, 12], [1280, 5120, 32, 20]],
                pooled: 1280,
                vocabulary: Some(49_408),
                vae_channels: &[128, 256, 512, 512],
                vae_layers: 2,
                vae_groups: 32,
            },
        }
    }

    pub(super) fn unet(&self) -> Value {
        json!({
            "_class_name": "UNet2DConditionModel",
            "_diffusers_version": "0.32.2",
            "act_fn": "silu",
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": self.time_dim,
            "attention_head_dim": self.heads,
            "block_out_channels": self.channels,
            "cross_attention_dim": self.text[0][0] + self.text[1][0],
            "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
            "downsample_padding": 1,
            "flip_sin_to_cos": true,
            "freq_shift": 0,
            "in_channels": 4,
            "layers_per_block": self.layers,
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "norm_eps": 1e-5,
            "norm_num_groups": self.groups,
            "out_channels": 4,
            "projection_class_embeddings_input_dim": 6 * self.time_dim + self.pooled,
            "sample_size": self.sample,
            "transformer_layers_per_block": self.depth,
            "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
            "use_linear_projection": true,
        })
    }

    pub(super) fn vae(&self) -> Value {
        json!({
            "_class_name": "AutoencoderKL",
            "_diffusers_version": "0.32.2",
            "act_fn": "silu",
            "block_out_channels": self.vae_channels,
            "down_block_types": vec!["DownEncoderBlock2D"; self.vae_channels.len()],
            "force_upcast": true,
            "in_channels": 3,
            "latent_channels": 4,
            "layers_per_block": self.vae_layers,
            "norm_num_groups": self.vae_groups,
            "out_channels": 3,
            "sample_size": self.sample << (self.vae_channels.len() - 1),
            "scaling_factor": 0.13025,
            "up_block_types": vec!["UpDecoderBlock2D"; self.vae_channels.len()],
        })
    }

    pub(super) fn text_encoder(&self, tokens: usize) -> Value {
        let mut config = self.text(0, tokens, "CLIPTextModel");
        config["hidden_act"] = json!("quick_gelu");
        config["pad_token_id"] = json!(tokens - 1);
        config
    }

    pub(super) fn text_encoder_2(&self, tokens: usize) -> Value {
        let mut config = self.text(1, tokens, "CLIPTextModelWithProjection");
        config["hidden_act"] = json!("gelu");
        config["pad_token_id"] = json!(0);
        config
    }

    fn text(&self, which: usize, tokens: usize, class: &str) -> Value {
        let [width, inner, layers, heads] = self.text[which];
        json!({
            "architectures": [class],
            "attention_dropout": 0.0,
            // A tokenizer's last two tokens.
            "bos_token_id": tokens - 2,
            "eos_token_id": tokens - 1,
            "hidden_size": width,
            "intermediate_size": inner,
            "layer_norm_eps": 1e-5,
            "max_position_embeddings": 77,
            "model_type": "clip_text_model",
            "num_attention_heads": heads,
            "num_hidden_layers": layers,
            "projection_dim": self.pooled,
            "vocab_size": self.vocabulary.unwrap_or(tokens),
        })
    }
}

/// SDXL base's; the small model predicts velocities, which are learnt sooner.
pub(super) fn scheduler(preset: Preset) -> Value {
    let prediction = if preset == Preset::Small { "v_prediction" } else { "epsilon" };
    json!({
        "_class_name": "EulerDiscreteScheduler",
        "_diffusers_version": "0.32.2",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": prediction,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "use_karras_sigmas": false,
    })
}
