//! A folder of drawn pictures in the layout that training reads.
//!
//! ```text
//! people.json            the options, written first: the folder's origin, and if it can be continued
//! images/00000.png       masks/face/00000.png      masks/hand/00000.png      keypoints/00000.json
//! metadata.jsonl         image, text, mask_face, mask_hand, keypoints; written last
//! ```
//! A region of which nothing is visible has no mask file and `null` in its column. Every file is written
//! under another name and renamed, and a picture's key points come after its other files: their presence
//! means that it is complete.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;

use image::{GrayImage, ImageEncoder, codecs::png};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::keypoints::Figure;
use crate::style::Style;
use crate::{Mix, Picture, draw_mix};

/// The smallest side of a picture.
pub const MIN_SIZE: u32 = 16;
/// The largest side of a picture.
pub const MAX_SIZE: u32 = 4096;
/// People in a picture at most.
pub const MOST_FIGURES: u32 = 3;
/// Version of the drawing, increased when the same options give other pictures than before.
const DRAWING: u32 = 2;
const OPTIONS_FILE: &str = "people.json";
const METADATA_FILE: &str = "metadata.jsonl";

/// Options of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Number of pictures.
    pub count: u64,
    /// Side of the pictures in pixels.
    pub size: u32,
    /// Pictures are functions of (seed, index) and of the next option.
    pub seed: u64,
    /// People in a picture at most, 1 to 3.
    #[serde(default = "most_figures")]
    pub figures: u32,
    /// Percentage of close views among pictures of one person, 0 to 100.
    #[serde(default = "half")]
    pub near: u32,
    /// The way to draw.
    #[serde(default, skip_serializing_if = "Style::is_soft")]
    pub style: Style,
}

impl Default for Options {
    fn default() -> Self {
        let Mix { figures, near, style } = Mix::default();
        Self { count: 200, size: 128, seed: 0, figures, near, style }
    }
}

impl Options {
    fn check(&self) -> Result<(), PeopleError> {
        let &Self { count, size, figures, near, .. } = self;
        let wrong = |option, found, expected: String| Err(PeopleError::Option { option, found, expected });
        if count == 0 {
            return wrong("count", count, "at least 1".into());
        }
        if !(1..=MOST_FIGURES).contains(&figures) {
            return wrong("figures", figures.into(), format!("from 1 to {MOST_FIGURES}"));
        }
        if near > 100 {
            return wrong("near", near.into(), "from 0 to 100, of a hundred".into());
        }
        if !(MIN_SIZE..=MAX_SIZE).contains(&size) {
            return wrong("size", size.into(), format!("from {MIN_SIZE} to {MAX_SIZE} pixels"));
        }
        Ok(())
    }
}

fn most_figures() -> u32 {
    MOST_FIGURES
}

fn half() -> u32 {
    50
}

/// Contents of a written folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Pictures in the folder.
    pub pictures: u64,
    /// Of these, drawn by this call; the others were there from an earlier one.
    pub drawn: u64,
    /// Pictures with a visible face.
    pub with_face: u64,
    /// Pictures with a visible hand.
    pub with_hand: u64,
}

/// Failure to write a dataset.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// An option is out of range.
    #[error("{option} is {found}, but must be {expected}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// The value given.
        found: u64,
        /// The values accepted.
        expected: String,
    },
    /// The folder holds something else.
    #[error("{} is not empty and {found}; choose another folder for the pictures, or empty this one", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// The unexpected contents.
        found: String,
    },
    /// The file system returned an error.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The operation.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A picture could not be made a PNG file.
    #[error("cannot encode {}: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's error.
        reason: String,
    },
}

/// The first file of a folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Made {
    by: String,
    drawing: u32,
    #[serde(flatten)]
    options: Options,
}

/// A picture's key points file, and the proof that the picture is complete.
#[derive(Serialize)]
struct PictureFile<'a> {
    image: &'a str,
    size: u32,
    text: &'a str,
    mask_face: Option<&'a str>,
    mask_hand: Option<&'a str>,
    figures: &'a [Figure],
}

/// The part of it that continuing needs.
#[derive(Deserialize)]
struct Done {
    text: String,
    mask_face: Option<String>,
    mask_hand: Option<String>,
}

/// Draws `options.count` pictures into the folder `out`, in parallel, and calls `progress` with the number of
/// finished pictures as it grows. The same call again continues what was interrupted and changes nothing that
/// is complete.
///
/// # Errors
/// An option out of range, a folder with anything but the same pictures in it, or a file that cannot be
/// written.
pub fn write_dataset(
    options: Options,
    out: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<Summary, PeopleError> {
    options.check()?;
    claim(out, options)?;
    for folder in ["images", "masks/face", "masks/hand", "keypoints"] {
        let path = out.join(folder);
        fairhuman_files::make_folder(&path)
            .and_then(|()| fairhuman_files::remove_leftovers(&path))
            .map_err(|source| PeopleError::Io { action: "create", path, source })?;
    }
    let digits = options.count.saturating_sub(1).to_string().len().max(5);
    let drawn = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (send, receive) = mpsc::channel();
    let lines = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let send = send;
            (0..options.count)
                .into_par_iter()
                .map_with(send, |send, index| {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(None);
                    }
                    let done = one(options, out, index, digits, &drawn)
                        .inspect_err(|_| stop.store(true, Ordering::Relaxed));
                    // The receiver is gone only if the caller's progress function panicked.
                    let _ = send.send(());
                    done.map(Some)
                })
                .collect::<Result<Vec<_>, PeopleError>>()
        });
        for (finished, ()) in receive.iter().enumerate() {
            progress(finished as u64 + 1);
        }
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let mut summary = Summary { drawn: drawn.into_inner(), ..Summary::default() };
    let mut metadata = String::new();
    for line in lines.into_iter().flatten() {
        summary.pictures += 1;
        summary.with_face += u64::from(!line["mask_face"].is_null());
        summary.with_hand += u64::from(!line["mask_hand"].is_null());
        metadata += &line.to_string();
        metadata.push('\n');
    }
    put(&out.join(METADATA_FILE), metadata.as_bytes(), Durable::Yes)?;
    Ok(summary)
}

/// Creates `out` with its options, or checks that it is a folder of the same options.
fn claim(out: &Path, options: Options) -> Result<(), PeopleError> {
    let io = |action, path: &Path| {
        let path = path.to_path_buf();
        move |source| PeopleError::Io { action, path, source }
    };
    fairhuman_files::make_folder(out).map_err(io("create", out))?;
    let ours = Made { by: "fairhuman people".into(), drawing: DRAWING, options };
    let file = out.join(OPTIONS_FILE);
    let occupied = |found: String| PeopleError::Occupied { folder: out.to_path_buf(), found };
    if file.exists() {
        let text = fairhuman_files::read_to_string(&file).map_err(io("read", &file))?;
        let Ok(theirs) = serde_json::from_str::<Made>(&text) else {
            return Err(occupied(format!("its {OPTIONS_FILE} was not written by this program")));
        };
        if theirs == ours {
            return Ok(());
        }
        let Options { count, size, seed, figures, near, style } = theirs.options;
        let style = if style.is_soft() { String::new() } else { format!(" in the style {}", style.name()) };
        let version =
            if theirs.drawing == DRAWING { "" } else { " by another version of the drawing program" };
        return Err(occupied(format!(
            "holds {count} pictures of size {size} and seed {seed} with at most {figures} people, {near} of 100 from near, drawn{style}{version}"
        )));
    }
    if fs::read_dir(out).map_err(io("read", out))?.next().is_some() {
        return Err(occupied("holds files that were not drawn here".into()));
    }
    let mut text = json!({ "by": ours.by, "drawing": DRAWING, "count": options.count, "size": options.size, "seed": options.seed, "figures": options.figures, "near": options.near });
    if !options.style.is_soft() {
        text["style"] = json!(options.style);
    }
    put(&file, format!("{text}\n").as_bytes(), Durable::Yes)
}

/// Draws and writes one picture unless it is there; returns its line of the metadata.
fn one(
    options: Options,
    out: &Path,
    index: u64,
    digits: usize,
    drawn: &AtomicU64,
) -> Result<serde_json::Value, PeopleError> {
    let name = format!("{index:0digits$}");
    let image = format!("images/{name}.png");
    let keypoints = format!("keypoints/{name}.json");
    let line = |text: &str, face: Option<&str>, hand: Option<&str>| json!({ "image": image, "text": text, "mask_face": face, "mask_hand": hand, "keypoints": keypoints });
    if let Some(done) =
        fairhuman_files::read(out.join(&keypoints)).ok().and_then(|b| serde_json::from_slice::<Done>(&b).ok())
    {
        let files = [Some(&image), done.mask_face.as_ref(), done.mask_hand.as_ref()];
        if files.into_iter().flatten().all(|f| out.join(f).is_file()) {
            return Ok(line(&done.text, done.mask_face.as_deref(), done.mask_hand.as_deref()));
        }
    }
    let Options { size, seed, figures, near, style, .. } = options;
    let picture = draw_mix(size, seed, index, Mix { figures, near, style });
    let face = (!is_empty(&picture.face_mask)).then(|| format!("masks/face/{name}.png"));
    let hand = (!is_empty(&picture.hand_mask)).then(|| format!("masks/hand/{name}.png"));
    write_png(&out.join(&image), picture.image.as_raw(), options.size, image::ExtendedColorType::Rgb8)?;
    for (file, mask) in [(&face, &picture.face_mask), (&hand, &picture.hand_mask)] {
        if let Some(file) = file {
            write_png(&out.join(file), mask.as_raw(), options.size, image::ExtendedColorType::L8)?;
        }
    }
    let Picture { caption, figures, .. } = &picture;
    let (face, hand) = (face.as_deref(), hand.as_deref());
    let record = PictureFile {
        image: &image,
        size: options.size,
        text: caption,
        mask_face: face,
        mask_hand: hand,
        figures,
    };
    let path = out.join(&keypoints);
    let text = serde_json::to_vec(&record)
        .map_err(|source| PeopleError::Encode { path: path.clone(), reason: source.to_string() })?;
    put(&path, &text, Durable::No)?;
    drawn.fetch_add(1, Ordering::Relaxed);
    Ok(line(caption, face, hand))
}

fn is_empty(mask: &GrayImage) -> bool {
    mask.as_raw().iter().all(|&v| v == 0)
}

fn write_png(
    path: &Path,
    pixels: &[u8],
    size: u32,
    colour: image::ExtendedColorType,
) -> Result<(), PeopleError> {
    let mut bytes = Cursor::new(Vec::new());
    png::PngEncoder::new_with_quality(&mut bytes, png::CompressionType::Fast, png::FilterType::Adaptive)
        .write_image(pixels, size, size, colour)
        .map_err(|source| PeopleError::Encode { path: path.to_path_buf(), reason: source.to_string() })?;
    put(path, &bytes.into_inner(), Durable::No)
}

/// Durability of a file: the two that describe the others are synced to disk.
#[derive(Clone, Copy, PartialEq)]
enum Durable {
    Yes,
    No,
}

/// Writes a file so that no reader ever sees half of it.
fn put(path: &Path, bytes: &[u8], durable: Durable) -> Result<(), PeopleError> {
    let written = match durable {
        Durable::Yes => fairhuman_files::write_atomically(path, bytes),
        Durable::No => fairhuman_files::write_unsynced(path, bytes),
    };
    written.map_err(|source| PeopleError::Io { action: "write", path: path.to_path_buf(), source })
}
