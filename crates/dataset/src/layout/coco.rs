//! COCO and COCO-WholeBody annotations: regions as shapes that are drawn when they are needed.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::body::{self, WHOLE_BODY};
use super::{Item, Listing, caption};
use crate::paths::{inside, resolve, unreadable};
use crate::problem::{Fault, Problem, Subject};
use crate::source::{MaskSource, Shape, Shapes, Source};
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

/// One object or person.
#[derive(Deserialize)]
pub(super) struct Annotation {
    image_id: u64,
    #[serde(default)]
    category_id: Option<u64>,
    #[serde(default)]
    bbox: Option<[f32; 4]>,
    #[serde(default)]
    segmentation: Value,
    /// x, y and visibility of COCO's 17 body points.
    #[serde(default)]
    pub keypoints: Vec<f32>,
    /// COCO-WholeBody's `face_box`, `face_kpts`, `face_valid` and so on.
    #[serde(flatten)]
    pub parts: HashMap<String, Value>,
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
pub(super) fn read(path: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Problem> {
    let problem = |file: &Path, fault| Problem {
        origin: None,
        subject: Subject::Dataset,
        file: file.to_owned(),
        fault,
    };
    let (root, list) = place(path, &spec.coco).map_err(|(file, fault)| problem(&file, fault))?;
    let file: File = json(&root, &list).map_err(|fault| problem(&list, fault))?;
    let mut listing = Listing::new(root, Layout::Coco);
    listing.used.push(list.clone());
    let captions = captions(&listing.root, &spec.coco).map_err(|(file, fault)| problem(&file, fault))?;
    listing.used.extend(spec.coco.captions.clone());
    let names: HashMap<&str, u64> = file.categories.iter().map(|c| (c.name.as_str(), c.id)).collect();
    for region in regions {
        let unknown = region.mask.split('+').map(str::trim).find(|n| !names.contains_key(n) && !is_part(n));
        if let Some(name) = unknown {
            let mut known: Vec<&str> = names.keys().copied().chain(WHOLE_BODY).collect();
            known.sort_unstable();
            let text = format!("its mask names {name:?}; the annotations have {}", known.join(", "));
            listing.problem(Subject::Mask(region.name.clone()), &list, Fault::Recipe(text));
        }
    }
    let mut of_picture: BTreeMap<u64, Vec<&Annotation>> = BTreeMap::new();
    for annotation in &file.annotations {
        of_picture.entry(annotation.image_id).or_default().push(annotation);
    }
    let folder = folder(&listing.root, &list, &file, &spec.coco);
    for picture in &file.images {
        let annotations = of_picture.get(&picture.id).map_or(&[][..], Vec::as_slice);
        if annotations.is_empty() && spec.coco.annotated_only {
            continue;
        }
        let image = folder.join(&picture.file_name);
        let text = text(&mut listing, picture, &captions, &image, spec);
        let good = text.is_ok();
        let mut item = Item::new(Source::File(image), String::new());
        match text {
            Ok(text) => item.caption = text,
            Err(fault) => listing.problem(Subject::Caption, &item.image, fault),
        }
        for region in regions {
            let shapes = shapes(annotations, &region.mask, &names, picture, &spec.coco);
            let size = (picture.width, picture.height);
            let mask = (!shapes.is_empty()).then(|| Shapes { list: list.clone(), size, shapes });
            item.masks.push(mask.map(|m| MaskSource::Shapes(Arc::new(m))));
        }
        item.conditioning = spec.conditioning.as_ref().map(|folder| {
            let name = Path::new(&picture.file_name).with_extension("png");
            Source::File(Path::new(folder).join(name))
        });
        if good {
            listing.items.push(item);
        } else {
            listing.broken.push(item);
        }
    }
    if listing.items.is_empty() && listing.problems.is_empty() {
        return Err(problem(&list, Fault::Recipe("lists no picture".into())));
    }
    Ok(listing)
}

/// The dataset's folder and the annotation file in it.
fn place(path: PathBuf, spec: &CocoSpec) -> Result<(PathBuf, PathBuf), (PathBuf, Fault)> {
    if path.is_dir() {
        return match &spec.annotations {
            Some(list) => Ok((path, list.clone())),
            None => {
                let text = "set `coco.annotations` to the annotation file, or `path` to it";
                Err((path, Fault::Recipe(text.into())))
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

fn json<T: DeserializeOwned>(root: &Path, file: &Path) -> Result<T, Fault> {
    let bytes = std::fs::read(resolve(root, file)?).map_err(|e| unreadable(&e))?;
    serde_json::from_slice(&bytes).map_err(|e| Fault::Json(format!("is not a COCO annotation file: {e}")))
}

/// The first caption of every picture in the captions file.
fn captions(root: &Path, spec: &CocoSpec) -> Result<HashMap<u64, String>, (PathBuf, Fault)> {
    let Some(path) = &spec.captions else { return Ok(HashMap::new()) };
    let file: Captions = json(root, path).map_err(|fault| (path.clone(), fault))?;
    let mut captions = HashMap::new();
    for one in file.annotations {
        captions.entry(one.image_id).or_insert(one.caption);
    }
    Ok(captions)
}

fn text(
    listing: &mut Listing,
    picture: &Picture,
    captions: &HashMap<u64, String>,
    image: &Path,
    spec: &DatasetSpec,
) -> Result<String, Fault> {
    if let Some(text) = captions.get(&picture.id).or(picture.caption.as_ref()) {
        return caption(text, spec);
    }
    let beside = image.with_extension(spec.caption_extension.trim_start_matches('.'));
    match resolve(&listing.root, &beside) {
        Ok(path) => {
            listing.used.push(beside);
            let bytes = std::fs::read(path).map_err(|e| unreadable(&e))?;
            let text = std::str::from_utf8(&bytes).map_err(|e| Fault::Encoding(e.valid_up_to() + 1))?;
            caption(text, spec)
        }
        Err(_) if spec.default_caption.is_some() || spec.allow_empty_captions => caption("", spec),
        Err(_) => Err(Fault::Caption(
            "the picture has no caption: set `coco.captions` to a file of captions, or `default_caption`"
                .into(),
        )),
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

fn is_part(name: &str) -> bool {
    WHOLE_BODY.contains(&name)
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
                None => found.extend(body::part(annotation, name, spec.shape)),
            }
        }
    }
    found.into_iter().map(|shape| body::widen(shape, dilate)).collect()
}

/// An annotated object: its box, or its polygons where it has any.
fn object(annotation: &Annotation, shape: CocoShape) -> Vec<Shape> {
    if shape == CocoShape::Points
        && let Some(polygons) = annotation.segmentation.as_array()
    {
        let corners = |polygon: &Value| {
            let values: Vec<f32> = serde_json::from_value(polygon.clone()).ok()?;
            (values.len() >= 6).then(|| Shape::Polygon(values.as_chunks::<2>().0.to_vec()))
        };
        return polygons.iter().filter_map(corners).collect();
    }
    annotation.bbox.and_then(body::filled).into_iter().collect()
}
