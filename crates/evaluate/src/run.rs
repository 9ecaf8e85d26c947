//! The loop: every judge looks at every picture that it has not scored before.

use std::sync::atomic::{AtomicBool, Ordering};

use fairhuman_files::sha256_hex;

use crate::error::EvaluateError;
use crate::judge::{Item, Judge};
use crate::picture_set::{Picture, PictureSet};
use crate::scores::{Score, Scores};

/// The position of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Pictures that this judge is done with.
    pub done: usize,
    /// Pictures in all.
    pub total: usize,
    /// Of the last ones, those that were scored now.
    pub scored: usize,
}

/// Everything but the pixels that a score depends on, and the picture's digest.
fn input(picture: &Picture, bytes: &[u8]) -> String {
    let about = serde_json::json!([picture.prompt, picture.faces, picture.hands, picture.truth]);
    sha256_hex(format!("{} {about}", sha256_hex(bytes)).as_bytes())
}

/// Scores all pictures of the sets by one judge; none where it is told to stop. What is known already is
/// taken from `scores`, what is new added to it.
///
/// # Errors
/// Pictures that cannot be read or scored, a file of scores that cannot be written.
pub fn score(
    sets: &[PictureSet],
    judge: &dyn Judge,
    scores: &mut Scores,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Vec<Score>>, EvaluateError> {
    let all: Vec<(&PictureSet, &Picture)> =
        sets.iter().flat_map(|set| set.pictures.iter().map(move |picture| (set, picture))).collect();
    let mut found = Vec::new();
    for (batch, some) in all.chunks(judge.batch().max(1)).enumerate() {
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
        let read = some.iter().map(|(_, picture)| picture.read()).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<String> =
            some.iter().zip(&read).map(|((_, picture), (_, bytes))| input(picture, bytes)).collect();
        let known = |input: &str| -> Option<Vec<Option<f64>>> {
            judge.metrics().iter().map(|metric| scores.get(input, judge.identity(), &metric.name)).collect()
        };
        let mut rows: Vec<Option<Vec<Option<f64>>>> = inputs.iter().map(|input| known(input)).collect();
        let open: Vec<usize> = (0..some.len()).filter(|&i| rows[i].is_none()).collect();
        let items: Vec<Item<'_>> =
            open.iter().map(|&i| Item { picture: some[i].1, image: &read[i].0 }).collect();
        let new = if items.is_empty() { Vec::new() } else { judge.score(&items)? };
        for (&i, row) in open.iter().zip(new) {
            rows[i] = Some(row);
        }
        let mut lines = Vec::new();
        for (i, ((set, picture), row)) in some.iter().zip(rows).enumerate() {
            for (metric, score) in judge.metrics().iter().zip(row.unwrap_or_default()) {
                lines.push(Score {
                    folder: set.folder.display().to_string(),
                    picture: picture.name.clone(),
                    prompt: picture.prompt.clone(),
                    judge: metric.name.clone(),
                    // What is no number has no form in JSON.
                    score: score.filter(|score| score.is_finite()),
                    input: inputs[i].clone(),
                    by: judge.identity().to_owned(),
                });
            }
        }
        let each = judge.metrics().len();
        let added: Vec<Score> =
            open.iter().flat_map(|&i| lines[i * each..(i + 1) * each].iter().cloned()).collect();
        scores.add(&added)?;
        found.extend(lines);
        let done = batch * judge.batch().max(1) + some.len();
        progress(Progress { done, total: all.len(), scored: open.len() });
    }
    Ok(Some(found))
}
