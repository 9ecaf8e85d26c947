//! Words of the commands that make datasets and look at them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use fairhuman_dataset::Region;
use fairhuman_vision::skeleton::Style;

use super::RegionNetworks;

/// `fairhuman annotate`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman models get                  # once: MediaPipe's networks, 19 MB
  fairhuman annotate photos --out data/people
  fairhuman annotate photos --out data/people --shape outline \\
      --caption \"a photo of sks, {people}\"
  fairhuman annotate photos --out data/people --hands hand.onnx \\
      --faces face.onnx
  fairhuman annotate photos --out data/people --hands hands.onnx \\
      --hand-class left,right
  fairhuman annotate coco/val2017 \\
      --evaluate coco/annotations/coco_wholebody_val_v1.0.json

Then look at data/people/index.html (or contact-sheet.png) before anything is trained. A recipe reads the folder as it is: \
`dataset.path = \"data/people\"`, masks `mask_face` and `mask_hand`, control images `conditioning_image`.

Ctrl-C leaves after the photographs in work; the same command again continues, and looks again only at photographs that \
changed or were looked at with other options. Files that cannot be read are listed and skipped. Exit code 1 if there is \
no photograph to make a dataset of, 130 if interrupted.

Masks that you paint over, add (named and sized as the others) or delete stay as they are; the same command again lists \
them. To have a photograph's masks drawn anew, delete them and its file in annotations/.")]
pub struct Annotate {
    /// The folder of the photographs (JPEG, PNG, WebP; folders in it are searched too). The text of NAME.txt
    /// beside a photograph is its caption
    pub photos: PathBuf,
    /// The dataset's folder
    #[arg(long, value_name = "DIR", required_unless_present = "evaluate")]
    pub out: Option<PathBuf>,
    /// The form of the masks
    #[arg(long, value_enum, default_value_t = Shape::Box)]
    pub shape: Shape,
    /// Caption of photographs without a .txt file; {people} becomes "nobody", "one person" or "3 people",
    /// {name} the file's name
    #[arg(long, value_name = "TEXT", default_value = "a photo of {people}")]
    pub caption: String,
    #[command(flatten)]
    pub networks: RegionNetworks,
    /// Skip the zoom pass and detect on whole photographs only, as MediaPipe does: faster, but misses small
    /// faces and hands
    #[arg(long)]
    pub no_zoom: bool,
    /// Write no dataset: count what is found of these annotations (COCO-WholeBody's JSON, or a folder that
    /// `fairhuman people` drew), without and with the zoom pass
    #[arg(long, value_name = "FILE|DIR", conflicts_with = "out")]
    pub evaluate: Option<PathBuf>,
    /// The folder with MediaPipe's networks [default: where `fairhuman models get` puts them]
    #[arg(long, value_name = "DIR", env = "FAIRHUMAN_MODELS", hide_env_values = true)]
    pub models: Option<PathBuf>,
    /// Threads; 0 for all cores
    #[arg(long, value_name = "T", default_value_t = 0)]
    pub threads: usize,
}

/// Forms of masks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Boxes, widened by 16 pixels at 1024 pixels of the longer side, as in the paper
    Box,
    /// Hulls of the landmarks, widened by 4; boxes where there are no landmarks
    Outline,
}

pub(super) fn score(text: &str) -> Result<f32, String> {
    let score: f32 = text.parse().map_err(|_| "expected a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&score) { Ok(score) } else { Err("expected a number from 0 to 1".into()) }
}

/// `fairhuman caption`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman caption photos --tagger wd-vit-tagger-v3
  fairhuman caption photos --tagger model.onnx --tags selected_tags.csv \\
      --prefix \"sks person\" --exclude \"realistic, solo\"

A tagger is a WD14 network as ONNX (SmilingWolf's, such as wd-vit-tagger-v3: model.onnx, and selected_tags.csv beside it). \
Captions go into NAME.txt beside the pictures, where training and `fairhuman annotate` read them; those that are there are \
kept. Look through them: what every picture has in common should not be among the tags, but in the prefix.")]
pub struct Caption {
    /// The folder of the pictures; folders in it are searched too
    pub pictures: PathBuf,
    /// The tagger: a folder with model.onnx and selected_tags.csv, the network's file, or the name on the
    /// Hugging Face Hub of one that was downloaded
    #[arg(long, value_name = "DIR|FILE|NAME")]
    pub tagger: PathBuf,
    /// The list of its tags [default: selected_tags.csv beside the network]
    #[arg(long, value_name = "FILE")]
    pub tags: Option<PathBuf>,
    /// Probability from which a tag counts
    #[arg(long, value_name = "P", default_value_t = 0.35, value_parser = score)]
    pub threshold: f32,
    /// Probability from which a character's name counts
    #[arg(long, value_name = "P", default_value_t = 0.85, value_parser = score)]
    pub character_threshold: f32,
    /// Text before the tags, such as a word that the training is to learn
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// Tags to leave out
    #[arg(long, value_name = "TAG,...", value_delimiter = ',')]
    pub exclude: Vec<String>,
    /// Replace captions that are there
    #[arg(long)]
    pub replace: bool,
}

/// `fairhuman control`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman control data/people
  fairhuman control photos --out poses --style xinsir
  fairhuman control photos --kind canny --out edges

The first is a dataset: control images go into its folder conditioning/ and the column conditioning_image of its \
metadata.jsonl. Poses of people that `fairhuman people` drew are exact; in photographs the detectors find them, which \
`fairhuman models get` fetches. Control images that other programs made are taken as they are: in a recipe, \
`dataset.conditioning` names their column or folder. Look at control-sheet.png before anything is trained.")]
pub struct Control {
    /// A folder of pictures, or a dataset's with a metadata.jsonl
    pub pictures: PathBuf,
    /// The folder of the control images [default: into the dataset]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Their kind
    #[arg(long, value_enum, default_value_t = ControlImage::Pose)]
    pub kind: ControlImage,
    /// The width of a pose's lines
    #[arg(long, value_enum, default_value_t = ControlStyle::Classic)]
    pub style: ControlStyle,
    /// Skip the zoom pass, which finds small faces and hands
    #[arg(long)]
    pub no_zoom: bool,
    /// The folder with MediaPipe's networks [default: where `fairhuman models get` puts them]
    #[arg(long, value_name = "DIR", env = "FAIRHUMAN_MODELS", hide_env_values = true)]
    pub models: Option<PathBuf>,
    /// Threads; 0 for all cores
    #[arg(long, value_name = "T", default_value_t = 0)]
    pub threads: usize,
}

/// Kinds of control images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ControlImage {
    /// Bodies, hands and faces in OpenPose's colours
    Pose,
    /// Canny's edges, white on black
    Canny,
    /// Edges as bright as the picture changes there
    SoftEdge,
}

/// Widths of a pose's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ControlStyle {
    /// In proportion to the picture, 8 pixels at 512: for the networks of lllyasviel and thibaud
    Classic,
    /// 8 pixels at any size: for FairHuman's
    Thin,
    /// 24 pixels at 1024: for xinsir's
    Xinsir,
}

impl From<ControlStyle> for Style {
    fn from(style: ControlStyle) -> Self {
        match style {
            ControlStyle::Classic => Self::Classic,
            ControlStyle::Thin => Self::Thin,
            ControlStyle::Xinsir => Self::Xinsir,
        }
    }
}

/// `fairhuman models`
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub struct Models {
    /// The action.
    #[command(subcommand)]
    pub action: ModelsAction,
}

/// Actions on models that others made, and on the built-in one.
#[derive(Debug, Subcommand)]
pub enum ModelsAction {
    /// Download a model by its name on the Hugging Face Hub; without a name MediaPipe's networks for
    /// `fairhuman annotate`
    Get(GetModels),
    /// Unpack the built-in model, and say where it is: a folder that recipes can name
    Builtin,
}

/// `fairhuman models get`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman models get stabilityai/stable-diffusion-xl-base-1.0    # 7 GB
  fairhuman models get org/name/model.safetensors    # one file, also by its URL
  fairhuman models get    # the detectors: a wheel from pypi.org (35 to 50 MB)
  fairhuman models get --index https://pypi.example.org/simple/    # a mirror

On a machine without network, after `pip download --no-deps mediapipe==0.10.21` elsewhere:
  fairhuman models get \\
      --wheel mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl

Models go to the cache folder that Python's huggingface_hub uses (HF_HOME, HF_HUB_CACHE), and what Python downloaded is not \
downloaded again: of a repository only what is read, its weights compared with their SHA-256. HF_TOKEN is sent to the Hub only; \
HF_ENDPOINT names a mirror. What was broken off goes on with the same command. Then `--model org/name` and `model.path = \
\"org/name\"` find it.

The detectors' seven networks (19 MB, Apache-2.0) are unpacked from the Python package mediapipe 0.10.21, a wheel for any system; \
no Python is needed. Each is stored only if its SHA-256 is the published one. What is already there is kept.")]
pub struct GetModels {
    /// A model, ControlNet, T2I-Adapter or file on the Hugging Face Hub: org/name, org/name@revision,
    /// org/name/file.safetensors, or an address there [default: the detectors' networks]
    #[arg(value_name = "NAME|URL", conflicts_with_all = ["wheel", "index", "models"])]
    pub name: Option<String>,
    /// A wheel on the disk, instead of a download
    #[arg(long, value_name = "FILE", conflicts_with = "index")]
    pub wheel: Option<PathBuf>,
    /// The package index to download from
    #[arg(long, value_name = "URL", default_value = fairhuman_vision::models::INDEX)]
    pub index: String,
    /// Where to put them [default: fairhuman's folder in the user's cache folder]
    #[arg(long, value_name = "DIR", env = "FAIRHUMAN_MODELS", hide_env_values = true)]
    pub models: Option<PathBuf>,
}

/// `fairhuman check`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fairhuman check people.toml               # the dataset as it is trained on
  fairhuman check data/people --size 128    # a folder; regions are guessed
  fairhuman check photos --region face=masks/face --html sheet.html
  fairhuman check people.toml --json > report.json

Nothing is trained and nothing changed. Exit code 1 if there are errors: what training cannot use. Warnings are what it \
would use otherwise than meant, notes what it converts without harm.")]
pub struct Check {
    /// A recipe; or a dataset's folder or list (.jsonl, .csv, .parquet, COCO's .json, kohya's .toml)
    pub path: PathBuf,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
    /// Write a contact sheet: every picture with its regions drawn in
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// The most pictures on the contact sheet; those with errors and warnings come first
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = super::size(0..=super::MOST_PICTURES))]
    pub pictures: usize,
    /// Without a recipe: side in pixels that pictures are trained at
    #[arg(long, value_name = "PIXELS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..=16384))]
    pub size: u32,
    /// Without a recipe: a region and where its masks are, as recipes have it [default: guessed]
    #[arg(long = "region", value_name = "NAME=MASK", value_parser = region)]
    pub regions: Vec<Region>,
}

pub(super) fn region(text: &str) -> Result<Region, String> {
    let (name, mask) = text.split_once('=').ok_or("expected NAME=MASK, such as face=mask_face")?;
    Ok(Region::new(name, mask))
}
