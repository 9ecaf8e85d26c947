//! Pictures by the base and the fine-tuned models: of prompts, and of held-out people begun again from
//! half-way noise, where it is known where faces and hands are.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use fairhuman_dataset::{Dataset, DatasetSpec, GeometrySpec, LatentMask, Region, Wanted, draw};
use fairhuman_diffusion::generate::{self, Picture, Rgb, Settings};
use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_diffusion::sampler::Sampler;
use fairhuman_engine::{Backend, Params};
use fairhuman_report::{Crop, Grid, Row};
use indicatif::ProgressBar;

use super::poses;
use super::recipes::WAYS;

/// Prompts, in the words of drawn people's captions.
const PROMPTS: [&str; 4] = [
    "a portrait of a woman with light skin and long red hair in a green shirt waves with an open hand, smiling, on a beach",
    "a close view of a man with dark skin and short black hair in a yellow sweater gives a thumb up, laughing, in a park",
    "a girl with brown skin and a black bob in a red dress raises both open hands, smiling, in the snow",
    "a man with tan skin, short brown hair and a beard in a blue shirt and black trousers points up, surprised, in a forest",
];
/// Drawn people that are begun again.
const AGAIN: usize = 4;
/// From how far: the share of the way that is walked again.
const STRENGTH: f64 = 0.55;

/// The grids; none if it was asked to stop.
pub fn grids(
    backend: &impl Backend,
    model: &Path,
    loras: &[PathBuf],
    steps: usize,
    (people, held_out): (&Path, &[String]),
    stop: &AtomicBool,
) -> anyhow::Result<Option<Vec<Grid>>> {
    let size = fairhuman_builtin::SIZE;
    let settings = Settings {
        // By docs/small-model.md eyes come out best with it.
        sampler: Sampler::EulerAncestral,
        steps,
        guidance: 4.0,
        guidance_rescale: 0.0,
        width: size,
        height: size,
        seed: 0,
    };
    let wanted: Vec<Picture> =
        PROMPTS.iter().zip(0..).map(|(prompt, index)| picture(prompt, index)).collect();
    let again = Again::load(people, held_out)?;
    let mut of_prompts: Vec<Vec<Rgb>> = Vec::new();
    let mut of_people: Vec<Vec<Rgb>> = Vec::new();
    let bar = ProgressBar::new(2 * (1 + loras.len() as u64) + 1);
    for lora in std::iter::once(None).chain(loras.iter().map(Some)) {
        let mut pipeline = Pipeline::open(backend, model)?;
        let lora: Vec<(PathBuf, f32)> = lora.iter().map(|path| ((*path).clone(), 1.0)).collect();
        let params = generate::attach_loras(backend, &mut pipeline, &lora)?;
        of_prompts.push(generate::generate(
            backend,
            &pipeline.parts(),
            &params,
            &settings,
            &wanted,
            &mut |_| {},
        )?);
        bar.inc(1);
        // Noise that is added on the way would take these further from the drawing.
        let settings = Settings { sampler: Sampler::UniPc, ..settings };
        of_people.push(again.by(backend, &pipeline, &params, &settings)?);
        bar.inc(1);
        if stop.load(Ordering::SeqCst) {
            return Ok(None);
        }
    }
    let poses = poses::grid(backend, model, &settings, &again)?;
    bar.finish_and_clear();
    let names: Vec<String> =
        std::iter::once("base").chain(WAYS.iter().map(|way| way.name)).map(String::from).collect();
    let rows = |labels: Vec<String>, columns: &[Vec<Rgb>], crops: &dyn Fn(usize) -> Vec<Crop>| -> Vec<Row> {
        let cell = |i: usize, column: &Vec<Rgb>| shown(&column[i], crops(i));
        let row = |(i, label)| Row { label, cells: columns.iter().map(|column| cell(i, column)).collect() };
        labels.into_iter().enumerate().map(row).collect()
    };
    let prompts = Grid {
        title: "The same prompts and seeds".into(),
        text: "Every row begins with the same noise.".into(),
        columns: names.clone(),
        rows: rows(PROMPTS.iter().map(|p| (*p).to_owned()).collect(), &of_prompts, &|_| Vec::new()),
    };
    let mut columns = vec![again.originals()];
    columns.extend(of_people);
    let people = Grid {
        title: "Held-out people, begun again".into(),
        text: format!(
            "Drawn pictures with so much noise that {:.0} % of the way had to be walked again. Faces and hands are enlarged \
             where the drawing has them.",
            100.0 * STRENGTH
        ),
        columns: std::iter::once("as drawn".to_owned()).chain(names).collect(),
        rows: rows(again.captions(), &columns, &|i| again.crops[i].clone()),
    };
    Ok(Some(vec![people, prompts, poses]))
}

fn picture(prompt: &str, index: u64) -> Picture {
    Picture { prompt: prompt.to_owned(), negative: None, index }
}

pub(super) fn shown(rgb: &Rgb, crops: Vec<Crop>) -> Option<fairhuman_report::Picture> {
    let (width, height) = (u32::try_from(rgb.width).ok()?, u32::try_from(rgb.height).ok()?);
    let mut picture = fairhuman_report::Picture::new(width, height, rgb.pixels.clone())?;
    picture.crops = crops;
    Some(picture)
}

/// People whose pictures are begun again.
pub(super) struct Again {
    pub pictures: Vec<Picture>,
    /// Files of their key points.
    pub keypoints: Vec<PathBuf>,
    /// RGB in [-1, 1], `[size, size, 3]` each.
    images: Vec<Vec<f32>>,
    crops: Vec<Vec<Crop>>,
}

impl Again {
    /// The first of the held-out pictures on which a face and a hand are large enough to be looked at.
    fn load(folder: &Path, held_out: &[String]) -> anyhow::Result<Self> {
        let size = fairhuman_builtin::SIZE as u32;
        let spec: DatasetSpec = serde_json::from_value(serde_json::json!({ "path": folder }))?;
        let region = |name: &str| Region { name: name.into(), mask: format!("mask_{name}") };
        let regions = [region("face"), region("hand")];
        let dataset = Dataset::open(Path::new(""), &spec, &regions)?;
        let geometry: GeometrySpec =
            serde_json::from_value(serde_json::json!({ "width": size, "height": size }))?;
        let (pictures, keypoints) = (Vec::new(), Vec::new());
        let mut again = Self { pictures, keypoints, images: Vec::new(), crops: Vec::new() };
        for i in 0..dataset.len() {
            let item = dataset.item(i);
            if !held_out.contains(&item.image.display().to_string()) {
                continue;
            }
            let drawn = draw(&geometry, item.size, 0, 0, 0);
            let sample = dataset.load(i, &drawn, 1, Wanted::ALL)?;
            let masks: Vec<&LatentMask> = sample.masks.iter().flatten().collect();
            if masks.len() == regions.len() && masks.iter().all(|mask| mask.share > 0.012) {
                let boxes = regions.iter().zip(&masks);
                again.crops.push(boxes.filter_map(|(region, mask)| around(&region.name, mask)).collect());
                again.pictures.push(picture(&item.caption, i as u64));
                again.images.push(sample.image);
                let name = item.image.file_stem().unwrap_or_default();
                again.keypoints.push(folder.join("keypoints").join(name).with_extension("json"));
            }
            if again.pictures.len() == AGAIN {
                break;
            }
        }
        Ok(again)
    }

    /// Made again by a model.
    fn by<B: Backend>(
        &self,
        backend: &B,
        pipeline: &Pipeline<B>,
        params: &Params<B>,
        settings: &Settings,
    ) -> anyhow::Result<Vec<Rgb>> {
        let (n, size) = (self.pictures.len(), fairhuman_builtin::SIZE);
        let images = backend.tensor(&[n, size, size, 3], &self.images.concat());
        let clean = generate::encode(backend, &pipeline.vae, &images)?;
        let begin = (clean.as_slice(), STRENGTH);
        generate::image_to_image(
            backend,
            &pipeline.parts(),
            params,
            settings,
            &self.pictures,
            begin,
            &mut |_| {},
        )
        .context("pictures cannot be begun again")
    }

    pub fn originals(&self) -> Vec<Rgb> {
        let size = fairhuman_builtin::SIZE;
        let byte = |&v: &f32| ((0.5 * v + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8;
        let rgb =
            |image: &Vec<f32>| Rgb { width: size, height: size, pixels: image.iter().map(byte).collect() };
        self.images.iter().map(rgb).collect()
    }

    pub fn captions(&self) -> Vec<String> {
        self.pictures.iter().map(|picture| picture.prompt.clone()).collect()
    }
}

/// A square around the first connected rows and columns of a mask, with a margin.
fn around(name: &str, mask: &LatentMask) -> Option<Crop> {
    let inside = |x: usize, y: usize| mask.cells[y * mask.width + x] > 0.0;
    let rows: Vec<usize> = (0..mask.height).filter(|&y| (0..mask.width).any(|x| inside(x, y))).collect();
    let top = *rows.first()?;
    let bottom =
        rows.iter().zip(top..).take_while(|(y, expected)| **y == *expected).map(|(y, _)| *y).last()?;
    let columns: Vec<usize> = (0..mask.width).filter(|&x| (top..=bottom).any(|y| inside(x, y))).collect();
    let left = *columns.first()?;
    let right =
        columns.iter().zip(left..).take_while(|(x, expected)| **x == *expected).map(|(x, _)| *x).last()?;
    let side = (right - left).max(bottom - top) + 1 + 6;
    let start = |low: usize, high: usize| ((low + high + 1) as i32 - side as i32) / 2;
    Some(Crop::new(name, start(left, right), start(top, bottom), side as u32, side as u32))
}
