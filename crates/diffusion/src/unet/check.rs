//! Checks of what an evaluation of a U-Net or of a ControlNet is given.

use fairhuman_engine::Backend;

use super::{Added, TextAttentions, TextContext, UNetConfig};
use crate::net::ModelError;

/// Inputs that a U-Net and a ControlNet have in common.
pub(crate) struct Given<'a, B: Backend> {
    /// Shape of the latents.
    pub latents: &'a [usize],
    pub timesteps: &'a [f32],
    pub text: &'a TextContext<B>,
    pub added: Option<&'a Added<B>>,
}

impl<B: Backend> Given<'_, B> {
    /// Checks that they fit the configuration and each other; the number of samples, and height and width of
    /// the latents.
    pub(crate) fn check(
        &self,
        c: &UNetConfig,
        attentions: &TextAttentions<'_, B>,
    ) -> Result<(usize, (usize, usize)), ModelError> {
        let model = attentions.model;
        let (n, size) = match *self.latents {
            [n, h, w, channels] if n > 0 && h > 0 && w > 0 && channels == c.in_channels => (n, (h, w)),
            _ => {
                let expected = format!("[N, h, w, {}]", c.in_channels);
                return Err(ModelError::shape(model, "latents", self.latents, &expected));
            }
        };
        attentions.check(self.text, n)?;
        let one_each = |input, found: usize| match found == n {
            true => Ok(()),
            false => Err(ModelError::shape(model, input, &[found], &format!("[{n}], one for each sample"))),
        };
        one_each("timesteps", self.timesteps.len())?;
        let problem = |problem: &str| {
            Err(ModelError::Input { model, input: "added conditions", problem: problem.into() })
        };
        match (self.added, c.added) {
            (None, None) => {}
            (Some(_), None) => {
                return problem("are given, but this network has none (it is not SDXL's)");
            }
            (None, Some(_)) => {
                return problem("are absent, but this network (SDXL's) needs pooled text and sizes");
            }
            (Some(added), Some(settings)) => {
                let (pooled, expected) = (added.pooled.shape(), [n, settings.pooled]);
                if pooled != expected {
                    return Err(ModelError::shape(model, "pooled text", pooled, &format!("{expected:?}")));
                }
                one_each("time_ids", added.time_ids.len())?;
            }
        }
        Ok((n, size))
    }
}
