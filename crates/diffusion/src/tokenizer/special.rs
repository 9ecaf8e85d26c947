//! Which tokens are special: the several ways in which tokenizer folders of different ages say so.
//!
//! The newest folders list `added_tokens` in `tokenizer.json`, newer ones `added_tokens_decoder` in
//! `tokenizer_config.json`; older ones have `special_tokens_map.json` (which wins over the config) and
//! perhaps `added_tokens.json`. A token's `normalized` flag decides whether it is found in the text as typed
//! or in the lower-cased text.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::AddedToken;

use super::{DEFAULT_LENGTH, TokenizerError, invalid};

/// Contents of the special tokens, and every token that is matched before words are cut.
pub(super) struct SpecialTokens {
    pub begin: String,
    pub end: String,
    pub unknown: String,
    pub pad: String,
    /// In the order of their ids where these are given.
    pub added: Vec<AddedToken>,
    /// Ids stated by the folder for added tokens.
    pub ids: BTreeMap<String, u32>,
    pub max_length: usize,
}

/// `whole`: the added tokens that `tokenizer.json` lists, where that is what is read.
pub(super) fn read(folder: &Path, whole: Option<&[Value]>) -> Result<SpecialTokens, TokenizerError> {
    let config_path = folder.join("tokenizer_config.json");
    let mut config = object(&config_path)?;
    let max_length = max_length(&config_path, config.get("model_max_length"))?;
    let mut stated = Vec::new();
    if let Some(decoder) = config.get("added_tokens_decoder") {
        for (id, token) in as_object(&config_path, "added_tokens_decoder", decoder)? {
            let id: u32 = id
                .parse()
                .map_err(|_| invalid(&config_path, format!("added_tokens_decoder: {id:?} is not an id")))?;
            stated.push((id, token_of(&config_path, "added_tokens_decoder", token, false)?));
        }
    } else {
        // Fields of a map are special tokens whatever their own `special` says.
        for (key, value) in object(&folder.join("special_tokens_map.json"))? {
            config.insert(key, value);
        }
    }
    if stated.is_empty() {
        let path = folder.join("tokenizer.json");
        for token in whole.unwrap_or_default() {
            let id = token["id"].as_u64().and_then(|id| u32::try_from(id).ok());
            let id =
                id.ok_or_else(|| invalid(&path, format!("added_tokens: a token without an id: {token}")))?;
            stated.push((id, token_of(&path, "added_tokens", token, false)?));
        }
    }
    let mut named = Vec::new();
    for (key, default, normalized) in [
        ("bos_token", "<|startoftext|>", true),
        ("eos_token", "<|endoftext|>", true),
        ("unk_token", "<|endoftext|>", true),
        ("pad_token", "<|endoftext|>", false),
    ] {
        let mut token = match config.get(key) {
            None | Some(Value::Null) => AddedToken::from(default, true).normalized(normalized),
            Some(value) => token_of(&config_path, key, value, normalized)?,
        };
        token.special = true;
        named.push(token);
    }
    let contents: Vec<String> = named.iter().map(|t| t.content.clone()).collect();
    if let Some(Value::Array(more)) = config.get("additional_special_tokens") {
        for value in more {
            let mut token = token_of(&config_path, "additional_special_tokens", value, false)?;
            token.special = true;
            named.push(token);
        }
    }
    if !config.contains_key("added_tokens_decoder") && whole.is_none() {
        let path = folder.join("added_tokens.json");
        for (content, id) in object(&path)? {
            let id = id
                .as_u64()
                .and_then(|id| u32::try_from(id).ok())
                .ok_or_else(|| invalid(&path, format!("{content:?}: {id} is not an id")))?;
            let special = named.iter().any(|t| t.content == content);
            stated.push((id, AddedToken::from(content, special)));
        }
    }
    stated.sort_by_key(|(id, _)| *id);
    let ids = stated.iter().map(|(id, token)| (token.content.clone(), *id)).collect();
    let mut added: Vec<AddedToken> = stated.into_iter().map(|(_, token)| token).collect();
    for token in named {
        match added.iter_mut().find(|t| t.content == token.content) {
            Some(known) => known.special = true,
            None => added.push(token),
        }
    }
    let [begin, end, unknown, pad] = <[String; 4]>::try_from(contents)
        .map_err(|_| invalid(&config_path, "expected four special tokens".to_owned()))?;
    Ok(SpecialTokens { begin, end, unknown, pad, added, ids, max_length })
}

/// A token given as a string or as an object with flags.
fn token_of(
    path: &Path,
    key: &str,
    value: &Value,
    normalized_if_string: bool,
) -> Result<AddedToken, TokenizerError> {
    match value {
        Value::String(content) => Ok(AddedToken::from(content, true).normalized(normalized_if_string)),
        Value::Object(fields) => {
            let flag = |name: &str| fields.get(name).and_then(Value::as_bool);
            let Some(content) = fields.get("content").and_then(Value::as_str) else {
                return Err(invalid(path, format!("{key}: a token without \"content\": {value}")));
            };
            let special = flag("special").unwrap_or(false);
            Ok(AddedToken::from(content, special)
                .normalized(flag("normalized").unwrap_or(!special))
                .single_word(flag("single_word").unwrap_or(false))
                .lstrip(flag("lstrip").unwrap_or(false))
                .rstrip(flag("rstrip").unwrap_or(false)))
        }
        other => Err(invalid(path, format!("{key}: expected a token, found {other}"))),
    }
}

/// transformers writes 1e30 for "no limit"; CLIP has its 77 positions all the same.
fn max_length(path: &Path, value: Option<&Value>) -> Result<usize, TokenizerError> {
    match value {
        None | Some(Value::Null) => Ok(DEFAULT_LENGTH),
        Some(value) => match value.as_f64() {
            Some(length) if length >= 1e6 => Ok(DEFAULT_LENGTH),
            Some(length) if length >= 2.0 && length.fract() == 0.0 => Ok(length as usize),
            _ => Err(invalid(
                path,
                format!("model_max_length: expected a length of at least 2, found {value}"),
            )),
        },
    }
}

/// A JSON object from a file; an absent file is an empty object.
fn object(path: &Path) -> Result<Map<String, Value>, TokenizerError> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let value: Value = serde_json::from_str(&super::read(path)?).map_err(|e| invalid(path, e.to_string()))?;
    Ok(as_object(path, "the file", &value)?.clone())
}

fn as_object<'a>(
    path: &Path,
    what: &str,
    value: &'a Value,
) -> Result<&'a Map<String, Value>, TokenizerError> {
    value.as_object().ok_or_else(|| invalid(path, format!("{what}: expected an object, found {value}")))
}
