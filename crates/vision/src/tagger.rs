//! Taggers of the user's own: WD14 networks (SmilingWolf's, trained on Danbooru) as ONNX, with the list of
//! their tags. A picture becomes the tags whose probability is above a threshold.
//!
//! Preparation is that of the networks' author: the picture is padded with white to a square, resized, and
//! given as blue, green and red from 0 to 255, channels last.

use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use rten_tensor::NdTensor;
use rten_tensor::prelude::*;

use crate::onnx::Network;

/// Side of the input if the file leaves it dynamic.
const DEFAULT_SIDE: usize = 448;

/// A tagger that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {reason}")]
pub struct TaggerError {
    /// The network or the list of tags.
    pub file: PathBuf,
    /// The problem.
    pub reason: String,
}

/// Kinds of tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Anything that is seen.
    General,
    /// A character's name.
    Character,
    /// The audience that a picture is fit for; never part of a caption.
    Rating,
}

/// A tag that a picture may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// Its name, with spaces between words.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
}

/// Probabilities from which tags count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Of general tags.
    pub general: f32,
    /// Of characters.
    pub character: f32,
}

/// A loaded network with its tags.
pub struct Tagger {
    file: PathBuf,
    network: Network,
    side: usize,
    tags: Vec<Tag>,
}

impl Tagger {
    /// Loads a network and `selected_tags.csv`, which such networks come with.
    ///
    /// # Errors
    /// Files that cannot be read, another kind of network, a list of another length.
    pub fn load(network: &Path, tags: &Path) -> Result<Self, TaggerError> {
        let fail = |reason: String| TaggerError { file: network.into(), reason };
        let bytes = fairhuman_files::read(network).map_err(|e| fail(e.to_string()))?;
        let loaded = Network::load(bytes).map_err(fail)?;
        let shape = loaded.shape();
        if shape.len() != 4 || loaded.length(3).is_some_and(|channels| channels != 3) {
            return Err(fail(format!(
                "expected an input [1, side, side, 3] of a WD14 tagger, found {shape:?}"
            )));
        }
        let side = loaded.length(1).unwrap_or(DEFAULT_SIDE);
        if !(32..=4096).contains(&side) || loaded.length(2).is_some_and(|width| width != side) {
            return Err(fail(format!("expected a square input of 32 to 4096 pixels, found {shape:?}")));
        }
        let tags = read_tags(tags)?;
        let tagger = Self { file: network.into(), network: loaded, side, tags };
        // Run once now, so that a network that cannot work is refused before any picture.
        tagger.probabilities(&RgbImage::new(1, 1))?;
        Ok(tagger)
    }

    /// The tags of a picture, the most probable first, characters before all others.
    ///
    /// # Errors
    /// A network that fails.
    pub fn tags(&self, picture: &RgbImage, thresholds: Thresholds) -> Result<Vec<&Tag>, TaggerError> {
        let probabilities = self.probabilities(picture)?;
        let mut found: Vec<(&Tag, f32)> = self
            .tags
            .iter()
            .zip(probabilities)
            .filter(|(tag, probability)| match tag.kind {
                Kind::General => *probability >= thresholds.general,
                Kind::Character => *probability >= thresholds.character,
                Kind::Rating => false,
            })
            .collect();
        found.sort_by(|(a, p), (b, q)| {
            (b.kind == Kind::Character).cmp(&(a.kind == Kind::Character)).then(q.total_cmp(p))
        });
        Ok(found.into_iter().map(|(tag, _)| tag).collect())
    }

    /// One probability for each tag.
    fn probabilities(&self, picture: &RgbImage) -> Result<Vec<f32>, TaggerError> {
        let fail = |reason: String| TaggerError { file: self.file.clone(), reason };
        let values = self.network.run(input(picture, self.side)).map_err(fail)?.to_vec();
        if values.len() != self.tags.len() {
            let (found, tags) = (values.len(), self.tags.len());
            return Err(fail(format!(
                "has {found} outputs, and the list {tags} tags: they are not of one tagger"
            )));
        }
        // Quantised networks round.
        match values.iter().all(|v| (-0.001..=1.001).contains(v)) {
            true => Ok(values),
            false => {
                Err(fail("expected probabilities from 0 to 1, found other numbers: not a WD14 tagger".into()))
            }
        }
    }
}

/// The input of a picture, `[1, side, side, 3]`.
fn input(picture: &RgbImage, side: usize) -> NdTensor<f32, 4> {
    let (width, height) = picture.dimensions();
    let longer = width.max(height);
    let mut square = RgbImage::from_pixel(longer, longer, Rgb([255; 3]));
    let (left, top) = ((longer - width) / 2, (longer - height) / 2);
    imageops::replace(&mut square, picture, left.into(), top.into());
    let resized = imageops::resize(&square, side as u32, side as u32, FilterType::CatmullRom);
    let values: Vec<f32> =
        resized.pixels().flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]).map(f32::from).collect();
    NdTensor::from_data([1, side, side, 3], values)
}

/// The list: a header, then lines of `tag_id,name,category,count`.
fn read_tags(path: &Path) -> Result<Vec<Tag>, TaggerError> {
    let fail = |reason: String| TaggerError { file: path.into(), reason };
    let text = fairhuman_files::read_to_string(path).map_err(|e| fail(e.to_string()))?;
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| fail(e.to_string()))?.clone();
    let column = |name: &str| header.iter().position(|field| field == name);
    let (Some(name), Some(category)) = (column("name"), column("category")) else {
        return Err(fail(
            "expected a list with the columns name and category, as selected_tags.csv has them".into(),
        ));
    };
    let mut tags = Vec::new();
    for line in reader.records() {
        // A line with other columns than the first is told by its number.
        let line = line.map_err(|e| fail(e.to_string()))?;
        let kind = match &line[category] {
            "9" => Kind::Rating,
            "4" => Kind::Character,
            _ => Kind::General,
        };
        tags.push(Tag { name: in_words(&line[name]), kind });
    }
    Ok(tags)
}

/// A tag's name with spaces, but for faces made of letters, such as `^_^`.
fn in_words(name: &str) -> String {
    let is_face = name.len() <= 3 || !name.contains(char::is_alphabetic);
    if is_face { name.to_owned() } else { name.replace('_', " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_with_quotes_and_faces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("selected_tags.csv");
        let text = "tag_id,name,category,count\n1,general,9,5\r\n2,long_hair,0,4\n3,\"miku,_hatsune\",4,3\n4,^_^,0,2\n";
        std::fs::write(&path, text).unwrap();
        let tags = read_tags(&path).unwrap();
        let names: Vec<&str> = tags.iter().map(|tag| tag.name.as_str()).collect();
        assert_eq!(names, ["general", "long hair", "miku, hatsune", "^_^"]);
        assert_eq!(
            tags.iter().map(|tag| tag.kind).collect::<Vec<_>>(),
            [Kind::Rating, Kind::General, Kind::Character, Kind::General]
        );
        std::fs::write(&path, "a,b\n").unwrap();
        assert!(read_tags(&path).unwrap_err().to_string().contains("selected_tags.csv"));
    }

    #[test]
    fn pictures_are_padded_with_white_and_given_blue_first() {
        let picture = RgbImage::from_pixel(64, 32, Rgb([10, 20, 30]));
        let values = input(&picture, 32).to_vec();
        assert_eq!(values[..3], [255.0; 3]);
        let middle = 3 * (16 * 32 + 16);
        assert_eq!(values[middle..middle + 3], [30.0, 20.0, 10.0]);
    }
}
