//! The regions of a picture: found by the detectors, listed in a file, or painted as masks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use fairhuman_refine::{Kind, Rect, Region, components};
use fairhuman_vision::detect::{DetectOptions, Detections, Instance};
use fairhuman_vision::pipeline::Pipeline;
use fairhuman_vision::skeleton::Skeleton;
use image::{GrayImage, RgbImage};

use super::listed::{self, Listed};
use crate::cli::Refine;
use crate::commands::{drawn_pose, mask_file};

/// Regions of a picture, and what else is known of it.
#[derive(Default)]
pub struct Found {
    pub regions: Vec<Region>,
    /// Prompts that a file gives, by the region's number.
    pub prompts: Vec<Option<String>>,
    /// Number of people.
    pub people: usize,
    /// Points of bodies, hands and faces.
    pub skeleton: Skeleton,
    /// A mask that was painted.
    pub mask: Option<GrayImage>,
}

/// Where regions come from.
pub enum Source {
    /// The detectors.
    Detectors,
    /// A JSON file: for each picture, its regions.
    Listed(BTreeMap<String, Vec<Listed>>),
    /// A dataset's folder: annotations of `annotate`, or key points of `people` by the picture's name.
    Dataset(PathBuf, BTreeMap<String, PathBuf>),
    /// A mask, or a folder of masks.
    Masks(PathBuf),
}

impl Source {
    /// That which the options name.
    pub fn open(options: &Refine) -> anyhow::Result<Self> {
        match (&options.regions, &options.masks) {
            (None, None) => Ok(Self::Detectors),
            (_, Some(masks)) => Ok(Self::Masks(masks.clone())),
            (Some(folder), None) if folder.is_dir() => dataset(folder),
            (Some(file), None) => Ok(Self::Listed(listed::read(file)?)),
        }
    }

    /// Pictures of a list that `is_known` does not know.
    pub fn unknown(&self, is_known: impl Fn(&str) -> bool) -> Vec<&str> {
        match self {
            Self::Listed(all) => all.keys().map(String::as_str).filter(|name| !is_known(name)).collect(),
            _ => Vec::new(),
        }
    }

    /// The file that a picture's regions are read from: its mask, annotation or key points. None where they
    /// come from a list of all pictures or from detectors, or where nothing is known of this picture.
    pub fn file(&self, name: &str) -> anyhow::Result<Option<PathBuf>> {
        match self {
            Self::Detectors | Self::Listed(_) => Ok(None),
            Self::Dataset(folder, points) => {
                let annotation = folder.join("annotations").join(format!("{name}.json"));
                Ok(Some(annotation).filter(|file| file.is_file()).or_else(|| points.get(last(name)).cloned()))
            }
            Self::Masks(path) if !path.is_dir() => Ok(Some(path.clone())),
            Self::Masks(path) => [format!("{name}.png"), name.to_owned()]
                .into_iter()
                .map(|name| path.join(name))
                .chain([path.join(Path::new(name).with_extension("png"))])
                .find(|file| file.is_file())
                .with_context(|| format!("no mask in {}", path.display()))
                .map(Some),
        }
    }

    /// The regions of a picture, `name` being its path in the folder of pictures.
    pub fn find(
        &self,
        picture: &RgbImage,
        name: &str,
        detections: Option<&Detections>,
    ) -> anyhow::Result<Found> {
        match self {
            Self::Detectors => Ok(detections.map(detected).unwrap_or_default()),
            Self::Listed(all) => {
                let listed = all.get(name).or_else(|| all.get(last(name))).map_or(&[][..], Vec::as_slice);
                let (width, height) = picture.dimensions();
                for Listed { bounds: [x0, y0, x1, y1], .. } in listed {
                    ensure!(
                        *x0 < width.into() && *y0 < height.into() && *x1 > 0.0 && *y1 > 0.0,
                        "the box {x0}, {y0}, {x1}, {y1} of its regions lies beside its {width} x {height} pixels"
                    );
                }
                let prompts = listed.iter().map(|region| region.prompt.clone()).collect();
                let regions: Vec<Region> = listed.iter().map(Listed::region).collect();
                let skeleton = skeleton_of(&regions);
                Ok(Found { prompts, people: people_in(&regions), skeleton, regions, mask: None })
            }
            Self::Dataset(_, points) => match self.file(name)? {
                Some(file) if points.get(last(name)) == Some(&file) => Ok(drawn(drawn_pose::read(&file)?)),
                Some(annotation) => {
                    let bytes = fairhuman_files::read(&annotation)
                        .with_context(|| annotation.display().to_string())?;
                    let found: Detections = serde_json::from_slice(&bytes)
                        .with_context(|| format!("{}: not an annotation", annotation.display()))?;
                    Ok(detected(&found))
                }
                None => Ok(Found::default()),
            },
            Self::Masks(path) => {
                let file = self.file(name)?.unwrap_or_else(|| path.clone());
                let mask = mask_file::read(&file)?;
                if mask.dimensions() != picture.dimensions() {
                    let ((w, h), (of_picture, high)) = (mask.dimensions(), picture.dimensions());
                    bail!("its mask {} has {w}x{h} pixels, it has {of_picture}x{high}", file.display());
                }
                let region = |bounds| Region { kind: Kind::Other, bounds, points: Vec::new(), score: None };
                let regions: Vec<Region> = components(&mask).into_iter().map(region).collect();
                Ok(Found {
                    prompts: vec![None; regions.len()],
                    regions,
                    mask: Some(mask),
                    ..Found::default()
                })
            }
        }
    }
}

/// The file's name in a path with `/`.
pub fn last(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// A folder with annotations, or with key points that its list names.
fn dataset(folder: &Path) -> anyhow::Result<Source> {
    let list = folder.join("metadata.jsonl");
    let text = fairhuman_files::read_to_string(&list)
        .with_context(|| format!("{}: neither annotations nor key points", folder.display()))?;
    let mut points = BTreeMap::new();
    for line in text.lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let name = ["image", "file_name"].iter().find_map(|key| line[*key].as_str());
        if let (Some(name), Some(file)) = (name, line["keypoints"].as_str()) {
            points.insert(last(name).to_owned(), folder.join(file));
        }
    }
    ensure!(
        !points.is_empty() || folder.join("annotations").is_dir(),
        "{}: neither annotations of `fairhuman annotate` nor key points of `fairhuman people`",
        folder.display()
    );
    Ok(Source::Dataset(folder.to_path_buf(), points))
}

fn points_of(instance: &Instance) -> Vec<[f64; 2]> {
    instance.points.iter().map(|p| p.map(f64::from)).collect()
}

fn rect_of(instance: &Instance) -> Rect {
    let b = instance.bbox;
    Rect { x0: b.x0.into(), y0: b.y0.into(), x1: b.x1.into(), y1: b.y1.into() }
}

/// Regions that detectors found.
fn detected(found: &Detections) -> Found {
    let kinds = [(Kind::Face, &found.faces), (Kind::Hand, &found.hands)];
    let regions: Vec<Region> = kinds
        .into_iter()
        .flat_map(|(kind, list)| list.iter().map(move |instance| (kind, instance)))
        .map(|(kind, instance)| {
            let (bounds, points) = (rect_of(instance), points_of(instance));
            Region { kind, bounds, points, score: Some(instance.score.into()) }
        })
        .collect();
    Found {
        prompts: vec![None; regions.len()],
        people: found.count_people(),
        skeleton: Skeleton::of(found),
        regions,
        mask: None,
    }
}

/// Points of a drawing's people: boxes around them, as wide again as skin lies around joints.
fn drawn(skeleton: Skeleton) -> Found {
    const SKIN: f64 = 0.1;
    let region = |kind: Kind, points: &Vec<[f32; 2]>| {
        let points: Vec<[f64; 2]> = points.iter().map(|p| p.map(f64::from)).collect();
        let bounds = around(&points)?;
        let bounds = bounds.expanded(SKIN * bounds.longer());
        Some(Region { kind, bounds, points, score: None })
    };
    let faces = skeleton.faces.iter().filter_map(|points| region(Kind::Face, points));
    let hands = skeleton.hands.iter().filter_map(|points| region(Kind::Hand, points));
    let regions: Vec<Region> = faces.chain(hands).collect();
    Found { prompts: vec![None; regions.len()], people: skeleton.bodies.len(), skeleton, regions, mask: None }
}

fn around(points: &[[f64; 2]]) -> Option<Rect> {
    let boxes = points.iter().map(|&[x, y]| Rect { x0: x, y0: y, x1: x, y1: y });
    boxes.reduce(|a, b| a.union(&b))
}

/// Hands whose landmarks are known.
fn skeleton_of(regions: &[Region]) -> Skeleton {
    let hands = regions.iter().filter(|region| region.kind == Kind::Hand && !region.points.is_empty());
    let hands = hands.map(|region| region.points.iter().map(|p| p.map(|v| v as f32)).collect());
    Skeleton { hands: hands.collect(), ..Skeleton::default() }
}

fn people_in(regions: &[Region]) -> usize {
    regions.iter().filter(|region| region.kind == Kind::Face).count()
}

/// Looks at a picture, if there are detectors.
pub fn look(
    detectors: Option<&Pipeline<'_>>,
    picture: &RgbImage,
    zoom: bool,
) -> anyhow::Result<Option<Detections>> {
    let look = |pipeline: &Pipeline<'_>| pipeline.detect(picture, DetectOptions { zoom });
    detectors.map(look).transpose().map_err(anyhow::Error::msg)
}

/// Overlap from which a detection is the region.
const SAME: f64 = 0.3;

/// The score of what detectors found in a region's place; none if nothing of its kind.
pub fn score_of(region: &Region, found: &Detections) -> Option<f64> {
    let list = match region.kind {
        Kind::Face => &found.faces,
        Kind::Hand => &found.hands,
        Kind::Other => return None,
    };
    let same = list.iter().filter(|instance| rect_of(instance).iou(&region.bounds) >= SAME);
    same.map(|instance| f64::from(instance.score)).max_by(f64::total_cmp)
}
