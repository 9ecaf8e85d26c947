//! Texts to embeddings, as diffusers' pipelines make them.

use std::path::Path;

use fairhuman_engine::{Backend, Params, Tape, Var};

use super::{Family, ModelFolder};
use crate::clip::{ClipConfig, ClipText};
use crate::config_check::ConfigError;
use crate::net::{ModelError, Trainable};
use crate::tokenizer::ClipTokenizer;

/// The tokenizers and text encoders of a model.
pub struct TextEncoders<B: Backend> {
    family: Family,
    /// Each tokenizer and its encoder: one, or SDXL's two.
    pub encoders: Vec<(ClipTokenizer, ClipText<B>)>,
}

/// Encoded texts, as the U-Net takes them.
pub struct TextEmbeddings<B: Backend> {
    /// `[N, T, D]`; of SDXL's two encoders side by side.
    pub embeddings: B::Tensor,
    /// SDXL: the pooled and projected state of the second encoder, `[N, P]`.
    pub pooled: Option<B::Tensor>,
    /// True for each text whose end was cut off.
    pub truncated: Vec<bool>,
}

/// Checks that an encoder has a place for all tokens of its tokenizer.
pub(super) fn check_vocabulary(
    (tokens, tokenizer): (&Path, &ClipTokenizer),
    (weights, config): (&Path, &ClipConfig),
) -> Result<(), ConfigError> {
    let (known, rows) = (tokenizer.vocab_size(), config.vocabulary);
    let (length, positions) = (tokenizer.max_length(), config.positions);
    let wrong = |key: &str, expected: String, found: usize| {
        let (path, key, found) = (weights.join("config.json"), key.into(), found.to_string());
        Err(ConfigError::Value { path, key, expected, found })
    };
    if known > rows {
        return wrong("vocab_size", format!("at least {known}, the tokens of {}", tokens.display()), rows);
    }
    if length > positions {
        let expected = format!("at least {length}, the length of {}", tokens.display());
        return wrong("max_position_embeddings", expected, positions);
    }
    Ok(())
}

impl<B: Backend> TextEncoders<B> {
    /// Reads the tokenizers and text encoders of a model folder.
    ///
    /// # Errors
    /// Errors of the parts, and a tokenizer that knows more tokens than its encoder.
    pub fn load(backend: &B, folder: &ModelFolder) -> Result<Self, ModelError> {
        Self::load_with(backend, folder, None)
    }

    /// The same with every weight of the encoders as a parameter, named `<component>.<tensor>`.
    ///
    /// # Errors
    /// As [`TextEncoders::load`].
    pub fn load_trained(
        backend: &B,
        folder: &ModelFolder,
        params: &mut Params<B>,
    ) -> Result<Self, ModelError> {
        Self::load_with(backend, folder, Some(params))
    }

    fn load_with(
        backend: &B,
        folder: &ModelFolder,
        mut params: Option<&mut Params<B>>,
    ) -> Result<Self, ModelError> {
        let mut encoders = Vec::new();
        for (tokens, weights, component) in folder.texts() {
            let tokenizer = ClipTokenizer::open(&tokens)?;
            let encoder = ClipText::load(
                backend,
                &weights,
                component,
                params.as_deref_mut().map_or(Trainable::None, Trainable::All),
            )?;
            check_vocabulary((&tokens, &tokenizer), (&weights, encoder.config()))?;
            encoders.push((tokenizer, encoder));
        }
        Ok(Self { family: folder.family, encoders })
    }

    /// Width D of the embeddings.
    pub fn width(&self) -> usize {
        self.encoders.iter().map(|(_, encoder)| encoder.config().width).sum()
    }

    /// Width P of the pooled embedding, where there is one.
    pub fn pooled_width(&self) -> Option<usize> {
        self.encoders.last().and_then(|(_, encoder)| encoder.config().projection)
    }

    /// The embeddings of `prompts` (at least one).
    ///
    /// # Errors
    /// No prompts; tokenizers of unequal length.
    pub fn encode(&self, backend: &B, prompts: &[&str]) -> Result<TextEmbeddings<B>, ModelError> {
        self.encode_with(backend, &Params::default(), prompts)
    }

    /// The same where the encoders have LoRAs or other parameters.
    ///
    /// # Errors
    /// As [`TextEncoders::encode`].
    pub fn encode_with(
        &self,
        backend: &B,
        params: &Params<B>,
        prompts: &[&str],
    ) -> Result<TextEmbeddings<B>, ModelError> {
        if prompts.is_empty() {
            return Err(ModelError::shape("text encoders", "texts", &[0], "at least one"));
        }
        let (ids, truncated) = self.tokens(prompts);
        let (embeddings, pooled) = self.forward(&mut Tape::inference(backend, params), &ids)?;
        let pooled = pooled.map(|pooled| pooled.value().clone());
        Ok(TextEmbeddings { embeddings: embeddings.value().clone(), pooled, truncated })
    }

    /// Token ids per encoder and prompt, and whether the end of each prompt was cut off.
    pub fn tokens(&self, prompts: &[&str]) -> (Vec<Vec<Vec<u32>>>, Vec<bool>) {
        let mut truncated = vec![false; prompts.len()];
        let of = |(tokenizer, _): &(ClipTokenizer, ClipText<B>)| {
            let tokens: Vec<_> = prompts.iter().map(|prompt| tokenizer.encode(prompt)).collect();
            truncated.iter_mut().zip(&tokens).for_each(|(any, tokens)| *any |= tokens.truncated);
            tokens.into_iter().map(|tokens| tokens.ids).collect()
        };
        (self.encoders.iter().map(of).collect(), truncated)
    }

    /// The U-Net's inputs for texts given as `ids` per encoder and text: embeddings `[N, T, D]` and, for
    /// SDXL, the pooled one `[N, P]`.
    ///
    /// # Errors
    /// Ids that do not fit the encoders, tokenizers of unequal length.
    pub fn forward<'m>(
        &'m self,
        tape: &mut Tape<'m, B>,
        ids: &[Vec<Vec<u32>>],
    ) -> Result<(Var<B>, Option<Var<B>>), ModelError> {
        let mut embeddings: Option<Var<B>> = None;
        let mut pooled = None;
        for ((_, encoder), ids) in self.encoders.iter().zip(ids) {
            let output = encoder.forward(tape, ids)?;
            let states = match self.family {
                Family::Sd => output.last,
                Family::Sdxl => output.penultimate,
            };
            embeddings = Some(match embeddings {
                None => states,
                Some(first) if first.shape()[..2] != states.shape()[..2] => {
                    let expected = format!("{:?}, as the first tokenizer's", &first.shape()[..2]);
                    return Err(ModelError::shape("text encoders", "texts", states.shape(), &expected));
                }
                Some(first) => tape.concat(&first, &states),
            });
            pooled = (self.family == Family::Sdxl).then_some(output.pooled);
        }
        let nothing = || ModelError::shape("text encoders", "texts", &[0], "one list for each encoder");
        Ok((embeddings.ok_or_else(nothing)?, pooled))
    }
}
