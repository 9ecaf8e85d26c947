//! Tokens and merges: from `vocab.json` and `merges.txt`, or from `tokenizer.json`, which is all that
//! transformers 5 saves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::AddedToken;

use super::{TokenizerError, invalid, read};

/// CLIP reads at most as many merges as its published vocabulary has room for.
const MAX_MERGES: usize = 49_152 - 256 - 2;

pub(super) struct Vocabulary {
    pub tokens: BTreeMap<String, u32>,
    /// Pairs by rank.
    pub merges: Vec<(String, String)>,
    /// The file that the tokens are from, and that of the merges.
    pub paths: [PathBuf; 2],
    /// Added tokens, as `tokenizer.json` lists them.
    pub added: Option<Vec<Value>>,
}

impl Vocabulary {
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let [tokens, merges, whole] =
            ["vocab.json", "merges.txt", "tokenizer.json"].map(|name| folder.join(name));
        if !tokens.exists() && whole.exists() {
            return Self::of_whole(whole);
        }
        Ok(Self {
            tokens: tokens_of(&tokens, parse(&tokens)?)?,
            merges: parse_merges(&merges, &read(&merges)?)?,
            paths: [tokens, merges],
            added: None,
        })
    }

    fn of_whole(path: PathBuf) -> Result<Self, TokenizerError> {
        let mut json = parse(&path)?;
        let model = &mut json["model"];
        // Others spell words in other symbols. (Old files do not say the type.)
        if model["end_of_word_suffix"] != "</w>" || model.get("type").is_some_and(|kind| kind != "BPE") {
            return Err(invalid(&path, "expected CLIP's model: BPE with \"end_of_word_suffix\": \"</w>\""));
        }
        let tokens = tokens_of(&path, model["vocab"].take())?;
        let Value::Array(merges) = model["merges"].take() else {
            return Err(invalid(&path, "model: expected a list of \"merges\""));
        };
        let pair = |merge: &Value| match merge {
            Value::String(text) => two(text.split(' ')),
            pair => two(pair.as_array()?.iter().map(|v| v.as_str().unwrap_or_default())),
        };
        let merges = merges.iter().map(|merge| {
            pair(merge).ok_or_else(|| invalid(&path, format!("merges: expected two symbols, found {merge}")))
        });
        let merges = merges.collect::<Result<_, _>>()?;
        let added = json["added_tokens"].as_array().cloned().unwrap_or_default();
        Ok(Self { tokens, merges, paths: [path.clone(), path], added: Some(added) })
    }
}

/// Every token of more than one symbol is made by a merge, unless it is matched whole as an added token. A
/// list of merges that was emptied or cut would still read, and spell every text in far more tokens.
pub(super) fn check_merges(
    tokens: &BTreeMap<String, u32>,
    merges: &[(String, String)],
    added: &[AddedToken],
    path: &Path,
) -> Result<(), TokenizerError> {
    let made: BTreeSet<String> = merges.iter().map(|(first, second)| format!("{first}{second}")).collect();
    let added: BTreeSet<&str> = added.iter().map(|token| token.content.as_str()).collect();
    let is_symbol = |token: &str| token.strip_suffix("</w>").unwrap_or(token).chars().nth(1).is_none();
    let unmade = |token: &&String| {
        !is_symbol(token) && !made.contains(token.as_str()) && !added.contains(token.as_str())
    };
    let mut unmade = tokens.keys().filter(unmade);
    let Some(first) = unmade.next() else { return Ok(()) };
    Err(invalid(
        path,
        format!(
            "none of its {} merges makes {} of the vocabulary's {} tokens, {first:?} for one: the file is cut \
             short, or belongs to another vocabulary; fetch the tokenizer's folder again",
            merges.len(),
            1 + unmade.count(),
            tokens.len()
        ),
    ))
}

fn parse(path: &Path) -> Result<Value, TokenizerError> {
    let value: Value =
        serde_json::from_str(&read(path)?).map_err(|e| invalid(path, format!("not JSON: {e}")))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(invalid(path, format!("expected an object, found {value}"))),
    }
}

fn tokens_of(path: &Path, value: Value) -> Result<BTreeMap<String, u32>, TokenizerError> {
    serde_json::from_value(value)
        .map_err(|e| invalid(path, format!("expected an object of token -> id, {e}")))
}

/// The first line is a version comment, as in every published file.
fn parse_merges(path: &Path, text: &str) -> Result<Vec<(String, String)>, TokenizerError> {
    let lines = text.trim().split('\n').enumerate().skip(1).take(MAX_MERGES);
    lines
        .map(|(number, line)| {
            two(line.split_whitespace()).ok_or_else(|| {
                invalid(path, format!("line {}: expected two symbols, found {line:?}", number + 1))
            })
        })
        .collect()
}

fn two<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<(String, String)> {
    match (parts.next(), parts.next(), parts.next()) {
        (Some(a), Some(b), None) => Some((a.to_owned(), b.to_owned())),
        _ => None,
    }
}
