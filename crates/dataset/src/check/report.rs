//! The report of a check as plain data: for a machine as JSON, for people in `text` and `html`.

use std::path::PathBuf;

use serde::Serialize;

use crate::diagnostic::{Diagnostic, Kind, Severity};
use crate::fit::Fit;
use crate::geometry::GeometrySpec;
use crate::spec::Layout;

/// Everything that a check found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The dataset's folder, or the path that was asked for where it cannot be opened.
    pub dataset: PathBuf,
    /// The layout that was read.
    pub layout: Layout,
    /// The size that pictures are trained at.
    pub geometry: GeometrySpec,
    /// Pixels per cell of the masks, in one direction: those of a latent cell, or 1.
    pub mask_cell: usize,
    /// Numbers of errors, warnings and notes.
    pub counts: Counts,
    /// Numbers of diagnostics of each kind, those included that are not in [`Report::diagnostics`].
    pub kinds: Vec<KindCount>,
    /// Pictures listed, bad ones included.
    pub pictures: usize,
    /// Pictures of an epoch, repeats included, without bad ones.
    pub epoch: usize,
    /// The regions, as the objectives will see them.
    pub regions: Vec<RegionReport>,
    /// The captions.
    pub captions: CaptionReport,
    /// The sizes that pictures are trained at, and how many there are of each.
    pub buckets: Vec<Bucket>,
    /// Enlargement and cropping at these sizes.
    pub fit: Fit,
    /// Errors, warnings and notes, at most 10,000 of a kind: of the whole dataset first, then picture by
    /// picture.
    pub diagnostics: Vec<Diagnostic>,
    /// The pictures.
    pub items: Vec<ItemReport>,
}

impl Report {
    /// The number of diagnostics of a severity and kind.
    pub fn count(&self, severity: Severity, kind: Kind) -> usize {
        let of_kind = self.kinds.iter().filter(|k| k.severity == severity && k.kind == kind);
        of_kind.map(|k| k.count).sum()
    }

    /// True if training would fail or miss pictures.
    pub fn has_errors(&self) -> bool {
        self.counts.errors > 0
    }
}

/// Numbers of diagnostics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Training cannot use these.
    pub errors: usize,
    /// It can use these, but most likely not as meant.
    pub warnings: usize,
    /// It changes these without harm, or they are good to know.
    pub notes: usize,
}

/// Number of diagnostics of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KindCount {
    /// Their severity.
    pub severity: Severity,
    /// Their kind.
    pub kind: Kind,
    /// The number, of which [`Report::diagnostics`] holds at most 10,000.
    pub count: usize,
}

/// A region as its objective will see it, in cells of [`Report::mask_cell`] pixels; crops are taken from the
/// middle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionReport {
    /// The region's name.
    pub name: String,
    /// The source of its masks, as the recipe names it.
    pub mask: String,
    /// Pictures with at least one cell of it.
    pub pictures: usize,
    /// Their share of the usable pictures.
    pub share_of_pictures: f64,
    /// The share of all cells of all usable pictures that are in the region.
    pub share_of_cells: f64,
    /// The same share in the pictures that have it.
    pub share_of_cells_where_present: f64,
    /// Connected components of the masks (8 neighbours), counted in the pixels of the files.
    pub parts: usize,
    /// Cells of the smallest, the median and the largest component that has any.
    pub cells: Option<[usize; 3]>,
    /// Components by their cells: 1 to 3, 4 to 15, 16 to 63, 64 to 255, more.
    pub histogram: [usize; 5],
    /// Components that have no cell, because they cover less of each than the recipe's threshold.
    pub vanishing: usize,
    /// The size, in steps of an eighth, at which every component would have a cell, if some vanish.
    pub visible_at: Option<(u32, u32)>,
    /// Components outside of the part of the picture that is kept.
    pub cropped: usize,
}

/// The captions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaptionReport {
    /// True if tokens were estimated, for want of the model's tokenizer.
    pub estimated: bool,
    /// The most tokens that the text encoder takes, begin and end included.
    pub limit: usize,
    /// Tokens of the longest caption.
    pub longest: usize,
    /// Captions over the limit: their ends are cut off.
    pub over: usize,
}

/// A size that pictures are trained at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bucket {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pictures of this size in an epoch.
    pub pictures: usize,
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemReport {
    /// Its name.
    pub name: PathBuf,
    /// The caption.
    pub caption: String,
    /// Tokens of the caption.
    pub tokens: usize,
    /// Width and height as shown; none if it cannot be read.
    pub size: Option<(u32, u32)>,
    /// Repeats in an epoch; 0 if it cannot be used.
    pub repeats: u32,
    /// Cells of each region; none where it has no mask.
    pub cells: Vec<Option<usize>>,
    /// A small picture with its regions drawn in, as a JPEG file.
    #[serde(skip)]
    pub thumbnail: Option<Vec<u8>>,
}
