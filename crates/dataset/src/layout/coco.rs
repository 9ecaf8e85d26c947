//! COCO and COCO-WholeBody annotations: regions as shapes that are drawn when they are needed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::caption::CaptionFile;
use super::whole_body::{self, PARTS};
use super::{Listing, caption, json, no_region};
use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::item::Item;
use crate::paths::{inside, resolve, unreadable};
use crate::source::{ImageSource, MaskSource, Shape, Shapes};
use crate::spec::{CocoShape, CocoSpec, DatasetSpec, Layout, Region};

#[derive(Deserialize)]
struct File {
    images: Vec<Picture>,
    #[serde(default)]
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct Picture {
    id: u64,
    file_name: String,
    width: u32,
    height: u32,
    #[serde(default)]
    caption: Option<String>,
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

/// One object or person. Every key that is used is a field: files have hundreds of megabytes, and a tree of
/// values takes ten times as much.
#[derive(Deserialize)]
pub(super) struct Annotation {
    image_id: u64,
    #[serde(default)]
    category_id: Option<u64>,
    #[serde(default)]
    bbox: Option<[f32; 4]>,
    #[serde(default)]
    segmentation: Segmentation,
    /// x, y and visibility of COCO's 17 body points.
    #[serde(default)]
    pub keypoints: Vec<f32>,
    // COCO-WholeBody's parts; see [`Annotation::part`].
    face_valid: Option<bool>,
    face_box: Option<Vec<f32>>,
    face_kpts: Option<Vec<f32>>,
    lefthand_valid: Option<bool>,
    lefthand_box: Option<Vec<f32>>,
    lefthand_kpts: Option<Vec<f32>>,
    righthand_valid: Option<bool>,
    righthand_box: Option<Vec<f32>>,
    righthand_kpts: Option<Vec<f32>>,
}

/// A face or hand as COCO-WholeBody has it.
pub(super) struct BodyPart<'a> {
    pub valid: bool,
    /// Left, top, width, height.
    pub frame: &'a [f32],
    /// x, y and score of each point.
    pub points: &'a [f32],
}

impl Annotation {
    /// The part called `name`, where the annotation says if it is there.
    pub fn part(&self, name: &str) -> Option<BodyPart<'_>> {
        let (valid, frame, points) = match name {
            "face" => (self.face_valid, &self.face_box, &self.face_kpts),
            "lefthand" => (self.lefthand_valid, &self.lefthand_box, &self.lefthand_kpts),
            "righthand" => (self.righthand_valid, &self.righthand_box, &self.righthand_kpts),
            _ => return None,
        };
        let (frame, points) = (frame.as_deref(), points.as_deref());
        Some(BodyPart { valid: valid?, frame: frame.unwrap_or_default(), points: points.unwrap_or_default() })
    }

    /// True if it says anything about faces or hands.
    fn has_parts(&self) -> bool {
        !self.keypoints.is_empty() || PARTS.iter().any(|name| self.part(name).is_some())
    }
}

/// The outline of an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum Segmentation {
    /// Corners of polygons, x and y in turn.
    Polygons(Vec<Vec<f32>>),
    /// Run lengths and the like, which are not read.
    Other(IgnoredAny),
}

impl Default for Segmentation {
    fn default() -> Self {
        Segmentation::Other(IgnoredAny)
    }
}

#[derive(Deserialize)]
struct Captions {
    annotations: Vec<CaptionOf>,
}

#[derive(Deserialize)]
struct CaptionOf {
    image_id: u64,
    caption: String,
}

/// Reads the annotation file at `path`, or the one that the recipe names in the folder `path`.
pub(super) fn read(path: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Diagnostic> {
    let problem = |file: &Path, error: Diagnostic| error.about(Subject::Dataset, file);
    let (root, list) = locate(path, &spec.coco)?;
    let file: File = read_json(&root, &list).map_err(|error| problem(&list, error))?;
    let mut listing = Listing::new(root, Layout::Coco);
    listing.used.push(list.clone());
    let captions = captions(&listing.root, &spec.coco)?;
    listing.used.extend(spec.coco.captions.clone());
    let names: HashMap<&str, u64> = file.categories.iter().map(|c| (c.name.as_str(), c.id)).collect();
    let people = file.annotations.iter().any(Annotation::has_parts);
    for region in regions {
        let subject = Subject::Mask(region.name.clone());
        let mut parts = region.mask.split('+').map(str::trim).filter(|n| !names.contains_key(n));
        match parts.clone().find(|name| !PARTS.contains(name)) {
            Some(name) => {
                let mut known: Vec<&str> = names.keys().copied().chain(PARTS).collect();
                known.sort_unstable();
                let text = format!("its mask names {name:?}; the annotations have {}", known.join(", "));
                listing.report(subject, &list, Diagnostic::new(Kind::Recipe, text));
            }
            None => {
                if let Some(name) = parts.next().filter(|_| !people) {
                    let text = format!(
                        " (no annotation of this file has keypoints, or parts as COCO-WholeBody has them, from \
                         which {name:?} could be told)"
                    );
                    listing.report(subject, &list, no_region(&text));
                }
            }
        }
    }
    let mut of_picture: BTreeMap<u64, Vec<&Annotation>> = BTreeMap::new();
    for annotation in &file.annotations {
        of_picture.entry(annotation.image_id).or_default().push(annotation);
    }
    let folder = folder(&listing.root, &list, &file, &spec.coco);
    let mut with_more = 0;
    for picture in &file.images {
        let annotations = of_picture.get(&picture.id).map_or(&[][..], Vec::as_slice);
        if annotations.is_empty() && spec.coco.annotated_only {
            continue;
        }
        let image = folder.join(&picture.file_name);
        let caption = caption(&mut listing, picture, &captions, &image, spec);
        let good = caption.is_ok();
        let mut item = Item::new(ImageSource::File(image), String::new());
        match caption {
            Ok(written) => {
                with_more += usize::from(written.has_more_lines);
                item.caption = written.text;
            }
            Err(error) => {
                listing.diagnostics.push(error.on(Subject::Caption).of_picture(&item.image));
            }
        }
        for region in regions {
            let shapes = shapes(annotations, &region.mask, &names, picture, &spec.coco);
            let size = (picture.width, picture.height);
            let mask = (!shapes.is_empty()).then(|| Shapes { list: list.clone(), size, shapes });
            item.masks.push(mask.map(|m| MaskSource::Shapes(Arc::new(m))));
        }
        item.conditioning = spec.conditioning.as_ref().map(|folder| {
            let name = Path::new(&picture.file_name).with_extension("png");
            ImageSource::File(Path::new(folder).join(name))
        });
        if good {
            listing.items.push(item);
        } else {
            listing.broken.push(item);
        }
    }
    caption::warn_of_lines(&mut listing, Path::new(""), with_more);
    if listing.is_empty() {
        return Err(problem(&list, Diagnostic::new(Kind::Recipe, "lists no picture")));
    }
    Ok(listing)
}

/// The dataset's folder and the annotation file in it.
fn locate(path: PathBuf, spec: &CocoSpec) -> Result<(PathBuf, PathBuf), Diagnostic> {
    if path.is_dir() {
        return match &spec.annotations {
            Some(list) => Ok((path, list.clone())),
            None => {
                let text = "set `coco.annotations` to the annotation file, or `path` to it";
                Err(Diagnostic::new(Kind::Recipe, text).in_file(path))
            }
        };
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    // COCO keeps its lists in a folder beside those of the pictures.
    let root = match parent.parent() {
        Some(above) if parent.file_name().is_some_and(|n| n == "annotations") => above,
        _ => parent,
    };
    let list = path.strip_prefix(root).unwrap_or(&path).to_owned();
    Ok((root.to_owned(), list))
}

fn read_json<T: DeserializeOwned>(root: &Path, file: &Path) -> Result<T, Diagnostic> {
    let bytes = std::fs::read(resolve(root, file)?).map_err(|e| unreadable(&e))?;
    serde_json::from_slice(&json::with_null(&bytes))
        .map_err(|e| Diagnostic::new(Kind::List, format!("is not a COCO annotation file: {e}")))
}

/// The first caption of every picture in the captions file.
fn captions(root: &Path, spec: &CocoSpec) -> Result<HashMap<u64, String>, Diagnostic> {
    let Some(path) = &spec.captions else { return Ok(HashMap::new()) };
    let file: Captions = read_json(root, path).map_err(|error| error.in_file(path))?;
    let mut captions = HashMap::new();
    for one in file.annotations {
        captions.entry(one.image_id).or_insert(one.caption);
    }
    Ok(captions)
}

/// The caption of a picture.
fn caption(
    listing: &mut Listing,
    picture: &Picture,
    captions: &HashMap<u64, String>,
    image: &Path,
    spec: &DatasetSpec,
) -> Result<CaptionFile, Diagnostic> {
    let whole = |text: &str| {
        let text = caption::check(text, spec).map_err(|error| error.in_file(image))?;
        Ok(CaptionFile { text, has_more_lines: false })
    };
    if let Some(text) = captions.get(&picture.id).or(picture.caption.as_ref()) {
        return whole(text);
    }
    let beside = image.with_extension(spec.caption_extension.trim_start_matches('.'));
    match caption::read(&listing.root, &beside, spec) {
        Err(error) if error.kind == Kind::Missing => {
            if spec.default_caption.is_some() || spec.allow_empty_captions {
                return whole("");
            }
            let text =
                "the picture has no caption: set `coco.captions` to a file of captions, or `default_caption`";
            Err(Diagnostic::new(Kind::CaptionMissing, text).in_file(image))
        }
        read => {
            listing.used.push(beside.clone());
            read.map_err(|error| error.in_file(beside))
        }
    }
}

/// The pictures' folder, relative to the dataset's.
fn folder(root: &Path, list: &Path, file: &File, spec: &CocoSpec) -> PathBuf {
    if let Some(folder) = &spec.images {
        return folder.clone();
    }
    let Some(first) = file.images.first() else { return PathBuf::new() };
    let stem = list.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let year = stem.rsplit('_').next().unwrap_or_default();
    let beside = list.parent().unwrap_or(Path::new(""));
    let places = [beside, Path::new(""), Path::new("images"), Path::new(year)];
    let holds = |p: &&Path| inside(root, &p.join(&first.file_name)).is_ok();
    places.into_iter().find(holds).unwrap_or(Path::new("")).to_owned()
}

/// The shapes of a region, widened.
fn shapes(
    annotations: &[&Annotation],
    mask: &str,
    categories: &HashMap<&str, u64>,
    picture: &Picture,
    spec: &CocoSpec,
) -> Vec<Shape> {
    let dilate = spec.dilate * picture.width.max(picture.height) as f32 / 1024.0;
    let mut found = Vec::new();
    for name in mask.split('+').map(str::trim) {
        for annotation in annotations {
            match categories.get(name) {
                Some(id) if annotation.category_id == Some(*id) => {
                    found.extend(object(annotation, spec.shape));
                }
                Some(_) => {}
                None => found.extend(whole_body::shapes(annotation, name, spec.shape)),
            }
        }
    }
    found.into_iter().map(|shape| whole_body::dilate(shape, dilate)).collect()
}

/// An annotated object: its box, or its polygons where it has any.
fn object(annotation: &Annotation, shape: CocoShape) -> Vec<Shape> {
    match &annotation.segmentation {
        Segmentation::Polygons(polygons) if shape == CocoShape::Points => {
            let polygons = polygons.iter().filter(|values| values.len() >= 6);
            polygons.map(|values| Shape::Polygon(values.as_chunks::<2>().0.to_vec())).collect()
        }
        _ => annotation.bbox.and_then(whole_body::box_shape).into_iter().collect(),
    }
}
