//! The pictures of a folder, with their captions: of drawn people from `metadata.jsonl`, of sampled pictures
//! from the text in each PNG file.

use std::fs;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use super::network::SIDE;

/// One picture to judge.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its file.
    pub name: String,
    /// Its caption or prompt.
    pub caption: String,
    /// Colours, `[SIDE, SIDE, 3]` in [-1, 1].
    pub values: Vec<f32>,
}

/// Reads the folder. Files without a prompt in them, such as grids, are no pictures of it.
///
/// # Errors
/// Files that cannot be read, and pictures of another size.
pub fn pictures(folder: &Path) -> anyhow::Result<Vec<Picture>> {
    let list = folder.join("metadata.jsonl");
    if let Ok(text) = fs::read_to_string(&list) {
        return text.lines().map(|line| drawn(folder, line)).collect();
    }
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "png"));
    files.sort();
    let mut pictures = Vec::new();
    for file in files {
        if let Some(caption) = prompt(&file)? {
            pictures.push(picture(&file, caption)?);
        }
    }
    Ok(pictures)
}

fn drawn(folder: &Path, line: &str) -> anyhow::Result<Picture> {
    let line: Value = serde_json::from_str(line).context("metadata.jsonl")?;
    let text = |key: &str| line[key].as_str().with_context(|| format!("metadata.jsonl: no {key} in {line}"));
    picture(&folder.join(text("image")?), text("text")?.into())
}

/// The prompt that `fairhuman sample` wrote into a picture.
fn prompt(file: &Path) -> anyhow::Result<Option<String>> {
    let opened = fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let reader = png::Decoder::new(BufReader::new(opened)).read_info();
    let reader = reader.with_context(|| format!("cannot decode {}", file.display()))?;
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().map(|chunk| (&chunk.keyword, Some(chunk.text.clone())));
    let wide = info.utf8_text.iter().map(|chunk| (&chunk.keyword, chunk.get_text().ok()));
    let settings = plain.chain(wide).find(|(keyword, _)| *keyword == "fairhuman").and_then(|(_, text)| text);
    let settings = settings.and_then(|text| serde_json::from_str::<Value>(&text).ok());
    Ok(settings.and_then(|settings| settings["prompt"].as_str().map(str::to_owned)))
}

fn picture(file: &Path, caption: String) -> anyhow::Result<Picture> {
    let decoded = image::open(file).with_context(|| format!("cannot read {}", file.display()))?.into_rgb8();
    let side = u32::try_from(SIDE)?;
    let size = decoded.dimensions();
    ensure!(size == (side, side), "{} is {size:?}, not {side} x {side} pixels", file.display());
    let values = decoded.as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect();
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Picture { name, caption, values })
}
