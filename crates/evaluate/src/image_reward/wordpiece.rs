//! BERT's tokenizer (bert-base-uncased): lower case without accents, words and punctuation, pieces of words.

use std::path::Path;

use tokenizers::Tokenizer;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece as Model;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

use crate::error::EvaluateError;

/// Tokens of a text at most, the marks at both ends included.
const LENGTH: usize = 35;

/// The tokenizer.
pub(super) struct WordPiece {
    inner: Tokenizer,
    first: u32,
    last: u32,
}

impl WordPiece {
    /// Reads a vocabulary, a token a line.
    pub fn open(path: &Path) -> Result<Self, EvaluateError> {
        let text = fairhuman_files::read_to_string(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => EvaluateError::Weights {
                path: path.into(),
                problem: "is missing: the vocabulary of bert-base-uncased (vocab.txt on the Hub, 232 KB) belongs beside the weights".into(),
            },
            _ => EvaluateError::io(path)(source),
        })?;
        let wrong = |problem: String| EvaluateError::Weights { path: path.into(), problem };
        let vocabulary = text.lines().zip(0u32..).map(|(token, id)| (token.trim_end().to_owned(), id));
        let model = Model::builder()
            .vocab(Vocab::from_iter(vocabulary))
            .unk_token("[UNK]".into())
            .build()
            .map_err(|e| wrong(e.to_string()))?;
        let mut inner = Tokenizer::new(model);
        inner.with_normalizer(Some(BertNormalizer::new(true, true, None, true)));
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        let id = |token: &str| {
            inner.token_to_id(token).ok_or_else(|| {
                wrong(format!("the token {token} is missing; expected bert-base-uncased's vocabulary"))
            })
        };
        let (first, last, _) = (id("[CLS]")?, id("[SEP]")?, id("[UNK]")?);
        Ok(Self { inner, first, last })
    }

    /// The ids of a text between its two marks, without padding: what is masked there changes nothing.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // Fails only in models without an unknown token, which this one has.
        let words = self.inner.encode_fast(text, false).map(|e| e.get_ids().to_vec()).unwrap_or_default();
        let inside = words.into_iter().take(LENGTH - 2);
        [self.first].into_iter().chain(inside).chain([self.last]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_into_pieces_that_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vocab.txt");
        std::fs::write(&file, "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\ncafe\nwav\n##ing\n,\nwoman\n").unwrap();
        let words = WordPiece::open(&file).unwrap();
        assert_eq!(words.encode("A Woman, waving; Café"), [2, 4, 9, 8, 6, 7, 1, 5, 3]);
        assert_eq!(words.encode(&"a ".repeat(50)).len(), LENGTH);
        assert_eq!(words.encode(""), [2, 3]);
        let error = WordPiece::open(&folder.path().join("none.txt")).err().unwrap().to_string();
        assert!(error.contains("the vocabulary of bert-base-uncased"), "{error}");
        std::fs::write(&file, "a\nb\n").unwrap();
        assert!(WordPiece::open(&file).is_err());
    }
}
