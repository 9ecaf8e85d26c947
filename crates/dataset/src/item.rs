//! The items of a dataset: one picture each, with its caption, masks and conditioning image.

use std::path::PathBuf;
use std::sync::Arc;

use crate::captions::CaptionSpec;
use crate::diagnostic::Origin;
use crate::source::{ImageSource, MaskSource};

/// One picture with all that belongs to it. Paths are relative to [`Dataset::root`](crate::Dataset::root).
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The line of the list that names it; `None` where there is no list of lines.
    pub origin: Option<Origin>,
    /// The picture's name: its path, or for a cell of a table the table's path and the row.
    pub image: PathBuf,
    /// The place where the picture is stored.
    pub source: ImageSource,
    /// The caption as written, without white space at its ends. What a sample sees is
    /// [`Dataset::caption`](crate::Dataset::caption).
    pub caption: String,
    /// Variation of the caption.
    pub captions: Arc<CaptionSpec>,
    /// One entry per region, in the order given to [`Dataset::open`](crate::Dataset::open). `None` says that
    /// the picture has no such region: an empty string or `null` in the mask's column.
    pub masks: Vec<Option<MaskSource>>,
    /// The conditioning image, if the recipe names a source for them.
    pub conditioning: Option<ImageSource>,
    /// Width and height in pixels as shown, after the EXIF orientation.
    pub size: (u32, u32),
    /// Number of times that it comes in an epoch, at least 1.
    pub repeats: u32,
    /// Multiplies its squared errors, in all objectives alike; 1 unless the recipe says otherwise.
    pub weight: f32,
}

impl Item {
    /// An item without masks, of unknown size.
    pub(crate) fn new(source: ImageSource, caption: String) -> Item {
        Item {
            origin: None,
            image: source.name().to_owned(),
            source,
            caption,
            captions: Arc::default(),
            masks: Vec::new(),
            conditioning: None,
            size: (0, 0),
            repeats: 1,
            weight: 1.0,
        }
    }

    /// True if the picture's alpha channel is a mask, and so not transparency.
    pub(crate) fn takes_alpha(&self) -> bool {
        self.masks.iter().any(|m| matches!(m, Some(MaskSource::Alpha)))
    }
}
