//! The plan for a picture: which regions are painted with which words, and what the model is shown.

use fairhuman_refine::{Kind, Margins, Mode, ModelSize, Region, Sheet, SoftMask, choose_mode, plan};
use fairhuman_vision::skeleton::Skeleton;
use image::GrayImage;

use super::regions::Found;
use crate::cli::{Refine, RefineMode};

/// A region with the words for it, and its place on a sheet.
pub struct Task {
    pub region: Region,
    pub prompt: String,
    /// Indices of the sheet and of the tile on it.
    pub place: (usize, usize),
    pub mask: SoftMask,
    /// True if control networks can be told what is there.
    has_pose: bool,
}

/// All that is to be done to a picture.
pub struct Plan {
    pub mode: Mode,
    pub tasks: Vec<Task>,
    pub sheets: Vec<Sheet>,
    /// The people that control networks are shown.
    pub skeleton: Skeleton,
}

impl Plan {
    /// The plan for regions and their prompts, in order.
    pub fn new(
        options: &Refine,
        picture: (u32, u32),
        model: ModelSize,
        found: &Found,
        chosen: Vec<(Region, String)>,
    ) -> Self {
        let regions: Vec<Region> = chosen.iter().map(|(region, _)| region.clone()).collect();
        let mode = match options.mode {
            RefineMode::Auto => choose_mode(&regions, found.people, picture),
            RefineMode::Whole => Mode::Whole,
            RefineMode::Crops => Mode::Crops,
            RefineMode::Mosaic => Mode::Mosaic,
        };
        // Regions share a sheet if they share a prompt, and the control networks run for all of them or for
        // none.
        let mut keys: Vec<(&str, bool)> = Vec::new();
        let mut contexts = Vec::new();
        for (region, prompt) in &chosen {
            let key =
                (prompt.as_str(), !options.networks.control.is_empty() && has_pose(region, &found.skeleton));
            let at = keys.iter().position(|known| *known == key).unwrap_or_else(|| {
                keys.push(key);
                keys.len() - 1
            });
            contexts.push((region.context(options.context.unwrap_or(region.kind.context())), at));
        }
        let sheets = plan(mode, &contexts, picture, model);
        let margins = Margins { margin: options.mask_margin, feather: options.mask_blur };
        let place = |i: usize| {
            let sheets = sheets.iter().enumerate();
            let mut tiles = sheets
                .flat_map(|(s, sheet)| sheet.tiles.iter().enumerate().map(move |(t, tile)| ((s, t), tile)));
            tiles.find(|(_, tile)| tile.members.contains(&i)).map(|(place, _)| place)
        };
        let mut tasks = Vec::new();
        for (i, (region, prompt)) in chosen.into_iter().enumerate() {
            // Every region is on a tile: plans are complete.
            let Some(place) = place(i) else { continue };
            let tile = &sheets[place.0].tiles[place.1];
            let mask = match (&found.mask, region.kind) {
                (Some(mask), Kind::Other) => SoftMask::of_part(mask, &region.bounds, tile),
                _ => SoftMask::of_region(&region, tile, picture, margins),
            };
            let has_pose = has_pose(&region, &found.skeleton);
            tasks.push(Task { region, prompt, place, mask, has_pose });
        }
        let skeleton = chosen_skeleton(&found.skeleton, &tasks);
        Self { mode, tasks, sheets, skeleton }
    }

    /// Where the picture may change.
    pub fn mask(&self, size: (u32, u32)) -> GrayImage {
        let mut all = GrayImage::new(size.0, size.1);
        for task in &self.tasks {
            let area = task.mask.area();
            for y in area.y..area.bottom() {
                for x in area.x..area.right() {
                    let value = (255.0 * task.mask.at(x, y)).round() as u8;
                    let pixel = all.get_pixel_mut(x, y);
                    pixel.0[0] = pixel.0[0].max(value);
                }
            }
        }
        all
    }

    /// True if the control networks run for a sheet.
    pub fn is_controlled(&self, sheet: usize) -> bool {
        self.tasks.iter().any(|task| task.place.0 == sheet && task.has_pose)
    }
}

/// True if something of a region is drawn in a control image. Landmarks that a file lists for faces and other
/// parts bound their masks alone: they may be any.
fn has_pose(region: &Region, skeleton: &Skeleton) -> bool {
    let is_drawn = match region.kind {
        Kind::Hand => true,
        Kind::Face => !skeleton.faces.is_empty(),
        Kind::Other => false,
    };
    is_drawn && !region.points.is_empty()
}

/// The skeleton of a picture without hands and faces that are not refined: those of people in the background
/// say nothing about this crop.
fn chosen_skeleton(all: &Skeleton, tasks: &[Task]) -> Skeleton {
    let near = |kind: Kind, points: &Vec<[f32; 2]>| {
        let count = points.len().max(1) as f64;
        let middle = points.iter().fold([0.0; 2], |sum: [f64; 2], p| {
            [sum[0] + f64::from(p[0]) / count, sum[1] + f64::from(p[1]) / count]
        });
        tasks.iter().filter(|task| task.region.kind == kind).any(|task| {
            let b = task.region.bounds;
            (b.x0..=b.x1).contains(&middle[0]) && (b.y0..=b.y1).contains(&middle[1])
        })
    };
    Skeleton {
        bodies: all.bodies.clone(),
        hands: all.hands.iter().filter(|points| near(Kind::Hand, points)).cloned().collect(),
        faces: all.faces.iter().filter(|points| near(Kind::Face, points)).cloned().collect(),
    }
}
