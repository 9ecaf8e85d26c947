//! The networks that find faces, hands and people: MediaPipe's, and a user's own for faces or hands.

use std::path::{Path, PathBuf};

use anyhow::Context;
use fairhuman_vision::annotate::load_detectors;
use fairhuman_vision::detectors::Detectors;
use fairhuman_vision::pipeline::{Pipeline, RegionDetector};
use fairhuman_vision::yolo::Yolo;

use super::models;
use crate::cli::RegionNetworks;

/// Loaded networks.
pub struct Finders {
    detectors: Detectors,
    faces: Option<Yolo>,
    hands: Option<Yolo>,
}

impl Finders {
    /// Reads those of `models`, by default the user's, and the ones that the options name.
    ///
    /// # Errors
    /// Networks that are not there, are damaged, or know other classes.
    pub fn load(models: Option<&Path>, options: &RegionNetworks) -> anyhow::Result<Self> {
        let detectors = load_detectors(&models::folder(models)?)?;
        let load = |file: &Option<PathBuf>, classes: &[String], option: &str| {
            let network =
                file.as_deref().map(|file| Yolo::load(file, classes, options.threshold)).transpose();
            network.with_context(|| format!("the network of --{option}s (its classes: --{option}-class)"))
        };
        let faces = load(&options.faces, &options.face_class, "face")?;
        let hands = load(&options.hands, &options.hand_class, "hand")?;
        Ok(Self { detectors, faces, hands })
    }

    /// All of them together.
    pub fn pipeline(&self) -> Pipeline<'_> {
        Pipeline {
            detectors: &self.detectors,
            faces: self.faces.as_ref().map(|network| network as &dyn RegionDetector),
            hands: self.hands.as_ref().map(|network| network as &dyn RegionDetector),
        }
    }
}
