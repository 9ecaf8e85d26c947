//! All pictures on one sheet, each prompt once under its pictures.

use anyhow::Context;
use fairhuman_diffusion::generate::Rgb;
use image::RgbImage;
use image::imageops::{FilterType, resize};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

const MARGIN: usize = 10;
const LINE: usize = 18;
/// Lines of a prompt at most.
const LINES: usize = 4;
const PAPER: u8 = 250;
const INK: u8 = 40;
/// Smaller pictures are enlarged, so that they can be seen and captioned.
const NARROWEST: usize = 192;
/// Larger ones are reduced.
const WIDEST: usize = 512;
/// Pixels of all pictures on the sheet together, about.
const BUDGET: f64 = 4e7;
/// Pictures of one prompt beside each other, at most.
const ACROSS: usize = 8;

/// Pictures in the size that they have on the sheet.
pub struct Grid {
    width: usize,
    height: usize,
    filter: FilterType,
    pictures: Vec<RgbImage>,
}

impl Grid {
    /// For `count` pictures of a size.
    pub fn new(count: usize, width: usize, height: usize) -> Self {
        let fits = (BUDGET / count.max(1) as f64 * width as f64 / height.max(1) as f64).sqrt();
        let most = WIDEST.min((fits as usize).max(16));
        if width < NARROWEST.min(most) {
            let factor = NARROWEST.div_ceil(width.max(1)).min((most / width.max(1)).max(1));
            let filter = FilterType::Nearest;
            return Self { width: width * factor, height: height * factor, filter, pictures: Vec::new() };
        }
        let to = width.min(most);
        let height = (height * to / width.max(1)).max(1);
        Self { width: to, height, filter: FilterType::Triangle, pictures: Vec::new() }
    }

    /// Takes the next picture.
    pub fn add(&mut self, picture: &Rgb) -> anyhow::Result<()> {
        let (width, height) = (u32::try_from(picture.width)?, u32::try_from(picture.height)?);
        let whole = RgbImage::from_raw(width, height, picture.pixels.clone())
            .context("a picture has fewer pixels than its size says")?;
        self.pictures.push(resize(&whole, self.width as u32, self.height as u32, self.filter));
        Ok(())
    }

    /// The sheet: `each` pictures of every prompt.
    pub fn draw(&self, prompts: &[String], each: usize) -> Rgb {
        let across = each.clamp(1, ACROSS);
        // Prompts with one picture stand beside each other.
        let columns = if each > 1 { 1 } else { (1..).find(|c| c * c >= prompts.len()).unwrap_or(1) };
        let block = (across * (self.width + MARGIN) - MARGIN, each.div_ceil(across) * (self.height + MARGIN));
        let captions: Vec<Vec<String>> =
            prompts.iter().map(|p| wrap(p, (block.0 / glyph()).max(8))).collect();
        let text = |row: &[Vec<String>]| row.iter().map(Vec::len).max().unwrap_or(0) * LINE;
        let heights: Vec<usize> = captions.chunks(columns).map(|row| block.1 + text(row) + MARGIN).collect();
        let width = MARGIN + columns.min(prompts.len()) * (block.0 + MARGIN);
        let height = MARGIN + heights.iter().sum::<usize>();
        let mut sheet = Rgb { width, height, pixels: vec![PAPER; width * height * 3] };
        for (k, caption) in captions.iter().enumerate() {
            let x = MARGIN + k % columns * (block.0 + MARGIN);
            let y = MARGIN + heights[..k / columns].iter().sum::<usize>();
            for (i, picture) in self.pictures.iter().skip(k * each).take(each).enumerate() {
                let right = i % across * (self.width + MARGIN);
                paste(&mut sheet, picture, x + right, y + i / across * (self.height + MARGIN));
            }
            for (i, line) in caption.iter().enumerate() {
                write(&mut sheet, line, x, y + block.1 + i * LINE);
            }
        }
        sheet
    }
}

fn glyph() -> usize {
    get_raster_width(FontWeight::Regular, RasterHeight::Size16)
}

fn paste(sheet: &mut Rgb, picture: &RgbImage, x: usize, y: usize) {
    let row = picture.width() as usize * 3;
    for (i, pixels) in picture.as_raw().chunks_exact(row.max(1)).enumerate() {
        let start = ((y + i) * sheet.width + x) * 3;
        sheet.pixels[start..start + row].copy_from_slice(pixels);
    }
}

/// Letters that the font lacks become question marks.
fn write(sheet: &mut Rgb, line: &str, x: usize, y: usize) {
    let raster = |c| get_raster(c, FontWeight::Regular, RasterHeight::Size16);
    for (i, letter) in line.chars().filter_map(|c| raster(c).or_else(|| raster('?'))).enumerate() {
        for (dy, row) in letter.rows().enumerate() {
            for (dx, &ink) in row.iter().enumerate() {
                let (x, y) = (x + i * glyph() + dx, y + dy);
                if x < sheet.width && y < sheet.height {
                    let shade = u32::from(PAPER) * (255 - u32::from(ink)) + u32::from(INK) * u32::from(ink);
                    let at = (y * sheet.width + x) * 3;
                    sheet.pixels[at..at + 3].fill((shade / 255) as u8);
                }
            }
        }
    }
}

/// Breaks a text between words, and inside those that are too long; what does not fit ends in dots.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let length = |text: &str| text.chars().count();
    for word in text.split_whitespace() {
        if !line.is_empty() && length(&line) + 1 + length(word) > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for letter in word.chars() {
            if length(&line) == width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(letter);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    if lines.len() > LINES {
        lines.truncate(LINES);
        if let Some(last) = lines.last_mut() {
            *last = last.chars().take(width - 3).chain("...".chars()).collect();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captions_break_between_words_and_end_in_dots_where_they_do_not_fit() {
        assert_eq!(wrap("a woman waving", 9), ["a woman", "waving"]);
        assert_eq!(wrap("abcdefghijkl m", 8), ["abcdefgh", "ijkl m"]);
        assert_eq!(wrap("", 8), [""; 0]);
        let long = wrap(&"word ".repeat(30), 10);
        assert_eq!((long.len(), long[3].as_str()), (LINES, "word wo..."));
        assert!(wrap(&"文".repeat(99), 10).iter().all(|line| line.chars().count() <= 10));
    }

    #[test]
    fn sheets_hold_any_number_of_any_size() {
        for (count, each, size) in [(1, 1, (64, 48)), (5, 1, (8, 8)), (3, 11, (40, 900)), (2, 1, (2000, 8))] {
            let mut grid = Grid::new(count * each, size.0, size.1);
            let picture = Rgb { width: size.0, height: size.1, pixels: vec![200; size.0 * size.1 * 3] };
            (0..count * each).for_each(|_| grid.add(&picture).unwrap());
            let prompts = vec!["a prompt, naïvely long: ".repeat(9); count];
            let sheet = grid.draw(&prompts, each);
            assert_eq!(sheet.pixels.len(), sheet.width * sheet.height * 3);
            let shown = sheet.pixels.iter().filter(|&&v| v == 200).count();
            assert!(shown >= grid.width * grid.height * 3 * count * each, "{count} x {each} of {size:?}");
            assert!(sheet.pixels.contains(&INK) || size.0 == 8, "captions are written");
        }
    }
}
