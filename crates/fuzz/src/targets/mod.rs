//! The list of targets, and their seeds.

mod data;
mod models;
mod runs;
mod vision;

use std::path::Path;

use anyhow::Context;

/// A reader, and whole files to begin with.
#[derive(Debug)]
pub struct Target {
    /// Name; also that of its folder of seeds.
    pub name: &'static str,
    /// Test data of other crates that are seeds, too, relative to `crates/`.
    borrowed: &'static [&'static str],
    /// Reads an input; files go to the folder. Errors are those of writing there.
    pub run: fn(&Path, &[u8]) -> anyhow::Result<()>,
}

/// All of them. One line is one target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "safetensors",
        borrowed: &["diffusion/tests/data/clip/quick/case.safetensors"],
        run: models::safetensors,
    },
    Target { name: "lora", borrowed: models::LORAS, run: models::lora },
    Target { name: "config", borrowed: models::CONFIGS, run: models::config },
    Target { name: "tokenizer", borrowed: models::TOKENIZER, run: models::tokenizer },
    Target { name: "metadata", borrowed: &[], run: data::metadata },
    Target { name: "csv", borrowed: &[], run: data::csv },
    Target { name: "parquet", borrowed: &["dataset/tests/data/people.parquet"], run: data::parquet },
    Target { name: "coco", borrowed: &[], run: data::coco },
    Target { name: "kohya", borrowed: &[], run: data::kohya },
    Target { name: "caption", borrowed: &[], run: data::caption },
    Target { name: "picture", borrowed: data::PICTURES, run: data::picture },
    Target { name: "mask", borrowed: data::PICTURES, run: data::mask },
    Target { name: "recipe", borrowed: runs::RECIPES, run: runs::recipe },
    Target { name: "events", borrowed: &[], run: runs::events },
    Target { name: "checkpoint", borrowed: &[], run: runs::checkpoint },
    Target { name: "onnx", borrowed: &[], run: vision::onnx },
    Target {
        name: "tflite",
        borrowed: &["vision/tests/models/face_detection_short_range.tflite"],
        run: vision::tflite,
    },
];

impl Target {
    /// Whole files: those in `seeds/NAME`, sorted by name, then the borrowed ones.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn seeds(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        let own = here.join("seeds").join(self.name);
        if own.is_dir() {
            for entry in std::fs::read_dir(&own)? {
                files.push(entry?.path());
            }
            files.sort();
        }
        files.extend(self.borrowed.iter().map(|file| here.join("..").join(file)));
        let read = |file: &std::path::PathBuf| {
            std::fs::read(file).with_context(|| format!("{}: a seed cannot be read", file.display()))
        };
        files.iter().map(read).collect()
    }
}

/// Writes `bytes` to `folder/name`, making the folders above it.
fn put(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<std::path::PathBuf> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(&path, bytes).with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(path)
}
