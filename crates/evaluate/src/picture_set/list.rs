//! Lists: of pictures with what is known of them as JSON lines, or of prompts alone as lines of text.

use std::path::{Component, Path};

use serde::Deserialize;

use crate::error::EvaluateError;

/// A picture in a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// Its path in the folder.
    #[serde(alias = "image", alias = "file_name")]
    pub(super) picture: String,
    /// Its prompt.
    #[serde(default, alias = "text")]
    pub(super) prompt: Option<String>,
    /// Seed of its noise.
    #[serde(default)]
    pub(super) seed: Option<u64>,
    /// Index of its noise.
    #[serde(default)]
    pub(super) index: Option<u64>,
    /// Number of faces that it should have.
    #[serde(default)]
    pub(super) faces: Option<usize>,
    /// Number of hands that it should have.
    #[serde(default)]
    pub(super) hands: Option<usize>,
    /// File of its key points, as `fairhuman people` writes them.
    #[serde(default)]
    pub(super) keypoints: Option<String>,
}

/// The content of a file of prompts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompts {
    /// Prompts alone.
    Texts(Vec<String>),
    /// Pictures with their prompts.
    Rows(Vec<Row>),
}

/// Reads a file of prompts: `.jsonl` lists pictures, of any other file every line is a prompt; empty lines
/// and lines that begin with # do not count.
///
/// # Errors
/// A file that cannot be read, lines that are not what they should be.
pub fn read_prompts(file: &Path) -> Result<Prompts, EvaluateError> {
    if file.extension().is_some_and(|ending| ending == "jsonl") {
        return read_rows(file).map(Prompts::Rows);
    }
    let text = fairhuman_files::read_to_string(file).map_err(EvaluateError::io(file))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(Prompts::Texts(lines.map(str::to_owned).collect()))
}

pub(super) fn read_rows(file: &Path) -> Result<Vec<Row>, EvaluateError> {
    let text = fairhuman_files::read_to_string(file).map_err(EvaluateError::io(file))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(i, line): (usize, &str)| {
        let fail = |problem: String| EvaluateError::List { file: file.into(), line: i + 1, problem };
        let row: Row = serde_json::from_str(line)
            .map_err(|e| fail(format!("expected {{\"picture\": \"name.png\", \"prompt\": \"...\"}}: {e}")))?;
        let leaves =
            |path: &str| Path::new(path).components().any(|part| !matches!(part, Component::Normal(_)));
        let paths = [Some(row.picture.as_str()), row.keypoints.as_deref()];
        let outside = paths.into_iter().flatten().find(|path| leaves(path));
        if let Some(path) = outside {
            return Err(fail(format!("\"{path}\" is no path inside the folder")));
        }
        Ok(row)
    };
    lines.map(row).collect()
}
