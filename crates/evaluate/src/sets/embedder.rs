//! The seam between pictures and the features that sets are compared by.

use std::sync::atomic::{AtomicBool, Ordering};

use image::RgbImage;

use super::Features;
use crate::error::EvaluateError;
use crate::picture_set::Picture;

/// A network that makes a row of numbers of a picture.
pub trait Embedder {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Everything that decides its features beside the picture.
    fn identity(&self) -> &str;

    /// The features of pictures.
    fn embed(&self, images: &[&RgbImage]) -> Features;
}

/// Pictures of one pass.
const BATCH: usize = 8;

/// The features of pictures, and of what `parts` cuts out of each; none where it is told to stop.
///
/// # Errors
/// Pictures that cannot be read.
pub fn embed(
    embedder: &dyn Embedder,
    pictures: &[Picture],
    parts: &mut dyn FnMut(usize, &RgbImage) -> Vec<RgbImage>,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(usize),
) -> Result<Option<(Features, Features)>, EvaluateError> {
    let (mut whole, mut cut) = (Features::new(), Features::new());
    for (batch, some) in pictures.chunks(BATCH).enumerate() {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let images = some.iter().map(|picture| Ok(picture.read()?.0));
        let images = images.collect::<Result<Vec<_>, EvaluateError>>()?;
        whole.extend(embedder.embed(&images.iter().collect::<Vec<_>>()));
        let parts: Vec<RgbImage> =
            images.iter().enumerate().flat_map(|(i, image)| parts(batch * BATCH + i, image)).collect();
        for some in parts.chunks(BATCH) {
            cut.extend(embedder.embed(&some.iter().collect::<Vec<_>>()));
        }
        progress(batch * BATCH + some.len());
    }
    Ok(Some((whole, cut)))
}
