//! The `[dataset]` table of a recipe: plain data with documented defaults; unknown keys are refused.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::captions::CaptionSpec;

/// The location of a dataset and how to read it: the `[dataset]` table of a recipe.
///
/// Every layout gives the same list of items; see [`Layout`] for the ones that are known. The two plain ones:
///
/// **`metadata`**: a folder with `metadata.jsonl`, one JSON object per line; paths are relative to the
/// folder.
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
/// (`masks/face/1.png`); see [`Region::mask`]. Only the subfolders in `folders` are searched for pictures;
/// files whose name starts with a dot, and `NAME-masklabel` and `NAME-condlabel` files, are not taken for
/// pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetSpec {
    /// The dataset's folder, or the list in it: a `.jsonl` or `.csv` file of another name than `metadata`, a
    /// `.parquet` file, COCO's `.json`, kohya's `.toml`. Relative to the recipe's folder. Required.
    pub path: PathBuf,
    /// The arrangement of the files. Default `"auto"`: told from what there is; see [`Layout`].
    #[serde(default)]
    pub layout: Layout,
    /// Layouts with columns: the one with the picture. Default `"image"` (`imagefolder`: `"file_name"`).
    #[serde(default = "image_column")]
    pub image_column: String,
    /// Layouts with columns: the one with the caption. Default `"text"` (the published data:
    /// `"text_english"`).
    #[serde(default = "text_column")]
    pub text_column: String,
    /// The source of conditioning images (for ControlNet and the like), in the notation of [`Region::mask`];
    /// every picture must have one. Default: none are read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditioning: Option<String>,
    /// The share of a latent cell, in (0, 1], that a region must cover for the cell to belong to it. Default
    /// 1/64 = 0.015625: one pixel of an 8 x 8 cell, so a line one pixel wide survives. 0.5 would be rounding.
    #[serde(default = "mask_threshold")]
    pub mask_threshold: f32,
    /// The orientation of masks and conditioning images of a picture with an EXIF orientation. Default
    /// `"shown"`.
    #[serde(default)]
    pub mask_orientation: MaskOrientation,
    /// Layouts without columns: the meaning of a picture without a mask. Default `"error"`.
    #[serde(default)]
    pub missing_mask: MissingMask,
    /// Allows empty captions. Default `false`: an empty caption is reported.
    #[serde(default)]
    pub allow_empty_captions: bool,
    /// Pictures with more pixels than this are refused from their header, before they are decoded, because a
    /// small file can unpack to any size. Default 100,000,000 (10,000 x 10,000).
    #[serde(default = "max_pixels")]
    pub max_pixels: u64,
    /// Layouts `files` and `kohya`: the extension of caption files, of which the first line counts. Default
    /// `"txt"`.
    #[serde(default = "caption_extension")]
    pub caption_extension: String,
    /// The caption of pictures that have none. Default: a picture without a caption is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_caption: Option<String>,
    /// Layouts `imagefolder` and `parquet`: the split to read. Default `"train"` where there are splits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Variation of captions from step to step. Default: not at all.
    #[serde(default)]
    pub captions: CaptionSpec,
    /// Layout `coco`: its files, and how regions are drawn.
    #[serde(default)]
    pub coco: CocoSpec,
    /// Repeats and weights of parts of the dataset. Layout `files`: the folders that are read, instead of the
    /// pictures directly in `path`. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderSpec>,
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
fn caption_extension() -> String {
    "txt".into()
}

/// The most that [`DatasetSpec::max_pixels`] may be.
const MOST_PIXELS: u64 = 1 << 32;
/// Times that a picture may come in an epoch.
pub(crate) const MOST_REPEATS: u32 = 1_000_000;
/// The most that a folder's squared errors may be multiplied by.
const MOST_WEIGHT: f32 = 1e6;

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
            caption_extension: caption_extension(),
            default_caption: None,
            split: None,
            captions: CaptionSpec::default(),
            coco: CocoSpec::default(),
            folders: Vec::new(),
        }
    }

    /// Errors in the values themselves, whatever the files are.
    pub(crate) fn errors(&self, regions: &[Region]) -> Vec<String> {
        let mut errors = Vec::new();
        let mut error = |text: String| errors.push(text);
        if !(self.mask_threshold > 0.0 && self.mask_threshold <= 1.0) {
            error(format!("mask_threshold is {}; it must be more than 0 and at most 1", self.mask_threshold));
        }
        if self.max_pixels == 0 {
            error("max_pixels is 0: no picture could be read".into());
        }
        if self.max_pixels > MOST_PIXELS {
            error(format!("max_pixels is {}; it must be at most {MOST_PIXELS}", self.max_pixels));
        }
        if !(0.0..=1024.0).contains(&self.coco.dilate) {
            error(format!("coco.dilate is {}; it must be from 0 to 1024 pixels", self.coco.dilate));
        }
        self.captions.errors().into_iter().for_each(&mut error);
        for folder in &self.folders {
            let path = folder.path.display();
            match folder.repeats {
                Some(0) => error(format!("folder {path}: repeats is 0; it must be at least 1")),
                Some(n) if n > MOST_REPEATS => {
                    error(format!("folder {path}: repeats is {n}; it must be at most {MOST_REPEATS}"));
                }
                _ => {}
            }
            let weight = folder.weight;
            if !(0.0..=MOST_WEIGHT).contains(&weight) {
                let rule = format!("it must be 0 or more, and at most {MOST_WEIGHT}");
                error(format!("folder {path}: weight is {weight}; {rule}"));
            }
        }
        for (i, region) in regions.iter().enumerate() {
            if region.name.is_empty() || region.mask.is_empty() {
                error(format!(
                    "region {}: its name ({:?}) and its mask ({:?}) must not be empty",
                    i + 1,
                    region.name,
                    region.mask
                ));
            } else if regions[..i].iter().any(|r| r.name == region.name) {
                error(format!("two regions are called `{}`", region.name));
            }
        }
        errors
    }
}

/// The arrangement of a dataset's files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Detected: a file by its extension; a folder with `metadata.jsonl` or `metadata.csv`,
    /// with Parquet files, with `N_name` folders; else `files`. What fits two of them is an error.
    #[default]
    Auto,
    /// A `metadata.jsonl` lists pictures, captions and masks.
    Metadata,
    /// Captions and masks are found by the picture's name. OneTrainer's concepts are of this layout, with the
    /// mask `"-masklabel.png"`; `"onetrainer"` is another name for it.
    #[serde(alias = "onetrainer")]
    Files,
    /// sd-scripts: folders `N_name` with N repeats each, or a TOML dataset config. Masks: `"conditioning"`
    /// (files in `conditioning_data_dir`), `"alpha"`, or as in `files`.
    Kohya,
    /// Hugging Face: `metadata.jsonl` or `metadata.csv` with a column `file_name`, per split or for all.
    ImageFolder,
    /// Hugging Face: Parquet files with the pictures' bytes in columns of `{bytes, path}`.
    Parquet,
    /// COCO and COCO-WholeBody annotations: regions are drawn from boxes, key points and polygons.
    Coco,
}

/// Repeats and weight of a part of the dataset: `[[dataset.folders]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FolderSpec {
    /// The folder, relative to the dataset's. Of several that hold a picture the longest path counts.
    pub path: PathBuf,
    /// Number of times that each of its pictures comes in an epoch. Default: as the layout says (kohya's
    /// `N_name`), else 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// Multiplies the squared errors of its pictures, in all objectives alike. Default 1.
    #[serde(default = "full")]
    pub weight: f32,
}

fn full() -> f32 {
    1.0
}

/// The files of the layout `coco`: `[dataset.coco]`.
///
/// A region's mask ([`Region::mask`]) is one or several names joined by `+`. A name of the annotation's
/// categories stands for their objects. Otherwise `face` and `hand` (and `lefthand`, `righthand`) are
/// COCO-WholeBody's, or, where there are only body points, an estimate from them: by the names that their
/// category has for them, without names COCO's 17.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CocoSpec {
    /// The annotation file, relative to the dataset's folder, where `path` is a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<PathBuf>,
    /// A file of COCO captions; the first one of a picture counts. Default: `caption` in the picture's
    /// record, a text file beside the picture, or `default_caption`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captions: Option<PathBuf>,
    /// The pictures' folder. Default: found (beside the annotation file, the dataset's folder, `images`,
    /// `val2017` and `images/val2017` for `..._val2017.json`, `data`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// The shape that is drawn: `"box"` (default) or `"points"`, the convex hull of the face's or hand's key
    /// points (categories: their polygons or run lengths).
    pub shape: CocoShape,
    /// Widening in pixels of a picture with 1024 pixels at its longer side, scaled with the size. Default 16,
    /// as in the paper.
    pub dilate: f32,
    /// Leaves out pictures without any annotation. Default `false`: they have no regions.
    pub annotated_only: bool,
}

impl Default for CocoSpec {
    fn default() -> Self {
        CocoSpec {
            annotations: None,
            captions: None,
            images: None,
            shape: CocoShape::Box,
            dilate: 16.0,
            annotated_only: false,
        }
    }
}

/// The shape that is drawn of a COCO annotation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CocoShape {
    /// Its box, or the box around its outline where it has none.
    #[default]
    Box,
    /// The convex hull of its key points, or its polygons or run lengths.
    Points,
}

/// The orientation of masks and conditioning images, where the picture carries an EXIF orientation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaskOrientation {
    /// They fit the picture as viewers show it (each file's own EXIF orientation is applied to it).
    #[default]
    Shown,
    /// They fit the picture's pixels as stored: the *picture's* orientation is applied to them, their own is
    /// ignored. For masks made by tools that do not know EXIF.
    Stored,
}

/// The meaning of a missing mask in layouts without mask columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MissingMask {
    /// An error; a picture without the region needs an all-black mask.
    #[default]
    Error,
    /// The picture has no such region.
    Absent,
}

/// A named region with an objective of its own, and the source of its masks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The region's name, as in "face".
    pub name: String,
    /// Layouts with columns: the column with the mask. Layout `files`: the end of the mask's file name, put
    /// after the picture's name without its extension (`"-masklabel.png"`), or, if it does not end in `.png`,
    /// `.jpg`, `.jpeg` or `.webp`, a folder in the dataset with files of the pictures' names
    /// (`"masks/face"`), or `"alpha"`: the picture's own alpha channel, opaque where the region is. Others:
    /// see [`Layout`].
    pub mask: String,
}

impl Region {
    /// A region called `name` with masks from `mask`.
    pub fn new(name: impl Into<String>, mask: impl Into<String>) -> Self {
        Region { name: name.into(), mask: mask.into() }
    }
}
