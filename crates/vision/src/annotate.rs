//! From a folder of photographs to a dataset: masks, control images, captions and a contact sheet.
//!
//! ```text
//! images/PHOTO                      the photograph itself (linked where the disk allows, else copied)
//! masks/face/PHOTO.png              white where a face is; absent where there is none
//! masks/hand/PHOTO.png
//! conditioning/PHOTO.png            bodies, hands and faces in OpenPose's colours
//! annotations/PHOTO.json            boxes, scores, key points; and the proof that the photograph is done
//! thumbnails/PHOTO.jpg              with frames and scores, for the contact sheet
//! metadata.jsonl                    image, text, mask_face, mask_hand, conditioning_image; written last
//! index.html, contact-sheet*.png    to look at
//! ```
//! PHOTO is the photograph's path with its ending, so that no two photographs share a name. A photograph's
//! annotation is written after its other files: the same command again continues. What a person changes stays: masks
//! ([`crate::mended`]), and a changed `metadata.jsonl` as `metadata-before.jsonl`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::detectors::Detectors;
use crate::files::{self, FilesError};
use crate::finder::Finders;
use crate::look::{Findings, Look};
use crate::masks::{self, Shape};
use crate::mended::Own;
use crate::models::sum;
use crate::photo;
use crate::sheet::{self, Entry};
use crate::skeleton::skeleton;

/// What to look for and how to write it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Look a second time, for small faces and hands.
    pub second_look: bool,
    /// Form of the masks.
    pub shape: Shape,
    /// Caption of a photograph without a `.txt` file: `{people}` becomes "nobody", "one person" or "3 people",
    /// `{name}` the file's name in words.
    pub caption: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { second_look: true, shape: Shape::Box, caption: "a photo of {people}".into() }
    }
}

/// How far the work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Photographs finished, this one included.
    pub done: usize,
    /// All photographs.
    pub total: usize,
    /// This one, relative to the folder.
    pub photo: String,
    /// What happened to it.
    pub outcome: Outcome,
}

/// What happened to a photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Looked at: numbers of faces and hands.
    Annotated(usize, usize),
    /// Found finished by an earlier run.
    Kept,
    /// Cannot be used, and why.
    Skipped(String),
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Photographs in the dataset.
    pub photographs: usize,
    /// Those looked at by this run.
    pub annotated: usize,
    /// Those with a face.
    pub with_faces: usize,
    /// Those with a hand.
    pub with_hands: usize,
    /// Masks that a person painted, added or deleted, and that were left alone.
    pub mended: usize,
    /// Files left out and why.
    pub problems: Vec<(String, String)>,
    /// Whether the run was interrupted: the dataset's own files are then not written yet. Nor are they where no
    /// photograph could be used.
    pub interrupted: bool,
}

/// A photograph's annotation as stored.
#[derive(Debug, Serialize, Deserialize)]
struct Annotation {
    image: String,
    sha256: String,
    width: u32,
    height: u32,
    #[serde(skip)]
    text: String,
    /// Null while the photograph's files are being written.
    settings: serde_json::Value,
    /// How the program left the masks of faces and hands.
    masks: [Own; 2],
    /// Masks that a person mended.
    #[serde(skip)]
    mended: usize,
    #[serde(flatten)]
    found: Findings,
}

/// Folders of the dataset that hold a file per photograph.
const FOLDERS: [&str; 5] = ["images", "masks", "conditioning", "annotations", "thumbnails"];

/// Longest name of a photograph in bytes: with the endings of its files it must fit into the 255 that disks allow.
const LONGEST: usize = 240;

/// Annotates every photograph below `photos` into the dataset `out`. `progress` is called from several
/// threads; raising `stop` ends the run after the photographs in work.
pub fn annotate(
    photos: &Path,
    out: &Path,
    options: &Options,
    finders: &Finders,
    stop: &AtomicBool,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Summary, FilesError> {
    if let (Ok(from), Ok(to)) = (photos.canonicalize(), out.canonicalize()) {
        if from == to {
            return Err(FilesError::new(
                out,
                "is the photographs' own folder: the dataset needs another one",
            ));
        }
        if FOLDERS.iter().any(|folder| from.starts_with(to.join(folder))) {
            let reason =
                format!("is part of the dataset {} itself: name the original photographs", out.display());
            return Err(FilesError::new(photos, reason));
        }
    }
    let list = files::photographs(photos, out)?;
    if list.is_empty() {
        return Err(FilesError::new(photos, "no photographs in it (.jpg, .jpeg, .png, .webp)"));
    }
    let settings = json!({
        "version": 1,
        "second_look": options.second_look,
        "shape": options.shape,
        "faces": finders.faces.map(|f| f.identity()),
        "hands": finders.hands.map(|f| f.identity()),
    });
    let job = Job { photos, out, options, finders, settings };
    let done = AtomicUsize::new(0);
    let results: Vec<Option<Result<(Annotation, Outcome), String>>> = list
        .par_iter()
        .with_max_len(1)
        .map(|name| {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let result = job.one(name)?;
            let outcome = match &result {
                Ok((_, outcome)) => outcome.clone(),
                Err(reason) => Outcome::Skipped(reason.clone()),
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(Progress { done, total: list.len(), photo: name.clone(), outcome });
            Ok(Some(result))
        })
        .collect::<Result<_, FilesError>>()?;
    let mut summary = Summary { interrupted: results.iter().any(Option::is_none), ..Summary::default() };
    let mut annotations = Vec::new();
    for (name, result) in list.iter().zip(results) {
        match result {
            Some(Ok((annotation, outcome))) => {
                summary.photographs += 1;
                summary.annotated += usize::from(outcome != Outcome::Kept);
                summary.with_faces += usize::from(!annotation.found.faces.is_empty());
                summary.with_hands += usize::from(!annotation.found.hands.is_empty());
                summary.mended += annotation.mended;
                annotations.push((name, annotation));
            }
            Some(Err(reason)) => summary.problems.push((name.clone(), reason)),
            None => {}
        }
    }
    if !summary.interrupted && !annotations.is_empty() {
        finish(out, &annotations, &summary.problems)?;
    }
    Ok(summary)
}

/// Paths of a photograph's files, relative to the dataset.
struct Paths {
    image: String,
    /// Faces and hands.
    masks: [String; 2],
    conditioning: String,
    annotation: String,
    thumbnail: String,
}

impl Paths {
    fn of(name: &str) -> Self {
        Self {
            image: format!("images/{name}"),
            masks: ["face", "hand"].map(|region| format!("masks/{region}/{name}.png")),
            conditioning: format!("conditioning/{name}.png"),
            annotation: format!("annotations/{name}.json"),
            thumbnail: format!("thumbnails/{name}.jpg"),
        }
    }
}

struct Job<'a> {
    photos: &'a Path,
    out: &'a Path,
    options: &'a Options,
    finders: &'a Finders<'a>,
    settings: serde_json::Value,
}

impl Job<'_> {
    /// One photograph: a fault of the photograph is the inner error, a fault of the disk the outer one.
    fn one(&self, name: &str) -> Result<Result<(Annotation, Outcome), String>, FilesError> {
        let source = self.photos.join(name);
        if name.rsplit('/').next().is_some_and(|name| name.len() > LONGEST) {
            return Ok(Err(format!("its name is longer than {LONGEST} bytes: please rename it")));
        }
        let bytes = match std::fs::read(&source) {
            Ok(bytes) => bytes,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let caption = match files::caption(&source) {
            Ok(caption) => caption,
            Err(reason) => return Ok(Err(reason)),
        };
        let sha256 = sum(&bytes);
        let paths = Paths::of(name);
        let before = self.annotation(&paths);
        let own = before.as_ref().map(|before| before.masks.clone()).unwrap_or_default();
        let mut mended = [false; 2];
        for i in 0..2 {
            mended[i] = own[i].is_mended(&self.out.join(&paths.masks[i]))?;
        }
        let count = mended.iter().filter(|mended| **mended).count();
        if let Some(mut kept) = before.filter(|before| self.is_done(before, &paths, &sha256)) {
            // A caption may have been written or changed since.
            kept.text = caption.unwrap_or_else(|| self.template(name, &kept.found));
            kept.mended = count;
            return Ok(Ok((kept, Outcome::Kept)));
        }
        let picture = match photo::decode(&source, &bytes) {
            Ok(picture) => picture,
            Err(e) => return Ok(Err(e.reason)),
        };
        let found = match self.finders.look(&picture, Look { second: self.options.second_look }) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let text = caption.unwrap_or_else(|| self.template(name, &found));
        let (width, height) = picture.dimensions();
        let mut annotation = Annotation {
            image: paths.image.clone(),
            sha256,
            width,
            height,
            text,
            settings: serde_json::Value::Null,
            masks: own,
            mended: count,
            found,
        };
        self.write(&source, &picture, &paths, mended, &mut annotation)?;
        let found = &annotation.found;
        let outcome = Outcome::Annotated(found.faces.len(), found.hands.len());
        Ok(Ok((annotation, outcome)))
    }

    /// The annotation of an earlier run.
    fn annotation(&self, paths: &Paths) -> Option<Annotation> {
        let bytes = std::fs::read(self.out.join(&paths.annotation)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether an annotation is of this very photograph and these settings, and its files are there. A mask that is
    /// not there was deleted by a person.
    fn is_done(&self, annotation: &Annotation, paths: &Paths, sha256: &str) -> bool {
        let files = [&paths.image, &paths.conditioning, &paths.thumbnail];
        annotation.sha256 == sha256
            && annotation.settings == self.settings
            && files.iter().all(|path| self.out.join(path).is_file())
    }

    fn template(&self, name: &str, found: &Findings) -> String {
        let people = match found.people.len().max(found.faces.len()) {
            0 => "nobody".to_string(),
            1 => "one person".to_string(),
            n => format!("{n} people"),
        };
        let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
        let words = stem.replace(['_', '-', '.'], " ");
        self.options.caption.replace("{people}", &people).replace("{name}", words.trim())
    }

    fn write(
        &self,
        source: &Path,
        picture: &image::RgbImage,
        paths: &Paths,
        mended: [bool; 2],
        annotation: &mut Annotation,
    ) -> Result<(), FilesError> {
        let (width, height) = picture.dimensions();
        let target = |path: &str| self.out.join(path);
        let note = |annotation: &Annotation| {
            let text = serde_json::to_vec(annotation).unwrap_or_default();
            files::write(&target(&paths.annotation), &text)
        };
        let mut masks: Vec<(PathBuf, Option<Vec<u8>>)> = Vec::new();
        let mut own = annotation.masks.clone();
        for (i, regions) in [&annotation.found.faces, &annotation.found.hands].into_iter().enumerate() {
            if mended[i] {
                continue;
            }
            let file = target(&paths.masks[i]);
            let mask = || masks::mask(width, height, regions, self.options.shape).into();
            let bytes = (!regions.is_empty()).then(|| files::encoded(&file, &mask())).transpose()?;
            own[i] = Own::of(bytes.as_deref());
            annotation.masks[i] = annotation.masks[i].or(&own[i]);
            masks.push((file, bytes));
        }
        // First of all what is on the disk counts as unfinished: no file of other options may pass for a new one.
        note(annotation)?;
        files::link(source, &target(&paths.image))?;
        for (file, bytes) in &masks {
            match bytes {
                Some(bytes) => files::write(file, bytes)?,
                None => files::remove(file)?,
            }
        }
        let found = &annotation.found;
        files::picture(&target(&paths.conditioning), &skeleton(width, height, found).into())?;
        files::picture(&target(&paths.thumbnail), &sheet::thumbnail(picture, found).into())?;
        annotation.masks = own;
        annotation.settings = self.settings.clone();
        note(annotation)
    }
}

/// The dataset's own files.
fn finish(
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
        // What is on the disk counts: a person may have added or deleted a mask.
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
            people: found.people.len(),
            conditioning: paths.conditioning,
        });
    }
    files::folder(out)?;
    sheet::write_pages(out, &thumbnails)?;
    files::write(&out.join("index.html"), sheet::html(&entries, problems).as_bytes())?;
    let list = out.join("metadata.jsonl");
    if let Ok(before) = std::fs::read(&list)
        && before != metadata.as_bytes()
    {
        files::write(&out.join("metadata-before.jsonl"), &before)?;
    }
    files::write(&list, metadata.as_bytes())
}

/// The folder with MediaPipe's networks, checked and loaded.
pub fn load_detectors(folder: &Path) -> Result<Detectors, LoadError> {
    crate::models::check(folder).map_err(|source| LoadError::Models { folder: folder.into(), source })?;
    Ok(Detectors::load(folder)?)
}

/// Why the detectors are not there.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The folder lacks a network or holds a wrong one.
    #[error("the detectors' networks are not in {folder}: {source}; `fairhuman models get` puts them there")]
    Models {
        /// The folder looked into.
        folder: PathBuf,
        /// What was found.
        source: crate::models::ModelsError,
    },
    /// A network cannot be run.
    #[error(transparent)]
    Network(#[from] crate::tflite::NetworkError),
}
