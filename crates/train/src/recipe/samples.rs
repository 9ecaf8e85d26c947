//! Which pictures a run makes of its network, and when.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::sampler::Sampler;
use serde::{Serialize, Serializer};

use super::bounds;
use super::raw::RawSamples;
use crate::problems::Problems;

/// Pictures of prompts while training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Samples {
    /// Prompts, a picture for each.
    pub prompts: Vec<String>,
    /// Control images: none, one for all prompts, or one for each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub control_images: Vec<PathBuf>,
    /// Negative prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub negative: Option<String>,
    /// Steps of training between them.
    pub every: u64,
    /// Sampler.
    #[serde(serialize_with = "name")]
    pub sampler: Sampler,
    /// Sampling steps.
    pub steps: usize,
    /// Scale of guidance.
    pub guidance: f64,
    /// Share in which the contrast that guidance adds is taken back.
    pub guidance_rescale: f64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Seed of the noise.
    pub seed: u64,
}

fn name<S: Serializer>(sampler: &Sampler, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(sampler.name())
}

/// With the defaults; `(width, height)` are those of the training pictures.
pub(super) fn samples(
    raw: RawSamples,
    base: &Path,
    (width, height): (u32, u32),
    problems: &mut Problems,
) -> Samples {
    let sampler = raw.sampler.map_or(Some(Sampler::default()), |name| {
        let sampler = name.parse().ok();
        let known = Sampler::ALL.map(Sampler::name).join(", ");
        problems.check(sampler.is_some(), "samples.sampler", &format!("one of {known}"), name);
        sampler
    });
    let samples = Samples {
        prompts: raw.prompts,
        control_images: raw.control_images.into_iter().map(|path| base.join(path)).collect(),
        negative: raw.negative,
        every: raw.every.unwrap_or(500),
        sampler: sampler.unwrap_or_default(),
        steps: raw.steps.unwrap_or(30),
        guidance: raw.guidance.unwrap_or(7.5),
        guidance_rescale: raw.guidance_rescale.unwrap_or(0.0),
        width: raw.width.unwrap_or(width),
        height: raw.height.unwrap_or(height),
        seed: raw.seed.unwrap_or(0),
    };
    problems.check(!samples.prompts.is_empty(), "samples.prompts", "at least one", "none");
    let (prompts, images) = (samples.prompts.len(), samples.control_images.len());
    let one_each = images <= 1 || images == prompts;
    problems.check(
        one_each,
        "samples.control_images",
        &format!("1, or {prompts} as there are prompts"),
        images,
    );
    problems.check(samples.every > 0, "samples.every", "at least 1", samples.every);
    problems.within(1..=bounds::SAMPLING_STEPS, "samples.steps", samples.steps);
    problems.within(-bounds::GUIDANCE..=bounds::GUIDANCE, "samples.guidance", samples.guidance);
    problems.within(0.0..=1.0, "samples.guidance_rescale", samples.guidance_rescale);
    problems.within(1..=bounds::SIDE, "samples.width", samples.width);
    problems.within(1..=bounds::SIDE, "samples.height", samples.height);
    samples
}
