//! Lists: of pictures with what is known of them as JSON lines, or of prompts alone as lines of text.

use std::collections::BTreeMap;
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

/// Reads a file of prompts: `.jsonl` lists pictures, of any other file every line is a prompt.
///
/// # Errors
/// A file that cannot be read or holds nothing, lines that are not what they should be.
pub fn read_prompts(file: &Path) -> Result<Prompts, EvaluateError> {
    if file.extension().is_some_and(|ending| ending == "jsonl") {
        let rows = read_rows(file)?;
        return match rows.is_empty() {
            true => Err(holds_none(file, "picture")),
            false => Ok(Prompts::Rows(rows)),
        };
    }
    prompt_lines(file).map(Prompts::Texts)
}

/// The prompts of a text file: a line each; empty lines and lines that begin with # do not count.
///
/// # Errors
/// A file that cannot be read, is no UTF-8, or holds none.
pub fn prompt_lines(file: &Path) -> Result<Vec<String>, EvaluateError> {
    let text = text(file)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let prompts: Vec<String> = lines.map(str::to_owned).collect();
    if prompts.is_empty() { Err(holds_none(file, "prompt")) } else { Ok(prompts) }
}

fn holds_none(file: &Path, what: &str) -> EvaluateError {
    let problem = format!("holds no {what}: expected one on every line");
    EvaluateError::Weights { path: file.into(), problem }
}

/// The text of a file, without the mark that editors on Windows put before it.
fn text(file: &Path) -> Result<String, EvaluateError> {
    let bytes = fairhuman_files::read(file).map_err(EvaluateError::io(file))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let problem = "not UTF-8 text; save the file as UTF-8".into();
        EvaluateError::List { file: file.into(), line, problem }
    })?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

pub(super) fn read_rows(file: &Path) -> Result<Vec<Row>, EvaluateError> {
    let text = text(file)?;
    let mut seen: BTreeMap<(String, Option<String>), usize> = BTreeMap::new();
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
        match seen.insert((row.picture.clone(), row.prompt.clone()), i + 1) {
            Some(line) => Err(fail(format!(
                "\"{}\" is on line {line}, too, with the same prompt: it would count twice",
                row.picture
            ))),
            None => Ok(row),
        }
    };
    lines.map(row).collect()
}
