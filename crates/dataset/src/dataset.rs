//! A dataset that has been checked, and the loading of its items.

use std::path::Path;

use rayon::prelude::*;

use crate::captions::caption;
use crate::content::Content;
use crate::controls;
use crate::decode::{Decoder, ItemImage};
use crate::diagnostic::{DatasetError, Diagnostic, Diagnostics, Kind, Rejected, Severity};
use crate::fit::Fit;
use crate::geometry::{Draw, GeometrySpec};
use crate::item::Item;
use crate::layout::{self, Listing};
use crate::sample::{self, Sample, Wanted};
use crate::spec::{DatasetSpec, Layout, Region};

/// Items whose errors are held at once, before the first of each kind are kept.
pub(crate) const AT_ONCE: usize = 4096;

/// Pictures, masks and captions whose headers have all been read and fit each other.
#[derive(Debug, Clone)]
pub struct Dataset {
    decoder: Decoder,
    items: Vec<Item>,
    layout: Layout,
    diagnostics: Vec<Diagnostic>,
}

impl Dataset {
    /// Reads the list, every caption and every header, and reports all errors at once.
    ///
    /// `base` is the folder that a relative `spec.path` is relative to: the recipe's. Pixels are not decoded;
    /// see [`Dataset::verify`].
    pub fn open(base: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Dataset, Rejected> {
        let path = base.join(&spec.path);
        let rejected = |errors| Rejected::new(path.clone(), errors);
        let Listing { root, layout, mut items, diagnostics, .. } =
            list(&path, spec, regions).map_err(|errors| rejected(errors.into_iter().collect()))?;
        let decoder = Decoder { root, spec: spec.clone(), regions: regions.to_vec() };
        let mut diagnostics = diagnostics;
        for items in items.chunks_mut(AT_ONCE) {
            let checked: Vec<_> = items.par_iter().map(|item| decoder.check_headers(item)).collect();
            for (item, result) in items.iter_mut().zip(checked) {
                match result {
                    Ok(size) => item.size = size,
                    Err(found) => diagnostics.extend(found),
                }
            }
        }
        // A check names these with all other files that nothing uses.
        if layout == Layout::Files && spec.folders.is_empty() {
            diagnostics.extend(layout::unread_folders(&decoder.root, &items));
        }
        let count = diagnostics.count(Severity::Error);
        let (mut errors, diagnostics) = diagnostics.into_errors_and_rest();
        if count == 0 {
            return Ok(Dataset { decoder, items, layout, diagnostics });
        }
        // Errors of the list and of the files come from two passes; a reader wants them line by line.
        errors.sort_by_key(|e| e.origin.as_ref().map(|o| o.line));
        Err(Rejected { dataset: path, errors, count })
    }

    /// The layout that was read; never `Auto`.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Warnings and notes of the layout's reader: what it passed over or assumed.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The indices of an epoch, each as often as its item's repeats, not shuffled.
    pub fn epoch(&self) -> Vec<usize> {
        let times = |(i, item): (usize, &Item)| std::iter::repeat_n(i, item.repeats as usize);
        self.items.iter().enumerate().flat_map(times).collect()
    }

    /// The caption that sample `sample` of step `step` sees of item `i`: shuffled, shortened or left out as
    /// the recipe says; a pure function of its arguments.
    ///
    /// # Panics
    /// As [`Dataset::item`].
    pub fn caption(&self, i: usize, seed: u64, step: u64, sample: u64) -> String {
        let item = &self.items[i];
        caption(&item.captions, &item.caption, seed, step, sample)
    }

    /// A warning if the dataset's control images are all alike.
    pub fn alike_controls(&self) -> Option<Diagnostic> {
        controls::alike(&self.decoder, self.items.iter())
    }

    /// Enlargement and cropping of the pictures at a training size.
    pub fn fit(&self, geometry: &GeometrySpec) -> Fit {
        Fit::of(self.items.iter().map(|item| (&item.image, item.size)), geometry)
    }

    /// Leaves the first items, so many of them.
    pub fn truncate(&mut self, items: usize) {
        self.items.truncate(items);
    }

    /// The number of items.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// True if there are no items; an opened dataset has at least one.
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
        &self.decoder.regions
    }

    /// The dataset's table of the recipe.
    pub fn spec(&self) -> &DatasetSpec {
        &self.decoder.spec
    }

    /// The dataset's folder: the paths of its items are relative to it.
    pub fn root(&self) -> &Path {
        &self.decoder.root
    }

    /// Loads the wanted parts of item `i` in the geometry `draw`, with masks of `latent_factor` pixels per
    /// cell.
    ///
    /// A `latent_factor` of 1 gives masks at the picture's resolution. A picture that is not wanted is
    /// decoded only where its alpha channel is a wanted mask.
    ///
    /// # Errors
    /// No such item, a geometry of another picture, or a file that has changed or cannot be decoded.
    pub fn load(
        &self,
        i: usize,
        draw: &Draw,
        latent_factor: usize,
        wanted: Wanted,
    ) -> Result<Sample, DatasetError> {
        sample::load(&self.decoder, self.get(i)?, draw, latent_factor, wanted)
    }

    /// BLAKE3 of the picture's file, orientation included: with the [`Draw`], the key of a cached latent.
    pub fn image_hash(&self, i: usize) -> Result<[u8; 32], DatasetError> {
        let item = self.get(i)?;
        let mut hash = Content::find(self.root(), &item.source).and_then(|content| content.hash());
        if item.takes_alpha() {
            // The same file gives other colours where its alpha is a mask.
            hash = hash.map(|hash| blake3::hash(&[&hash[..], b"alpha"].concat()).into());
        }
        Ok(hash.map_err(|error| ItemImage::picture(item).locate(item, error))?)
    }

    /// Decodes every pixel of every file once and reports all errors: those that [`Dataset::open`] cannot
    /// see.
    pub fn verify(&self) -> Result<(), Rejected> {
        let mut errors = Diagnostics::default();
        for items in self.items.chunks(AT_ONCE) {
            let found = items.par_iter().flat_map_iter(|item| self.decoder.verify(item));
            errors.extend(found.collect::<Vec<_>>());
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Rejected::new(self.root().to_owned(), errors))
    }

    fn get(&self, index: usize) -> Result<&Item, DatasetError> {
        let len = self.items.len();
        self.items.get(index).ok_or(DatasetError::Index { index, len })
    }
}

/// Reads the list alone. Errors of single items are among its diagnostics; `Err` holds those of the whole.
pub(crate) fn list(path: &Path, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Vec<Diagnostic>> {
    let errors = spec.errors(regions);
    if !errors.is_empty() {
        return Err(errors.into_iter().map(|text| Diagnostic::new(Kind::Recipe, text)).collect());
    }
    layout::read(path, spec, regions).map_err(|error| vec![error])
}
