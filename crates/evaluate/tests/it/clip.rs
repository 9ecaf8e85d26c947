//! CLIP's family beside transformers, open_clip's architecture, Pillow and torch
//! (`reference/clip_judges_golden.py`), on small random models.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::weights::WeightFiles;
use fairhuman_engine::Cpu;
use fairhuman_evaluate::bicubic;
use fairhuman_evaluate::clip::{Aesthetic, Clip};
use fairhuman_evaluate::{Fit, preprocessed};
use image::RgbImage;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clip").join(name)
}

fn tensor(files: &WeightFiles, name: &str) -> (Vec<usize>, Vec<f32>) {
    let data = files.get_any_shape(name).expect(name);
    (data.shape().to_vec(), data.to_f32())
}

/// The largest difference relative to the largest value.
pub fn deviation(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let most = expected.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    found.iter().zip(expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / most
}

fn agrees(model: &Path, case: &str, scale: impl Fn(&Clip<Cpu>) -> f64) {
    let cpu = Cpu::new(1).expect("a backend");
    let clip = Clip::open(&cpu, model, Fit::Crop).expect("a model");
    let case = WeightFiles::open_file(&data(case)).expect("a case");
    let (shape, ids) = tensor(&case, "ids");
    let ids: Vec<Vec<u32>> =
        ids.chunks_exact(shape[1]).map(|row| row.iter().map(|id| *id as u32).collect()).collect();
    let (shape, pixels) = tensor(&case, "pixels");
    let pixels: Vec<Vec<f32>> = pixels.chunks_exact(pixels.len() / shape[0]).map(<[f32]>::to_vec).collect();
    let text = clip.text_vectors(&cpu, &ids).expect("vectors");
    let image = clip.vectors_of_values(&cpu, &pixels);
    assert!(deviation(&text.concat(), &tensor(&case, "text").1) < 1e-4);
    assert!(deviation(&image.concat(), &tensor(&case, "image").1) < 1e-4);
    let score = |image: &[f32], text: &[f32]| {
        let cosine: f64 = image.iter().zip(text).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (scale(&clip) * cosine) as f32
    };
    let scores: Vec<f32> =
        image.iter().flat_map(|image| text.iter().map(|text| score(image, text))).collect();
    assert!(deviation(&scores, &tensor(&case, "score").1) < 1e-4, "{scores:?}");
}

#[test]
fn a_model_of_transformers_agrees_and_its_scale_makes_pick_scores() {
    agrees(&data("transformers"), "transformers/case.safetensors", Clip::logit_scale);
}

#[test]
fn a_model_of_open_clip_agrees() {
    agrees(&data("open_clip/hps.safetensors"), "open_clip/case.safetensors", |_| 1.0);
}

#[test]
fn the_aesthetic_layers_are_one_affine_map() {
    let map = Aesthetic::open(&data("aesthetic.safetensors")).expect("layers");
    assert_eq!(map.width(), 20);
    let case = WeightFiles::open_file(&data("aesthetic-case.safetensors")).expect("a case");
    let (vectors, expected) = (tensor(&case, "vectors").1, tensor(&case, "scores").1);
    let found: Vec<f32> = vectors.chunks_exact(20).map(|vector| map.score(vector) as f32).collect();
    assert!(deviation(&found, &expected) < 1e-5, "{found:?} {expected:?}");
}

/// The picture of the script.
pub fn picture() -> RgbImage {
    RgbImage::from_fn(47, 30, |x, y| {
        let value =
            |c: u32| (x * 7 + y * 13 + c * 50 + (x * y * (c + 3)) % 97 + 120 * ((x / 5 + y / 7) % 2)) % 256;
        image::Rgb([0, 1, 2].map(|c| value(c) as u8))
    })
}

#[test]
fn both_bicubics_are_those_of_their_programs() {
    let golden = WeightFiles::open_file(&data("bicubic.safetensors")).expect("golden values");
    let picture = picture();
    let planes: Vec<f32> = (0..3)
        .flat_map(|c| picture.as_raw().iter().skip(c).step_by(3).map(|v| f32::from(*v) / 255.0))
        .collect();
    let mut apart = 0;
    for (width, height) in [(20, 11), (60, 41), (24, 60)] {
        let bytes = bicubic::pillow(&picture, width, height);
        let bytes: Vec<f32> = bytes.as_raw().iter().map(|v| f32::from(*v)).collect();
        assert_eq!(
            bytes,
            tensor(&golden, &format!("pillow.{width}x{height}")).1,
            "{width} x {height}, every byte"
        );
        let floats = bicubic::torch(&planes, (30, 47), (height, width));
        let expected = tensor(&golden, &format!("torch.{width}x{height}")).1;
        assert!(deviation(&floats, &expected) < 1e-5, "{width} x {height}");
        apart += floats.iter().filter(|v| **v < 0.0 || **v > 1.0).count();
    }
    assert!(apart > 0, "floats are not cut at black and white");
}

#[test]
fn pictures_get_into_their_squares_as_in_the_programs() {
    let golden = WeightFiles::open_file(&data("bicubic.safetensors")).expect("golden values");
    for (fit, name) in [(Fit::Crop, "crop"), (Fit::Pad, "pad")] {
        let found = preprocessed(&picture(), 24, fit);
        assert!(deviation(&found, &tensor(&golden, name).1) < 1e-5, "{name}");
    }
}

#[test]
fn what_is_no_clip_model_is_refused() {
    let cpu = Cpu::new(1).expect("a backend");
    let refused = |path: &Path| Clip::open(&cpu, path, Fit::Crop).err().expect("refused").to_string();
    let error = refused(&data("aesthetic.safetensors"));
    assert!(error.contains("no CLIP model with open_clip's names"), "{error}");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |name: &str| {
        std::fs::copy(data("transformers").join(name), folder.path().join(name)).expect("copied")
    };
    copy("model.safetensors");
    let config = std::fs::read_to_string(data("transformers/config.json")).expect("settings");
    std::fs::write(
        folder.path().join("config.json"),
        config.replace("\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2"),
    )
    .expect("written");
    let error = refused(folder.path());
    assert!(error.contains("16 tensors have no place"), "{error}");
}
