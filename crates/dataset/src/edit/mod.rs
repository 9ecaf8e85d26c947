//! Masks and captions changed by hand: what an editor shows of an item, and what it writes.
//!
//! A dataset with faults can be opened, so that they can be mended. Files are replaced whole; the first time,
//! the original is kept in the dataset under `.before/`.

mod line;
mod place;
mod stroke;
mod work;

use std::collections::BTreeMap;
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, RgbImage};
use serde_json::Value;

use crate::check::{in_order, thumbnail};
use crate::content::Content;
use crate::dataset::list;
use crate::decode::{Decoder, ItemImage};
use crate::diagnostic::{Diagnostic, Diagnostics, Rejected};
use crate::item::Item;
use crate::pixels;
use crate::spec::{DatasetSpec, Layout, MaskOrientation, Region};
use fairhuman_pictures::{Header, Orientation};
use place::{CaptionPlace, MaskPlace};
use stroke::Canvas;
pub use stroke::Stroke;
use work::{Work, checked};

/// A dataset whose masks and captions can be changed.
#[derive(Debug, Clone)]
pub struct Editor {
    decoder: Decoder,
    layout: Layout,
    items: Vec<Item>,
}

/// An item as an editor shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The picture's name.
    pub name: String,
    /// Width and height in pixels as shown.
    pub size: (u32, u32),
    /// The caption.
    pub caption: String,
    /// Why the caption cannot be changed here; none where it can.
    pub fixed: Option<String>,
    /// One for each region.
    pub masks: Vec<MaskEntry>,
    /// Tells the item's caption and masks from any other state of them.
    pub version: String,
}

/// A region's mask as an editor shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct MaskEntry {
    /// The region's name.
    pub region: String,
    /// True if the item has such a mask.
    pub is_there: bool,
    /// Why it cannot be changed here; none where it can.
    pub fixed: Option<String>,
    /// Why the mask that is there cannot be read; a changed one takes its place.
    pub problem: Option<String>,
}

/// A person's changes of an item.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// [`Entry::version`] of what the person saw.
    pub version: String,
    /// The new caption.
    pub caption: Option<String>,
    /// Strokes on the masks, by the number of the region.
    pub strokes: BTreeMap<usize, Vec<Stroke>>,
}

/// A change that was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such item or region.
    #[error("there is no such picture or region")]
    Absent,
    /// Files are no longer what the person saw.
    #[error("its files have changed since they were shown: load the picture again")]
    Stale,
    /// A caption, stroke or file that is refused.
    #[error("{0}")]
    Refused(String),
    /// A file cannot be read or written.
    #[error("{0}")]
    Failed(String),
}

/// The regions of a dataset as [`infer_regions`](crate::check::infer_regions) finds them, and those that no
/// picture has so far: they are there to be painted.
pub fn regions(base: &Path, spec: &DatasetSpec) -> Vec<Region> {
    crate::layout::infer_regions::regions(&base.join(&spec.path), spec)
}

impl From<Diagnostic> for EditError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Failed(diagnostic.to_string())
    }
}

impl Editor {
    /// Reads the list of a dataset; `base` is what a relative `spec.path` is relative to. Faults of single
    /// items are left for the editor to mend.
    ///
    /// # Errors
    /// A dataset of which there is no list at all.
    pub fn open(base: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Self, Rejected> {
        let path = base.join(&spec.path);
        let rejected = |errors: Vec<Diagnostic>| {
            Rejected::new(path.clone(), errors.into_iter().collect::<Diagnostics>())
        };
        let listing = list(&path, spec, regions).map_err(rejected)?;
        let items = in_order(&listing).into_iter().map(|(item, _)| item.clone()).collect();
        let spec = DatasetSpec { path, ..spec.clone() };
        let decoder = Decoder { root: listing.root, spec, regions: regions.to_vec() };
        Ok(Self { decoder, layout: listing.layout, items })
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The dataset's folder.
    pub fn root(&self) -> &Path {
        &self.decoder.root
    }

    /// The regions.
    pub fn regions(&self) -> &[Region] {
        &self.decoder.regions
    }

    /// Name and caption of an item.
    pub fn title(&self, index: usize) -> Option<(String, &str)> {
        let item = self.items.get(index)?;
        Some((item.image.display().to_string(), &item.caption))
    }

    /// All of an item but its pixels.
    ///
    /// # Errors
    /// No such item; a picture that cannot be read.
    pub fn entry(&self, index: usize) -> Result<Entry, EditError> {
        let item = self.items.get(index).ok_or(EditError::Absent)?;
        let header = self.header(item)?;
        let caption = place::caption(self.root(), item, self.layout, &self.decoder.spec);
        let mask = |(r, region): (usize, &Region)| {
            let place = self.mask_place(item, &header, (r, region));
            MaskEntry {
                region: region.name.clone(),
                is_there: item.masks.get(r).is_some_and(Option::is_some),
                fixed: place.err(),
                problem: self.pixels(item, &header, r).err().map(|e| e.to_string()),
            }
        };
        Ok(Entry {
            name: item.image.display().to_string(),
            size: header.shown(),
            caption: item.caption.clone(),
            fixed: caption.err(),
            masks: self.regions().iter().enumerate().map(mask).collect(),
            version: self.version(item),
        })
    }

    /// A digest of what may change of an item.
    fn version(&self, item: &Item) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        };
        add(item.image.as_os_str().as_encoded_bytes());
        add(item.caption.as_bytes());
        for mask in &item.masks {
            let name = mask.as_ref().map(|mask| mask.to_string_lossy());
            add(name.as_deref().unwrap_or_default().as_bytes());
            let file = mask.as_ref().and_then(|mask| mask.path());
            let content = file.and_then(|file| Content::find(self.root(), &file.to_owned().into()).ok());
            add(&content.and_then(|content| content.hash().ok()).unwrap_or_default());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    fn mask_place(
        &self,
        item: &Item,
        header: &Header,
        region: (usize, &Region),
    ) -> Result<MaskPlace, String> {
        let spec = &self.decoder.spec;
        if spec.mask_orientation == MaskOrientation::Stored && header.orientation != Orientation::NoTransforms
        {
            return Err("the picture is turned by its EXIF data, and its masks are not".into());
        }
        place::mask(self.root(), &self.items, item, region, self.layout)
    }

    /// A mask's pixels, `[H, W]`; none where the item has no such mask.
    fn pixels(&self, item: &Item, header: &Header, region: usize) -> Result<Option<Vec<u8>>, Diagnostic> {
        let Some(image) = self.decoder.masks(item).find(|image| image.region == Some(region)) else {
            return Ok(None);
        };
        self.decoder.companion(item, &image, header).and_then(pixels::mask).map(Some)
    }

    /// The header of an item's picture; an error names the file.
    fn header(&self, item: &Item) -> Result<Header, EditError> {
        let located = |error| ItemImage::picture(item).locate(item, error);
        Ok(self.decoder.header(&item.source).map_err(located)?)
    }

    /// The picture as RGB.
    fn rgb(&self, item: &Item) -> Result<(RgbImage, Header), EditError> {
        let header = self.header(item)?;
        let located = |error| ItemImage::picture(item).locate(item, error);
        let content = Content::find(self.root(), &item.source).map_err(located)?;
        let bytes = self.decoder.picture(item, &content, &header).map_err(located)?;
        let (width, height) = header.shown();
        let failed = || EditError::Failed("the picture is not of the size of its header".into());
        Ok((RgbImage::from_raw(width, height, bytes).ok_or_else(failed)?, header))
    }

    /// The picture as a JPEG of at most `side` pixels at its longer side; with `masks`, regions are drawn in.
    ///
    /// # Errors
    /// No such item; a picture that cannot be read. A mask that cannot be read is left out.
    pub fn picture(&self, index: usize, side: u32, masks: bool) -> Result<Vec<u8>, EditError> {
        let item = self.items.get(index).ok_or(EditError::Absent)?;
        let (picture, header) = self.rgb(item)?;
        let side = side.min(picture.width().max(picture.height()));
        let of = |r| self.pixels(item, &header, r).ok().flatten().filter(|_| masks);
        let masks: Vec<_> = (0..self.regions().len()).map(of).collect();
        let failed = || EditError::Failed("the picture cannot be made smaller".into());
        thumbnail(&picture.into(), &masks, side).ok_or_else(failed)
    }

    /// A mask as a gray PNG of at most `side` pixels at its longer side; black where there is none that can
    /// be read.
    ///
    /// # Errors
    /// No such item or region; a picture that cannot be read.
    pub fn mask(&self, index: usize, region: usize, side: u32) -> Result<Vec<u8>, EditError> {
        let item = self.items.get(index).ok_or(EditError::Absent)?;
        self.regions().get(region).ok_or(EditError::Absent)?;
        let header = self.header(item)?;
        let (width, height) = header.shown();
        let side = side.min(width.max(height));
        let gray = match self.pixels(item, &header, region) {
            Ok(Some(pixels)) => GrayImage::from_raw(width, height, pixels).unwrap_or_default(),
            _ => GrayImage::new(width, height),
        };
        png(&DynamicImage::ImageLuma8(gray).thumbnail(side, side))
    }

    /// Writes what was changed of an item. `self` is then the dataset as it is after that.
    ///
    /// # Errors
    /// See [`EditError`]. What was written before an error is whole, and its original is kept.
    pub fn save(&mut self, index: usize, change: &Change) -> Result<(), EditError> {
        // The list may have changed since it was read; its lines are counted anew.
        let reopened = |editor: &Self| {
            let spec = &editor.decoder.spec;
            Self::open(Path::new(""), spec, editor.regions()).map_err(|e| EditError::Failed(e.to_string()))
        };
        *self = reopened(self)?;
        let item = self.items.get(index).ok_or(EditError::Absent)?;
        if self.version(item) != change.version {
            return Err(EditError::Stale);
        }
        let work = self.prepare(item, change)?;
        work.write(self.root()).map_err(EditError::Failed)?;
        *self = reopened(self)?;
        Ok(())
    }

    /// All that a change writes, ready to be written.
    fn prepare(&self, item: &Item, change: &Change) -> Result<Work, EditError> {
        let mut work = Work::default();
        let header = self.header(item)?;
        let spec = &self.decoder.spec;
        let refused = EditError::Refused;
        if let Some(text) = change.caption.as_ref().filter(|text| **text != item.caption) {
            let text = checked(text, spec).map_err(|e| refused(format!("the caption {e}")))?;
            let fixed = |e| refused(format!("the caption cannot be changed here: {e}"));
            match place::caption(self.root(), item, self.layout, spec).map_err(fixed)? {
                CaptionPlace::File(file) => work.texts.push((file, text)),
                CaptionPlace::Line(list, line) => {
                    work.line = Some((list, line));
                    work.values.push((spec.text_column.clone(), text.into()));
                }
            }
        }
        for (&r, strokes) in &change.strokes {
            let region = self.regions().get(r).ok_or(EditError::Absent)?;
            let fixed = |e| refused(format!("the mask of {} cannot be changed here: {e}", region.name));
            let place = self.mask_place(item, &header, (r, region)).map_err(fixed)?;
            let (width, height) = header.shown();
            // One that cannot be read is replaced, as the entry said.
            let before = self.pixels(item, &header, r).ok().flatten();
            let before = before.unwrap_or_else(|| vec![0; width as usize * height as usize]);
            let mut canvas = Canvas { width: width as usize, pixels: before };
            canvas.apply(strokes).map_err(refused)?;
            let is_empty = canvas.pixels.iter().all(|v| *v == 0);
            let gray = GrayImage::from_raw(width, height, canvas.pixels).unwrap_or_default();
            match place {
                MaskPlace::File(file) => work.masks.push((file, png(&gray.into())?)),
                MaskPlace::Listed { list, line, file, is_new } => {
                    let folder = list.parent().unwrap_or(Path::new(""));
                    let named = file.strip_prefix(folder).unwrap_or(&file);
                    let named = named.to_string_lossy().replace('\\', "/");
                    match (is_empty, is_new) {
                        (true, _) => work.values.push((region.mask.clone(), Value::Null)),
                        (false, true) => work.values.push((region.mask.clone(), named.into())),
                        (false, false) => {}
                    }
                    match is_empty {
                        true if is_new => {}
                        true => work.gone.push(file),
                        false => work.masks.push((file, png(&gray.into())?)),
                    }
                    work.line = Some((list, line));
                }
            }
        }
        Ok(work)
    }
}

fn png(picture: &DynamicImage) -> Result<Vec<u8>, EditError> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let written = picture.write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|e| EditError::Failed(format!("the mask cannot be made a PNG: {e}")))?;
    Ok(bytes.into_inner())
}
