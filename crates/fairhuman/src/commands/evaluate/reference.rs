//! Faces and hands as they should be, from a folder of reference pictures: exact key points of drawn people,
//! or what the detectors find in them, which is kept beside the scores.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_evaluate::detection::Detection;
use fairhuman_evaluate::{Judge, KeptTruths, Picture, PictureSet, Truth};

use super::note_damaged;
use crate::meter::Meter;

/// The faces and hands of a reference picture, and its size.
type Shown = (Truth, (u32, u32));

/// Gives every picture the truth of the reference picture that belongs to it: the one that its control image
/// is named after, else the first one of its prompt. Says how many have none. False where it is told to stop.
///
/// # Errors
/// A folder or pictures that cannot be read, a file of findings that cannot be written.
pub fn add_truth(
    sets: &mut [PictureSet],
    folder: &Path,
    judge: &Detection<'_>,
    (kept, stop): (&Path, &AtomicBool),
) -> anyhow::Result<bool> {
    let reference = PictureSet::open(folder, None)?;
    let Some(truths) = truths(&reference, sets, judge, (kept, stop))? else { return Ok(false) };
    let mut without = 0;
    for picture in sets.iter_mut().flat_map(|set| &mut set.pictures) {
        let controlled = reference.pictures.iter().position(|own| is_control_of(own, picture));
        let own = controlled.or_else(|| reference.pictures.iter().position(|own| belongs(own, picture)));
        match own.and_then(|i| truths[i].as_ref()) {
            Some((truth, size)) => {
                let (image, _) = picture.read()?;
                picture.truth = Some(truth.fitted(*size, image.dimensions()));
            }
            None => without += 1,
        }
    }
    if without > 0 {
        errln!("note: {without} pictures have no reference picture of their control image or prompt");
    }
    Ok(true)
}

/// The truth of each reference picture, none of those that nobody asks for; none of all where it is told to
/// stop.
fn truths(
    reference: &PictureSet,
    sets: &[PictureSet],
    judge: &Detection<'_>,
    (file, stop): (&Path, &AtomicBool),
) -> anyhow::Result<Option<Vec<Option<Shown>>>> {
    let meter = Meter::new("reference pictures");
    // Key points need nobody to look, and no file.
    let mut kept = match reference.pictures.iter().any(|picture| picture.keypoints.is_none()) {
        true => Some(KeptTruths::open(file)?),
        false => None,
    };
    note_damaged(file, kept.as_ref().map_or(0, KeptTruths::damaged));
    let mut truths = Vec::new();
    for (i, picture) in reference.pictures.iter().enumerate() {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        if !sets.iter().flat_map(|set| &set.pictures).any(|other| belongs(picture, other)) {
            truths.push(None);
            continue;
        }
        let (image, bytes) = picture.read()?;
        let about = (reference.folder.as_path(), picture.name.as_str());
        let truth = match (&picture.keypoints, &mut kept) {
            (Some(file), _) => Truth::read(file)?,
            (None, Some(kept)) => kept.get(about, &bytes, judge.identity(), || judge.truth(&image))?,
            (None, None) => judge.truth(&image),
        };
        truths.push(Some((truth, image.dimensions())));
        meter.advance(i + 1, reference.pictures.len(), true);
    }
    meter.finish();
    kept.map(KeptTruths::finish).transpose()?;
    Ok(Some(truths))
}

fn is_control_of(reference: &Picture, picture: &Picture) -> bool {
    let stem = Path::new(&reference.name).file_stem();
    picture.controls.iter().any(|control| control.file_stem() == stem)
}

fn belongs(reference: &Picture, picture: &Picture) -> bool {
    is_control_of(reference, picture) || (reference.prompt.is_some() && reference.prompt == picture.prompt)
}
