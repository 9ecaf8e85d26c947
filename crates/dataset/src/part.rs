//! The pictures of an item (itself, its masks, its conditioning image), and how each is found, checked against
//! the picture, and decoded, wherever it is stored.

use std::path::Path;

use image::DynamicImage;
use image::metadata::Orientation;

use crate::content::Content;
use crate::dataset::Dataset;
use crate::header::{self, Header};
use crate::layout::Item;
use crate::pixels;
use crate::problem::{Fault, Problem, Subject};
use crate::source::{MaskSource, Source};
use crate::spec::{MaskOrientation, MissingMask};

/// One picture of an item: the picture itself, a mask or the conditioning image.
#[derive(Clone)]
pub(crate) struct Part<'a> {
    pub subject: Subject,
    /// The region, for masks.
    pub region: Option<usize>,
    pub from: PartFrom<'a>,
}

/// Where a part comes from.
#[derive(Clone, Copy)]
pub(crate) enum PartFrom<'a> {
    Source(&'a Source),
    Mask(&'a MaskSource),
}

impl<'a> Part<'a> {
    pub fn picture(item: &'a Item) -> Self {
        Part { subject: Subject::Picture, region: None, from: PartFrom::Source(&item.source) }
    }

    /// Where it is stored, if it has a place of its own.
    pub fn source(&self) -> Option<&'a Source> {
        match self.from {
            PartFrom::Source(source) | PartFrom::Mask(MaskSource::Picture(source)) => Some(source),
            PartFrom::Mask(MaskSource::Alpha | MaskSource::Shapes(_)) => None,
        }
    }

    /// What it is called in messages.
    pub fn name(&self, item: &'a Item) -> &'a Path {
        match self.from {
            PartFrom::Mask(MaskSource::Alpha) => &item.image,
            PartFrom::Mask(MaskSource::Shapes(shapes)) => &shapes.list,
            PartFrom::Source(source) | PartFrom::Mask(MaskSource::Picture(source)) => source.name(),
        }
    }

    /// What is wrong with it.
    pub fn problem(&self, item: &'a Item, fault: Fault) -> Problem {
        let (origin, image) = (item.origin.clone().map(Box::new), Some(item.image.clone()));
        Problem { origin, item: image, ..Problem::new(self.subject.clone(), self.name(item), fault) }
    }
}

impl Item {
    /// Whether the picture's alpha channel is a mask, and so not transparency.
    pub(crate) fn takes_alpha(&self) -> bool {
        self.masks.iter().any(|m| matches!(m, Some(MaskSource::Alpha)))
    }
}

impl Dataset {
    /// The parts of an item other than its picture.
    pub(crate) fn others<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = Part<'a>> {
        let masks = item.masks.iter().zip(self.regions()).enumerate();
        let masks = masks.filter_map(|(i, (mask, region))| {
            let subject = Subject::Mask(region.name.clone());
            Some(Part { subject, region: Some(i), from: PartFrom::Mask(mask.as_ref()?) })
        });
        masks.chain(item.conditioning.iter().map(|source| Part {
            subject: Subject::Conditioning,
            region: None,
            from: PartFrom::Source(source),
        }))
    }

    /// The header of a picture, mask or conditioning image.
    pub(crate) fn header(&self, source: &Source) -> Result<Header, Fault> {
        header::read(&Content::find(self.root(), source)?, self.spec().max_pixels)
    }

    /// The header of a mask or conditioning image, with the orientation that makes it fit its picture.
    pub(crate) fn fit(&self, part: &Part, picture: &Header) -> Result<Header, Fault> {
        let mut other = match part.from {
            PartFrom::Source(source) | PartFrom::Mask(MaskSource::Picture(source)) => self.header(source)?,
            PartFrom::Mask(MaskSource::Alpha) => {
                if !picture.alpha && self.spec().missing_mask == MissingMask::Error {
                    return Err(Fault::NoAlpha);
                }
                return Ok(*picture);
            }
            PartFrom::Mask(MaskSource::Shapes(shapes)) => {
                let orientation = Orientation::NoTransforms;
                Header { stored: shapes.size, orientation, ..*picture }
            }
        };
        if self.spec().mask_orientation == MaskOrientation::Stored {
            other.orientation = picture.orientation;
        }
        let found = other.shown();
        let expected = picture.shown();
        if found == expected {
            return Ok(other);
        }
        let turned = picture.stored != expected && other.stored == picture.stored;
        let hint = match self.spec().mask_orientation {
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

    /// A mask or conditioning image, turned to fit its picture.
    pub(crate) fn beside(&self, item: &Item, part: &Part, picture: &Header) -> Result<DynamicImage, Fault> {
        let header = self.fit(part, picture)?;
        let (source, own) = match part.from {
            PartFrom::Mask(MaskSource::Shapes(shapes)) => {
                let mut mask = DynamicImage::ImageLuma8(shapes.draw());
                mask.apply_orientation(header.orientation);
                return Ok(mask);
            }
            PartFrom::Mask(MaskSource::Alpha) => (&item.source, true),
            PartFrom::Source(source) | PartFrom::Mask(MaskSource::Picture(source)) => (source, false),
        };
        let content = Content::find(self.root(), source)?;
        let picture = pixels::decode(&content, &header, header.orientation)?;
        match own {
            // Without an alpha channel there is no region, where that is not an error.
            true if !picture.color().has_alpha() => {
                Ok(DynamicImage::new_luma8(picture.width(), picture.height()))
            }
            true => Ok(pixels::alpha(&picture)),
            false => Ok(picture),
        }
    }
}
