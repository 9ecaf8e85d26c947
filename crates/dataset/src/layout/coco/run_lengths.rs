//! COCO's run lengths: outlines as CVAT, SAM and crowds have them. The pixels of a mask, column by column, as
//! numbers of pixels outside and inside in turn; in a list, or packed into a text.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::record::Number;
use crate::source::Shape;

/// The lengths as a file has them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Counts {
    List(Vec<Number>),
    Packed(String),
    Other(IgnoredAny),
}

impl Counts {
    /// The lengths; none if they cannot be read.
    fn lengths(&self) -> Option<Vec<u64>> {
        match self {
            Counts::List(list) => {
                let whole = |n: &Number| {
                    (n.0.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&n.0)).then_some(n.0 as u64)
                };
                list.iter().map(whole).collect()
            }
            Counts::Packed(text) => unpack(text.as_bytes()),
            Counts::Other(_) => None,
        }
    }

    /// The pixels inside, as boxes of whole pixels, of a mask of this size; none if the lengths do not fill
    /// it.
    pub fn boxes(&self, (width, height): (u32, u32)) -> Option<Vec<Shape>> {
        let lengths = self.lengths()?;
        let mut sum = 0u64;
        for length in &lengths {
            sum = sum.checked_add(*length)?;
        }
        if sum != u64::from(width) * u64::from(height) {
            return None;
        }
        // Columns that have the same run beside each other become one box.
        let mut boxes: Vec<[u64; 4]> = Vec::new();
        let mut latest: HashMap<(u64, u64), usize> = HashMap::new();
        let (height, mut at) = (u64::from(height), 0);
        for (i, length) in lengths.into_iter().enumerate() {
            let end = at + length;
            while i % 2 == 1 && at < end {
                let (column, top) = (at / height, at % height);
                let bottom = (top + end - at).min(height);
                // Whole columns at once: a file may claim any number of them.
                let columns = if top == 0 { ((end - at) / height).max(1) } else { 1 };
                match latest.get(&(top, bottom)).map(|last| &mut boxes[*last]) {
                    Some([.., right, _]) if *right == column => *right += columns,
                    _ => {
                        latest.insert((top, bottom), boxes.len());
                        boxes.push([column, top, column + columns, bottom]);
                    }
                }
                at += columns * (bottom - top);
            }
            at = end;
        }
        Some(boxes.into_iter().map(|edges| Shape::Box(edges.map(|edge| edge as f32))).collect())
    }
}

/// Lengths that pycocotools packed: five bits a letter from `0` on, low ones first, and a sixth where more
/// follow; from the fourth on each as the difference from the last but one.
fn unpack(text: &[u8]) -> Option<Vec<u64>> {
    let mut lengths: Vec<i64> = Vec::new();
    let mut letters = text.iter();
    while let Some(first) = letters.next() {
        let (mut value, mut bits, mut letter) = (0i64, 0, first);
        loop {
            let six = letter.checked_sub(b'0').filter(|six| *six < 64)?;
            // Pictures have fewer than 2^32 pixels.
            if bits > 35 {
                return None;
            }
            value |= i64::from(six & 31) << bits;
            bits += 5;
            if six & 32 == 0 {
                if six & 16 != 0 {
                    value |= -1 << bits;
                }
                break;
            }
            letter = letters.next()?;
        }
        let before = if lengths.len() > 2 { lengths[lengths.len() - 2] } else { 0 };
        lengths.push(value.checked_add(before)?);
    }
    lengths.into_iter().map(|length| u64::try_from(length).ok()).collect()
}
