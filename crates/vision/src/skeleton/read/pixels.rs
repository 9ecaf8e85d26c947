//! The colours of a control image: hue and brightness of every pixel, and connected pixels of one class.

use std::collections::BTreeMap;

use image::RgbImage;

/// Brightest value of what counts as black.
const BLACK: u8 = 40;
/// Least saturation of a colour.
const SATURATED: f32 = 0.6;
/// Most saturation and least brightness of white.
const PALE: f32 = 0.2;
const WHITE: u8 = 120;

/// A pixel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pixel {
    /// Background, or so dark that its colour says nothing.
    Black,
    /// Part of a face's dot.
    White,
    /// A colour: its hue in degrees and its largest channel.
    Hue(f32, u8),
    /// Neither.
    Other,
}

fn pixel([r, g, b]: [u8; 3]) -> Pixel {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most < BLACK {
        return Pixel::Black;
    }
    let range = f32::from(most - least);
    if range < SATURATED * f32::from(most) {
        let is_white = range <= PALE * f32::from(most) && most >= WHITE;
        return if is_white { Pixel::White } else { Pixel::Other };
    }
    let [r, g, b] = [r, g, b].map(f32::from);
    let sixth = match most {
        most if most == r as u8 => ((g - b) / range).rem_euclid(6.0),
        most if most == g as u8 => (b - r) / range + 2.0,
        _ => (r - g) / range + 4.0,
    };
    Pixel::Hue(60.0 * sixth, most)
}

/// The angle between two hues.
pub(super) fn angle(a: f32, b: f32) -> f32 {
    let d = (a - b).rem_euclid(360.0);
    d.min(360.0 - d)
}

/// All pixels of a picture, row by row.
pub(super) struct Pixels {
    pub width: i32,
    pub height: i32,
    list: Vec<Pixel>,
}

/// Connected pixels of one class.
#[derive(Debug, Clone, Default)]
pub(super) struct Blob {
    pub class: u8,
    pub places: Vec<[i32; 2]>,
}

impl Blob {
    /// Its middle: pixels have theirs at halves.
    pub fn center(&self) -> [f32; 2] {
        let count = self.places.len().max(1) as f32;
        [0, 1].map(|axis| self.places.iter().map(|p| p[axis] as f32 + 0.5).sum::<f32>() / count)
    }

    /// The distance of its pixels from others.
    pub fn gap(&self, others: &[[i32; 2]]) -> f32 {
        let all = others.iter().map(|p| self.distance([p[0] as f32 + 0.5, p[1] as f32 + 0.5]));
        all.fold(f32::INFINITY, f32::min)
    }

    /// The distance of the nearest of its pixels from a point.
    pub fn distance(&self, [x, y]: [f32; 2]) -> f32 {
        let all = self.places.iter().map(|p| (p[0] as f32 + 0.5 - x).hypot(p[1] as f32 + 0.5 - y));
        all.fold(f32::INFINITY, f32::min)
    }
}

impl Pixels {
    pub fn of(image: &RgbImage) -> Self {
        let (width, height) = image.dimensions();
        let list = image.pixels().map(|p| pixel(p.0)).collect();
        Self { width: width as i32, height: height as i32, list }
    }

    /// The pixel of a place; black outside.
    pub fn at(&self, [x, y]: [i32; 2]) -> Pixel {
        let inside = (0..self.width).contains(&x) && (0..self.height).contains(&y);
        if inside { self.list[(y * self.width + x) as usize] } else { Pixel::Black }
    }

    /// The pixel that a point lies in.
    pub fn under(&self, [x, y]: [f32; 2]) -> Pixel {
        self.at([x.floor() as i32, y.floor() as i32])
    }

    /// The number of pixels.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// Share of black pixels.
    pub fn black(&self) -> f32 {
        let black = self.list.iter().filter(|pixel| **pixel == Pixel::Black).count();
        black as f32 / self.list.len().max(1) as f32
    }

    /// Connected pixels, also by corners, of the same class.
    pub fn blobs(&self, class: impl Fn(Pixel) -> Option<u8>) -> Vec<Blob> {
        let mut classes: Vec<Option<u8>> = self.list.iter().map(|&pixel| class(pixel)).collect();
        let mut found = Vec::new();
        for start in 0..classes.len() {
            let Some(class) = classes[start].take() else { continue };
            let mut blob = Blob { class, places: Vec::new() };
            let mut open = vec![[start as i32 % self.width, start as i32 / self.width]];
            while let Some([x, y]) = open.pop() {
                blob.places.push([x, y]);
                for [x, y] in around([x, y]) {
                    if !(0..self.width).contains(&x) || !(0..self.height).contains(&y) {
                        continue;
                    }
                    let next = &mut classes[(y * self.width + x) as usize];
                    if *next == Some(class) {
                        *next = None;
                        open.push([x, y]);
                    }
                }
            }
            found.push(blob);
        }
        found
    }
}

fn around([x, y]: [i32; 2]) -> impl Iterator<Item = [i32; 2]> {
    (-1..=1).flat_map(move |dy| (-1..=1).map(move |dx| [x + dx, y + dy]))
}

/// Pixels of blobs within `reach` of each other, together.
pub(super) fn clusters(blobs: Vec<Blob>, reach: f32) -> Vec<Blob> {
    let side = reach.max(1.0);
    let cell = |[x, y]: [i32; 2]| [(x as f32 / side).floor() as i32, (y as f32 / side).floor() as i32];
    let mut cells: BTreeMap<[i32; 2], Vec<[i32; 2]>> = BTreeMap::new();
    for place in blobs.into_iter().flat_map(|blob| blob.places) {
        cells.entry(cell(place)).or_default().push(place);
    }
    let mut found = Vec::new();
    while let Some(start) = cells.values_mut().find_map(Vec::pop) {
        let mut places = vec![start];
        let mut next = 0;
        while let Some(&[x, y]) = places.get(next) {
            next += 1;
            for near in around(cell([x, y])) {
                let Some(others) = cells.get_mut(&near) else { continue };
                places.extend(others.extract_if(.., |other| {
                    let [dx, dy] = [(other[0] - x) as f32, (other[1] - y) as f32];
                    dx * dx + dy * dy <= reach * reach
                }));
                if others.is_empty() {
                    cells.remove(&near);
                }
            }
        }
        cells.retain(|_, places| !places.is_empty());
        found.push(Blob { class: 0, places });
    }
    found
}

/// The radius of about the largest disc inside some pixels.
pub(super) fn thickness(places: &[[i32; 2]]) -> f32 {
    let Some(&first) = places.first() else { return 0.0 };
    let corner = |pick: fn(i32, i32) -> i32| {
        places.iter().fold(first, |found, place| [pick(found[0], place[0]), pick(found[1], place[1])])
    };
    let (least, most) = (corner(i32::min), corner(i32::max));
    let width = (most[0] - least[0] + 3) as usize;
    let mut depth = vec![0u32; width * (most[1] - least[1] + 3) as usize];
    let at = |[x, y]: [i32; 2]| (x - least[0] + 1) as usize + width * (y - least[1] + 1) as usize;
    let mut sorted = places.to_vec();
    sorted.sort_unstable_by_key(|place| at(*place));
    // Distances to the outside by steps of 3, and 4 across corners (Borgefors 1986), there and back.
    places.iter().for_each(|place| depth[at(*place)] = u32::MAX / 2);
    for &place in &sorted {
        let i = at(place);
        let before =
            [depth[i - 1] + 3, depth[i - width] + 3, depth[i - width - 1] + 4, depth[i - width + 1] + 4];
        depth[i] = before.into_iter().fold(depth[i], u32::min);
    }
    for &place in sorted.iter().rev() {
        let i = at(place);
        let after =
            [depth[i + 1] + 3, depth[i + width] + 3, depth[i + width + 1] + 4, depth[i + width - 1] + 4];
        depth[i] = after.into_iter().fold(depth[i], u32::min);
    }
    depth.into_iter().max().unwrap_or_default() as f32 / 3.0 - 0.5
}
