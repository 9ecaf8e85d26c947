//! Pictures as evidence, by partial denoising: held-out drawings get noise, each model takes it away again,
//! and the result is compared with the drawing inside its exact masks. The noise is the same for all models,
//! so that pairs differ by the weights alone.

use std::path::Path;

use anyhow::{Context, ensure};
use image::{RgbImage, imageops};
use serde_json::Value;

use super::outcome::K;
use super::plan::{ARMS, Arm, World};
use super::runs::{Place, people, run_of};

/// The arms whose pictures are made.
const SHOWN: [&str; 5] = ["plain", "sum", "static twin", "mpd", "every 10"];

/// Share of the noise levels that is walked again.
const STRENGTH: &str = "0.6";

/// A held-out drawing.
struct Drawing {
    text: String,
    truth: RgbImage,
    /// Faces and hands; none where the picture has none.
    masks: [Option<image::GrayImage>; 2],
}

/// True for the arms whose pictures are made.
pub(super) fn is_shown(arm: &Arm) -> bool {
    SHOWN.contains(&arm.name)
}

fn arms() -> impl Iterator<Item = &'static Arm> {
    ARMS.iter().filter(|arm| is_shown(arm))
}

impl Place {
    /// Makes the pictures of a run, or of the base model, and returns their squared errors: sums of each
    /// picture everywhere, in faces, in hands, and outside both. Pictures that are there stay.
    pub(super) fn denoise(&self, world: &World, run: Option<(&Arm, u64)>) -> anyhow::Result<Vec<[f64; K]>> {
        let out = pictures(world, run);
        if !self.is_denoised(&out) {
            self.sample(world, run, &out)?;
        }
        errors(&self.drawings(world)?, &self.folder.join(out))
    }

    fn sample(&self, world: &World, run: Option<(&Arm, u64)>, out: &str) -> anyhow::Result<()> {
        let lora = run.map(|(arm, seed)| format!("{}/lora.safetensors", run_of(world, arm, seed)));
        let (drawn, prompts) = self.begin_with(world)?;
        let model = self.model.to_string_lossy();
        // Without guidance: the question is whether the prediction is right.
        let settings = format!("--strength {STRENGTH} --guidance 1 --steps 25 --sampler ddim --seed 1");
        let mut words =
            vec!["sample", "--model", &model, "--init", &drawn, "--prompts", &prompts, "--out", out];
        words.extend(settings.split(' '));
        words.extend(lora.iter().flat_map(|lora| ["--lora", lora]));
        self.fairhuman(&words).map(drop)
    }

    /// True if all pictures are in a folder.
    fn is_denoised(&self, pictures: &str) -> bool {
        (0..self.size.denoised).all(|i| self.folder.join(format!("{pictures}/{i:04}.png")).exists())
    }

    /// The drawings in a folder of their own, and their captions.
    fn begin_with(&self, world: &World) -> anyhow::Result<(String, String)> {
        let (drawn, prompts) = (drawn(world), format!("{}/captions.txt", world.name));
        std::fs::create_dir_all(self.folder.join(&drawn))?;
        let mut texts = String::new();
        for (i, drawing) in self.drawings(world)?.iter().enumerate() {
            drawing.truth.save(self.folder.join(format!("{drawn}/{i:04}.png")))?;
            texts += &drawing.text;
            texts.push('\n');
        }
        std::fs::write(self.folder.join(&prompts), texts)?;
        Ok((drawn, prompts))
    }

    /// The first of the held-out drawings.
    fn drawings(&self, world: &World) -> anyhow::Result<Vec<Drawing>> {
        let folder = self.folder.join(people(world));
        let list = folder.join("metadata.jsonl");
        let text =
            std::fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
        let lines = text.lines().skip(self.size.pictures).take(self.size.denoised);
        lines.map(|line| drawing(&folder, line)).collect()
    }

    /// A row of pictures for each of the first drawings: the drawing, the base model's, and each arm's of the
    /// first seed. None before all are there.
    pub(super) fn sheet(&self, world: &World, rows: u32) -> anyhow::Result<Option<RgbImage>> {
        let mut folders = vec![pictures(world, None)];
        folders.extend(arms().map(|arm| pictures(world, Some((arm, 1)))));
        if !folders.iter().all(|folder| self.is_denoised(folder)) {
            return Ok(None);
        }
        folders.insert(0, drawn(world));
        let mut sheet = RgbImage::new(0, 0);
        for (column, folder) in folders.iter().enumerate() {
            for row in 0..rows {
                let picture = open(&self.folder.join(format!("{folder}/{row:04}.png")))?;
                let (width, height) = picture.dimensions();
                if sheet.width() == 0 {
                    sheet = RgbImage::new(width * folders.len() as u32, height * rows);
                }
                imageops::replace(
                    &mut sheet,
                    &picture,
                    (column as u32 * width).into(),
                    (row * height).into(),
                );
            }
        }
        Ok(Some(sheet))
    }
}

/// The columns of a sheet in words.
pub(super) fn columns() -> String {
    let arms: Vec<&str> = arms().map(|arm| arm.name).collect();
    format!("the drawing, the base model, {}", arms.join(", "))
}

/// The folder of the pictures of a run, or of the base model.
fn pictures(world: &World, run: Option<(&Arm, u64)>) -> String {
    let made_by = run.map_or_else(|| world.name.to_owned(), |(arm, seed)| run_of(world, arm, seed));
    format!("{made_by}/denoised")
}

/// The folder of the drawings that get noise.
fn drawn(world: &World) -> String {
    format!("{}/drawings", world.name)
}

fn open(file: &Path) -> anyhow::Result<RgbImage> {
    Ok(image::open(file).with_context(|| format!("cannot read {}", file.display()))?.into_rgb8())
}

/// A drawing by its line of `metadata.jsonl`.
fn drawing(folder: &Path, line: &str) -> anyhow::Result<Drawing> {
    let line: Value = serde_json::from_str(line).context("metadata.jsonl")?;
    let text = |key: &str| line[key].as_str().with_context(|| format!("no {key} in {line}"));
    let mask = |key: &str| -> anyhow::Result<Option<image::GrayImage>> {
        let Some(file) = line[key].as_str().map(|file| folder.join(file)) else { return Ok(None) };
        let mask = image::open(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Some(mask.into_luma8()))
    };
    Ok(Drawing {
        text: text("text")?.to_owned(),
        truth: open(&folder.join(text("image")?))?,
        masks: [mask("mask_face")?, mask("mask_hand")?],
    })
}

/// Sums of the squared errors of each picture in `folder`: everywhere, in faces, in hands, and outside both.
fn errors(drawings: &[Drawing], folder: &Path) -> anyhow::Result<Vec<[f64; K]>> {
    let one = |(i, drawing): (usize, &Drawing)| {
        let picture = open(&folder.join(format!("{i:04}.png")))?;
        ensure!(picture.dimensions() == drawing.truth.dimensions(), "{}: another size", folder.display());
        Ok(squares(drawing, &picture))
    };
    drawings.iter().enumerate().map(one).collect()
}

fn squares(drawing: &Drawing, picture: &RgbImage) -> [f64; K] {
    let mut sums = [0.0; K];
    for (x, y, truth) in drawing.truth.enumerate_pixels() {
        let found = picture.get_pixel(x, y);
        let square: f64 =
            (0..3).map(|c| (f64::from(truth[c]) - f64::from(found[c])).powi(2) / 255.0f64.powi(2)).sum();
        let [face, hand] = [0, 1].map(|kind| {
            drawing.masks[kind].as_ref().map_or(0.0, |mask| f64::from(mask.get_pixel(x, y)[0]) / 255.0)
        });
        let shares = [1.0, face, hand, (1.0 - face - hand).max(0.0)];
        sums.iter_mut().zip(shares).for_each(|(sum, share)| *sum += share * square);
    }
    sums
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma, Rgb};

    use super::*;

    #[test]
    fn errors_are_counted_where_they_are() {
        let truth = RgbImage::new(4, 2);
        let mut picture = truth.clone();
        picture.put_pixel(0, 0, Rgb([255, 0, 0]));
        picture.put_pixel(1, 0, Rgb([255, 255, 0]));
        picture.put_pixel(3, 1, Rgb([255, 255, 255]));
        let mut face = GrayImage::new(4, 2);
        face.put_pixel(1, 0, Luma([255]));
        let drawing = Drawing { text: String::new(), truth, masks: [Some(face), None] };
        assert_eq!(squares(&drawing, &picture), [6.0, 2.0, 0.0, 4.0]);
    }
}
