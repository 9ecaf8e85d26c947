//! The poses of held-out people, drawn by the base alone and with the built-in ControlNet.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use fairhuman_diffusion::control::Control;
use fairhuman_diffusion::generate::{self, Guide, Rgb, Settings};
use fairhuman_diffusion::pipeline::{Parts, Pipeline};
use fairhuman_engine::Backend;
use fairhuman_report::{Grid, Row};
use fairhuman_vision::skeleton::Style;

use super::pictures::{Again, shown};
use crate::cache;
use crate::commands::drawn_pose;

/// The grid: a row for each person.
pub fn grid<B: Backend>(
    backend: &B,
    model: &Path,
    settings: &Settings,
    people: &Again,
) -> anyhow::Result<Grid> {
    let mut pipeline = Pipeline::open(backend, model)?;
    let params = generate::attach_loras(backend, &mut pipeline, &[])?;
    let reduction = pipeline.vae.config().reduction();
    let network = Control::load(backend, &cache::builtin_pose()?, &pipeline.folder.unet(), reduction)?;
    let size = u32::try_from(fairhuman_builtin::SIZE)?;
    let mut poses: Vec<Rgb> = Vec::new();
    for file in &people.keypoints {
        let drawn = drawn_pose::read(file)?.draw(size, size, Style::Classic);
        poses.push(Rgb { width: size as usize, height: size as usize, pixels: drawn.into_raw() });
    }
    let values = |pose: &Rgb| -> Arc<[f32]> { pose.pixels.iter().map(|&v| f32::from(v) / 255.0).collect() };
    let images: BTreeMap<u64, Arc<[f32]>> =
        people.pictures.iter().zip(&poses).map(|(picture, pose)| (picture.index, values(pose))).collect();
    let guide = Guide {
        network: network.by_ref(),
        images: &images,
        types: &[],
        weight: 1.0,
        span: (0.0, 1.0),
        guess: false,
    };
    let mut columns = vec![people.originals(), poses];
    for guides in [&[][..], &[guide]] {
        let parts = Parts { guides, ..pipeline.parts() };
        let made = generate::generate(backend, &parts, &params, settings, &people.pictures, &mut |_| {})?;
        columns.push(made);
    }
    let row = |(i, label)| Row {
        label,
        cells: columns.iter().map(|column| shown(&column[i], Vec::new())).collect(),
    };
    Ok(Grid {
        title: "The same poses".into(),
        text: "Held-out people, their skeletons, and pictures of the same prompt and noise by the base model, without and \
               with the built-in ControlNet, which is shown the skeleton (fairhuman sample --control builtin)."
            .into(),
        columns: ["as drawn", "pose", "base", "with its ControlNet"].map(String::from).to_vec(),
        rows: people.captions().into_iter().enumerate().map(row).collect(),
    })
}
