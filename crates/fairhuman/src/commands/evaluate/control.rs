//! Faces, hands and bodies as they should be in pictures that were made with a skeleton as control image, for
//! those of which no reference says it: read from the skeleton's colours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fairhuman_evaluate::{EvaluateError, Picture, PictureSet, Truth};
use fairhuman_pictures::photo;
use fairhuman_vision::skeleton;

/// A control image: what its skeleton shows, and its size; none where it is no skeleton.
type Control = Option<(Truth, (u32, u32))>;

/// Gives every picture without a truth that of its control image. Says of how many the control image cannot
/// be read any more.
///
/// # Errors
/// Pictures that cannot be read.
pub fn add_truth(sets: &mut [PictureSet]) -> Result<(), EvaluateError> {
    let mut known: BTreeMap<PathBuf, Result<Control, String>> = BTreeMap::new();
    let (mut read, mut lost, mut problem) = (0, 0, None);
    for set in sets {
        let folder = set.folder.clone();
        for picture in set.pictures.iter_mut().filter(|picture| picture.truth.is_none()) {
            let mut failed = None;
            for control in &picture.controls {
                let path = found(control, &folder);
                let control = known.entry(path).or_insert_with_key(|path| open(path));
                match control {
                    Ok(Some((truth, size))) => {
                        picture.truth = Some(truth.fitted(*size, size_of(picture)?));
                        break;
                    }
                    Ok(None) => {}
                    Err(error) => _ = failed.get_or_insert_with(|| error.clone()),
                }
            }
            match (&picture.truth, failed) {
                (Some(_), _) => read += 1,
                (None, Some(error)) => {
                    lost += 1;
                    problem.get_or_insert(error);
                }
                (None, None) => {}
            }
        }
    }
    if read > 0 {
        errln!("what should be in {read} pictures is read from the skeletons that they were made with");
    }
    if let Some(problem) = problem {
        errln!("note: of {lost} pictures the control image cannot be read, such as {problem}");
    }
    Ok(())
}

/// The file as it was named when the picture was made, or beside the picture.
fn found(control: &Path, folder: &Path) -> PathBuf {
    let beside = folder.join(control);
    if !control.is_file() && beside.is_file() { beside } else { control.to_path_buf() }
}

fn open(path: &Path) -> Result<Control, String> {
    let image = photo::read(path).map_err(|e| e.to_string())?;
    Ok(skeleton::read(&image).map(|drawn| (Truth::of_control(&drawn), image.dimensions())))
}

fn size_of(picture: &Picture) -> Result<(u32, u32), EvaluateError> {
    Ok(picture.read()?.0.dimensions())
}
