//! The kinds of diagnostics: their severity, and their titles in reports.

use serde::Serialize;

/// The severity of a diagnostic, worst first.
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

/// The kind of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The recipe does not fit the dataset.
    Recipe,
    /// A line of a list cannot be read, or a column is missing.
    List,
    /// A file that is not there.
    Missing,
    /// A path that leaves the dataset's folder.
    Outside,
    /// The system cannot read it.
    Unreadable,
    /// Not a picture, or damaged.
    NotAPicture,
    /// Something else than its place in the dataset asks for: an archive, a pointer of Git LFS.
    Foreign,
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
    /// A colour profile that cannot be used; colours are taken for sRGB.
    ColourProfileUnusable,
    /// A mask that covers all of its picture.
    MaskFull,
    /// A mask that looks inverted.
    MaskInverted,
    /// A mask with a wide gray edge or gray areas.
    MaskSoft,
    /// A mask whose picture is not there.
    UnusedMask,
    /// A caption with more tokens than the text encoder takes.
    CaptionLong,
    /// The same bytes as another picture.
    Duplicate,
    /// Nearly the same picture as another.
    NearDuplicate,
    /// A region with parts too small for its cells.
    Vanishing,
    /// A region that no picture has.
    RegionEmpty,
    /// Names, repeats or captions that may be meant otherwise than they are read.
    Doubtful,
    /// Settings of other programs that have no effect here.
    Ignored,
    /// A file that belongs to nothing.
    UnusedFile,
    /// 16 bits per channel; 8 are used.
    SixteenBit,
    /// A colour profile other than sRGB; colours are converted.
    ColourProfile,
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
    /// The severity of this kind, unless a diagnostic says otherwise.
    pub fn severity(self) -> Severity {
        use Kind::*;
        match self {
            Recipe | List | Missing | Outside | Unreadable | NotAPicture | Foreign | Truncated | TooLarge
            | Ambiguous | CaptionMissing | CaptionEncoding | MaskMissing | Size | MaskDark => Severity::Error,
            Mislabelled
            | Animated
            | Alpha
            | Cmyk
            | ColourProfileUnusable
            | MaskFull
            | MaskInverted
            | MaskSoft
            | UnusedMask
            | CaptionLong
            | Duplicate
            | NearDuplicate
            | Vanishing
            | RegionEmpty
            | Doubtful
            | UnusedFile => Severity::Warning,
            SixteenBit | ColourProfile | Gray | Rotated | MaskEmpty | Cropped | Ignored => Severity::Note,
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
            Foreign => "archives, pointers and the like",
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
            ColourProfileUnusable => "colour profiles that cannot be used",
            MaskFull => "masks that cover everything",
            MaskInverted => "masks that look inverted",
            MaskSoft => "soft masks",
            UnusedMask => "masks without a picture",
            CaptionLong => "captions that are too long",
            Duplicate => "duplicates",
            NearDuplicate => "near duplicates",
            Vanishing => "regions too small for their cells",
            RegionEmpty => "regions that no picture has",
            Doubtful => "is this intended?",
            Ignored => "settings that have no effect",
            UnusedFile => "unused files",
            SixteenBit => "16-bit pictures",
            ColourProfile => "colours converted to sRGB",
            Gray => "gray pictures",
            Rotated => "pictures turned by EXIF",
            MaskEmpty => "empty masks",
            Cropped => "regions outside of the crop",
        }
    }
}
