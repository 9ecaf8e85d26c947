//! The records of COCO files, read leniently: programs write ids as text, sizes with a point, boxes with
//! `null` or `NaN`. Values that cannot be used are kept as such, so that they can be told by their record
//! instead of refusing the file.
//!
//! Every key that is used is a field: files have hundreds of megabytes, and a tree of values takes ten times
//! as much.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::PARTS;
use super::run_lengths::Counts;
use crate::source::Shape;

#[derive(Deserialize)]
pub(super) struct File {
    pub images: Vec<Picture>,
    #[serde(default)]
    pub annotations: Vec<Annotation>,
    #[serde(default)]
    pub categories: Vec<Category>,
}

#[derive(Deserialize)]
pub(super) struct Picture {
    #[serde(default)]
    pub id: Id,
    #[serde(default)]
    pub file_name: Option<String>,
    #[serde(default)]
    pub width: Number,
    #[serde(default)]
    pub height: Number,
    #[serde(default)]
    pub caption: Option<String>,
}

impl Picture {
    /// Width and height, where both are whole numbers from 1 on.
    pub fn size(&self) -> Option<(u32, u32)> {
        Some((self.width.side()?, self.height.side()?))
    }
}

#[derive(Deserialize)]
pub(super) struct Category {
    #[serde(default)]
    pub id: Id,
    pub name: String,
    #[serde(default)]
    keypoints: Names,
}

impl Category {
    /// The names of its key points, in the order in which its annotations have them; none where they have no
    /// names.
    pub fn points(&self) -> &[String] {
        match &self.keypoints {
            Names::List(names) => names,
            Names::Other(_) | Names::Missing => &[],
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Names {
    List(Vec<String>),
    Other(IgnoredAny),
    #[default]
    Missing,
}

/// One object or person.
#[derive(Deserialize)]
pub(in crate::layout) struct Annotation {
    #[serde(default)]
    pub(super) id: Id,
    #[serde(default)]
    pub(super) image_id: Id,
    #[serde(default)]
    pub(super) category_id: Id,
    /// Left, top, width, height; NaN for what is no number.
    #[serde(default, deserialize_with = "numbers")]
    pub(super) bbox: Option<Vec<f32>>,
    #[serde(default)]
    pub(super) segmentation: Segmentation,
    /// x, y and visibility of COCO's 17 body points.
    #[serde(default, deserialize_with = "numbers")]
    pub(super) keypoints: Option<Vec<f32>>,
    // COCO-WholeBody's parts; see [`Annotation::part`].
    face_valid: Option<bool>,
    #[serde(default, deserialize_with = "numbers")]
    face_box: Option<Vec<f32>>,
    #[serde(default, deserialize_with = "numbers")]
    face_kpts: Option<Vec<f32>>,
    lefthand_valid: Option<bool>,
    #[serde(default, deserialize_with = "numbers")]
    lefthand_box: Option<Vec<f32>>,
    #[serde(default, deserialize_with = "numbers")]
    lefthand_kpts: Option<Vec<f32>>,
    righthand_valid: Option<bool>,
    #[serde(default, deserialize_with = "numbers")]
    righthand_box: Option<Vec<f32>>,
    #[serde(default, deserialize_with = "numbers")]
    righthand_kpts: Option<Vec<f32>>,
}

/// A face or hand as COCO-WholeBody has it.
pub(in crate::layout) struct BodyPart<'a> {
    pub valid: bool,
    /// Left, top, width, height.
    pub frame: &'a [f32],
    /// x, y and score of each point.
    pub points: &'a [f32],
}

impl Annotation {
    /// COCO's 17 body points; none where there are none.
    pub fn body(&self) -> &[f32] {
        self.keypoints.as_deref().unwrap_or_default()
    }

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

    /// Its box, or that around its outline where it has none.
    pub(super) fn frame(&self) -> Option<Cow<'_, [f32]>> {
        if let Some(frame) = &self.bbox {
            return Some(frame.into());
        }
        let shapes = self.segmentation.shapes();
        let [left, top, right, bottom] = shapes
            .iter()
            .map(Shape::bounds)
            .reduce(|a, b| [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])])?;
        Some(vec![left, top, right - left, bottom - top].into())
    }

    /// True if it says anything about faces or hands.
    pub(super) fn has_parts(&self) -> bool {
        !self.body().is_empty() || PARTS.iter().any(|name| self.part(name).is_some())
    }
}

#[derive(Deserialize)]
pub(super) struct Captions {
    pub annotations: Vec<CaptionOf>,
}

#[derive(Deserialize)]
pub(super) struct CaptionOf {
    pub image_id: Id,
    pub caption: String,
}

/// An id. `7`, `7.0` and `"7"` are the same one; other texts are ids, too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Id {
    Number(u64),
    Text(Box<str>),
    /// None, or something that cannot be an id.
    #[default]
    Missing,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(number) => write!(f, "{number}"),
            Id::Text(text) => write!(f, "{text:?}"),
            Id::Missing => f.write_str("(none)"),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = |text: String| match text.parse::<u64>() {
            Ok(number) if number.to_string() == text => Id::Number(number),
            _ => Id::Text(text.into()),
        };
        Ok(match Scalar::deserialize(deserializer)? {
            Scalar::Whole(number) => Id::Number(number),
            Scalar::Number(number) if number >= 0.0 && number.fract() == 0.0 && number < 1e15 => {
                Id::Number(number as u64)
            }
            Scalar::Number(number) => text(number.to_string()),
            Scalar::Text(written) if !written.is_empty() => text(written),
            Scalar::Text(_) | Scalar::Other => Id::Missing,
        })
    }
}

/// A number, or a text that spells one; NaN for anything else.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub f64);

impl Default for Number {
    fn default() -> Self {
        Number(f64::NAN)
    }
}

impl Number {
    /// As the side of a picture.
    fn side(self) -> Option<u32> {
        let fits = self.0.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&self.0);
        fits.then_some(self.0 as u32)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Number(match Scalar::deserialize(deserializer)? {
            Scalar::Whole(number) => number as f64,
            Scalar::Number(number) => number,
            Scalar::Text(text) => text.trim().parse().unwrap_or(f64::NAN),
            Scalar::Other => f64::NAN,
        }))
    }
}

/// A list of numbers; one NaN for anything but a list, none for `null`.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<f32>>, D::Error> {
    struct List;
    impl<'de> Visitor<'de> for List {
        type Value = Option<Vec<f32>>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("a list of numbers")
        }
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some(Number(value)) = list.next_element()? {
                values.push(value as f32);
            }
            Ok(Some(values))
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Some(vec![f32::NAN]))
        }
        fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
            Ok(Some(vec![f32::NAN]))
        }
        fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
            Ok(Some(vec![f32::NAN]))
        }
        fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
            Ok(Some(vec![f32::NAN]))
        }
        fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
            Ok(Some(vec![f32::NAN]))
        }
        fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
            Ok(Some(vec![f32::NAN]))
        }
    }
    deserializer.deserialize_any(List)
}

/// A value without parts.
enum Scalar {
    Whole(u64),
    Number(f64),
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar::Whole(value))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value as f64))
            }
            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Number(value))
            }
            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.to_owned()))
            }
            fn visit_bool<E: Error>(self, _: bool) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
                Ok(Scalar::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Other)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// The outline of an object.
#[derive(Default, Deserialize)]
#[serde(untagged)]
pub(super) enum Segmentation {
    /// Corners of polygons, x and y in turn.
    Polygons(Vec<Vec<Number>>),
    /// Run lengths of a picture of this height and width.
    RunLengths { size: Vec<Number>, counts: Counts },
    /// Something else, which is not read.
    Other(IgnoredAny),
    /// Nothing.
    #[default]
    Missing,
}

impl Segmentation {
    /// All that can be drawn: polygons, or the pixels that run lengths say, as boxes.
    pub fn shapes(&self) -> Vec<Shape> {
        let Segmentation::RunLengths { size, counts } = self else {
            return self.polygons().into_iter().map(Shape::Polygon).collect();
        };
        let [height, width] = &size[..] else { return Vec::new() };
        let size = width.side().zip(height.side());
        size.and_then(|size| counts.boxes(size)).unwrap_or_default()
    }

    /// The polygons of at least three corners.
    fn polygons(&self) -> Vec<Vec<[f32; 2]>> {
        let Segmentation::Polygons(polygons) = self else { return Vec::new() };
        let whole = |values: &&Vec<Number>| {
            values.len() >= 6
                && values.len().is_multiple_of(2)
                && values.iter().all(|v| (v.0 as f32).is_finite())
        };
        let corners = |values: &Vec<Number>| {
            values.as_chunks::<2>().0.iter().map(|[x, y]| [x.0 as f32, y.0 as f32]).collect()
        };
        polygons.iter().filter(whole).map(corners).collect()
    }
}
