//! Faces and hands as they should be, from a folder of reference pictures: exact key points of drawn people,
//! or what the detectors find in them.

use std::path::Path;

use fairhuman_evaluate::detection::Detection;
use fairhuman_evaluate::{Picture, PictureSet, Truth};

use crate::meter::Meter;

/// Gives every picture the truth of the reference picture that belongs to it: the one that its control image
/// is named after, else the first one of its prompt. Says how many have none.
///
/// # Errors
/// A folder or pictures that cannot be read.
pub fn add_truth(sets: &mut [PictureSet], folder: &Path, judge: &Detection<'_>) -> anyhow::Result<()> {
    let reference = PictureSet::open(folder, None)?;
    let meter = Meter::new("reference pictures");
    let wanted: Vec<bool> = reference
        .pictures
        .iter()
        .map(|own| sets.iter().flat_map(|set| &set.pictures).any(|p| belongs(own, p)))
        .collect();
    let mut truths: Vec<Option<(Truth, (u32, u32))>> = Vec::new();
    for (i, picture) in reference.pictures.iter().enumerate() {
        if !wanted[i] {
            truths.push(None);
            continue;
        }
        let (image, _) = picture.read()?;
        let truth = match &picture.keypoints {
            Some(file) => Truth::read(file)?,
            None => judge.truth(&image),
        };
        truths.push(Some((truth, image.dimensions())));
        meter.advance(i + 1, reference.pictures.len(), true);
    }
    meter.finish();
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
    Ok(())
}

fn is_control_of(reference: &Picture, picture: &Picture) -> bool {
    let stem = Path::new(&reference.name).file_stem();
    picture.controls.iter().any(|control| control.file_stem() == stem)
}

fn belongs(reference: &Picture, picture: &Picture) -> bool {
    is_control_of(reference, picture) || (reference.prompt.is_some() && reference.prompt == picture.prompt)
}
