//! What a check found, as plain data: for a machine as JSON, for people in `text` and `html`.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::geometry::GeometrySpec;
use crate::problem::{Fault, Problem, Subject};
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
    /// How many findings are errors, warnings and notes.
    pub counts: Counts,
    /// Pictures listed, bad ones included.
    pub pictures: usize,
    /// Pictures of an epoch, repeats included, without bad ones.
    pub epoch: usize,
    /// What each objective with a region will see.
    pub regions: Vec<RegionReport>,
    /// The captions.
    pub captions: CaptionReport,
    /// The sizes that pictures are trained at, and how many there are of each.
    pub buckets: Vec<Bucket>,
    /// All findings: of the whole dataset first, then picture by picture.
    pub findings: Vec<Finding>,
    /// What the reader of the layout passed over.
    pub notes: Vec<String>,
    /// The pictures.
    pub items: Vec<ItemReport>,
}

impl Report {
    /// Whether training would fail or miss pictures.
    pub fn has_errors(&self) -> bool {
        self.counts.errors > 0
    }
}

/// Numbers of findings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// What training cannot use.
    pub errors: usize,
    /// What it can use, but most likely not as meant.
    pub warnings: usize,
    /// What it changes without harm, and other things good to know.
    pub notes: usize,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Training cannot use it.
    Error,
    /// Training can use it, but most likely not as meant.
    Warning,
    /// Training changes it without harm, or it is good to know.
    Note,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The recipe does not fit the dataset.
    Recipe,
    /// A line of a list cannot be read, or a column is missing.
    List,
    /// A picture that is not there.
    Missing,
    /// A path that leaves the dataset's folder.
    Outside,
    /// The system cannot read it.
    Unreadable,
    /// Not a picture, or damaged.
    NotAPicture,
    /// Cut off.
    Truncated,
    /// More pixels than allowed: a decompression bomb, or a very large photograph.
    TooLarge,
    /// Two files claim one name.
    Ambiguous,
    /// No caption, or an empty one.
    CaptionMissing,
    /// A caption that is not UTF-8.
    CaptionEncoding,
    /// A mask that is not there.
    MaskMissing,
    /// A mask or conditioning image of another size than its picture.
    Size,
    /// A mask that is nowhere bright.
    MaskDark,
    /// The extension says another format than the content.
    Mislabelled,
    /// More than one frame; the first is used.
    Animated,
    /// Transparent parts; they become white.
    Alpha,
    /// Four inks; the conversion to RGB knows no colour profile.
    Cmyk,
    /// A mask that covers all of its picture.
    MaskFull,
    /// A mask that looks inverted.
    MaskInverted,
    /// A mask with a wide gray edge or gray areas.
    MaskSoft,
    /// A mask whose picture is not there.
    MaskStray,
    /// A caption with more tokens than the text encoder takes.
    CaptionLong,
    /// The same bytes as another picture.
    Duplicate,
    /// Nearly the same picture as another.
    NearDuplicate,
    /// A region with parts too small for its cells.
    Vanishing,
    /// A region of which no picture has a cell.
    RegionEmpty,
    /// Names, repeats or captions that may be meant otherwise than they are read.
    Doubtful,
    /// A file that belongs to nothing.
    Stray,
    /// 16 bits per channel; 8 are used.
    SixteenBit,
    /// No colours.
    Gray,
    /// Turned by its EXIF orientation.
    Rotated,
    /// An all-black mask: the picture has no such region.
    MaskEmpty,
    /// A part of the region lies outside of the part of the picture that is kept.
    Cropped,
}

impl Kind {
    /// What training cannot use is an error; what it silently takes otherwise than meant a warning; what it
    /// converts without harm a note.
    pub fn severity(self) -> Severity {
        use Kind::*;
        match self {
            Recipe | List | Missing | Outside | Unreadable | NotAPicture | Truncated | TooLarge
            | Ambiguous | CaptionMissing | CaptionEncoding | MaskMissing | Size | MaskDark => Severity::Error,
            Mislabelled | Animated | Alpha | Cmyk | MaskFull | MaskInverted | MaskSoft | MaskStray
            | CaptionLong | Duplicate | NearDuplicate | Vanishing | RegionEmpty | Doubtful | Stray => {
                Severity::Warning
            }
            SixteenBit | Gray | Rotated | MaskEmpty | Cropped => Severity::Note,
        }
    }

    /// A short title.
    pub fn title(self) -> &'static str {
        use Kind::*;
        match self {
            Recipe => "the recipe does not fit",
            List => "lines that cannot be read",
            Missing => "missing files",
            Outside => "paths that leave the folder",
            Unreadable => "unreadable files",
            NotAPicture => "not a picture, or damaged",
            Truncated => "files that are cut off",
            TooLarge => "too many pixels",
            Ambiguous => "two files of one name",
            CaptionMissing => "captions missing or empty",
            CaptionEncoding => "captions that are not UTF-8",
            MaskMissing => "masks missing",
            Size => "masks of another size",
            MaskDark => "masks that are nowhere bright",
            Mislabelled => "extension and content differ",
            Animated => "animations",
            Alpha => "transparent pictures",
            Cmyk => "CMYK pictures",
            MaskFull => "masks that cover everything",
            MaskInverted => "masks that look inverted",
            MaskSoft => "soft masks",
            MaskStray => "masks without a picture",
            CaptionLong => "captions that are too long",
            Duplicate => "duplicates",
            NearDuplicate => "near duplicates",
            Vanishing => "regions too small for their cells",
            RegionEmpty => "regions that no picture has",
            Doubtful => "perhaps not meant so",
            Stray => "stray files",
            SixteenBit => "16-bit pictures",
            Gray => "gray pictures",
            Rotated => "pictures turned by EXIF",
            MaskEmpty => "empty masks",
            Cropped => "regions outside of the crop",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub kind: Kind,
    /// The picture that it belongs to, as an index into [`Report::items`]; none for the whole dataset.
    pub item: Option<usize>,
    /// The list and line, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The part: `picture`, `caption`, `mask`, `conditioning`; none for the whole dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<&'static str>,
    /// The region, for masks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The file, relative to the dataset's folder. Empty if no file is concerned.
    pub file: PathBuf,
    /// What is wrong, and what to do.
    pub message: String,
}

impl Finding {
    /// A finding about a part of an item, or about the dataset.
    pub(crate) fn new(kind: Kind, subject: &Subject, file: impl Into<PathBuf>, message: String) -> Self {
        let part = match subject {
            Subject::Dataset | Subject::Line => None,
            Subject::Picture => Some("picture"),
            Subject::Caption => Some("caption"),
            Subject::Mask(_) => Some("mask"),
            Subject::Conditioning => Some("conditioning"),
        };
        let region = match subject {
            Subject::Mask(region) => Some(region.clone()),
            _ => None,
        };
        let severity = kind.severity();
        Finding { severity, kind, item: None, line: None, part, region, file: file.into(), message }
    }
}

impl From<&Problem> for Finding {
    fn from(problem: &Problem) -> Self {
        let is_mask = matches!(problem.subject, Subject::Mask(_));
        let is_caption = problem.subject == Subject::Caption;
        let kind = match &problem.fault {
            Fault::Recipe(_) | Fault::NoRegion(_) => Kind::Recipe,
            Fault::Missing(_) | Fault::NoAlpha if is_mask => Kind::MaskMissing,
            Fault::Missing(_) if is_caption => Kind::CaptionMissing,
            Fault::Missing(_) | Fault::NoAlpha => Kind::Missing,
            Fault::Outside(_) => Kind::Outside,
            Fault::Unreadable(_) => Kind::Unreadable,
            Fault::Undecodable(_) => Kind::NotAPicture,
            Fault::Truncated(_) => Kind::Truncated,
            Fault::TooLarge { .. } => Kind::TooLarge,
            Fault::Size { .. } => Kind::Size,
            Fault::DarkMask { .. } => Kind::MaskDark,
            Fault::Json(_) | Fault::Column(_) => Kind::List,
            Fault::Caption(_) => Kind::CaptionMissing,
            Fault::Encoding(_) => Kind::CaptionEncoding,
            Fault::Ambiguous(_) => Kind::Ambiguous,
        };
        let mut finding = Finding::new(kind, &problem.subject, &problem.file, problem.fault.to_string());
        finding.line = problem.origin.as_ref().map(ToString::to_string);
        finding
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut about = Vec::new();
        match (&self.region, self.part) {
            (Some(region), _) => about.push(format!("mask of `{region}`")),
            (None, Some("conditioning")) => about.push("conditioning image".into()),
            (None, Some(part)) => about.push(part.into()),
            (None, None) => {}
        }
        if !self.file.as_os_str().is_empty() {
            about.push(self.file.display().to_string());
        }
        let about = about.join(" ");
        let parts = [self.line.as_deref().unwrap_or(""), &about, &self.message];
        let parts: Vec<&str> = parts.into_iter().filter(|p| !p.is_empty()).collect();
        f.write_str(&parts.join(": "))
    }
}

/// What an objective with a region will see, in cells of [`Report::mask_cell`] pixels; crops are taken from the middle.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegionReport {
    /// The region's name.
    pub name: String,
    /// Where its masks come from.
    pub mask: String,
    /// Pictures with at least one cell of it.
    pub pictures: usize,
    /// Their share of the usable pictures.
    pub share_of_pictures: f64,
    /// The share of all cells of all usable pictures that are in the region.
    pub share_of_cells: f64,
    /// The same share in the pictures that have it.
    pub share_of_cells_where_present: f64,
    /// Connected parts of the masks (8 neighbours), counted in the pixels of the files.
    pub parts: usize,
    /// Cells of the smallest, the median and the largest part that has any.
    pub cells: Option<[usize; 3]>,
    /// Parts by their cells: 1 to 3, 4 to 15, 16 to 63, 64 to 255, more.
    pub histogram: [usize; 5],
    /// Parts that have no cell, because they cover less of each than the recipe's threshold.
    pub vanishing: usize,
    /// The size, in steps of an eighth, at which every part would have a cell, if some vanish.
    pub visible_at: Option<(u32, u32)>,
    /// Parts outside of the part of the picture that is kept.
    pub cropped: usize,
}

/// The captions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CaptionReport {
    /// Whether tokens were estimated, for want of the model's tokenizer.
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
    /// How often it comes in an epoch; 0 if it cannot be used.
    pub repeats: u32,
    /// Cells of each region; none where it has no mask.
    pub cells: Vec<Option<usize>>,
    /// A small picture with its regions drawn in, as a JPEG file.
    #[serde(skip)]
    pub thumbnail: Option<Vec<u8>>,
}
