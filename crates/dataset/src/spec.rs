//! What a recipe says about a dataset: plain data with documented defaults, unknown keys refused.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::problem::Fault;

/// Where a dataset lies and how it is read: the `[dataset]` table of a recipe.
///
/// Two layouts are read.
///
/// **`metadata`**: a folder with `metadata.jsonl`, one JSON object per line; paths are relative to the folder.
///
/// ```json
/// {"image": "images/1.png", "text": "a woman waving", "mask_face": "face/1.png", "mask_hand": ""}
/// ```
///
/// A mask column that holds `""` or `null` says that the picture has no such region. A column that is not
/// there at all is an error, so that a misspelt name cannot pass for absence. Other columns are ignored.
///
/// **`files`**: pictures directly in a folder, each with its caption beside it (`1.png`, `1.txt`). Masks are
/// files beside the picture (`1-masklabel.png`) or files of the same name in a folder per region
/// (`masks/face/1.png`); see [`Region::mask`]. Subfolders are not searched for pictures; files whose name starts
/// with a dot, and `NAME-masklabel` and `NAME-condlabel` files, are not taken for pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// The dataset's folder, or one `.jsonl` file in it (then that file is read instead of `metadata.jsonl`).
    /// Relative to the recipe's folder. Required.
    pub path: PathBuf,
    /// `"auto"` (default: `metadata` where there is a `metadata.jsonl`, else `files`), `"metadata"` or `"files"`.
    #[serde(default)]
    pub layout: Layout,
    /// Layout `metadata`: the column with the picture's path. Default `"image"`.
    #[serde(default = "image_column")]
    pub image_column: String,
    /// Layout `metadata`: the column with the caption. Default `"text"` (the published data: `"text_english"`).
    #[serde(default = "text_column")]
    pub text_column: String,
    /// Where conditioning images (for ControlNet and the like) come from, in the notation of [`Region::mask`];
    /// every picture must have one. Default: none are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditioning: Option<String>,
    /// The share of a latent cell, in (0, 1], that a region must cover for the cell to belong to it. Default
    /// 1/64 = 0.015625: one pixel of an 8 x 8 cell, so a line one pixel wide survives. 0.5 would be rounding.
    #[serde(default = "mask_threshold")]
    pub mask_threshold: f32,
    /// How masks and conditioning images relate to a picture with an EXIF orientation. Default `"shown"`.
    #[serde(default)]
    pub mask_orientation: MaskOrientation,
    /// Layout `files`: what a picture without a mask file means. Default `"error"`.
    #[serde(default)]
    pub missing_mask: MissingMask,
    /// Whether a caption may be empty. Default `false`: an empty caption is reported.
    #[serde(default)]
    pub allow_empty_captions: bool,
    /// Pictures with more pixels than this are refused from their header, before they are decoded, because a
    /// small file can unpack to any size. Default 100,000,000 (10,000 x 10,000).
    #[serde(default = "max_pixels")]
    pub max_pixels: u64,
}

fn image_column() -> String {
    "image".into()
}
fn text_column() -> String {
    "text".into()
}
fn mask_threshold() -> f32 {
    1.0 / 64.0
}
fn max_pixels() -> u64 {
    100_000_000
}

impl DatasetSpec {
    /// The defaults for the dataset at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        DatasetSpec {
            path: path.into(),
            layout: Layout::Auto,
            image_column: image_column(),
            text_column: text_column(),
            conditioning: None,
            mask_threshold: mask_threshold(),
            mask_orientation: MaskOrientation::Shown,
            missing_mask: MissingMask::Error,
            allow_empty_captions: false,
            max_pixels: max_pixels(),
        }
    }

    /// What is wrong with the values themselves, whatever the files are.
    pub(crate) fn faults(&self, regions: &[Region]) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |text: String| faults.push(Fault::Recipe(text));
        if !(self.mask_threshold > 0.0 && self.mask_threshold <= 1.0) {
            fault(format!("mask_threshold is {}; it must be more than 0 and at most 1", self.mask_threshold));
        }
        if self.max_pixels == 0 {
            fault("max_pixels is 0: no picture could be read".into());
        }
        for (i, region) in regions.iter().enumerate() {
            if region.name.is_empty() || region.mask.is_empty() {
                fault(format!(
                    "region {}: its name ({:?}) and its mask ({:?}) must not be empty",
                    i + 1,
                    region.name,
                    region.mask
                ));
            } else if regions[..i].iter().any(|r| r.name == region.name) {
                fault(format!("two regions are called `{}`", region.name));
            }
        }
        faults
    }
}

/// How the files of a dataset are arranged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// `metadata` where the folder has a `metadata.jsonl` (or `path` is a file), else `files`.
    #[default]
    Auto,
    /// A `metadata.jsonl` lists pictures, captions and masks.
    Metadata,
    /// Captions and masks are found by the picture's name.
    Files,
}

/// Which way up masks and conditioning images are, where the picture carries an EXIF orientation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskOrientation {
    /// They fit the picture as viewers show it (each file's own EXIF orientation is applied to it).
    #[default]
    Shown,
    /// They fit the picture's pixels as stored: the *picture's* orientation is applied to them, their own is
    /// ignored. For masks made by tools that do not know EXIF.
    Stored,
}

/// What a missing mask file means in the layout `files`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingMask {
    /// An error; a picture without the region needs an all-black mask.
    #[default]
    Error,
    /// The picture has no such region.
    Absent,
}

/// A named region with an objective of its own, and where its masks come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The region's name, as in "face".
    pub name: String,
    /// Layout `metadata`: the column with the mask's path. Layout `files`: the end of the mask's file name, put
    /// after the picture's name without its extension (`"-masklabel.png"`), or, if it does not end in `.png`,
    /// `.jpg`, `.jpeg` or `.webp`, a folder in the dataset with files of the pictures' names (`"masks/face"`).
    pub mask: String,
}

impl Region {
    /// A region called `name` with masks from `mask`.
    pub fn new(name: impl Into<String>, mask: impl Into<String>) -> Self {
        Region { name: name.into(), mask: mask.into() }
    }
}
