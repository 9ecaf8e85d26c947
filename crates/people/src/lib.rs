//! Draws people: pictures with exact face and hand masks, key points and captions, from a seed.
//!
//! A [`Picture`] is a pure function of (seed, index); its size is only its resolution. Everything is drawn
//! from one list of filled outlines, and the masks are the visible parts of the outlines of faces and hands:
//! exact to half a pixel, with every occlusion. Captions are plain sentences from a fixed [`VOCABULARY`].
//!
//! ```
//! let picture = fairhuman_people::draw(128, 7, 0);
//! assert_eq!(picture.image.dimensions(), (128, 128));
//! assert!(picture.caption.split([' ', ',']).filter(|w| !w.is_empty()).all(|w| fairhuman_people::VOCABULARY.contains(&w)));
//! ```
//!
//! [`write_dataset`] makes a dataset folder of them. The crate does not draw from descriptions, and reads no
//! file but its own earlier output.

#![deny(missing_docs)]

mod background;
mod body;
mod canvas;
mod caption;
mod clothes;
mod colour;
mod face;
mod geometry;
mod hair;
mod hand;
mod keypoints;
mod person;
mod pose;
mod random;
mod render;
mod scene;
mod skeleton;
mod style;
mod things;
mod write;

pub use caption::VOCABULARY;
pub use keypoints::{BODY, Figure, Hand, Keypoint, NamedPoint, read_figures};
pub use scene::Mix;
pub use style::Style;
pub use write::{MAX_SIZE, MIN_SIZE, MOST_FIGURES, Options, PeopleError, Summary, write_dataset};

use image::{GrayImage, RgbImage};

/// One drawn picture with its annotations.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// The picture, `[size, size]`, sRGB.
    pub image: RgbImage,
    /// 255 where at least half of the pixel is visible face (skin of the head, features, ears, beard,
    /// glasses; no hair), else 0.
    pub face_mask: GrayImage,
    /// 255 where at least half of the pixel is visible hand (from the wrist to the finger tips), else 0.
    pub hand_mask: GrayImage,
    /// A description of the picture, in lower case, under 60 words.
    pub caption: String,
    /// The people from left to right.
    pub figures: Vec<Figure>,
}

/// Draws picture `index` of `seed` with `size` x `size` pixels; `size` is clamped to
/// [`MIN_SIZE`]`..=`[`MAX_SIZE`].
pub fn draw(size: u32, seed: u64, index: u64) -> Picture {
    draw_mix(size, seed, index, Mix::default())
}

/// The same with another mix of pictures.
pub fn draw_mix(size: u32, seed: u64, index: u64, mix: Mix) -> Picture {
    let size = size.clamp(MIN_SIZE, MAX_SIZE);
    let composed = scene::compose(seed, index, mix);
    let pixels = render::render(&composed.shapes, size);
    Picture {
        image: pixels.image,
        face_mask: pixels.face,
        hand_mask: pixels.hand,
        caption: caption::caption(&composed.scene),
        figures: keypoints::figures(&composed, size),
    }
}
