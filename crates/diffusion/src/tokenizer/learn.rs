//! Making a tokenizer from a few sentences, for models that are made from nothing.
//!
//! The folder has the form of CLIP's: 256 byte symbols, the same 256 ending a word, one token per merge,
//! then the begin and end tokens. Merges are learnt by byte-pair encoding (Sennrich et al. 2016): the most
//! frequent pair is joined until no pair occurs twice or the vocabulary is full.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizedString, Normalizer};
use tokenizers::{
    NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
    SplitDelimiterBehavior,
};

use super::{DEFAULT_LENGTH, TokenizerError, WORD, invalid};
use crate::weights::write_atomically;

const BEGIN: &str = "<|startoftext|>";
const END: &str = "<|endoftext|>";
const END_OF_WORD: &str = "</w>";

/// Byte symbols, the same at the end of a word, and the two marks.
const LEAST: usize = 514;

/// The token that pads short texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PadToken {
    /// The end token: SD 1.5 and SDXL's first tokenizer.
    EndOfText,
    /// `!`, id 0: SD 2.x and SDXL's second tokenizer. A `!` in a text then is that id too.
    Exclamation,
}

/// Writes a tokenizer folder (`vocab.json`, `merges.txt`, `special_tokens_map.json`,
/// `tokenizer_config.json`) that spells every text and has short spellings for the words of `corpus`.
/// Returns the number of tokens: at most `max_tokens`, fewer when no pair of symbols occurs twice any more.
///
/// # Errors
/// `max_tokens` under 514 (the byte symbols and the two marks), or a file that cannot be written.
pub fn write_tokenizer<S: AsRef<str>>(
    folder: &Path,
    corpus: &[S],
    max_tokens: usize,
    pad: PadToken,
) -> Result<usize, TokenizerError> {
    if max_tokens < LEAST {
        return Err(invalid(
            folder,
            format!("{max_tokens} tokens asked for; {LEAST} are needed to spell any text"),
        ));
    }
    let words = count_words(corpus).map_err(|e| invalid(folder, e.to_string()))?;
    write_tokenizer_of(folder, learn_merges(words, max_tokens - LEAST), pad)
}

/// The same with merges that are known, by rank. Returns the number of tokens.
///
/// # Errors
/// A file that cannot be written.
pub fn write_tokenizer_of(
    folder: &Path,
    pairs: impl IntoIterator<Item = (String, String)>,
    pad: PadToken,
) -> Result<usize, TokenizerError> {
    let mut tokens: Vec<String> = byte_symbols().iter().map(char::to_string).collect();
    tokens.extend(byte_symbols().iter().map(|c| format!("{c}{END_OF_WORD}")));
    let mut known: BTreeSet<String> = tokens.iter().cloned().collect();
    let mut merges = String::from("#version: 0.2\n");
    for (first, second) in pairs {
        merges.push_str(&format!("{first} {second}\n"));
        let joined = first + &second;
        // Two different pairs may spell the same token.
        if known.insert(joined.clone()) {
            tokens.push(joined);
        }
    }
    tokens.extend([BEGIN.to_owned(), END.to_owned()]);
    let vocab: Map<String, Value> = tokens.iter().enumerate().map(|(id, t)| (t.clone(), json!(id))).collect();
    let flagged = |content: &str, normalized: bool| json!({"content": content, "lstrip": false, "normalized": normalized, "rstrip": false, "single_word": false});
    let pad = match pad {
        PadToken::EndOfText => END,
        PadToken::Exclamation => "!",
    };
    let map = json!({
        "bos_token": flagged(BEGIN, true), "eos_token": flagged(END, true),
        "pad_token": pad, "unk_token": flagged(END, true),
    });
    let mut decoder = Map::new();
    if pad == "!" {
        decoder.insert("0".into(), with_special(flagged("!", false)));
    }
    decoder.insert((tokens.len() - 2).to_string(), with_special(flagged(BEGIN, true)));
    decoder.insert((tokens.len() - 1).to_string(), with_special(flagged(END, true)));
    let config = json!({
        "add_prefix_space": false, "added_tokens_decoder": decoder, "bos_token": BEGIN,
        "clean_up_tokenization_spaces": true, "do_lower_case": true, "eos_token": END, "errors": "replace",
        "model_max_length": DEFAULT_LENGTH, "pad_token": pad, "tokenizer_class": "CLIPTokenizer", "unk_token": END,
    });
    std::fs::create_dir_all(folder).map_err(|source| TokenizerError::Io { path: folder.into(), source })?;
    let files = [
        ("vocab.json", Value::Object(vocab).to_string()),
        ("merges.txt", merges),
        ("special_tokens_map.json", format!("{map:#}\n")),
        ("tokenizer_config.json", format!("{config:#}\n")),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        write_atomically(&path, text.as_bytes()).map_err(|source| TokenizerError::Io { path, source })?;
    }
    Ok(tokens.len())
}

fn with_special(mut token: Value) -> Value {
    token["special"] = Value::Bool(true);
    token
}

/// The printable stand-ins of the bytes in CLIP's order: first those that are printable themselves, `!`
/// first.
fn byte_symbols() -> Vec<char> {
    let printable = || ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    let stand_ins = (0x100u32..).filter_map(char::from_u32).take(256 - printable().count());
    printable().chain(stand_ins).collect()
}

/// Counts of the words, in byte symbols.
fn count_words<S: AsRef<str>>(corpus: &[S]) -> tokenizers::Result<BTreeMap<String, usize>> {
    let lower = NormalizerWrapper::from(tokenizers::normalizers::Sequence::new(vec![
        tokenizers::normalizers::NFC.into(),
        tokenizers::normalizers::Lowercase.into(),
    ]));
    let split = Split::new(SplitPattern::Regex(WORD.into()), SplitDelimiterBehavior::Removed, true)?;
    let bytes = ByteLevel::new(false, true, true);
    let mut words = BTreeMap::new();
    for text in corpus {
        let mut text = NormalizedString::from(text.as_ref());
        lower.normalize(&mut text)?;
        let mut pieces = PreTokenizedString::from(text);
        split.pre_tokenize(&mut pieces)?;
        bytes.pre_tokenize(&mut pieces)?;
        for (word, _, _) in pieces.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            *words.entry(word.to_owned()).or_insert(0) += 1;
        }
    }
    Ok(words)
}

/// At most `limit` merges; ties go to the alphabetically first pair, so that the result depends on nothing
/// else.
fn learn_merges(words: BTreeMap<String, usize>, limit: usize) -> Vec<(String, String)> {
    let mut words: Vec<(Vec<String>, usize)> = words
        .into_iter()
        .map(|(word, count)| {
            let mut symbols: Vec<String> = word.chars().map(String::from).collect();
            if let Some(last) = symbols.last_mut() {
                last.push_str(END_OF_WORD);
            }
            (symbols, count)
        })
        .collect();
    let mut merges = Vec::new();
    while merges.len() < limit {
        let mut pairs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for (symbols, count) in &words {
            for pair in symbols.windows(2) {
                *pairs.entry((&pair[0], &pair[1])).or_insert(0) += count;
            }
        }
        // `max_by_key` keeps the last maximum; reversed, that is the alphabetically first.
        let Some((&(first, second), _)) =
            pairs.iter().rev().filter(|(_, count)| **count >= 2).max_by_key(|(_, count)| **count)
        else {
            break;
        };
        let (first, second) = (first.to_owned(), second.to_owned());
        for (symbols, _) in &mut words {
            join(symbols, &first, &second);
        }
        merges.push((first, second));
    }
    merges
}

fn join(symbols: &mut Vec<String>, first: &str, second: &str) {
    let mut i = 0;
    while i + 1 < symbols.len() {
        if symbols[i] == first && symbols[i + 1] == second {
            let tail = symbols.remove(i + 1);
            symbols[i].push_str(&tail);
        }
        i += 1;
    }
}
