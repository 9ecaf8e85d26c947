//! The pictures of a folder: their prompts, which picture of another folder is made of the same noise, and
//! how many faces and hands are expected in them.

mod expected;
mod list;
mod pairs;

use std::path::{Path, PathBuf};

use fairhuman_files::MARK;
use fairhuman_pictures::names::{READ, extension};
use fairhuman_pictures::{photo, png_texts};
use image::RgbImage;
use serde_json::Value;

pub use expected::Expected;
pub use list::{Prompts, prompt_lines, read_prompts};
pub use pairs::{Pairs, pair_up, pairs, unit};

use crate::error::EvaluateError;
use crate::truth::Truth;
use list::Row;

/// The list that a drawn or annotated dataset holds.
pub const METADATA: &str = "metadata.jsonl";

/// A picture that is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Its file.
    pub file: PathBuf,
    /// Its name in the folder.
    pub name: String,
    /// Its prompt or caption.
    pub prompt: Option<String>,
    /// Seed and index of the noise that it was made of.
    pub noise: Option<(u64, u64)>,
    /// Faces that are expected.
    pub faces: Expected,
    /// Hands that are expected.
    pub hands: Expected,
    /// The control images that it was made with.
    pub controls: Vec<PathBuf>,
    /// Faces and hands as they should be, in pixels of this picture.
    pub truth: Option<Truth>,
    /// Its file of key points, if a list names one.
    pub keypoints: Option<PathBuf>,
}

impl Picture {
    fn new(folder: &Path, name: &str, prompt: Option<String>) -> Self {
        let text = prompt.as_deref().unwrap_or_default();
        let (faces, hands) = (expected::faces(text), expected::hands(text));
        Self {
            file: folder.join(name),
            name: name.into(),
            prompt,
            noise: None,
            faces,
            hands,
            controls: Vec::new(),
            truth: None,
            keypoints: None,
        }
    }

    /// Its pixels, upright, in sRGB, on white where it is transparent, and its file's bytes.
    ///
    /// # Errors
    /// A file that cannot be read or decoded.
    pub fn read(&self) -> Result<(RgbImage, Vec<u8>), EvaluateError> {
        let bytes = fairhuman_files::read(&self.file).map_err(EvaluateError::io(&self.file))?;
        Ok((photo::decode(&self.file, &bytes)?, bytes))
    }
}

/// The pictures of a folder, by name.
#[derive(Debug, Clone, PartialEq)]
pub struct PictureSet {
    /// The folder.
    pub folder: PathBuf,
    /// The pictures.
    pub pictures: Vec<Picture>,
    /// Pictures that a list names and the folder lacks, and prompts of a list that no picture has.
    pub missing: Vec<String>,
    /// Pictures that are not looked at because they carry no prompt and others do.
    pub left_out: Vec<String>,
}

impl PictureSet {
    /// Reads what is in a folder. The pictures are those that `metadata.jsonl` in it lists, or `prompts`, or
    /// all that are there. If some PNG files carry a prompt of `fairhuman sample`, those that do not are left
    /// out: grids, and others.
    ///
    /// # Errors
    /// Folders and lists that cannot be read, a folder without pictures, prompts that cannot be dealt to
    /// pictures without prompts.
    pub fn open(folder: &Path, prompts: Option<&Prompts>) -> Result<Self, EvaluateError> {
        let problem = |problem: String| EvaluateError::Folder { folder: folder.into(), problem };
        let metadata = folder.join(METADATA);
        let mut set = if metadata.is_file() {
            let rows = list::read_rows(&metadata)?;
            Self::listed(folder, &rows)
        } else if let Some(Prompts::Rows(rows)) = prompts {
            Self::listed(folder, rows)
        } else {
            Self::found(folder)?
        };
        if let Some(Prompts::Texts(texts)) = prompts {
            set.take_prompts(texts).map_err(problem)?;
        }
        if set.pictures.is_empty() {
            return Err(problem(match set.missing.len() {
                0 => format!("no pictures ({}) in it", READ.join(", ")),
                n => format!("none of the {n} pictures that are wanted is in it, such as {}", set.missing[0]),
            }));
        }
        Ok(set)
    }

    /// The pictures of a list.
    fn listed(folder: &Path, rows: &[Row]) -> Self {
        let (mut pictures, mut missing) = (Vec::new(), Vec::new());
        for row in rows {
            let mut picture = Picture::new(folder, &row.picture, row.prompt.clone());
            if !picture.file.is_file() {
                missing.push(row.picture.clone());
                continue;
            }
            picture.noise = row.seed.map(|seed| (seed, row.index.unwrap_or(0)));
            picture.faces = row.faces.map_or(picture.faces, Expected::Exactly);
            picture.hands = row.hands.map_or(picture.hands, Expected::Exactly);
            picture.keypoints = row.keypoints.as_ref().map(|file| folder.join(file));
            pictures.push(picture);
        }
        Self { folder: folder.into(), pictures, missing, left_out: Vec::new() }
    }

    /// All pictures that are there, with what their files say.
    fn found(folder: &Path) -> Result<Self, EvaluateError> {
        let entries = std::fs::read_dir(folder).map_err(EvaluateError::io(folder))?;
        let mut names: Vec<String> = Vec::new();
        for entry in entries {
            let path = entry.map_err(EvaluateError::io(folder))?.path();
            let is_read = extension(&path).is_some_and(|ending| READ.contains(&ending.as_str()));
            if is_read && path.is_file() {
                names.extend(path.file_name().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        names.sort();
        let (mut pictures, mut left_out) = (Vec::new(), Vec::new());
        for name in &names {
            let file = folder.join(name);
            let bytes = fairhuman_files::read(&file).map_err(EvaluateError::io(&file))?;
            let text = png_texts(&bytes).into_iter().find(|(keyword, _)| keyword == MARK);
            // Sheets of our own are known by their text.
            if text.is_none() {
                left_out.push(name.clone());
            }
            let about =
                text.and_then(|(_, text)| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
            let mut picture = Picture::new(folder, name, about["prompt"].as_str().map(str::to_owned));
            picture.noise = about["seed"].as_u64().zip(about["index"].as_u64());
            let images = about["controls"].as_array().into_iter().flatten();
            let images = images.flat_map(|control| control["images"].as_array().into_iter().flatten());
            picture.controls = images.filter_map(Value::as_str).map(PathBuf::from).collect();
            pictures.push(picture);
        }
        match pictures.iter().any(|picture| picture.prompt.is_some()) {
            true => pictures.retain(|picture| picture.prompt.is_some()),
            false => left_out.clear(),
        }
        Ok(Self { folder: folder.into(), pictures, missing: Vec::new(), left_out })
    }

    /// Keeps the pictures whose prompts are listed, and notes prompts without a picture; deals the prompts to
    /// pictures without, by order of name, each as often as there are pictures for.
    fn take_prompts(&mut self, prompts: &[String]) -> Result<(), String> {
        if self.pictures.iter().any(|picture| picture.prompt.is_some()) {
            let is_of = |picture: &Picture, prompt: &String| picture.prompt.as_ref() == Some(prompt);
            let lacks = |prompt: &&String| !self.pictures.iter().any(|picture| is_of(picture, prompt));
            self.missing.extend(prompts.iter().filter(lacks).cloned().collect::<Vec<_>>());
            self.pictures.retain(|picture| prompts.iter().any(|prompt| is_of(picture, prompt)));
            return Ok(());
        }
        let (count, of) = (self.pictures.len(), prompts.len());
        if of == 0 || !count.is_multiple_of(of) {
            return Err(format!(
                "{count} pictures that carry no prompt cannot be dealt to {of} prompts evenly: use a list of JSON lines, \
                 {{\"picture\": \"name.png\", \"prompt\": \"...\"}}"
            ));
        }
        let each = count / of;
        for (i, picture) in self.pictures.iter_mut().enumerate() {
            let name = picture.name.clone();
            *picture = Picture::new(&self.folder, &name, Some(prompts[i / each].clone()));
        }
        Ok(())
    }
}
