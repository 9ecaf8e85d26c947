//! The contact sheet: each picture before, after, and where it was painted, with its regions enlarged.

use fairhuman_refine::{Rect, Region};
use fairhuman_vision::sheet::{escaped, link};
use image::imageops::{FilterType, crop_imm, replace, resize};
use image::{DynamicImage, GrayImage, Rgb, RgbImage};

use super::record::{Record, verdicts};

/// Longer side of a whole picture.
const WHOLE: u32 = 320;
/// Side of an enlarged region.
const CLOSE: u32 = 160;
/// Regions that are enlarged, at most.
const MOST: usize = 12;
const GAP: u32 = 4;

/// Before, after and mask beside each other; below, the same of each region.
pub fn strip(before: &RgbImage, after: &RgbImage, mask: &GrayImage, regions: &[&Region]) -> RgbImage {
    let mask = DynamicImage::from(mask.clone()).into_rgb8();
    let all = [before, after, &mask];
    let (width, height) = before.dimensions();
    let scale = (f64::from(WHOLE) / f64::from(width.max(height))).min(1.0);
    let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
    let (w, h) = (side(width), side(height));
    let close = regions.len().min(MOST) as u32;
    let row = CLOSE + GAP;
    let columns = (3 * (w + GAP)).max(3 * row);
    let mut strip = RgbImage::from_pixel(columns, h + GAP + close * row, Rgb([24; 3]));
    for (i, picture) in all.iter().enumerate() {
        let small = resize(*picture, w, h, FilterType::Triangle);
        replace(&mut strip, &small, i64::from(i as u32 * (w + GAP)), 0);
    }
    for (r, region) in regions.iter().take(MOST).enumerate() {
        let part = pixels(&region.context(1.5), (width, height));
        for (i, picture) in all.iter().enumerate() {
            let crop = crop_imm(*picture, part.0, part.1, part.2, part.3).to_image();
            let longer = part.2.max(part.3).max(1);
            let side = |length: u32| (length * CLOSE / longer).max(1);
            let close = resize(&crop, side(part.2), side(part.3), FilterType::Triangle);
            let (x, y) = (i as u32 * (w + GAP).max(row), h + GAP + r as u32 * row);
            replace(&mut strip, &close, x.into(), y.into());
        }
    }
    strip
}

/// Whole pixels of a box, moved inside the picture: x, y, width, height.
fn pixels(bounds: &Rect, picture: (u32, u32)) -> (u32, u32, u32, u32) {
    let inside = bounds.moved_inside(picture);
    let (x, y) = (inside.x0.floor() as u32, inside.y0.floor() as u32);
    let end = |edge: f64, last: u32| (edge.ceil() as u32).min(last);
    let (right, bottom) = (end(inside.x1, picture.0), end(inside.y1, picture.1));
    (x, y, right.saturating_sub(x).max(1), bottom.saturating_sub(y).max(1))
}

/// The page: what was skipped, then a figure for each picture.
pub fn html(records: &[Record], skipped: &[(String, String)], dry: bool) -> String {
    let title = if dry { "Regions" } else { "Before, after, mask" };
    let verdicts = verdicts(records);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"generator\" content=\"fairhuman {}\">\n<title>{title}</title>\n<style>{STYLE}</style></head><body>\n<h1>{title}: {} pictures</h1>\n<p>Each row shows the picture before, after, and in white what was painted; below, each region. Regions: {}. Lost (not found any more) and worse ones (lower by more than 0.1) keep their original.</p>\n",
        env!("CARGO_PKG_VERSION"),
        records.len(),
        if verdicts.is_empty() { "none painted" } else { &verdicts },
    );
    if !skipped.is_empty() {
        page += &format!("<h2>{} skipped</h2>\n<ul>\n", skipped.len());
        for (picture, reason) in skipped {
            page += &format!("<li><code>{}</code>: {}</li>\n", escaped(picture), escaped(reason));
        }
        page += "</ul>\n";
    }
    page += "<main>\n";
    for record in records {
        let strip = link(&format!("sheet/{}.jpg", record.picture));
        page += &format!(
            "<figure><a href=\"{}\"><img loading=\"lazy\" src=\"{strip}\" alt=\"before, after, mask\"></a><figcaption><code>{}</code> · {}<ol>\n",
            link(&record.file),
            escaped(&record.picture),
            escaped(&record.mode),
        );
        for region in &record.regions {
            let score = |score: Option<f64>| score.map_or("-".into(), |score| format!("{score:.2}"));
            let verdict = region.verdict.as_deref().unwrap_or("not painted");
            page += &format!(
                "<li class=\"{verdict}\">{} {} → {}: <b>{verdict}</b>, {:.1} times enlarged{}<br><small>{}</small></li>\n",
                region.kind,
                score(region.before),
                score(region.after),
                region.enlarged,
                if region.control { ", with control" } else { "" },
                escaped(&region.prompt),
            );
        }
        page += "</ol></figcaption></figure>\n";
    }
    page + "</main></body></html>\n"
}

const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem;max-width:110rem}\
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(30rem,1fr));gap:1rem}\
figure{margin:0;padding:.6rem;border:1px solid #8886;border-radius:8px;overflow-wrap:anywhere}\
img{max-width:100%;border-radius:4px}.lost b,.worse b{color:#e03a30}.kept b{color:#1a9c34}";
