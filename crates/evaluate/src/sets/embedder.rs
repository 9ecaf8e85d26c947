//! The seam between pictures and the features that sets are compared by.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_files::sha256_hex;
use image::RgbImage;
use serde_json::json;

use super::Features;
use super::features::{KeptFeatures, WHOLE};
use super::regions::{Place, Regions};
use crate::error::EvaluateError;
use crate::picture_set::{Picture, PictureSet};
use crate::run::Progress;

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

/// The features of a set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetFeatures {
    /// Of whole pictures, in their order.
    pub whole: Features,
    /// Of regions, by the names of [`super::REGIONS`].
    pub regions: BTreeMap<&'static str, Features>,
}

/// A picture with its features, or what these can be made of.
struct Work {
    input: String,
    image: RgbImage,
    place: Option<Place>,
    rows: Vec<(&'static str, Vec<f32>)>,
}

/// The features of a set's pictures, and of the regions that are cut out of each; none where it is told to
/// stop. What is known already is taken from `kept`, what is new added to it.
///
/// # Errors
/// Pictures or key points that cannot be read, a file of features that cannot be written.
pub fn embed(
    embedder: &dyn Embedder,
    set: &PictureSet,
    regions: Option<&Regions<'_>>,
    kept: &mut KeptFeatures,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<SetFeatures>, EvaluateError> {
    let mut found = SetFeatures::default();
    let total = set.pictures.len();
    for (batch, some) in set.pictures.chunks(BATCH).enumerate() {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let mut all = some.iter().map(|p| open(p, regions)).collect::<Result<Vec<_>, _>>()?;
        let mut new: Vec<&mut Work> =
            all.iter_mut().filter(|work| !kept.has(&work.input, embedder.identity())).collect();
        let scored = new.len();
        make(embedder, regions, &mut new);
        for (work, picture) in all.into_iter().zip(some) {
            let about = [set.folder.display().to_string(), picture.name.clone()];
            let rows = kept.rows((work.input, embedder.identity()), about, work.rows)?;
            for (kind, row) in rows {
                match *kind {
                    WHOLE => found.whole.push(row.clone()),
                    region => found.regions.entry(region).or_default().push(row.clone()),
                }
            }
        }
        progress(Progress { done: batch * BATCH + some.len(), total, scored });
    }
    Ok(Some(found))
}

/// Reads a picture, and says what its features depend on.
fn open(picture: &Picture, regions: Option<&Regions<'_>>) -> Result<Work, EvaluateError> {
    let (image, bytes) = picture.read()?;
    let place = regions.map(|regions| regions.place(picture)).transpose()?;
    let about = regions.zip(place.as_ref()).map(|(regions, place)| regions.about(place));
    let input = sha256_hex(json!([sha256_hex(&bytes), about]).to_string().as_bytes());
    Ok(Work { input, image, place, rows: Vec::new() })
}

/// Makes the features of some pictures.
fn make(embedder: &dyn Embedder, regions: Option<&Regions<'_>>, new: &mut [&mut Work]) {
    if new.is_empty() {
        return;
    }
    let images: Vec<&RgbImage> = new.iter().map(|work| &work.image).collect();
    let rows = embedder.embed(&images);
    let mut parts: Vec<(usize, &'static str, RgbImage)> = Vec::new();
    for (i, (work, row)) in new.iter_mut().zip(rows).enumerate() {
        work.rows.push((WHOLE, row));
        if let Some((regions, place)) = regions.zip(work.place.take()) {
            let cut = regions.cut(place, &work.image);
            parts.extend(cut.into_iter().map(|(kind, image)| (i, kind, image)));
        }
    }
    for some in parts.chunks(BATCH) {
        let rows = embedder.embed(&some.iter().map(|(_, _, image)| image).collect::<Vec<_>>());
        for ((i, kind, _), row) in some.iter().zip(rows) {
            new[*i].rows.push((kind, row));
        }
    }
}
