//! CLIP's vectors as scores: the cosine of a picture and its prompt, and what is made of it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;

use fairhuman_diffusion::tokenizer::ClipTokenizer;
use fairhuman_engine::Backend;

use super::{Aesthetic, Clip, cosine};
use crate::error::EvaluateError;
use crate::judge::{Better, Item, Judge, Metric};

/// Pictures of one pass.
const BATCH: usize = 8;

/// The number that is made of a picture's and a prompt's vector.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// The cosine, as CLIP score; with a predictor also the aesthetic score of the picture's vector.
    Clip(Option<Aesthetic>),
    /// The cosine times the model's factor: PickScore (Kirstain et al. 2023).
    Pick,
    /// The cosine: HPS v2.1 (Wu et al. 2023).
    Hps,
}

/// A judge with a CLIP model.
pub struct ClipJudge<'b, B: Backend> {
    backend: &'b B,
    model: Clip<B>,
    tokenizer: ClipTokenizer,
    reading: Reading,
    identity: String,
    metrics: Vec<Metric>,
    /// Vectors of the prompts that were read.
    texts: RefCell<HashMap<String, Vec<f32>>>,
    truncated: Cell<usize>,
}

impl<'b, B: Backend> ClipJudge<'b, B> {
    /// With a model that was opened with the right [`Fit`](crate::Fit), and its tokenizer.
    ///
    /// # Errors
    /// A tokenizer or an aesthetic predictor of another model.
    pub fn new(
        backend: &'b B,
        model: Clip<B>,
        tokenizer: ClipTokenizer,
        reading: Reading,
    ) -> Result<Self, EvaluateError> {
        let (positions, vocabulary) = model.text_size();
        let unfit = |problem: String| EvaluateError::Weights { path: model.identity().into(), problem };
        if tokenizer.vocab_size() > vocabulary || tokenizer.max_length() != positions {
            return Err(unfit(format!(
                "reads {positions} of {vocabulary} tokens, its tokenizer makes {} of {}: the tokenizer of another model?",
                tokenizer.max_length(),
                tokenizer.vocab_size()
            )));
        }
        let width = model.visual_projection.outputs;
        if let Reading::Clip(Some(aesthetic)) = &reading
            && aesthetic.width() != width
        {
            return Err(unfit(format!(
                "makes vectors of {width} numbers, the aesthetic predictor reads {}: it is for CLIP ViT-L/14",
                aesthetic.width()
            )));
        }
        use Better::Higher;
        let cosine = "cosine of picture and prompt, neither times 100 nor times 2.5 nor cut at 0; no score without a prompt";
        let mut identity = model.identity().to_owned();
        let metrics = match &reading {
            Reading::Clip(aesthetic) => {
                let mut metrics = vec![Metric::new("clip.cosine", Higher, cosine)];
                if let Some(aesthetic) = aesthetic {
                    let about = "aesthetic score of the picture by LAION's predictor, about 1 to 10";
                    metrics.push(Metric::new("aesthetic.score", Higher, about));
                    identity += &format!("; {}", aesthetic.identity());
                }
                metrics
            }
            Reading::Pick => {
                let about = "PickScore: exp(logit scale) times the cosine of picture and prompt; the probability that one of two is preferred is the softmax of their scores";
                vec![Metric::new("pick.score", Higher, about)]
            }
            Reading::Hps => vec![Metric::new(
                "hps.score",
                Higher,
                "HPS v2.1: cosine of picture and prompt; papers print it times 100",
            )],
        };
        identity += match reading {
            Reading::Hps => "; longer side by torch's bicubic with antialiasing, zeros around",
            _ => "; shorter side by Pillow's bicubic, the middle",
        };
        let (texts, truncated) = (RefCell::default(), Cell::new(0));
        Ok(Self { backend, model, tokenizer, reading, identity, metrics, texts, truncated })
    }

    /// The vectors of the prompts that have not been read yet are made, together.
    fn read_prompts(&self, items: &[Item<'_>]) -> Result<(), EvaluateError> {
        let mut texts = self.texts.borrow_mut();
        let mut new: Vec<&str> = items.iter().filter_map(|item| item.picture.prompt.as_deref()).collect();
        new.sort_unstable();
        new.dedup();
        new.retain(|prompt| !texts.contains_key(*prompt));
        if new.is_empty() {
            return Ok(());
        }
        let tokens: Vec<_> = new.iter().map(|prompt| self.tokenizer.encode(prompt)).collect();
        self.truncated.set(self.truncated.get() + tokens.iter().filter(|tokens| tokens.truncated).count());
        let ids: Vec<Vec<u32>> = tokens.into_iter().map(|tokens| tokens.ids).collect();
        let vectors = self.model.text_vectors(self.backend, &ids)?;
        texts.extend(new.into_iter().map(str::to_owned).zip(vectors));
        Ok(())
    }
}

impl<B: Backend> Judge for ClipJudge<'_, B> {
    fn name(&self) -> &'static str {
        match self.reading {
            Reading::Clip(_) => "clip",
            Reading::Pick => "pick",
            Reading::Hps => "hps",
        }
    }

    fn identity(&self) -> &str {
        &self.identity
    }

    fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    fn batch(&self) -> usize {
        BATCH
    }

    fn score(&self, items: &[Item<'_>]) -> Result<Vec<Vec<Option<f64>>>, EvaluateError> {
        self.read_prompts(items)?;
        let texts = self.texts.borrow();
        let images: Vec<_> = items.iter().map(|item| item.image).collect();
        let vectors = self.model.picture_vectors(self.backend, &images);
        let row = |(item, vector): (&Item<'_>, Vec<f32>)| {
            let text = item.picture.prompt.as_ref().and_then(|prompt| texts.get(prompt));
            let cosine = text.map(|text| cosine(&vector, text));
            match &self.reading {
                Reading::Clip(None) | Reading::Hps => vec![cosine],
                Reading::Clip(Some(aesthetic)) => vec![cosine, Some(aesthetic.score(&vector))],
                Reading::Pick => vec![cosine.map(|cosine| self.model.logit_scale() * cosine)],
            }
        };
        Ok(items.iter().zip(vectors).map(row).collect())
    }

    fn notes(&self) -> Vec<String> {
        match self.truncated.get() {
            0 => Vec::new(),
            n => vec![format!(
                "{}: {n} prompts are longer than the {} tokens that are read; their ends are cut off",
                self.name(),
                self.tokenizer.max_length()
            )],
        }
    }
}
