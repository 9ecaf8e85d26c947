//! Faults of the records of a COCO file, told by their ids, one diagnostic for each kind of fault.
//!
//! Only what is asked for is looked at: boxes of categories and parts that no region names do not matter.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::PARTS;
use super::record::{Annotation, File, Id, Picture, Segmentation};
use crate::diagnostic::{Diagnostic, Kind, Severity, Subject};
use crate::spec::{CocoShape, CocoSpec};

/// Ids that are named one by one; the rest is counted.
const NAMED: usize = 8;

/// The categories and parts of bodies that regions name.
#[derive(Default)]
pub(super) struct Asked<'a> {
    pub categories: HashSet<&'a Id>,
    pub parts: HashSet<&'static str>,
}

impl Asked<'_> {
    /// Adds a part; `hand` stands for both.
    pub fn add_part(&mut self, name: &str) {
        let named = |part: &&str| *part == name || name == "hand" && part.ends_with("hand");
        self.parts.extend(PARTS.into_iter().filter(|part| *part != "hand").filter(named));
    }
}

/// A fault, and the records that have it.
struct Fault {
    what: What,
    severity: Severity,
    /// Of the first record.
    text: String,
    ids: Vec<String>,
    count: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    NoNumbers,
    NoBox,
    Shares,
    Outside,
    OtherSize,
    NoPolygons,
    NoPicture,
    PictureSize,
    PictureTwice,
    PictureName,
}

impl What {
    fn kind(self) -> Kind {
        match self {
            What::NoNumbers | What::Shares | What::PictureSize | What::PictureName => Kind::List,
            What::OtherSize => Kind::Size,
            What::PictureTwice => Kind::Ambiguous,
            What::NoBox | What::Outside | What::NoPolygons | What::NoPicture => Kind::Doubtful,
        }
    }

    fn record(self) -> &'static str {
        match self {
            What::PictureSize | What::PictureTwice | What::PictureName => "picture",
            _ => "annotation",
        }
    }
}

/// Faults by kind.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, what: What, id: String, text: String) {
        match self.0.iter_mut().find(|fault| fault.what == what) {
            Some(fault) => {
                fault.count += 1;
                if fault.ids.len() < NAMED {
                    fault.ids.push(id);
                }
            }
            None => {
                self.0.push(Fault { what, severity: what.kind().severity(), text, ids: vec![id], count: 1 });
            }
        }
    }

    fn diagnostics(self, list: &Path) -> Vec<Diagnostic> {
        let tell = |fault: Fault| {
            let record = fault.what.record();
            let mut text = format!("{record} {}: {}", fault.ids[0], fault.text);
            if fault.count > 1 {
                let noun = if fault.count == 2 { record.to_owned() } else { format!("{record}s") };
                text.push_str(&format!("; likewise {noun} {}", fault.ids[1..].join(", ")));
                match fault.count - fault.ids.len() {
                    0 => {}
                    more => text.push_str(&format!(" and {more} more")),
                }
            }
            let told = Diagnostic { severity: fault.severity, ..Diagnostic::new(fault.what.kind(), text) };
            told.about(Subject::Dataset, list)
        };
        self.0.into_iter().map(tell).collect()
    }
}

/// Looks at all records of a file.
pub(super) fn find(file: &File, asked: &Asked, spec: &CocoSpec, list: &Path) -> Vec<Diagnostic> {
    let mut faults = Faults::default();
    let mut pictures: HashMap<&Id, &Picture> = HashMap::new();
    for (i, picture) in file.images.iter().enumerate() {
        if picture.file_name.as_deref().is_none_or(str::is_empty) {
            faults.add(What::PictureName, picture.id.to_string(), "it has no file_name".into());
        }
        if picture.id == Id::Missing {
            let id = format!("number {} of the list", i + 1);
            faults.add(What::PictureTwice, id, "it has no id, by which annotations could name it".into());
        } else if pictures.insert(&picture.id, picture).is_some() {
            faults.add(What::PictureTwice, picture.id.to_string(), "another picture has the same id".into());
        }
    }
    let (mut boxes, mut sizeless) = (Boxes::default(), HashSet::new());
    for (i, annotation) in file.annotations.iter().enumerate() {
        let id = match &annotation.id {
            Id::Missing => format!("number {} of the list", i + 1),
            id => id.to_string(),
        };
        let Some(picture) = pictures.get(&annotation.image_id) else {
            let text = format!("its image_id {} is no picture of this file", annotation.image_id);
            faults.add(What::NoPicture, id, text);
            continue;
        };
        let about = About { id: &id, picture, spec };
        let mut seen = false;
        if asked.categories.contains(&annotation.category_id) {
            seen = true;
            object(&mut faults, &mut boxes, annotation, about);
        }
        for part in &asked.parts {
            let frame = annotation.part(part).filter(|part| part.valid).map(|part| part.frame);
            if let Some(frame) = frame {
                boxes.look(&mut faults, about, &format!("{part}_box"), Some(frame));
            }
            seen |= frame.is_some() || !annotation.body().is_empty();
        }
        if !asked.parts.is_empty() && annotation.body().iter().any(|value| !value.is_finite()) {
            let text =
                "its keypoints must be finite numbers, three for each point of its category".to_owned();
            faults.add(What::NoNumbers, id.clone(), text);
        }
        if seen && picture.size().is_none() && sizeless.insert(&picture.id) {
            let (width, height) = (picture.width.0, picture.height.0);
            let text = format!("its width and height, {width} and {height}, must be whole numbers from 1 on");
            faults.add(What::PictureSize, picture.id.to_string(), text);
        }
    }
    // A file in which every box is so is written in shares; one box among many may be a slip.
    if boxes.shares < boxes.drawn {
        let shares = faults.0.iter_mut().filter(|fault| fault.what == What::Shares);
        shares.for_each(|fault| fault.severity = Severity::Warning);
    }
    faults.diagnostics(list)
}

/// The annotation that is looked at.
#[derive(Clone, Copy)]
struct About<'a> {
    id: &'a str,
    picture: &'a Picture,
    spec: &'a CocoSpec,
}

/// Looks at an object's outline, and at its box where that is drawn.
fn object(faults: &mut Faults, boxes: &mut Boxes, annotation: &Annotation, about: About<'_>) {
    if let Segmentation::RunLengths { size, .. } = &annotation.segmentation
        && let (Some((width, height)), [h, w]) = (about.picture.size(), &size[..])
        && (w.0, h.0) != (f64::from(width), f64::from(height))
    {
        let text = format!(
            "its segmentation is of a picture of {} x {} pixels, but its picture has {width} x {height}",
            w.0, h.0
        );
        faults.add(What::OtherSize, about.id.into(), text);
    }
    if about.spec.shape == CocoShape::Points {
        if !annotation.segmentation.shapes().is_empty() {
            return;
        }
        if !matches!(annotation.segmentation, Segmentation::Missing) {
            let text = "its segmentation has neither a polygon of three corners or more nor run lengths that fill its \
                        picture: its box is drawn";
            faults.add(What::NoPolygons, about.id.into(), text.into());
        }
    }
    boxes.look(faults, about, "bbox", annotation.frame().as_deref());
}

/// Boxes that are drawn, and those of them that seem to be in shares of their picture.
#[derive(Default)]
struct Boxes {
    drawn: usize,
    shares: usize,
}

impl Boxes {
    fn look(&mut self, faults: &mut Faults, about: About<'_>, key: &str, frame: Option<&[f32]>) {
        let mut fault = |what, text: String| faults.add(what, about.id.to_owned(), text);
        let Some(frame) = frame else {
            return fault(What::NoBox, format!("it has no {key}: nothing is drawn of it"));
        };
        let &[x, y, width, height] = frame else {
            return fault(What::NoNumbers, format!("its {key} {frame:?} must be four finite numbers"));
        };
        if frame.iter().any(|value| !value.is_finite()) {
            return fault(What::NoNumbers, format!("its {key} {frame:?} must be four finite numbers"));
        }
        if width <= 0.0 || height <= 0.0 {
            return fault(What::NoBox, format!("its {key} {frame:?} is empty: nothing is drawn of it"));
        }
        self.drawn += 1;
        let Some((w, h)) = about.picture.size() else { return };
        let (w, h) = (w as f32, h as f32);
        let within_one = x >= 0.0 && y >= 0.0 && x + width <= 1.001 && y + height <= 1.001;
        if within_one && w > 2.0 && h > 2.0 {
            self.shares += 1;
            let text = format!(
                "its {key} {frame:?} seems to be in shares of its picture: COCO's are in pixels, here of {w} x {h}"
            );
            return fault(What::Shares, text);
        }
        if x >= w || y >= h || x + width <= 0.0 || y + height <= 0.0 {
            fault(What::Outside, format!("its {key} {frame:?} lies outside of its picture, {w} x {h}"));
        }
    }
}
