//! Contact sheets: every photograph with its regions and scores, to review detections by eye.
//!
//! Green frames are faces, red ones hands, violet ones hands from the pose alone; the number is the score in
//! percent. The PNG pages need no browser, the page `index.html` shows the same pictures with captions, masks
//! and control images.

use std::path::{Path, PathBuf};

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};

use crate::detect::{Detections, Instance, Source};
use crate::files::{self, FilesError};
use crate::geometry::Box2;
use crate::photo;

/// Longer side of a photograph on the sheet.
pub const THUMBNAIL: u32 = 320;
/// Photographs in a row of a PNG page, and rows.
const GRID: (u32, u32) = (6, 6);

const FACE: Rgb<u8> = Rgb([40, 220, 60]);
const HAND: Rgb<u8> = Rgb([255, 60, 50]);
const FROM_POSE: Rgb<u8> = Rgb([210, 90, 255]);

/// A photograph's card on the page.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Path of the picture with frames, relative to the page.
    pub thumbnail: String,
    /// Path of the photograph, relative to the page.
    pub image: String,
    /// Caption.
    pub text: String,
    /// Scores of faces.
    pub faces: Vec<f32>,
    /// Scores of hands.
    pub hands: Vec<f32>,
    /// Number of people.
    pub people: usize,
    /// Path of the control image, relative to the page.
    pub conditioning: String,
}

/// The photograph scaled down to at most [`THUMBNAIL`] pixels, with its regions framed.
pub fn thumbnail(photo: &RgbImage, found: &Detections) -> RgbImage {
    let longer = photo.width().max(photo.height());
    let scale = (THUMBNAIL as f32 / longer as f32).min(1.0);
    let side = |length: u32| ((length as f32 * scale).round() as u32).max(1);
    let mut small = imageops::resize(photo, side(photo.width()), side(photo.height()), FilterType::Triangle);
    for face in &found.faces {
        frame(&mut small, face, scale, FACE);
    }
    for hand in &found.hands {
        let colour = if hand.source == Source::Pose { FROM_POSE } else { HAND };
        frame(&mut small, hand, scale, colour);
    }
    small
}

fn frame(picture: &mut RgbImage, region: &Instance, scale: f32, colour: Rgb<u8>) {
    let Box2 { x0, y0, x1, y1 } = region.bbox;
    let [x0, y0, x1, y1] = [x0, y0, x1, y1].map(|v| (v * scale).round() as i64);
    for x in x0..=x1 {
        for y in [y0, y0 + 1, y1 - 1, y1] {
            put(picture, x, y, colour);
        }
    }
    for y in y0..=y1 {
        for x in [x0, x0 + 1, x1 - 1, x1] {
            put(picture, x, y, colour);
        }
    }
    let above = if y0 >= 12 { y0 - 12 } else { y1 + 2 };
    number(picture, x0, above, (region.score * 100.0).round().clamp(0.0, 100.0) as u32, colour);
}

fn put(picture: &mut RgbImage, x: i64, y: i64, colour: Rgb<u8>) {
    if (0..i64::from(picture.width())).contains(&x) && (0..i64::from(picture.height())).contains(&y) {
        picture.put_pixel(x as u32, y as u32, colour);
    }
}

/// A font of digits, 3 x 5 dots: three bits per row from the top.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_010_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];

/// Draws a number in dots of 2 x 2 pixels on black.
fn number(picture: &mut RgbImage, x: i64, y: i64, value: u32, colour: Rgb<u8>) {
    for (i, digit) in value.to_string().bytes().enumerate() {
        let shape = DIGITS[usize::from(digit - b'0')];
        for dy in -1i64..11 {
            for dx in -1i64..7 {
                let (row, column) = (dy.div_euclid(2), dx.div_euclid(2));
                let inside = (0..5).contains(&row) && (0..3).contains(&column);
                let lit = inside && shape >> (14 - 3 * row - column) & 1 == 1;
                put(picture, x + 8 * i as i64 + dx, y + dy, if lit { colour } else { Rgb([0; 3]) });
            }
        }
    }
}

/// A grid of pictures, up to 6 in a row.
pub fn page(pictures: &[RgbImage]) -> RgbImage {
    let cell = THUMBNAIL + 8;
    let count = pictures.len() as u32;
    let columns = count.clamp(1, GRID.0);
    let mut page = RgbImage::from_pixel(columns * cell, count.div_ceil(columns).max(1) * cell, Rgb([24; 3]));
    for (i, picture) in pictures.iter().enumerate() {
        let (column, line) = (i as u32 % columns, i as u32 / columns);
        let x = column * cell + (cell - picture.width().min(cell)) / 2;
        let y = line * cell + (cell - picture.height().min(cell)) / 2;
        imageops::replace(&mut page, picture, x.into(), y.into());
    }
    page
}

/// Text as HTML has it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A path as a URL: reserved characters are percent-encoded.
pub fn link(path: &str) -> String {
    path.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                (b as char).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The HTML page: problems first, then a card per photograph; those without a face or a hand are marked.
pub fn html(entries: &[Entry], problems: &[(String, String)]) -> String {
    let count = |get: &dyn Fn(&Entry) -> bool| entries.iter().filter(|e| get(e)).count();
    let faces = count(&|e| !e.faces.is_empty());
    let hands = count(&|e| !e.hands.is_empty());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Contact sheet: {n} photographs</title>\n<style>{STYLE}</style></head><body>\n<h1>{n} photographs</h1>\n<p>{faces} with faces (<b class=\"face\">green</b>), {hands} with hands (<b class=\"hand\">red</b>; <b class=\"guess\">violet</b>: known from the pose alone). Numbers are scores in percent. Look for frames that are wrong and for faces and hands without one.</p>\n",
        n = entries.len(),
    );
    if !problems.is_empty() {
        page += &format!("<h2>{} left out</h2>\n<ul>\n", problems.len());
        for (file, reason) in problems {
            page += &format!("<li><code>{}</code>: {}</li>\n", escaped(file), escaped(reason));
        }
        page += "</ul>\n";
    }
    page += "<main>\n";
    for entry in entries {
        let scores = |list: &[f32]| -> String {
            let percent: Vec<String> = list.iter().map(|s| format!("{:.0}", s * 100.0)).collect();
            if percent.is_empty() { "none".into() } else { percent.join(", ") }
        };
        let class = if entry.faces.is_empty() && entry.hands.is_empty() { " class=\"empty\"" } else { "" };
        page += &format!(
            "<figure{class}><a href=\"{}\"><img loading=\"lazy\" src=\"{}\" alt=\"{}\"></a><a href=\"{}\"><img loading=\"lazy\" class=\"pose\" src=\"{}\" alt=\"control image\"></a><figcaption><code>{}</code><br>{}<br><small>faces {} · hands {} · people {}</small></figcaption></figure>\n",
            link(&entry.image),
            link(&entry.thumbnail),
            escaped(&entry.text),
            link(&entry.conditioning),
            link(&entry.conditioning),
            escaped(&entry.image),
            escaped(&entry.text),
            scores(&entry.faces),
            scores(&entry.hands),
            entry.people,
        );
    }
    page + "</main></body></html>\n"
}

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem;max-width:110rem}\
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(18rem,1fr));gap:1rem}\
figure{margin:0;padding:.6rem;border:1px solid #8886;border-radius:8px;overflow-wrap:anywhere}\
figure.empty{border-color:#d80;border-style:dashed}img{max-width:100%;border-radius:4px;vertical-align:top}\
img.pose{max-height:7rem;margin-top:.4rem}.face{color:#1a9c34}.hand{color:#e03a30}.guess{color:#a44de0}";

/// Writes pages of 36 thumbnails as `contact-sheet.png`, or `contact-sheet-1.png` and so on, and removes
/// those of an earlier run that had more photographs.
pub fn write_pages(folder: &Path, thumbnails: &[PathBuf]) -> Result<(), FilesError> {
    let size = (GRID.0 * GRID.1) as usize;
    let mut written = Vec::new();
    for (i, files) in thumbnails.chunks(size).enumerate() {
        let name = match thumbnails.len() > size {
            true => format!("contact-sheet-{}.png", i + 1),
            false => "contact-sheet.png".into(),
        };
        let pictures: Vec<RgbImage> = files.iter().filter_map(|file| photo::read(file).ok()).collect();
        files::picture(&folder.join(&name), &page(&pictures).into())?;
        written.push(name);
    }
    for entry in std::fs::read_dir(folder).map_err(|e| FilesError::new(folder, e))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let number = name.strip_prefix("contact-sheet").and_then(|rest| rest.strip_suffix(".png"));
        let is_sheet = number.is_some_and(|n| n.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()));
        if is_sheet && !written.contains(&name) {
            files::remove(&entry.path())?;
        }
    }
    Ok(())
}
