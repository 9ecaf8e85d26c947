//! Regions that a person wrote into a JSON file, `{"photo.jpg": [{"kind": "hand", "box": [1, 2, 30, 40]}]}`,
//! each checked where it is read, so that a mistake is told with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use anyhow::{Context, anyhow};
use fairhuman_refine::{Kind, Rect, Region};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Pixels from a picture's corner that nothing in it reaches.
const FARTHEST: f64 = 1e6;
/// Landmarks of a hand.
const HAND_POINTS: usize = 21;

/// A region of a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    kind: ListedKind,
    #[serde(rename = "box")]
    pub bounds: [f64; 4],
    #[serde(default)]
    points: Vec<[f64; 2]>,
    pub prompt: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ListedKind {
    Face,
    Hand,
    Other,
}

impl Listed {
    pub fn region(&self) -> Region {
        let [x0, y0, x1, y1] = self.bounds;
        let kind = match self.kind {
            ListedKind::Face => Kind::Face,
            ListedKind::Hand => Kind::Hand,
            ListedKind::Other => Kind::Other,
        };
        Region { kind, bounds: Rect { x0, y0, x1, y1 }, points: self.points.clone(), score: None }
    }

    /// Fails where no region can be like this: a box without area, landmarks of a hand that are not all of
    /// them, numbers that are no pixels.
    fn check(&self) -> Result<(), String> {
        let [x0, y0, x1, y1] = self.bounds;
        let is_near = |values: &[f64]| values.iter().all(|value| value.abs() <= FARTHEST);
        if !(x0 < x1 && y0 < y1 && is_near(&self.bounds)) {
            return Err(format!(
                "box {:?}: expected left, top, right and bottom in pixels, left below right and top below bottom",
                self.bounds
            ));
        }
        if let Some((i, point)) = self.points.iter().enumerate().find(|(_, point)| !is_near(&point[..])) {
            return Err(format!("point {} {point:?}: expected x and y in pixels", i + 1));
        }
        let count = self.points.len();
        if matches!(self.kind, ListedKind::Hand) && count > 0 && count != HAND_POINTS {
            return Err(format!("{count} points: a hand has {HAND_POINTS}; leave `points` out without them"));
        }
        Ok(())
    }
}

/// Reads a file: the regions of each picture.
pub fn read(file: &Path) -> anyhow::Result<BTreeMap<String, Vec<Listed>>> {
    let bytes = fairhuman_files::read(file).with_context(|| file.display().to_string())?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let read = json.deserialize_map(Pictures).and_then(|all| json.end().map(|()| all));
    read.map_err(|error| anyhow!("{}: {error}", file.display()))
}

/// Maps of serde take the last of several values of a key, and say nothing.
struct Pictures;

impl<'de> Visitor<'de> for Pictures {
    type Value = BTreeMap<String, Vec<Listed>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of regions for each picture")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut all = BTreeMap::new();
        while let Some(picture) = map.next_key::<String>()? {
            if all.contains_key(&picture) {
                return Err(A::Error::custom(format!(
                    "{picture} is named twice: put all of its regions into one list"
                )));
            }
            let regions = map.next_value_seed(Regions(&picture))?;
            all.insert(picture, regions);
        }
        Ok(all)
    }
}

/// The regions of a picture.
struct Regions<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Regions<'_> {
    type Value = Vec<Listed>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Regions<'_> {
    type Value = Vec<Listed>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of the regions of {}", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found: Vec<Listed> = Vec::new();
        loop {
            let place = format!("{}, region {}", self.0, found.len() + 1);
            let fail = |problem: String| A::Error::custom(format!("{place}: {problem}"));
            let next = list.next_element::<Listed>().map_err(|error| fail(error.to_string()))?;
            let Some(region) = next else { return Ok(found) };
            region.check().map_err(fail)?;
            found.push(region);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("regions.json");
        std::fs::write(&file, text).unwrap();
        format!("{:#}", read(&file).expect_err(text))
    }

    #[test]
    fn mistakes_are_told_with_file_picture_region_and_value() {
        let hand = |more: &str| format!(r#"{{"kind": "hand", "box": [1, 2, 30, 40]{more}}}"#);
        let points = |count: usize, last: &str| {
            let all: Vec<&str> = [&vec!["[3, 4]"; count - 1][..], &[last]].concat();
            hand(&format!(r#", "points": [{}]"#, all.join(", ")))
        };
        let boxed = |numbers: &str| format!(r#"{{"kind": "hand", "box": [{numbers}]}}"#);
        for (second, expected) in [
            (points(20, "[3, 4]"), "20 points"),
            (points(22, "[3, 4]"), "22 points"),
            (points(21, "[3, 1e300]"), "point 21 [3.0, 1e300]"),
            (boxed("-1e300, 2, 1e300, 40"), "box [-1e300, 2.0, 1e300, 40.0]"),
            (boxed("9, 9, 3, 3"), "box [9.0, 9.0, 3.0, 3.0]"),
            (boxed("1, 2, 3"), "invalid length 3"),
            (boxed("1, 2, 3, 1e999"), "number out of range"),
            (hand(r#", "prompts": "a fist""#), "prompts"),
            (hand(r#", "box": [1, 2, 3, 4]"#), "duplicate field `box`"),
        ] {
            let said = error(&format!(r#"{{"a.png": [], "b.png": [{}, {second}]}}"#, hand("")));
            assert!(said.contains("regions.json: b.png, region 2: ") && said.contains(expected), "{said}");
        }
        let said = error(&format!(r#"{{"a.png": [{0}], "b.png": [], "a.png": [{0}]}}"#, hand("")));
        assert!(said.contains("regions.json: a.png is named twice"), "{said}");
        for text in ["[]", "", "{\"a.png\": 1}", "{} {}", "{\"a.png\": ["] {
            assert!(error(text).contains("regions.json: "), "{text}");
        }
    }

    #[test]
    fn what_is_right_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("regions.json");
        let points = vec!["[3, 4]"; HAND_POINTS].join(", ");
        let hand = format!(r#"{{"kind": "hand", "box": [-1, 2, 30.5, 40], "points": [{points}]}}"#);
        std::fs::write(&file, format!(r#"{{"a.png": [{hand}], "b.png": []}}"#)).unwrap();
        let all = read(&file).unwrap();
        let region = all["a.png"][0].region();
        assert_eq!((region.kind, region.points.len(), region.bounds.x1), (Kind::Hand, HAND_POINTS, 30.5));
        assert!(all["b.png"].is_empty());
    }
}
