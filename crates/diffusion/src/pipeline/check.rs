//! A whole model folder, checked without reading a weight.

use super::ModelFolder;
use super::text::check_vocabulary;
use crate::net::ModelError;
use crate::schedule::NoiseSchedule;
use crate::tokenizer::ClipTokenizer;
use crate::unet::UNetConfig;
use crate::vae::VaeConfig;
use crate::{clip, unet, vae};

impl ModelFolder {
    /// Checks everything that training and sampling open: configurations, names, shapes and types of all
    /// weights, tokenizers, the schedule, and that the parts fit each other. Weights are not read.
    ///
    /// # Errors
    /// The first that is missing, damaged or does not fit.
    pub fn check(&self) -> Result<(UNetConfig, VaeConfig), ModelError> {
        NoiseSchedule::read(&self.schedule())?;
        let unet = unet::check_files(&self.unet())?;
        let vae = vae::check_files(&self.vae())?;
        let (mut width, mut pooled) = (0, None);
        for (tokens, weights, _) in self.texts() {
            let (tokenizer, encoder) = (ClipTokenizer::open(&tokens)?, clip::check_files(&weights)?);
            check_vocabulary((&tokens, &tokenizer), (&weights, &encoder))?;
            width += encoder.width;
            pooled = encoder.projection;
        }
        self.check_text(&unet, width, pooled)?;
        Ok((unet, vae))
    }
}
