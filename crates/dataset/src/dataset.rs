//! A dataset that has been checked, and the loading of its items.

use std::fs::File;
use std::path::{Path, PathBuf};

use image::metadata::Orientation;
use rayon::prelude::*;

use crate::geometry::Draw;
use crate::header::{self, Header};
use crate::layout::{self, Item};
use crate::paths::{resolve, unreadable};
use crate::pixels::{self, Under};
use crate::problem::{DatasetError, Fault, Problem, Problems, Subject};
use crate::resample;
use crate::spec::{DatasetSpec, MaskOrientation, Region};

/// Pictures, masks and captions whose headers have all been read and fit each other.
#[derive(Debug, Clone)]
pub struct Dataset {
    root: PathBuf,
    spec: DatasetSpec,
    regions: Vec<Region>,
    items: Vec<Item>,
}

/// One item as a network takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// `[height, width, 3]`, RGB in [-1, 1].
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
        let faults = spec.faults(regions);
        if !faults.is_empty() {
            let recipe =
                |fault| Problem { origin: None, subject: Subject::Dataset, file: PathBuf::new(), fault };
            return Err(problems(faults.into_iter().map(recipe).collect()));
        }
        let listing = layout::read(&path, spec, regions).map_err(|p| problems(vec![p]))?;
        let mut list = listing.problems;
        let mut dataset = Dataset {
            root: listing.root,
            spec: spec.clone(),
            regions: regions.to_vec(),
            items: listing.items,
        };
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

    /// The dataset's folder: the paths of its items are relative to it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Loads item `i` in the geometry `draw`, with masks of `latent_factor` pixels per cell.
    ///
    /// A `latent_factor` of 1 gives masks at the picture's resolution.
    pub fn load(&self, i: usize, draw: &Draw, latent_factor: usize) -> Result<Sample, DatasetError> {
        let item = self.get(i)?;
        draw.check(item.size, latent_factor)?;
        let image = &item.image;
        let at = |subject: Subject, file: &PathBuf| {
            let (origin, file) = (item.origin.clone(), file.clone());
            move |fault| Problem { origin, subject, file, fault }
        };
        let (header, rgb) = self.picture(item).map_err(at(Subject::Picture, image))?;
        let unexpected = |text: String| DatasetError::Geometry(text);
        let rgb = resample::picture(&rgb, draw, 2.0, -1.0).map_err(unexpected)?;

        let (rows, cols) = (draw.height as usize / latent_factor, draw.width as usize / latent_factor);
        let mut masks = Vec::with_capacity(item.masks.len());
        for (file, region) in item.masks.iter().zip(&self.regions) {
            let Some(file) = file else {
                masks.push(None);
                continue;
            };
            let pixels = self
                .beside(file, &header)
                .and_then(pixels::mask)
                .map_err(at(Subject::Mask(region.name.clone()), file))?;
            let cover = resample::cover(&pixels, draw, cols, rows);
            masks.push(latent_mask(&cover, rows, cols, self.spec.mask_threshold));
        }
        let conditioning = match &item.conditioning {
            Some(file) => {
                let picture = self.beside(file, &header).map_err(at(Subject::Conditioning, file))?;
                let rgb = pixels::rgb(picture, Under::Black);
                Some(resample::picture(&rgb, draw, 1.0, 0.0).map_err(unexpected)?)
            }
            None => None,
        };
        Ok(Sample {
            image: rgb,
            height: draw.height as usize,
            width: draw.width as usize,
            masks,
            conditioning,
            caption: item.caption.clone(),
            time_ids: draw.time_ids(),
        })
    }

    /// BLAKE3 of the picture's file, orientation included: with the [`Draw`], the key of a cached latent.
    pub fn image_hash(&self, i: usize) -> Result<[u8; 32], DatasetError> {
        let item = self.get(i)?;
        let hash = || -> std::io::Result<[u8; 32]> {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(self.root.join(&item.image))?)?;
            Ok(hasher.finalize().into())
        };
        hash().map_err(|e| {
            DatasetError::File(Problem {
                origin: item.origin.clone(),
                subject: Subject::Picture,
                file: item.image.clone(),
                fault: unreadable(&e),
            })
        })
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

    /// The files of an item other than its picture.
    fn others<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = (Subject, &'a PathBuf)> {
        let masks = item.masks.iter().zip(&self.regions);
        let masks = masks.filter_map(|(m, r)| Some((Subject::Mask(r.name.clone()), m.as_ref()?)));
        masks.chain(item.conditioning.iter().map(|c| (Subject::Conditioning, c)))
    }

    /// Checks the headers of an item's files; its size as shown, or what is wrong.
    fn check(&self, item: &Item) -> Result<(u32, u32), Vec<Problem>> {
        let mut found = Vec::new();
        let mut note = |subject, file: &PathBuf, fault| {
            found.push(Problem { origin: item.origin.clone(), subject, file: file.clone(), fault });
        };
        let read = |file: &PathBuf| {
            resolve(&self.root, file).and_then(|path| header::read(&path, self.spec.max_pixels))
        };
        let picture = match read(&item.image) {
            Ok(header) => Some(header),
            Err(fault) => {
                note(Subject::Picture, &item.image, fault);
                None
            }
        };
        for (subject, file) in self.others(item) {
            let fits = read(file).and_then(|header| match &picture {
                Some(picture) => self.fit(&header, picture).map(|_| ()),
                None => Ok(()),
            });
            if let Err(fault) = fits {
                note(subject, file, fault);
            }
        }
        match picture {
            Some(picture) if found.is_empty() => Ok(picture.shown()),
            _ => Err(found),
        }
    }

    /// The orientation to apply to a mask or conditioning image so that it fits its picture.
    fn fit(&self, other: &Header, picture: &Header) -> Result<Orientation, Fault> {
        let orientation = match self.spec.mask_orientation {
            MaskOrientation::Shown => other.orientation,
            MaskOrientation::Stored => picture.orientation,
        };
        let found = header::oriented(other.stored, orientation);
        let expected = picture.shown();
        if found == expected {
            return Ok(orientation);
        }
        let turned = picture.stored != expected && other.stored == picture.stored;
        let hint = match self.spec.mask_orientation {
            MaskOrientation::Shown if turned => {
                " as its EXIF orientation shows it; for masks made of the pixels as stored set \
                 `mask_orientation = \"stored\"`"
            }
            MaskOrientation::Stored if other.stored == expected => {
                " as its EXIF orientation shows it; it seems to be made of the picture as shown: set \
                 `mask_orientation = \"shown\"`"
            }
            _ => "",
        };
        Err(Fault::Size { found, expected, hint: hint.into() })
    }

    /// The picture's header and RGB bytes, of the size that the first pass saw.
    fn picture(&self, item: &Item) -> Result<(Header, Vec<u8>), Fault> {
        let path = self.root.join(&item.image);
        let header = header::read(&path, self.spec.max_pixels)?;
        if header.shown() != item.size {
            return Err(Fault::Size {
                found: header.shown(),
                expected: item.size,
                hint: " when the dataset was opened: the file has changed since".into(),
            });
        }
        let picture = pixels::decode(&path, &header, header.orientation)?;
        Ok((header, pixels::rgb(picture, Under::White)))
    }

    /// A mask or conditioning image, turned to fit its picture.
    fn beside(&self, file: &Path, picture: &Header) -> Result<image::DynamicImage, Fault> {
        let path = self.root.join(file);
        let header = header::read(&path, self.spec.max_pixels)?;
        let orientation = self.fit(&header, picture)?;
        pixels::decode(&path, &header, orientation)
    }

    fn decode_all(&self, item: &Item) -> Vec<Problem> {
        let mut found = Vec::new();
        let mut note = |subject, file: &PathBuf, fault| {
            found.push(Problem { origin: item.origin.clone(), subject, file: file.clone(), fault });
        };
        let picture = self.picture(item).map(|(header, _)| header);
        for (subject, file) in self.others(item) {
            let Ok(header) = &picture else { break };
            let decoded = self.beside(file, header);
            let result = match &subject {
                Subject::Mask(_) => decoded.and_then(pixels::mask).map(|_| ()),
                _ => decoded.map(|_| ()),
            };
            if let Err(fault) = result {
                note(subject, file, fault);
            }
        }
        if let Err(fault) = picture {
            note(Subject::Picture, &item.image, fault);
        }
        found
    }
}

/// The cells with at least `threshold` of their area in the region, or `None` if there are none.
fn latent_mask(cover: &[f32], height: usize, width: usize, threshold: f32) -> Option<LatentMask> {
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
