//! CLIP's byte-pair tokenizer, read from a diffusers `tokenizer/` folder.
//!
//! Text is normalised (NFC, runs of white space become one space, lower case), cut into words by CLIP's
//! expression, spelt in byte symbols, and merged by rank: what `CLIPTokenizerFast` of transformers does,
//! which the golden test holds it to. The slow `CLIPTokenizer` differs where its own clean-up does: it drops
//! control and other invisible characters (this one spells them in bytes), puts spaces around each Chinese
//! character, and lower-cases some letters by other rules.

mod learn;
mod special;
mod vocabulary;

use std::path::{Path, PathBuf};

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior, Tokenizer};

pub use learn::{PadToken, write_tokenizer, write_tokenizer_of};
use vocabulary::Vocabulary;

/// CLIP's words: English contractions, runs of letters, single digits, runs of anything else.
const WORD: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";
/// Positions of every CLIP text encoder that Stable Diffusion uses; the length where the folder states none.
const DEFAULT_LENGTH: usize = 77;

/// Why a tokenizer folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// The operating system refused a file.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file is there but does not hold what a CLIP tokenizer needs.
    #[error("{}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Expected and found.
        problem: String,
    },
}

/// One text as a text encoder takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// Exactly [`ClipTokenizer::max_length`] ids: begin, words, end, padding.
    pub ids: Vec<u32>,
    /// Tokens of the whole text, begin and end included, before truncation.
    pub count: usize,
    /// True if words were cut off at the end.
    pub truncated: bool,
}

/// A loaded tokenizer. Immutable; share it freely between threads.
#[derive(Debug, Clone)]
pub struct ClipTokenizer {
    inner: Tokenizer,
    begin: u32,
    end: u32,
    pad: u32,
    max_length: usize,
}

impl ClipTokenizer {
    /// Reads `vocab.json` and `merges.txt`, or `tokenizer.json`, and, where present,
    /// `special_tokens_map.json`, `tokenizer_config.json` and `added_tokens.json` from `folder`.
    ///
    /// # Errors
    /// A file that is missing or malformed, a merge or special token that the vocabulary lacks, a token that
    /// no merge makes, a `model_max_length` under 2.
    pub fn open(folder: &Path) -> Result<Self, TokenizerError> {
        let Vocabulary { tokens, merges, paths: [vocab_path, merges_path], added } =
            Vocabulary::open(folder)?;
        let special = special::read(folder, added.as_deref())?;
        let id = |token: &str| {
            tokens.get(token).copied().or_else(|| special.ids.get(token).copied()).ok_or_else(|| {
                invalid(&vocab_path, format!("the special token {token:?} is not in the vocabulary"))
            })
        };
        let (begin, end, pad) = (id(&special.begin)?, id(&special.end)?, id(&special.pad)?);
        vocabulary::check_merges(&tokens, &merges, &special.added, &merges_path)?;
        let model = BPE::builder()
            .vocab_and_merges(Vocab::from_iter(tokens.clone()), merges)
            .continuing_subword_prefix(String::new())
            .end_of_word_suffix("</w>".into())
            .unk_token(special.unknown.clone())
            .build()
            .map_err(|e| invalid(&merges_path, format!("does not fit the vocabulary: {e}")))?;
        let inner = assemble(model, &special.added).map_err(|e| invalid(&vocab_path, e.to_string()))?;
        for (token, expected) in &special.ids {
            let found = inner.token_to_id(token);
            if found != Some(*expected) {
                return Err(invalid(
                    &folder.join("tokenizer_config.json"),
                    format!("the added token {token:?} is given the id {expected}, but gets {found:?}"),
                ));
            }
        }
        Ok(Self { inner, begin, end, pad, max_length: special.max_length })
    }

    /// The ids of `text`: begin, at most `max_length - 2` words' tokens, end, padding.
    pub fn encode(&self, text: &str) -> Tokens {
        // Encoding without post-processing fails only in models that can be short of an unknown token;
        // the unknown token of this one was looked up when it was read.
        let words = self.inner.encode_fast(text, false).map(|e| e.get_ids().to_vec()).unwrap_or_default();
        let count = words.len() + 2;
        let room = self.max_length - 2;
        let mut ids = Vec::with_capacity(self.max_length);
        ids.push(self.begin);
        ids.extend(words.iter().take(room));
        ids.push(self.end);
        ids.resize(self.max_length, self.pad);
        Tokens { ids, count, truncated: words.len() > room }
    }

    /// Length of every encoding (`model_max_length`, 77 for CLIP).
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The id that ends a text. CLIP's pooled embedding is read at its first position.
    pub fn end_id(&self) -> u32 {
        self.end
    }

    /// The id that fills up short texts.
    pub fn pad_id(&self) -> u32 {
        self.pad
    }

    /// Number of tokens, added ones included: at most the text encoder's `vocab_size`.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }
}

fn assemble(model: BPE, added: &[AddedToken]) -> tokenizers::Result<Tokenizer> {
    let mut inner = Tokenizer::new(model);
    inner.with_normalizer(Some(Normalizers::new(vec![
        NormalizerWrapper::from(NFC),
        Replace::new(ReplacePattern::Regex(r"\s+".into()), " ")?.into(),
        Lowercase.into(),
    ])));
    let words = Split::new(SplitPattern::Regex(WORD.into()), SplitDelimiterBehavior::Removed, true)?;
    inner.with_pre_tokenizer(Some(PreTokenizers::new(vec![
        PreTokenizerWrapper::Split(words),
        ByteLevel::new(false, true, true).into(),
    ])));
    // One by one, so that new tokens are numbered in the order given, special or not.
    for token in added {
        if token.special {
            inner.add_special_tokens(std::slice::from_ref(token));
        } else {
            inner.add_tokens(std::slice::from_ref(token));
        }
    }
    Ok(inner)
}

pub(crate) fn read(path: &Path) -> Result<String, TokenizerError> {
    fairhuman_files::read_to_string(path).map_err(|source| TokenizerError::Io { path: path.into(), source })
}

pub(crate) fn invalid(path: &Path, problem: impl Into<String>) -> TokenizerError {
    TokenizerError::Invalid { path: path.into(), problem: problem.into() }
}
