//! Values and channels: every kind of picture becomes RGB in [-1, 1] as stated.

use crate::common::plain;
use fairhuman_dataset::{Dataset, DatasetSpec, GeometrySpec, Sample, Wanted, draw};
use image::{DynamicImage, ImageBuffer, Luma, LumaA, Rgb, Rgba};
use tempfile::TempDir;

/// `picture` as it is loaded at its own size, after being saved as PNG.
fn loaded(picture: impl Into<DynamicImage>) -> Sample {
    let picture = picture.into();
    let dir = TempDir::new().unwrap();
    picture.save(dir.path().join("a.png")).unwrap();
    std::fs::write(dir.path().join("a.txt"), "x").unwrap();
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap();
    let (width, height) = (picture.width(), picture.height());
    let spec = GeometrySpec { width, height, ..GeometrySpec::default() };
    data.load(0, &draw(&spec, (width, height), 0, 0, 0), 1, Wanted::ALL).unwrap()
}

fn assert_pixel(s: &Sample, expected: [u8; 3]) {
    for (v, e) in s.image.iter().zip(expected.iter().cycle()) {
        assert!((v - (f32::from(*e) / 127.5 - 1.0)).abs() < 1e-6, "{v} is not {e}");
    }
}

#[test]
fn channels_become_rgb_and_transparency_white() {
    assert_pixel(&loaded(plain(4, 3, 100)), [100; 3]);
    assert_pixel(&loaded(ImageBuffer::from_pixel(4, 3, Rgb([1u8, 2, 3]))), [1, 2, 3]);
    assert_pixel(&loaded(ImageBuffer::from_pixel(4, 3, Rgba([9u8, 9, 9, 0]))), [255; 3]);
    assert_pixel(&loaded(ImageBuffer::from_pixel(4, 3, Rgba([10u8, 20, 30, 255]))), [10, 20, 30]);
    assert_pixel(&loaded(ImageBuffer::from_pixel(4, 3, LumaA([0u8, 128]))), [127; 3]);
    assert_pixel(&loaded(ImageBuffer::from_pixel(4, 3, Luma([257u16 * 77]))), [77; 3]);
    assert_pixel(&loaded(ImageBuffer::from_pixel(4, 3, Rgb([0u16, 65535, 257 * 5]))), [0, 255, 5]);
}

#[test]
fn rows_and_channels_are_in_order() {
    let picture = ImageBuffer::from_fn(3, 2, |x, y| Rgb([x as u8 * 10, y as u8 * 10, 255]));
    let s = loaded(picture);
    assert_eq!((s.height, s.width), (2, 3));
    for y in 0..2 {
        for x in 0..3 {
            let pixel = &s.image[(y * 3 + x) * 3..][..3];
            let byte = |v: f32| ((v + 1.0) * 127.5).round() as usize;
            assert_eq!([byte(pixel[0]), byte(pixel[1]), byte(pixel[2])], [x * 10, y * 10, 255]);
        }
    }
}
