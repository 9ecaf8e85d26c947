//! A dataset that has been checked, and the loading of its items.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::captions::caption;
use crate::content::Content;
use crate::geometry::Draw;
use crate::header::{self, Header};
use crate::layout::{self, Item, Listing};
use crate::part::Part;
use crate::pixels::{self, Under};
use crate::problem::{DatasetError, Fault, Problem, Problems, Subject};
use crate::resample;
use crate::spec::{DatasetSpec, Layout, Region};

/// Pictures, masks and captions whose headers have all been read and fit each other.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    spec: DatasetSpec,
    regions: Vec<Region>,
    items: Vec<Item>,
    layout: Layout,
    notes: Vec<String>,
}

/// One item as a network takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[height, width, 3]`, RGB in [-1, 1]. Empty from [`Dataset::load_masks`].
    pub image: Vec<f32>,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// One entry per region. `None` if the picture has no such region, or none of it lies in this crop: the
    /// region's objective has no pixels in this sample.
    pub masks: Vec<Option<LatentMask>>,
    /// `[height, width, 3]`, RGB in [0, 1].
    pub conditioning: Option<Vec<f32>>,
    /// The caption.
    pub caption: String,
    /// SDXL's added conditions: original height and width, crop top and left, target height and width.
    pub time_ids: [f32; 6],
}

/// A region at latent resolution.
#[derive(Debug, Clone, PartialEq)]
pub struct LatentMask {
    /// `[height, width]`: 1 in the cells of the region, 0 elsewhere. At least one cell is 1.
    pub cells: Vec<f32>,
    /// Height in latent cells.
    pub height: usize,
    /// Width in latent cells.
    pub width: usize,
    /// The exact share of the sample's area that the mask covers, before it was reduced to cells.
    pub share: f32,
}

impl Dataset {
    /// Reads the list, every caption and every header, and reports all problems at once.
    ///
    /// `base` is what a relative `spec.path` is relative to: the recipe's folder. Pixels are not decoded; see
    /// [`Dataset::verify`].
    pub fn open(base: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Dataset, Problems> {
        let path = base.join(&spec.path);
        let problems = |list| Problems { dataset: path.clone(), list };
        let listing = Dataset::list(&path, spec, regions).map_err(problems)?;
        let mut dataset = Dataset::of(&listing, spec, regions);
        dataset.items = listing.items;
        let mut list = listing.problems;
        let checked: Vec<_> = dataset.items.par_iter().map(|item| dataset.check(item)).collect();
        for (item, result) in dataset.items.iter_mut().zip(checked) {
            match result {
                Ok(size) => item.size = size,
                Err(found) => list.extend(found),
            }
        }
        if list.is_empty() {
            return Ok(dataset);
        }
        // Problems of the list and of the files come from two passes; a reader wants them line by line.
        list.sort_by_key(|p| p.origin.as_ref().map(|o| o.line));
        Err(problems(list))
    }

    /// Reads the list alone. Problems of single items are in it; the error is of the whole.
    pub(crate) fn list(path: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Vec<Problem>> {
        let faults = spec.faults(regions);
        if !faults.is_empty() {
            let recipe = |fault| Problem::new(Subject::Dataset, "", fault);
            return Err(faults.into_iter().map(recipe).collect());
        }
        layout::read(path, spec, regions).map_err(|p| vec![p])
    }

    /// A dataset without items, to look at the files of a listing.
    pub(crate) fn of(listing: &Listing, spec: &DatasetSpec, regions: &[Region]) -> Dataset {
        Dataset {
            root: listing.root.clone(),
            spec: spec.clone(),
            regions: regions.to_vec(),
            items: Vec::new(),
            layout: listing.layout,
            notes: listing
                .notes
                .iter()
                .cloned()
                .chain(listing.doubts.iter().map(ToString::to_string))
                .collect(),
        }
    }

    /// The layout that was read; never `Auto`.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// What the layout's reader passed over or assumed, and a person should know.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The indices of an epoch, each as often as its item's repeats, not shuffled.
    pub fn epoch(&self) -> Vec<usize> {
        let times = |(i, item): (usize, &Item)| std::iter::repeat_n(i, item.repeats as usize);
        self.items.iter().enumerate().flat_map(times).collect()
    }

    /// The caption that sample `sample` of step `step` sees of item `i`: shuffled, shortened or left out as the
    /// recipe says; a pure function of its arguments.
    ///
    /// # Panics
    /// As [`Dataset::item`].
    pub fn caption(&self, i: usize, seed: u64, step: u64, sample: u64) -> String {
        let item = &self.items[i];
        caption(&item.captions, &item.caption, seed, step, sample)
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are no items; an opened dataset has at least one.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Item `i`.
    ///
    /// # Panics
    /// If `i` is not less than [`Dataset::len`], as slices do.
    pub fn item(&self, i: usize) -> &Item {
        &self.items[i]
    }

    /// All items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The regions, in the order of [`Item::masks`] and [`Sample::masks`].
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// What the recipe says about this dataset.
    pub fn spec(&self) -> &DatasetSpec {
        &self.spec
    }

    /// The dataset's folder: the paths of its items are relative to it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Loads item `i` in the geometry `draw`, with masks of `latent_factor` pixels per cell.
    ///
    /// A `latent_factor` of 1 gives masks at the picture's resolution.
    pub fn load(&self, i: usize, draw: &Draw, latent_factor: usize) -> Result<Sample, DatasetError> {
        let sample = self.load_masks(i, draw, latent_factor)?;
        Ok(Sample { image: self.load_image(i, draw)?, ..sample })
    }

    /// All of [`Dataset::load`] but the picture: [`Sample::image`] is empty. For pictures whose latents are at hand:
    /// theirs is not decoded, unless its alpha channel is a mask.
    pub fn load_masks(&self, i: usize, draw: &Draw, latent_factor: usize) -> Result<Sample, DatasetError> {
        let item = self.get(i)?;
        draw.check(item.size, latent_factor)?;
        let (_, header) = self.find(item).map_err(|fault| Part::picture(item).problem(item, fault))?;
        let (rows, cols) = (draw.height as usize / latent_factor, draw.width as usize / latent_factor);
        let mut masks = vec![None; item.masks.len()];
        let mut conditioning = None;
        for part in self.others(item) {
            let at = |fault| part.problem(item, fault);
            let picture = self.beside(item, &part, &header).map_err(at)?;
            match part.region {
                Some(region) => {
                    let pixels = pixels::mask(picture).map_err(at)?;
                    let cover = resample::cover(&pixels, draw, cols, rows);
                    masks[region] = latent_mask(&cover, rows, cols, self.spec.mask_threshold);
                }
                None => {
                    let rgb = pixels::rgb(picture, Under::Black);
                    let rgb = resample::picture(&rgb, draw, 1.0, 0.0).map_err(DatasetError::Geometry)?;
                    conditioning = Some(rgb);
                }
            }
        }
        Ok(Sample {
            image: Vec::new(),
            height: draw.height as usize,
            width: draw.width as usize,
            masks,
            conditioning,
            caption: item.caption.clone(),
            time_ids: draw.time_ids(),
        })
    }

    /// The picture of item `i` in the geometry `draw`: [`Sample::image`].
    pub fn load_image(&self, i: usize, draw: &Draw) -> Result<Vec<f32>, DatasetError> {
        let item = self.get(i)?;
        draw.check(item.size, 1)?;
        let (_, rgb) = self.picture(item).map_err(|fault| Part::picture(item).problem(item, fault))?;
        resample::picture(&rgb, draw, 2.0, -1.0).map_err(DatasetError::Geometry)
    }

    /// BLAKE3 of the picture's file, orientation included: with the [`Draw`], the key of a cached latent.
    pub fn image_hash(&self, i: usize) -> Result<[u8; 32], DatasetError> {
        let item = self.get(i)?;
        let mut hash = Content::find(&self.root, &item.source).and_then(|content| content.hash());
        if item.takes_alpha() {
            // The same file gives other colours where its alpha is a mask.
            hash = hash.map(|hash| blake3::hash(&[&hash[..], b"alpha"].concat()).into());
        }
        Ok(hash.map_err(|fault| Part::picture(item).problem(item, fault))?)
    }

    /// Decodes every pixel of every file once and reports all problems: what [`Dataset::open`] cannot see.
    pub fn verify(&self) -> Result<(), Problems> {
        let list: Vec<Problem> = self.items.par_iter().flat_map_iter(|item| self.decode_all(item)).collect();
        if list.is_empty() {
            return Ok(());
        }
        Err(Problems { dataset: self.root.clone(), list })
    }

    fn get(&self, index: usize) -> Result<&Item, DatasetError> {
        let len = self.items.len();
        self.items.get(index).ok_or(DatasetError::Index { index, len })
    }

    /// Checks the headers of an item's files; its size as shown, or what is wrong.
    fn check(&self, item: &Item) -> Result<(u32, u32), Vec<Problem>> {
        let mut found = Vec::new();
        let mut note = |part: &Part, fault| found.push(part.problem(item, fault));
        let picture = match self.header(&item.source) {
            Ok(header) => Some(header),
            Err(fault) => {
                note(&Part::picture(item), fault);
                None
            }
        };
        for part in self.others(item) {
            let fits = match &picture {
                Some(picture) => self.fit(&part, picture).map(|_| ()),
                None => match part.source() {
                    Some(source) => self.header(source).map(|_| ()),
                    None => Ok(()),
                },
            };
            if let Err(fault) = fits {
                note(&part, fault);
            }
        }
        match picture {
            Some(picture) if found.is_empty() => Ok(picture.shown()),
            _ => Err(found),
        }
    }

    /// The picture's bytes and header, of the size that the first pass saw.
    fn find(&self, item: &Item) -> Result<(Content, Header), Fault> {
        let content = Content::find(&self.root, &item.source)?;
        let header = header::read(&content, self.spec.max_pixels)?;
        if header.shown() != item.size {
            return Err(Fault::Size {
                found: header.shown(),
                expected: item.size,
                hint: " when the dataset was opened: the file has changed since".into(),
            });
        }
        Ok((content, header))
    }

    /// The picture's header and RGB bytes.
    fn picture(&self, item: &Item) -> Result<(Header, Vec<u8>), Fault> {
        let (content, header) = self.find(item)?;
        let picture = pixels::decode(&content, &header, header.orientation)?;
        let under = if item.takes_alpha() { Under::AsStored } else { Under::White };
        Ok((header, pixels::rgb(picture, under)))
    }

    fn decode_all(&self, item: &Item) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut note = |part: &Part, fault| found.push(part.problem(item, fault));
        let picture = self.picture(item).map(|(header, _)| header);
        for part in self.others(item) {
            let Ok(header) = &picture else { break };
            let decoded = self.beside(item, &part, header);
            let result = match part.region {
                Some(_) => decoded.and_then(pixels::mask).map(|_| ()),
                None => decoded.map(|_| ()),
            };
            if let Err(fault) = result {
                note(&part, fault);
            }
        }
        if let Err(fault) = picture {
            note(&Part::picture(item), fault);
        }
        found
    }
}

/// The cells with at least `threshold` of their area in the region, or `None` if there are none.
pub(crate) fn latent_mask(cover: &[f32], height: usize, width: usize, threshold: f32) -> Option<LatentMask> {
    // Rounding must not decide about a cell that is covered by exactly the threshold.
    let inside = |c: &f32| if *c >= threshold - 1e-6 { 1.0 } else { 0.0 };
    let cells: Vec<f32> = cover.iter().map(inside).collect();
    if !cells.contains(&1.0) {
        return None;
    }
    let sum: f64 = cover.iter().map(|&c| f64::from(c)).sum();
    let share = (sum / cover.len() as f64) as f32;
    Some(LatentMask { cells, height, width, share })
}
