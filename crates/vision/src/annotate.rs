//! From a folder of photographs to a dataset: masks, control images, captions and a contact sheet.
//!
//! ```text
//! images/PHOTO                      the photograph itself (linked where the disk allows, else copied)
//! masks/face/PHOTO.png              white where a face is; absent where there is none
//! masks/hand/PHOTO.png
//! conditioning/PHOTO.png            bodies, hands and faces in OpenPose's colours
//! annotations/PHOTO.json            boxes, scores, key points; marks the photograph as finished
//! thumbnails/PHOTO.jpg              with boxes and scores, for the contact sheet
//! metadata.jsonl                    image, text, mask_face, mask_hand, conditioning_image; written last
//! index.html, contact-sheet*.png    for review
//! ```
//! PHOTO is the photograph's path with its extension, so that no two photographs share a name. A photograph's
//! annotation is written after its other files, so the same command continues an interrupted run. Manual
//! changes are kept: edited masks and captions ([`crate::manual_edits`]), and a changed `metadata.jsonl` as
//! `metadata-before.jsonl`.

mod finish;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use fairhuman_pictures::names;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::detect::{DetectOptions, Detections};
pub use crate::detectors::{LoadError, load_detectors};
use crate::files::{self, FilesError};
use crate::manual_edits::{GeneratedCaption, GeneratedMask, listed_captions};
use crate::masks::{self, Shape};
use crate::photo;
use crate::pipeline::Pipeline;
use crate::sheet;
use crate::skeleton::{Skeleton, Style};
use fairhuman_files::sha256_hex;

/// Settings of [`annotate()`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Run the zoom pass, for small faces and hands.
    pub zoom: bool,
    /// Shape of the masks.
    pub shape: Shape,
    /// Caption of a photograph without a `.txt` file: `{people}` becomes "nobody", "one person" or "3
    /// people", `{name}` the file's name in words.
    pub caption: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { zoom: true, shape: Shape::Box, caption: "a photo of {people}".into() }
    }
}

/// Progress of a run, reported after each photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Photographs finished, this one included.
    pub done: usize,
    /// Number of all photographs.
    pub total: usize,
    /// Path of this photograph, relative to the folder.
    pub photo: String,
    /// Its outcome.
    pub outcome: Outcome,
}

/// Outcome of a photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Annotated, with the numbers of faces and hands.
    Annotated(usize, usize),
    /// Left as an earlier run finished it.
    Kept,
    /// Skipped, with the reason.
    Skipped(String),
}

/// Summary of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Photographs in the dataset.
    pub photographs: usize,
    /// Those annotated by this run.
    pub annotated: usize,
    /// Those with a face.
    pub with_faces: usize,
    /// Those with a hand.
    pub with_hands: usize,
    /// Masks that were painted, added or deleted by hand, and left alone.
    pub edited: usize,
    /// Captions that were changed by hand in the dataset, and left alone.
    pub captions: usize,
    /// Captions that are others than in the list of the run before.
    pub new_captions: usize,
    /// Files left out, with the reasons.
    pub problems: Vec<(String, String)>,
    /// True if the run was interrupted: `metadata.jsonl` and the sheets are then not written yet. Nor are
    /// they if no photograph could be used.
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
    /// The masks of faces and hands as the program wrote them.
    masks: [GeneratedMask; 2],
    /// Number of masks edited by hand.
    #[serde(skip)]
    edited: usize,
    /// The caption as the program wrote it.
    #[serde(default)]
    captions: GeneratedCaption,
    /// True if it was edited by hand.
    #[serde(skip)]
    is_recaptioned: bool,
    #[serde(flatten)]
    found: Detections,
}

/// Folders of the dataset that hold a file per photograph.
const FOLDERS: [&str; 5] = ["images", "masks", "conditioning", "annotations", "thumbnails"];

/// The dataset's list.
const LIST: &str = "metadata.jsonl";

/// Longest file name of a photograph in bytes: with the extensions of its files it must fit into the 255 of
/// file systems.
const MAX_NAME: usize = 240;

/// Annotates every photograph below `photos` into the dataset `out`. `progress` is called from several
/// threads; setting `stop` ends the run after the photographs in progress.
///
/// # Errors
///
/// A file or folder of the dataset cannot be read or written, or `photos` holds no photograph or is part of
/// `out`. Photographs that cannot be used are listed in [`Summary::problems`].
pub fn annotate(
    photos: &Path,
    out: &Path,
    options: &Options,
    pipeline: &Pipeline,
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
    let exists = |path: &PathBuf| path.symlink_metadata().is_ok();
    let parts = ["metadata.jsonl", "images", "masks", "conditioning"].map(|name| out.join(name));
    if let Some(foreign) =
        parts.iter().find(|path| exists(path)).filter(|_| !out.join("annotations").is_dir())
    {
        let reason =
            "is of a dataset that annotate did not make, and would be replaced: choose another --out";
        return Err(FilesError::new(foreign, reason));
    }
    let list = files::photographs(photos, out)?;
    if list.is_empty() {
        return Err(FilesError::new(photos, "no photographs in it (.jpg, .jpeg, .png, .webp)"));
    }
    let settings = json!({
        "version": 1,
        "zoom": options.zoom,
        "shape": options.shape,
        "faces": pipeline.faces.map(|f| f.identity()),
        "hands": pipeline.hands.map(|f| f.identity()),
    });
    let listed = listed_captions(&out.join(LIST));
    let job = Job { photos, out, options, pipeline, settings, listed };
    let done = AtomicUsize::new(0);
    let results: Vec<Option<Result<(Annotation, Outcome), String>>> = list
        .par_iter()
        .with_max_len(1)
        .map(|name| {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let result = job.annotate(name)?;
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
                summary.edited += annotation.edited;
                summary.captions += usize::from(annotation.is_recaptioned);
                let listed = job.listed.get(&annotation.image);
                summary.new_captions += usize::from(listed.is_some_and(|text| *text != annotation.text));
                annotations.push((name, annotation));
            }
            Some(Err(reason)) => summary.problems.push((name.clone(), reason)),
            None => {}
        }
    }
    if !summary.interrupted && !annotations.is_empty() {
        finish::finish(out, &annotations, &summary.problems)?;
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
    pipeline: &'a Pipeline<'a>,
    settings: serde_json::Value,
    /// Captions of the list of an earlier run, by the photograph's path in the dataset.
    listed: HashMap<String, String>,
}

impl Job<'_> {
    /// Annotates one photograph. The inner error is a problem with the photograph, the outer one with the
    /// dataset's files.
    fn annotate(&self, name: &str) -> Result<Result<(Annotation, Outcome), String>, FilesError> {
        let source = self.photos.join(name);
        if name.rsplit('/').next().is_some_and(|name| name.len() > MAX_NAME) {
            return Ok(Err(format!("its name is longer than {MAX_NAME} bytes: please rename it")));
        }
        if let Some(reason) = names::disguised(&source) {
            return Ok(Err(reason));
        }
        let bytes = match fairhuman_files::read(&source) {
            Ok(bytes) => bytes,
            Err(e) => return Ok(Err(e.to_string())),
        };
        let caption = match files::caption(&source) {
            Ok(caption) => caption,
            Err(reason) => return Ok(Err(reason)),
        };
        let sha256 = sha256_hex(&bytes);
        let paths = Paths::of(name);
        let before = self.annotation(&paths);
        let generated = before.as_ref().map(|before| before.masks.clone()).unwrap_or_default();
        let captions = before.as_ref().map(|before| before.captions.clone()).unwrap_or_default();
        let mut edited = [false; 2];
        for i in 0..2 {
            edited[i] = generated[i].is_edited(&self.out.join(&paths.masks[i]))?;
        }
        let count = edited.iter().filter(|edited| **edited).count();
        if let Some(mut kept) = before.filter(|before| self.is_done(before, &paths, &sha256)) {
            // A caption may have been written or changed since.
            let before = kept.captions.clone();
            self.settle_caption(&mut kept, name, caption);
            kept.edited = count;
            if kept.captions != before {
                self.store(&paths, &kept)?;
            }
            return Ok(Ok((kept, Outcome::Kept)));
        }
        let picture = match photo::decode(&source, &bytes) {
            Ok(picture) => picture,
            Err(e) => return Ok(Err(e.reason)),
        };
        let found = match self.pipeline.detect(&picture, DetectOptions { zoom: self.options.zoom }) {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let (width, height) = picture.dimensions();
        let mut annotation = Annotation {
            image: paths.image.clone(),
            sha256,
            width,
            height,
            text: String::new(),
            settings: serde_json::Value::Null,
            masks: generated,
            edited: count,
            captions,
            is_recaptioned: false,
            found,
        };
        self.settle_caption(&mut annotation, name, caption);
        self.write(&source, &picture, &paths, edited, &mut annotation)?;
        let found = &annotation.found;
        let outcome = Outcome::Annotated(found.faces.len(), found.hands.len());
        Ok(Ok((annotation, outcome)))
    }

    /// The annotation of an earlier run.
    fn annotation(&self, paths: &Paths) -> Option<Annotation> {
        let bytes = fairhuman_files::read(self.out.join(&paths.annotation)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// True if an annotation has this photograph's hash and these settings, and its files exist. A missing
    /// mask was deleted by hand.
    fn is_done(&self, annotation: &Annotation, paths: &Paths, sha256: &str) -> bool {
        let files = [&paths.image, &paths.conditioning, &paths.thumbnail];
        annotation.sha256 == sha256
            && annotation.settings == self.settings
            && files.iter().all(|path| self.out.join(path).is_file())
    }

    /// Gives a photograph its caption: `written` beside it, or that of the template, or the dataset's own
    /// where a person changed it there.
    fn settle_caption(&self, annotation: &mut Annotation, name: &str, written: Option<String>) {
        let is_written = written.is_some();
        let made = written.unwrap_or_else(|| self.template(name, &annotation.found));
        let listed = self.listed.get(&annotation.image).map(String::as_str);
        let own = annotation.captions.settle(listed, &made, is_written);
        annotation.is_recaptioned = own.is_some();
        annotation.text = own.unwrap_or(made);
    }

    fn store(&self, paths: &Paths, annotation: &Annotation) -> Result<(), FilesError> {
        let text = serde_json::to_vec(annotation).unwrap_or_default();
        files::write(&self.out.join(&paths.annotation), &text)
    }

    fn template(&self, name: &str, found: &Detections) -> String {
        let people = match found.count_people() {
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
        edited: [bool; 2],
        annotation: &mut Annotation,
    ) -> Result<(), FilesError> {
        let (width, height) = picture.dimensions();
        let target = |path: &str| self.out.join(path);
        let mut masks: Vec<(PathBuf, Option<Vec<u8>>)> = Vec::new();
        let mut generated = annotation.masks.clone();
        for (i, regions) in [&annotation.found.faces, &annotation.found.hands].into_iter().enumerate() {
            if edited[i] {
                continue;
            }
            let file = target(&paths.masks[i]);
            let mask = || masks::mask(width, height, regions, self.options.shape).into();
            let bytes = (!regions.is_empty()).then(|| files::encoded(&file, &mask())).transpose()?;
            generated[i] = GeneratedMask::of(bytes.as_deref());
            annotation.masks[i] = annotation.masks[i].or(&generated[i]);
            masks.push((file, bytes));
        }
        // Mark as unfinished first: no file written with other options may pass for a new one.
        self.store(paths, annotation)?;
        files::link(source, &target(&paths.image))?;
        for (file, bytes) in &masks {
            match bytes {
                Some(bytes) => files::write(file, bytes)?,
                None => files::remove(file)?,
            }
        }
        let found = &annotation.found;
        let control = Skeleton::of(found).draw(width, height, Style::Classic);
        files::picture(&target(&paths.conditioning), &control.into())?;
        files::picture(&target(&paths.thumbnail), &sheet::thumbnail(picture, found).into())?;
        annotation.masks = generated;
        annotation.settings = self.settings.clone();
        self.store(paths, annotation)
    }
}
