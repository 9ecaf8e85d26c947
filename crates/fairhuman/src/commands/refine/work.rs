//! One picture: what the model paints, and what of that is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use fairhuman_diffusion::control::Control;
use fairhuman_diffusion::generate::{self, Guide, Picture, Rgb, Settings};
use fairhuman_diffusion::pipeline::{Parts, Pipeline};
use fairhuman_engine::{Backend, Params};
use fairhuman_files::sha256_hex;
use fairhuman_refine::{Kind, Region, Sheet, Tile, Verdict, paste, verdict};
use fairhuman_vision::detect::Detections;
use fairhuman_vision::pipeline::Pipeline as Detectors;
use fairhuman_vision::skeleton::{Skeleton, Style};
use image::RgbImage;

use super::plan::{Plan, Task};
use super::regions::{look, score_of};
use crate::cli::Refine;
use crate::commands::sample::control::Wanted;
use crate::commands::sample::inpaint::Latents;

/// The result for a region.
pub struct Judged {
    pub verdict: Verdict,
    pub before: Option<f64>,
    pub after: Option<f64>,
}

/// A refined picture.
pub struct Refined {
    pub picture: RgbImage,
    pub judged: Vec<Judged>,
}

/// The model, and all that is the same for every picture.
pub struct Refiner<'a, B: Backend> {
    pub backend: &'a B,
    pub pipeline: &'a Pipeline<B>,
    pub params: &'a Params<B>,
    pub options: &'a Refine,
    pub networks: Vec<Control<B>>,
    pub wanted: &'a [Wanted],
    pub style: Style,
    pub detectors: Option<&'a Detectors<'a>>,
}

impl<B: Backend> Refiner<'_, B> {
    /// Refines a picture. `show` hears which sheet is painted, and the evaluations of it that are done and
    /// all.
    pub fn refine(
        &self,
        (name, original): (&str, &RgbImage),
        plan: &Plan,
        before: Option<&Detections>,
        show: &mut (dyn FnMut(usize, generate::Progress) + Send),
    ) -> anyhow::Result<Refined> {
        let mut canvas = original.clone();
        let mut done: Vec<usize> = Vec::new();
        // The tiles that were painted, by sheet.
        let mut painted: Vec<Vec<RgbImage>> = Vec::new();
        for (s, sheet) in plan.sheets.iter().enumerate() {
            let members: Vec<usize> = (0..plan.tasks.len()).filter(|&i| plan.tasks[i].place.0 == s).collect();
            // A region sees the original, whatever became of others, unless it lies on one of them.
            let overlaps = |&i: &usize| {
                let support = plan.tasks[i].mask.support();
                let other = |&k: &usize| {
                    plan.tasks[k].mask.support().zip(support).is_some_and(|(a, b)| a.overlaps(&b))
                };
                done.iter().any(other)
            };
            let source = if members.iter().any(overlaps) { &canvas } else { original };
            let made = self.paint(name, source, plan, s, &mut |progress| show(s, progress))?;
            let back: Vec<RgbImage> = sheet.tiles.iter().map(|tile| tile.back(&part(&made, tile))).collect();
            for &i in &members {
                let (_, t) = plan.tasks[i].place;
                paste(&mut canvas, &sheet.tiles[t], &back[t], &plan.tasks[i].mask);
            }
            done.extend(members);
            painted.push(back);
        }
        let is_checked = plan.tasks.iter().any(|task| task.region.kind != Kind::Other);
        let after = look(self.detectors.filter(|_| is_checked), &canvas, !self.options.no_zoom)?;
        let judged: Vec<Judged> =
            plan.tasks.iter().map(|task| judge(&task.region, before, after.as_ref())).collect();
        if judged.iter().all(|judged| judged.verdict.replaces()) {
            return Ok(Refined { picture: canvas, judged });
        }
        let mut kept = original.clone();
        for &i in &done {
            let (s, t) = plan.tasks[i].place;
            if judged[i].verdict.replaces() {
                paste(&mut kept, &plan.sheets[s].tiles[t], &painted[s][t], &plan.tasks[i].mask);
            }
        }
        Ok(Refined { picture: kept, judged })
    }

    /// A sheet, painted where its regions' masks are.
    fn paint(
        &self,
        name: &str,
        source: &RgbImage,
        plan: &Plan,
        s: usize,
        show: &mut (dyn FnMut(generate::Progress) + Send),
    ) -> anyhow::Result<RgbImage> {
        let sheet = &plan.sheets[s];
        let (width, height) = (sheet.size.0 as usize, sheet.size.1 as usize);
        let members: Vec<(usize, &Task)> =
            plan.tasks.iter().enumerate().filter(|(_, task)| task.place.0 == s).collect();
        let Some(&(first, task)) = members.first() else {
            return Ok(RgbImage::new(sheet.size.0, sheet.size.1));
        };
        let shown = shown(source, sheet);
        let mut mask = vec![0.0_f32; width * height];
        for (_, task) in &members {
            let tile = &sheet.tiles[task.place.1];
            let weights = tile.cut_mask(&task.mask);
            for (row, values) in weights.chunks_exact(tile.target.width as usize).enumerate() {
                let start = (tile.target.y as usize + row) * width + tile.target.x as usize;
                for (old, new) in mask[start..start + values.len()].iter_mut().zip(values) {
                    *old = old.max(*new);
                }
            }
        }
        let pixels: Vec<f32> = shown.as_raw().iter().map(|&v| f32::from(v) / 127.5 - 1.0).collect();
        let strength = self.options.denoising_strength;
        let latents = Latents::new(self.backend, self.pipeline, (&pixels, &mask), (width, height), strength)?;
        let settings = Settings {
            sampler: self.options.sampler,
            steps: self.options.steps,
            guidance: self.options.guidance,
            guidance_rescale: self.options.guidance_rescale,
            width,
            height,
            seed: self.options.seed,
        };
        let picture = Picture {
            prompt: task.prompt.clone(),
            negative: self.options.negative.clone(),
            index: noise_index(name, first),
        };
        let control: Option<BTreeMap<u64, Arc<[f32]>>> = plan.is_controlled(s).then(|| {
            let image = control_image(&plan.skeleton, sheet, self.style);
            let values = image.as_raw().iter().map(|&v| f32::from(v) / 255.0).collect();
            BTreeMap::from([(picture.index, values)])
        });
        let guides: Vec<Guide<'_, B>> = match &control {
            // Where nothing is known of a pose, the networks do not run: black would say that there is
            // nobody.
            None => Vec::new(),
            Some(images) => self
                .networks
                .iter()
                .zip(self.wanted)
                .map(|(network, wanted)| wanted.guide(network.by_ref(), images))
                .collect(),
        };
        let parts = Parts { guides: &guides, ..self.pipeline.parts() };
        let pictures = [picture];
        let made = generate::inpaint(
            self.backend,
            &parts,
            self.params,
            &settings,
            &pictures,
            &latents.inpainting(),
            show,
        )?;
        let made = made.into_iter().next().unwrap_or(Rgb { width: 0, height: 0, pixels: Vec::new() });
        let made = RgbImage::from_raw(made.width as u32, made.height as u32, made.pixels);
        Ok(made.unwrap_or(shown))
    }
}

/// A region's index in the draw of noise: a function of the picture's name and the region's number, so that
/// no other picture or region has a part in it.
fn noise_index(name: &str, region: usize) -> u64 {
    let digest = sha256_hex(format!("{name}\n{region}").as_bytes());
    u64::from_str_radix(&digest[..16], 16).unwrap_or_default()
}

fn judge(region: &Region, before: Option<&Detections>, after: Option<&Detections>) -> Judged {
    let found = |found: Option<&Detections>| found.and_then(|found| score_of(region, found));
    let (was, is) = (region.score.or(found(before)), found(after));
    let verdict = match (after, region.kind) {
        (None, _) | (_, Kind::Other) => Verdict::Unchecked,
        _ => verdict(was, is),
    };
    Judged { verdict, before: was, after: is }
}

/// The sheet as the model is shown it. Between tiles lies their mean colour, which is no edge to anything.
fn shown(source: &RgbImage, sheet: &Sheet) -> RgbImage {
    let tiles: Vec<RgbImage> = sheet.tiles.iter().map(|tile| tile.cut(source)).collect();
    if let ([tile], [only]) = (&sheet.tiles[..], &tiles[..])
        && (tile.target.width, tile.target.height) == sheet.size
    {
        return only.clone();
    }
    let mut sum = [0_u64; 3];
    let mut count = 0;
    for pixel in tiles.iter().flat_map(RgbImage::pixels) {
        (0..3).for_each(|c| sum[c] += u64::from(pixel.0[c]));
        count += 1;
    }
    let mean = image::Rgb(sum.map(|sum| (sum / count.max(1)) as u8));
    let mut picture = RgbImage::from_pixel(sheet.size.0, sheet.size.1, mean);
    for (tile, pixels) in sheet.tiles.iter().zip(&tiles) {
        image::imageops::replace(&mut picture, pixels, tile.target.x.into(), tile.target.y.into());
    }
    picture
}

/// A tile of a painted sheet.
fn part(made: &RgbImage, tile: &Tile) -> RgbImage {
    let at = tile.target;
    image::imageops::crop_imm(made, at.x, at.y, at.width, at.height).to_image()
}

/// Skeletons, drawn anew at the size of each tile.
fn control_image(skeleton: &Skeleton, sheet: &Sheet, style: Style) -> RgbImage {
    let mut picture = RgbImage::new(sheet.size.0, sheet.size.1);
    for tile in &sheet.tiles {
        let map = tile.map();
        let corner = [f64::from(tile.target.x), f64::from(tile.target.y)];
        let mapped = |p: [f32; 2]| {
            let [x, y] = map.to_sheet(p.map(f64::from));
            [(x - corner[0]) as f32, (y - corner[1]) as f32]
        };
        let all = |lists: &[Vec<[f32; 2]>]| -> Vec<Vec<[f32; 2]>> {
            lists.iter().map(|points| points.iter().map(|&p| mapped(p)).collect()).collect()
        };
        let own = Skeleton {
            bodies: skeleton.bodies.iter().map(|body| body.map(|point| point.map(mapped))).collect(),
            hands: all(&skeleton.hands),
            faces: all(&skeleton.faces),
        };
        let drawn = own.draw(tile.target.width, tile.target.height, style);
        image::imageops::replace(&mut picture, &drawn, tile.target.x.into(), tile.target.y.into());
    }
    picture
}

#[cfg(test)]
mod tests {
    use fairhuman_refine::{Mode, ModelSize, Rect, plan};
    use fairhuman_vision::skeleton::{Skeleton, Style};

    use super::{control_image, noise_index};

    #[test]
    fn noise_depends_on_the_pictures_name_and_the_regions_number() {
        let all = [noise_index("a.png", 0), noise_index("a.png", 1), noise_index("b.png", 0)];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
        assert_eq!(all[0], noise_index("a.png", 0));
    }

    #[test]
    fn a_hand_is_drawn_at_the_crops_size_where_the_crop_shows_it() {
        let context = Rect { x0: 100.0, y0: 60.0, x1: 140.0, y1: 100.0 };
        let model = ModelSize { width: 256, height: 256, multiple: 8 };
        let sheets = plan(Mode::Crops, &[(context, 0)], (400, 300), model);
        // A small hand around (130, 70); its joints are blue.
        let hand = (0..21).map(|i| [129.0 + (i % 3) as f32, 69.0 + (i / 3 % 3) as f32]).collect();
        let whole = Skeleton { hands: vec![hand], ..Skeleton::default() };
        let drawn = control_image(&whole, &sheets[0], Style::Classic);
        assert_eq!(drawn.dimensions(), (256, 256));
        let lit: Vec<(u32, u32)> =
            drawn.enumerate_pixels().filter(|(_, _, p)| p.0[2] > 128).map(|(x, y, _)| (x, y)).collect();
        // (130 - 100) * 6.4 and (70 - 60) * 6.4.
        assert!(
            !lit.is_empty() && lit.iter().all(|&(x, y)| x.abs_diff(192) < 12 && y.abs_diff(64) < 12),
            "{lit:?}"
        );
    }
}
