//! From run folders to [`Run`]s: events, recipe, and pictures of the dataset with their masks.

use std::path::{Path, PathBuf};

use fairhuman_dataset::{Crop, Dataset, GeometrySpec, Wanted, draw};
use fairhuman_train::events;
use fairhuman_train::recipe::Recipe;
use image::{GrayImage, RgbImage};

use crate::model::{Masked, Region, Run};

/// A run folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such folder, or it is not a run's.
    #[error("{}: {problem}; expected the folder of a run, such as runs/smoke (`fairhuman train` makes it)", path.display())]
    NoRun {
        /// The path given.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The log cannot be read.
    #[error("{}", named(path, source))]
    Events {
        /// The file.
        path: PathBuf,
        /// The problem.
        source: std::io::Error,
    },
}

/// The problem of a file, beginning with its name: problems of lines have it already, errors of the system
/// have not.
fn named(path: &Path, source: &std::io::Error) -> String {
    let (name, problem) = (path.display().to_string(), source.to_string());
    if problem.starts_with(&name) { problem } else { format!("{name}: {problem}") }
}

/// Longer side of a dataset's picture on the page.
const SIDE: u32 = 512;

impl Run {
    /// Reads a run folder. A run in progress, one that was cut off, and one without a step are fine.
    ///
    /// # Errors
    /// A folder without `events.jsonl`, a line of it that is no event.
    pub fn read(folder: &Path) -> Result<Self, ReadError> {
        let no_run = |problem: &str| ReadError::NoRun { path: folder.into(), problem: problem.into() };
        if !folder.is_dir() {
            return Err(no_run(if folder.exists() { "not a folder" } else { "there is no such folder" }));
        }
        let path = folder.join("events.jsonl");
        if !path.exists() {
            return Err(no_run("it has no events.jsonl"));
        }
        let events = events::read(&path).map_err(|source| ReadError::Events { path, source })?;
        let name = folder.canonicalize().unwrap_or(folder.into());
        let name = name.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned());
        let mut run = Run { name, events, ..Run::default() };
        match fairhuman_files::read_to_string(folder.join("recipe.toml")) {
            Ok(recipe) => run.recipe = recipe,
            Err(error) => run.notes.push(format!("recipe.toml cannot be read: {error}.")),
        }
        Ok(run)
    }

    /// Adds up to `count` pictures of the dataset with their masks, held-out ones first. If that fails, a
    /// note gives the reason. Relative paths in the recipe are relative to the current folder, as they were
    /// in training.
    pub fn add_pictures(&mut self, count: usize) {
        match pictures(self, count) {
            Ok(pictures) => self.pictures = pictures,
            Err(problem) => self.notes.push(format!(
                "No pictures of the dataset: {problem}. Run the report in the folder that the training ran in."
            )),
        }
    }
}

fn pictures(run: &Run, count: usize) -> Result<Vec<Masked>, String> {
    let first_line = |error: &dyn std::fmt::Display| {
        let text = error.to_string();
        text.lines().next().unwrap_or_default().trim_end_matches([':', '.']).to_owned()
    };
    if run.recipe.is_empty() {
        return Err("the recipe is not known".into());
    }
    let recipe = Recipe::parse(Path::new("recipe.toml"), &run.recipe).map_err(|e| e.to_string())?;
    if !recipe.dataset.path.exists() {
        return Err(format!("{} is not there", recipe.dataset.path.display()));
    }
    let dataset = Dataset::open(Path::new(""), &recipe.dataset, &recipe.regions())
        .map_err(|e| format!("{}: {}", recipe.dataset.path.display(), first_line(&e)))?;
    let held_out = run.start().map_or(&[][..], |start| &start.held_out);
    let is_held_out = |i: usize| held_out.contains(&dataset.item(i).image.display().to_string());
    let geometry = GeometrySpec { crop: Crop::Center, flip: 0.0, ..recipe.geometry };
    let mut order: Vec<usize> = (0..dataset.len()).collect();
    // Pictures with the most regions first: they show the most about masks.
    let regions = |i: usize| dataset.item(i).masks.iter().flatten().count();
    order.sort_by_key(|&i| (!is_held_out(i), std::cmp::Reverse(regions(i))));
    let load = |i: usize| {
        let item = dataset.item(i);
        let drawn = draw(&geometry, item.size, recipe.seed, 0, 0);
        let sample = dataset
            .load(i, &drawn, 1, Wanted { conditioning: false, ..Wanted::ALL })
            .map_err(|e| first_line(&e))?;
        let (width, height) = (sample.width as u32, sample.height as u32);
        let byte = |v: &f32| ((0.5 * v + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8;
        let image = RgbImage::from_raw(width, height, sample.image.iter().map(byte).collect());
        let masks = dataset.regions().iter().zip(&sample.masks).filter_map(|(region, mask)| {
            let cells = mask.as_ref()?.cells.iter().map(|&cell| if cell > 0.5 { 255 } else { 0 }).collect();
            Some(Region { name: region.name.clone(), mask: GrayImage::from_raw(width, height, cells)? })
        });
        let mut masked = Masked {
            name: item.image.display().to_string(),
            caption: item.caption.clone(),
            held_out: is_held_out(i),
            image: image.ok_or("a picture without pixels")?,
            regions: masks.collect(),
        };
        masked.reduce(SIDE);
        Ok(masked)
    };
    order.into_iter().take(count).map(load).collect()
}

impl Masked {
    /// Reduces picture and masks until the longer side is at most `side`.
    fn reduce(&mut self, side: u32) {
        let (width, height) = self.image.dimensions();
        let longer = width.max(height);
        if longer <= side {
            return;
        }
        let fit = |length: u32| (length * side / longer).max(1);
        let (width, height) = (fit(width), fit(height));
        let filter = image::imageops::FilterType::Triangle;
        self.image = image::imageops::resize(&self.image, width, height, filter);
        for region in &mut self.regions {
            region.mask = image::imageops::resize(&region.mask, width, height, filter);
        }
    }
}
