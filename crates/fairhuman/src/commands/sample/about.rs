//! The settings that a picture file carries: a text in the form that other programs read, and everything as
//! JSON.

use std::path::Path;

use fairhuman_diffusion::generate::{Picture, Settings};
use fairhuman_diffusion::sampler::Sampler;
use fairhuman_files::MARK;
use serde_json::json;

use super::control::Wanted;
use super::made_with::Hashes;
use crate::cli::{ModelChoice, Network};
use crate::model_path;

/// The settings of a picture.
pub struct About<'a> {
    /// Settings that all pictures share.
    pub settings: &'a Settings,
    /// Its own prompt and index.
    pub picture: &'a Picture,
    /// The model, as it was named.
    pub model: &'a ModelChoice,
    /// LoRA files and weights.
    pub loras: &'a [(Network, f32)],
    /// Hashes of LoRA files and control networks.
    pub hashes: &'a Hashes,
    /// Control networks, and the place of this picture's prompt among all.
    pub controls: (&'a [Wanted], usize),
    /// The picture that it began with, and how much of the way was walked again.
    pub init: Option<(&'a Path, f64)>,
    /// The mask of what was painted in it.
    pub mask: Option<&'a Path>,
    /// Width and height of the picture: those of the settings, or less.
    pub shown: (usize, usize),
}

impl About<'_> {
    /// Keywords and contents for a PNG file.
    pub fn chunks(&self) -> [(&'static str, String); 2] {
        [("parameters", self.parameters()), (MARK, self.json())]
    }

    /// Prompt, negative prompt, and a line of settings: the form of the AUTOMATIC1111 web interface.
    fn parameters(&self) -> String {
        let Settings { steps, guidance, seed, .. } = self.settings;
        let (width, height) = self.shown;
        let mut text = self.picture.prompt.clone();
        if let Some(negative) = &self.picture.negative {
            text.push_str(&format!("\nNegative prompt: {negative}"));
        }
        let sampler = match self.settings.sampler {
            Sampler::UniPc => "UniPC",
            Sampler::Ddim => "DDIM",
            Sampler::Euler => "Euler",
            Sampler::EulerAncestral => "Euler a",
            Sampler::DpmPp2m => "DPM++ 2M",
            Sampler::Heun => "Heun",
        };
        text.push_str(&format!(
            "\nSteps: {steps}, Sampler: {sampler}, CFG scale: {guidance}, Seed: {seed}, Size: {width}x{height}, \
             Model: {}",
            stem(&model_path::named(self.model))
        ));
        if self.settings.guidance_rescale > 0.0 {
            text.push_str(&format!(", CFG rescale: {}", self.settings.guidance_rescale));
        }
        if let Some((_, strength)) = self.init {
            text.push_str(&format!(", Denoising strength: {strength}"));
        }
        if !self.loras.is_empty() {
            let list: Vec<String> =
                self.loras.iter().map(|(file, weight)| format!("{}: {weight}", stem(&file.named))).collect();
            text.push_str(&format!(", Lora: \"{}\"", list.join(", ")));
        }
        for (i, control) in self.controls.0.iter().enumerate() {
            let (start, end) = control.span;
            text.push_str(&format!(
                ", ControlNet {i}: \"Model: {}, Weight: {}, Guidance Start: {start}, Guidance End: {end}\"",
                stem(&control.named),
                control.weight
            ));
        }
        text.push_str(&format!(
            ", Index: {}, Version: fairhuman {}",
            self.picture.index,
            env!("CARGO_PKG_VERSION")
        ));
        text
    }

    fn json(&self) -> String {
        let Settings { sampler, steps, guidance, seed, .. } = self.settings;
        let (width, height) = self.shown;
        let (controls, prompt) = self.controls;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "model": model_path::named(self.model).display().to_string(),
            "base": self.model.base.as_ref().map(Network::shown),
            "prediction": self.model.prediction,
            "vae": self.model.vae.as_ref().map(Network::shown),
            "clip_skip": self.model.clip_skip,
            "loras": self.hashes.loras(self.loras),
            "controls": self.hashes.controls(controls, prompt),
            "prompt": self.picture.prompt,
            "negative": self.picture.negative,
            "seed": seed,
            "index": self.picture.index,
            "sampler": sampler.name(),
            "steps": steps,
            "guidance": guidance,
            "guidance_rescale": self.settings.guidance_rescale,
            "width": width,
            "height": height,
            "init": self.init.map(|(file, _)| shown(file)),
            "mask": self.mask.map(shown),
            "strength": self.init.map(|(_, strength)| strength),
        })
        .to_string()
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// The last part of a path, without its ending if it is a file's; what comes after a dot in a name on the
/// Hub (`org/dream-1.5`) is no ending.
fn stem(path: &Path) -> String {
    let is_file = path.is_file() || path.extension().is_some_and(|end| end == "safetensors");
    let name = if is_file { path.file_stem() } else { path.file_name() };
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ending_of_a_file_is_left_out() {
        for (path, expected) in [
            ("models/dream.safetensors", "dream"),
            ("org/dream-1.5", "dream-1.5"),
            ("org/loras/style.v2.safetensors", "style.v2"),
            ("builtin", "builtin"),
        ] {
            assert_eq!(stem(Path::new(path)), expected);
        }
    }
}
