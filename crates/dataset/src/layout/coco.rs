//! COCO and COCO-WholeBody annotations: regions as shapes that are drawn when they are needed.

mod faults;
mod record;
mod run_lengths;
mod skeleton;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::caption::CaptionFile;
use super::whole_body::{self, PARTS};
use super::{Listing, caption, json, no_region};
use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::item::Item;
use crate::paths::{resolve, unreadable};
use crate::source::{ImageSource, MaskSource, Shape, Shapes};
use crate::spec::{CocoShape, CocoSpec, DatasetSpec, Layout, Region};
use crate::spelling::Spellings;
use faults::Asked;
pub(super) use record::Annotation;
use record::{Captions, File, Id, Picture};

/// Pictures that are looked for to find their folder.
const LOOKED_FOR: usize = 100;

/// Reads the annotation file at `path`, or the one that the recipe names in the folder `path`.
pub(super) fn read(path: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Diagnostic> {
    let problem = |file: &Path, error: Diagnostic| error.about(Subject::Dataset, file);
    let (root, list) = locate(path, &spec.coco)?;
    let hint = ": set `coco.annotations` to the annotation file, relative to the dataset's folder";
    let mut file: File = read_json(&root, &list).map_err(|error| problem(&list, error.with_hint(hint)))?;
    skeleton::order(&mut file.annotations, &file.categories);
    let mut listing = Listing::new(root, Layout::Coco);
    listing.used.push(list.clone());
    let captions = captions(&listing.root, &spec.coco)?;
    listing.used.extend(spec.coco.captions.clone());
    // Several categories may have one name.
    let mut names: HashMap<&str, Vec<&Id>> = HashMap::new();
    for category in &file.categories {
        names.entry(&category.name).or_default().push(&category.id);
    }
    let people = file.annotations.iter().any(Annotation::has_parts);
    let mut asked = Asked::default();
    for region in regions {
        let subject = Subject::Mask(region.name.clone());
        let all = region.mask.split('+').map(str::trim);
        asked.categories.extend(all.clone().filter_map(|name| names.get(name)).flatten());
        let mut parts = all.filter(|n| !names.contains_key(n));
        parts.clone().for_each(|name| asked.add_part(name));
        match parts.clone().find(|name| !PARTS.contains(name)) {
            Some(name) => {
                let mut known: Vec<&str> = names.keys().copied().chain(PARTS).collect();
                known.sort_unstable();
                let text = format!("its mask names {name:?}; the annotations have {}", known.join(", "));
                listing.report(subject, &list, Diagnostic::new(Kind::Recipe, text));
            }
            None => {
                if let Some(name) = parts.next().filter(|_| !people) {
                    let mut known: Vec<&str> = names.keys().copied().collect();
                    known.sort_unstable();
                    let text = format!(
                        " (no annotation of this file has keypoints of a body, or parts as COCO-WholeBody has them, from \
                         which {name:?} could be told; its categories are {})",
                        known.join(", ")
                    );
                    listing.report(subject, &list, no_region(&text));
                }
            }
        }
    }
    listing.diagnostics.extend(faults::find(&file, &asked, &spec.coco, &list));
    let mut of_picture: HashMap<&Id, Vec<&Annotation>> = HashMap::new();
    for annotation in &file.annotations {
        of_picture.entry(&annotation.image_id).or_default().push(annotation);
    }
    let root = listing.root.clone();
    let spellings = Spellings::new(&root);
    if let Some(images) = &spec.coco.images
        && !root.join(spellings.find(images.clone())).is_dir()
    {
        let text =
            "there is no such folder: set `coco.images` to the pictures' folder, relative to the dataset's";
        return Err(problem(images, Diagnostic::new(Kind::Missing, text)));
    }
    // What is left out need not be there.
    let is_read = |picture: &&Picture| !spec.coco.annotated_only || of_picture.contains_key(&picture.id);
    let looked_for: Vec<&str> =
        file.images.iter().filter(is_read).filter_map(|p| p.file_name.as_deref()).take(LOOKED_FOR).collect();
    let folder = folder(&mut listing, &spellings, &looked_for, &spec.coco);
    let mut with_more = 0;
    for picture in &file.images {
        // One without a name has been reported.
        let Some(file_name) = &picture.file_name else { continue };
        let annotations = of_picture.get(&picture.id).map_or(&[][..], Vec::as_slice);
        if annotations.is_empty() && spec.coco.annotated_only {
            continue;
        }
        let image = spellings.find(folder.join(file_name));
        let caption = caption(&mut listing, picture, &captions, &image, (spec, &spellings));
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
            // Without a size, which has been reported, nothing can be drawn.
            let shapes = picture.size().map(|size| Shapes {
                list: list.clone(),
                size,
                shapes: shapes(annotations, &region.mask, &names, size, &spec.coco),
            });
            let mask = shapes.filter(|shapes| !shapes.shapes.is_empty());
            item.masks.push(mask.map(|m| MaskSource::Shapes(Arc::new(m))));
        }
        item.conditioning = spec.conditioning.as_ref().map(|folder| {
            let name = Path::new(file_name).with_extension("png");
            ImageSource::File(spellings.find(Path::new(folder).join(name)))
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
    let bytes = fairhuman_files::read(&resolve(root, file)?).map_err(|e| unreadable(&e))?;
    crate::foreign::refuse_list(&bytes)?;
    serde_json::from_slice(&json::with_null(&bytes)).map_err(|e| {
        let hint = match bytes.trim_ascii_start().starts_with(b"[") {
            true => " (a list of pictures has one JSON object per line, and is called .jsonl; of OneTrainer's concepts set \
                     `path` to the folder)",
            false if e.to_string().starts_with("missing field `images`") => {
                " (sd-scripts' metadata is not read: its captions go into text files beside the pictures)"
            }
            false => "",
        };
        Diagnostic::new(Kind::List, format!("is not a COCO annotation file: {e}{hint}"))
    })
}

/// The first caption of every picture in the captions file.
fn captions(root: &Path, spec: &CocoSpec) -> Result<HashMap<Id, String>, Diagnostic> {
    let Some(path) = &spec.captions else { return Ok(HashMap::new()) };
    let hint = ": set `coco.captions` to the file of captions, relative to the dataset's folder";
    let file: Captions = read_json(root, path).map_err(|error| error.with_hint(hint).in_file(path))?;
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
    captions: &HashMap<Id, String>,
    image: &Path,
    (spec, spellings): (&DatasetSpec, &Spellings),
) -> Result<CaptionFile, Diagnostic> {
    let whole = |text: &str| {
        let text = caption::check(text, spec).map_err(|error| error.in_file(image))?;
        Ok(CaptionFile { text, has_more_lines: false })
    };
    if let Some(text) = captions.get(&picture.id).or(picture.caption.as_ref()) {
        return whole(text);
    }
    let beside = spellings.find(image.with_extension(spec.caption_extension.trim_start_matches('.')));
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

/// The folder of the pictures with these names, relative to the dataset's: beside the list, or where CVAT
/// (`images/default`), Ultralytics (`images/train2017`), FiftyOne (`data`) and COCO itself have them.
fn folder(listing: &mut Listing, spellings: &Spellings, names: &[&str], spec: &CocoSpec) -> PathBuf {
    if let Some(folder) = &spec.images {
        return folder.clone();
    }
    let Some(first) = names.first() else { return PathBuf::new() };
    let list = listing.used[0].clone();
    let stem = list.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let subset = Path::new(stem.rsplit('_').next().unwrap_or_default());
    let (beside, images) = (list.parent().unwrap_or(Path::new("")), Path::new("images"));
    let of_subset = images.join(subset);
    let places: [&Path; 6] = [beside, Path::new(""), images, subset, &of_subset, Path::new("data")];
    let holds = |place: &&&Path| names.iter().any(|name| spellings.holds(place.join(name)));
    if let Some(found) = places.iter().find(holds) {
        return found.to_path_buf();
    }
    let folders: Vec<_> = places[2..].iter().map(|place| place.to_string_lossy()).collect();
    let text = format!(
        "its pictures, such as {first}, are neither beside it nor in {}: set `coco.images` to their folder, relative to \
         the dataset's",
        folders.join(", ")
    );
    listing.report(Subject::Dataset, &list, Diagnostic::new(Kind::Missing, text));
    PathBuf::new()
}

/// The shapes of a region, widened, in a picture of the size (width, height).
fn shapes(
    annotations: &[&Annotation],
    mask: &str,
    categories: &HashMap<&str, Vec<&Id>>,
    (width, height): (u32, u32),
    spec: &CocoSpec,
) -> Vec<Shape> {
    let dilate = spec.dilate * width.max(height) as f32 / 1024.0;
    let mut found = Vec::new();
    for name in mask.split('+').map(str::trim) {
        for annotation in annotations {
            match categories.get(name) {
                Some(ids) if ids.contains(&&annotation.category_id) => {
                    found.extend(object(annotation, spec));
                }
                Some(_) => {}
                None => found.extend(whole_body::shapes(annotation, name, spec.shape)),
            }
        }
    }
    found.into_iter().map(|shape| whole_body::dilate(shape, dilate)).collect()
}

/// An annotated object: its box, or its outline where it has one. Pixels of an outline that is widened become
/// one convex shape, as polygons do.
fn object(annotation: &Annotation, spec: &CocoSpec) -> Vec<Shape> {
    let outline = match spec.shape {
        CocoShape::Points => annotation.segmentation.shapes(),
        CocoShape::Box => Vec::new(),
    };
    if !outline.is_empty() {
        let pixels = outline.iter().any(|shape| matches!(shape, Shape::Box(_)));
        return if pixels && spec.dilate > 0.0 { vec![whole_body::around(&outline)] } else { outline };
    }
    let frame = annotation.frame().and_then(|frame| <[f32; 4]>::try_from(&*frame).ok());
    frame.and_then(whole_body::box_shape).into_iter().collect()
}
