//! The judges that the command line names, each loaded when its turn comes.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use fairhuman_builtin::clip_merges;
use fairhuman_diffusion::tokenizer::{ClipTokenizer, PadToken, write_tokenizer_of};
use fairhuman_engine::Backend;
use fairhuman_evaluate::clip::{Aesthetic, Clip, ClipFeatures, ClipJudge, Reading};
use fairhuman_evaluate::detection::Detection;
use fairhuman_evaluate::dino::{self, Dino};
use fairhuman_evaluate::drawn::DrawnPeople;
use fairhuman_evaluate::image_reward::ImageReward;
use fairhuman_evaluate::inception::Inception;
use fairhuman_evaluate::sets::Embedder;
use fairhuman_evaluate::{Fit, Judge};
use fairhuman_vision::annotate::load_detectors;
use fairhuman_vision::detectors::Detectors;

use super::choices;
use crate::cli::{Evaluate, JudgeChoice};
use crate::commands::models;

/// The judges' choices, and the detectors where one of them or the reference needs these.
pub struct Judges {
    choices: Vec<JudgeChoice>,
    detectors: Option<Detectors>,
    zoom: bool,
}

impl Judges {
    /// Reads the detectors' networks if they are needed.
    ///
    /// # Errors
    /// Networks that are not there, a judge without the one that it goes with.
    pub fn new(options: &Evaluate) -> anyhow::Result<Self> {
        let choices = choices(options);
        let any = |is: fn(&JudgeChoice) -> bool| choices.iter().any(is);
        ensure!(
            !any(|c| matches!(c, JudgeChoice::Aesthetic(_))) || any(|c| matches!(c, JudgeChoice::Clip(_))),
            "--judge aesthetic=... reads the vectors of CLIP ViT-L/14: name it, too, as --judge clip=DIR"
        );
        let folder = models::folder(options.models.as_deref())?;
        let detectors = match choices.contains(&JudgeChoice::Detection) {
            true => Some(load_detectors(&folder)?),
            // Regions of sets are found where the detectors are there.
            false if options.reference.is_some() && any(|c| matches!(c, JudgeChoice::Dino(_))) => {
                load_detectors(&folder).ok()
            }
            false => None,
        };
        Ok(Self { choices, detectors, zoom: !options.no_zoom })
    }

    /// The judges in their order.
    pub fn choices(&self) -> &[JudgeChoice] {
        &self.choices
    }

    /// The judge of faces and hands, if its networks are there.
    pub fn detection(&self) -> Option<Detection<'_>> {
        self.detectors.as_ref().map(|detectors| Detection::new(detectors, self.zoom))
    }

    /// Loads a judge of single pictures; none for what is part of another, or a judge of sets.
    ///
    /// # Errors
    /// Weights that are missing or damaged.
    pub fn load<'a, B: Backend>(
        &'a self,
        backend: &'a B,
        choice: &JudgeChoice,
    ) -> anyhow::Result<Option<Box<dyn Judge + 'a>>> {
        let clip = |path: &Path, fit: Fit, reading: Reading| -> anyhow::Result<Option<Box<dyn Judge + 'a>>> {
            let tokenizer = tokenizer(path)?;
            let model = Clip::open(backend, path, fit)?;
            Ok(Some(Box::new(ClipJudge::new(backend, model, tokenizer, reading)?)))
        };
        match choice {
            JudgeChoice::Detection => Ok(self.detection().map(|judge| Box::new(judge) as Box<dyn Judge>)),
            JudgeChoice::Drawn => Ok(Some(Box::new(DrawnPeople::new(backend.exact())?))),
            JudgeChoice::Clip(path) => {
                let aesthetic = self.choices.iter().find_map(|choice| match choice {
                    JudgeChoice::Aesthetic(path) => Some(Aesthetic::open(path)),
                    _ => None,
                });
                clip(path, Fit::Crop, Reading::Clip(aesthetic.transpose()?))
            }
            JudgeChoice::Pick(path) => clip(path, Fit::Crop, Reading::Pick),
            JudgeChoice::Hps(path) => clip(path, Fit::Pad, Reading::Hps),
            JudgeChoice::ImageReward(path) => Ok(Some(Box::new(ImageReward::open(backend, path)?))),
            JudgeChoice::Aesthetic(_) | JudgeChoice::Dino(_) | JudgeChoice::Cmmd(_) | JudgeChoice::Fid(_) => {
                Ok(None)
            }
        }
    }

    /// Loads what makes features of sets; none for judges of single pictures.
    ///
    /// # Errors
    /// Weights that are missing or damaged.
    pub fn embedder<'a, B: Backend>(
        &self,
        backend: &'a B,
        choice: &JudgeChoice,
    ) -> anyhow::Result<Option<Box<dyn Embedder + 'a>>> {
        match choice {
            JudgeChoice::Dino(path) => Ok(Some(Box::new(Dino::open(backend, path, dino::SIDE)?))),
            JudgeChoice::Cmmd(path) => {
                let model = Clip::open(backend, path, Fit::Crop)?;
                Ok(Some(Box::new(ClipFeatures { backend, model })))
            }
            JudgeChoice::Fid(path) => Ok(Some(Box::new(Inception::open(backend, path)?))),
            _ => Ok(None),
        }
    }
}

/// The tokenizer of a folder, or, where it brings none, CLIP's.
fn tokenizer(path: &Path) -> anyhow::Result<ClipTokenizer> {
    let has = |name: &str| path.join(name).is_file();
    if has("vocab.json") || has("tokenizer.json") {
        return Ok(ClipTokenizer::open(path)?);
    }
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let written: PathBuf = folder.path().join("tokenizer");
    fairhuman_files::make_folder(&written).with_context(|| written.display().to_string())?;
    write_tokenizer_of(&written, clip_merges()?, PadToken::EndOfText)?;
    Ok(ClipTokenizer::open(&written)?)
}
