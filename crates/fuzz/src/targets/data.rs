//! Readers of datasets: lists, annotations, captions, pictures and masks.

use std::path::Path;

use fairhuman_dataset::{Dataset, DatasetSpec, GeometrySpec, Region, Wanted, draw};

use super::put;

/// Pictures of several formats.
pub(super) const PICTURES: &[&str] =
    &["dataset/tests/data/animated.png", "dataset/tests/data/animated.webp", "dataset/tests/data/cmyk.jpg"];

/// Opens a dataset and reads its first samples.
fn read(folder: &Path, spec: &DatasetSpec, regions: &[Region]) {
    let Ok(dataset) = Dataset::open(folder, spec, regions) else {
        return;
    };
    let geometry = GeometrySpec { width: 64, height: 64, ..GeometrySpec::default() };
    for i in 0..dataset.len().min(3) {
        let _ = dataset.load(i, &draw(&geometry, (64, 64), 0, 0, i as u64), 8, Wanted::ALL);
        dataset.caption(i, 0, 0, i as u64);
    }
    let _ = dataset.verify();
}

/// Two whole pictures, a mask and the input as a list beside them.
fn listed(folder: &Path, name: &str, input: &[u8], regions: &[Region]) -> anyhow::Result<()> {
    for (file, gray) in [("a.png", 90), ("b.png", 160), ("mask.png", 255)] {
        let path = folder.join(file);
        if !path.exists() {
            image::GrayImage::from_pixel(64, 64, image::Luma([gray])).save(&path)?;
        }
    }
    put(folder, name, input)?;
    read(folder, &DatasetSpec::new("."), regions);
    Ok(())
}

pub(super) fn metadata(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    listed(folder, "metadata.jsonl", input, &[Region::new("face", "mask_face")])
}

pub(super) fn csv(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    listed(folder, "metadata.csv", input, &[Region::new("face", "mask_face")])
}

pub(super) fn parquet(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    put(folder, "train-00000-of-00001.parquet", input)?;
    read(folder, &DatasetSpec::new("."), &[]);
    Ok(())
}

pub(super) fn coco(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    listed(folder, "instances.json", input, &[])?;
    let face = [Region::new("face", "face"), Region::new("glove", "glove")];
    read(folder, &DatasetSpec::new("instances.json"), &face);
    Ok(())
}

pub(super) fn kohya(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    listed(folder, "pictures/metadata.jsonl", b"", &[])?;
    put(folder, "dataset.toml", input)?;
    read(folder, &DatasetSpec::new("dataset.toml"), &[]);
    Ok(())
}

pub(super) fn caption(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    listed(folder, "a.txt", input, &[])
}

pub(super) fn picture(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    let path = put(folder, "picture.png", input)?;
    read(folder, &DatasetSpec::new("."), &[]);
    let _ = fairhuman_vision::photo::read(&path);
    Ok(())
}

pub(super) fn mask(folder: &Path, input: &[u8]) -> anyhow::Result<()> {
    put(folder, "mask.png", input)?;
    let line = br#"{"image": "a.png", "text": "a face", "mask_face": "mask.png"}"#;
    listed(folder, "metadata.jsonl", line, &[Region::new("face", "mask_face")])
}
