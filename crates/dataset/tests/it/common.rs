//! Real files for the tests: pictures of a scene, in several formats, stored under any EXIF orientation.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use fairhuman_dataset::{Dataset, DatasetSpec};
use image::codecs::{jpeg::JpegEncoder, png::PngEncoder, webp::WebPEncoder};
use image::{ExtendedColorType, GrayImage, ImageEncoder, Luma};
use tempfile::TempDir;

/// A black and white scene: the boxes (left, top, width, height) in parts of the picture are white.
#[derive(Debug, Clone)]
pub struct Scene {
    pub size: (u32, u32),
    pub boxes: Vec<(f32, f32, f32, f32)>,
}

impl Scene {
    /// An F-like scene: no rotation or mirroring leaves it as it was.
    pub fn lopsided(width: u32, height: u32) -> Scene {
        Scene {
            size: (width, height),
            boxes: vec![(0.1, 0.1, 0.2, 0.8), (0.3, 0.1, 0.6, 0.2), (0.3, 0.45, 0.3, 0.2)],
        }
    }

    pub fn is_white(&self, x: u32, y: u32) -> bool {
        let (u, v) = ((x as f32 + 0.5) / self.size.0 as f32, (y as f32 + 0.5) / self.size.1 as f32);
        let inside = |&(l, t, w, h): &(f32, f32, f32, f32)| u >= l && u < l + w && v >= t && v < t + h;
        self.boxes.iter().any(inside)
    }

    /// The scene as shown.
    pub fn shown(&self) -> GrayImage {
        GrayImage::from_fn(self.size.0, self.size.1, |x, y| Luma([if self.is_white(x, y) { 255 } else { 0 }]))
    }

    /// The pixels as a camera held by `orientation` (1 to 8) stores them, from EXIF's definition of which
    /// side of the scene the stored rows and columns are.
    pub fn stored(&self, orientation: u8) -> GrayImage {
        let shown = self.shown();
        let (w, h) = self.size;
        let (sw, sh) = if orientation >= 5 { (h, w) } else { (w, h) };
        let mut stored = GrayImage::new(sw, sh);
        for (x, y, pixel) in shown.enumerate_pixels() {
            let (sx, sy) = match orientation {
                1 => (x, y),
                2 => (w - 1 - x, y),
                3 => (w - 1 - x, h - 1 - y),
                4 => (x, h - 1 - y),
                5 => (y, x),
                6 => (y, w - 1 - x),
                7 => (h - 1 - y, w - 1 - x),
                8 => (h - 1 - y, x),
                other => panic!("no orientation {other}"),
            };
            stored.put_pixel(sx, sy, *pixel);
        }
        stored
    }
}

/// An EXIF block (TIFF, big-endian) with the orientation alone.
pub fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0]);
    block
}

/// Writes a gray picture as the extension says, with an EXIF orientation if one is given.
pub fn write(path: &Path, picture: &GrayImage, orientation: Option<u8>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let out = BufWriter::new(File::create(path).unwrap());
    let (w, h) = picture.dimensions();
    match path.extension().unwrap().to_str().unwrap() {
        "png" => {
            let mut encoder = PngEncoder::new(out);
            tag(&mut encoder, orientation);
            encoder.write_image(picture, w, h, ExtendedColorType::L8).unwrap();
        }
        "jpg" => {
            let mut encoder = JpegEncoder::new_with_quality(out, 100);
            tag(&mut encoder, orientation);
            encoder.write_image(picture, w, h, ExtendedColorType::L8).unwrap();
        }
        "webp" => {
            let rgb = image::DynamicImage::ImageLuma8(picture.clone()).into_rgb8();
            let mut encoder = WebPEncoder::new_lossless(out);
            tag(&mut encoder, orientation);
            encoder.write_image(&rgb, w, h, ExtendedColorType::Rgb8).unwrap();
        }
        other => panic!("no encoder for {other}"),
    }
}

fn tag(encoder: &mut impl ImageEncoder, orientation: Option<u8>) {
    if let Some(orientation) = orientation {
        encoder.set_exif_metadata(exif(orientation)).unwrap();
    }
}

/// A gray picture of one value.
pub fn plain(width: u32, height: u32, value: u8) -> GrayImage {
    GrayImage::from_pixel(width, height, Luma([value]))
}

/// The checksum of a PNG chunk, over its type and content.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &b| {
        (0..8).fold(crc ^ u32::from(b), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
    })
}

/// White pictures of 16 x 16 pixels, with their folders.
pub fn write_all(dir: &TempDir, names: &[&str]) {
    write_all_sized(dir, names, 16, 16);
}

/// White pictures, with their folders.
pub fn write_all_sized(dir: &TempDir, names: &[&str], width: u32, height: u32) {
    for name in names {
        write(&dir.path().join(name), &plain(width, height, 255), None);
    }
}

/// Writes a file, with its folder.
pub fn put(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// The `[dataset]` table of a recipe.
pub fn spec(text: &str) -> DatasetSpec {
    toml::from_str(text).unwrap_or_else(|e| panic!("{e}"))
}

/// The warnings and notes of a dataset's layout.
pub fn messages(data: &Dataset) -> Vec<String> {
    data.diagnostics().iter().map(ToString::to_string).collect()
}
