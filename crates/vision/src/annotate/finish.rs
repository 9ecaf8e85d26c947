//! The files of a dataset as a whole: its list and its contact sheets, written when every photograph is done.

use std::path::Path;

use serde_json::json;

use super::{Annotation, LIST, Paths};
use crate::files::{self, FilesError};
use crate::sheet::{self, Entry};

/// Writes `metadata.jsonl` and the contact sheets.
pub(super) fn finish(
    out: &Path,
    annotations: &[(&String, Annotation)],
    problems: &[(String, String)],
) -> Result<(), FilesError> {
    let mut entries = Vec::new();
    let mut metadata = String::new();
    let mut thumbnails = Vec::new();
    for (name, annotation) in annotations {
        let paths = Paths::of(name);
        let found = &annotation.found;
        // Check the files themselves: a mask may have been added or deleted by hand.
        let mask = |i: usize| out.join(&paths.masks[i]).is_file().then(|| paths.masks[i].clone());
        let line = json!({
            "image": paths.image,
            "text": annotation.text,
            "mask_face": mask(0),
            "mask_hand": mask(1),
            "conditioning_image": paths.conditioning,
        });
        metadata += &format!("{line}\n");
        thumbnails.push(out.join(&paths.thumbnail));
        entries.push(Entry {
            thumbnail: paths.thumbnail,
            image: paths.image,
            text: annotation.text.clone(),
            faces: found.faces.iter().map(|f| f.score).collect(),
            hands: found.hands.iter().map(|f| f.score).collect(),
            people: found.count_people(),
            conditioning: paths.conditioning,
        });
    }
    files::folder(out)?;
    sheet::write_pages(out, &thumbnails)?;
    files::write(&out.join("index.html"), sheet::html(&entries, problems).as_bytes())?;
    let list = out.join(LIST);
    if let Ok(before) = fairhuman_files::read(&list)
        && before != metadata.as_bytes()
    {
        files::write(&out.join("metadata-before.jsonl"), &before)?;
    }
    files::write(&list, metadata.as_bytes())
}
