//! The images of an item (picture, masks, conditioning image): how each one is found, checked against the
//! picture and decoded, wherever it is stored.

use std::path::{Path, PathBuf};

use fairhuman_pictures::{Header, Orientation};
use image::DynamicImage;

use crate::content::Content;
use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::item::Item;
use crate::pixels::{self, Background};
use crate::source::{ImageSource, MaskSource, Shapes};
use crate::spec::{DatasetSpec, MaskOrientation, MissingMask, Region};

/// One image of an item: the picture itself, a mask or the conditioning image.
#[derive(Clone)]
pub(crate) struct ItemImage<'a> {
    pub subject: Subject,
    /// The index of the region, for masks.
    pub region: Option<usize>,
    pixels: Pixels<'a>,
}

/// The source of an image's pixels.
#[derive(Clone, Copy)]
enum Pixels<'a> {
    Stored(&'a ImageSource),
    /// The picture's alpha channel.
    Alpha,
    Shapes(&'a Shapes),
}

impl<'a> ItemImage<'a> {
    pub fn picture(item: &'a Item) -> Self {
        ItemImage { subject: Subject::Picture, region: None, pixels: Pixels::Stored(&item.source) }
    }

    fn mask(region: usize, name: &str, source: &'a MaskSource) -> Self {
        let pixels = match source {
            MaskSource::Picture(source) => Pixels::Stored(source),
            MaskSource::Alpha => Pixels::Alpha,
            MaskSource::Shapes(shapes) => Pixels::Shapes(shapes),
        };
        ItemImage { subject: Subject::Mask(name.to_owned()), region: Some(region), pixels }
    }

    /// Its place of storage, unless it is drawn or part of the picture.
    pub fn source(&self) -> Option<&'a ImageSource> {
        match self.pixels {
            Pixels::Stored(source) => Some(source),
            Pixels::Alpha | Pixels::Shapes(_) => None,
        }
    }

    /// Its name in messages.
    pub fn name(&self, item: &'a Item) -> &'a Path {
        match self.pixels {
            Pixels::Stored(source) => source.name(),
            Pixels::Alpha => &item.image,
            Pixels::Shapes(shapes) => &shapes.list,
        }
    }

    /// The diagnostic with this image as what it is about.
    pub fn locate(&self, item: &'a Item, diagnostic: Diagnostic) -> Diagnostic {
        let diagnostic = diagnostic.about(self.subject.clone(), self.name(item)).of_picture(&item.image);
        match &item.origin {
            Some(origin) => diagnostic.in_line(origin),
            None => diagnostic,
        }
    }
}

/// Finds and decodes the images of a dataset's items.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    /// The dataset's folder, canonical.
    pub root: PathBuf,
    pub spec: DatasetSpec,
    pub regions: Vec<Region>,
}

impl Decoder {
    /// The masks of an item, in the order of the regions.
    pub fn masks<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = ItemImage<'a>> {
        let masks = item.masks.iter().zip(&self.regions).enumerate();
        masks.filter_map(|(i, (mask, region))| Some(ItemImage::mask(i, &region.name, mask.as_ref()?)))
    }

    /// The conditioning image of an item.
    pub fn conditioning<'a>(&self, item: &'a Item) -> Option<ItemImage<'a>> {
        let pixels = Pixels::Stored(item.conditioning.as_ref()?);
        Some(ItemImage { subject: Subject::Conditioning, region: None, pixels })
    }

    /// The images of an item other than its picture.
    pub fn companions<'a>(&'a self, item: &'a Item) -> impl Iterator<Item = ItemImage<'a>> {
        self.masks(item).chain(self.conditioning(item))
    }

    /// The header of a picture, mask or conditioning image.
    pub fn header(&self, source: &ImageSource) -> Result<Header, Diagnostic> {
        Content::find(&self.root, source)?.header(self.spec.max_pixels)
    }

    /// The picture's bytes and header, of the size that the first pass saw.
    pub fn find_picture(&self, item: &Item) -> Result<(Content, Header), Diagnostic> {
        let content = Content::find(&self.root, &item.source)?;
        let header = content.header(self.spec.max_pixels)?;
        if header.shown() != item.size {
            let hint = " when the dataset was opened: the file has changed since";
            return Err(wrong_size(header.shown(), item.size, hint));
        }
        Ok((content, header))
    }

    /// The picture as RGB bytes, `[H, W, 3]`.
    pub fn picture(&self, item: &Item, content: &Content, header: &Header) -> Result<Vec<u8>, Diagnostic> {
        let picture = content.decode(header, true)?;
        Ok(pixels::rgb(picture.image, background(item)))
    }

    /// The header of a mask or conditioning image, with the orientation that makes it fit its picture.
    pub fn fit(&self, image: &ItemImage, picture: &Header) -> Result<Header, Diagnostic> {
        let mut header = match image.pixels {
            Pixels::Stored(source) => self.header(source)?,
            Pixels::Alpha => {
                if !picture.alpha && self.spec.missing_mask == MissingMask::Error {
                    let text = "has no alpha channel to take the mask from (where a picture has no such region, \
                                set `missing_mask = \"absent\"`)";
                    return Err(Diagnostic::new(Kind::Missing, text));
                }
                return Ok(*picture);
            }
            Pixels::Shapes(shapes) => {
                Header { stored: shapes.size, orientation: Orientation::NoTransforms, ..*picture }
            }
        };
        if self.spec.mask_orientation == MaskOrientation::Stored {
            header.orientation = picture.orientation;
        }
        let (found, expected) = (header.shown(), picture.shown());
        if found == expected {
            return Ok(header);
        }
        let turned = picture.stored != expected && header.stored == picture.stored;
        let hint = match self.spec.mask_orientation {
            MaskOrientation::Shown if turned => {
                " as its EXIF orientation shows it; for masks made of the pixels as stored set \
                 `mask_orientation = \"stored\"`"
            }
            MaskOrientation::Stored if header.stored == expected => {
                " as its EXIF orientation shows it; it seems to be made of the picture as shown: set \
                 `mask_orientation = \"shown\"`"
            }
            _ => "",
        };
        Err(wrong_size(found, expected, hint))
    }

    /// A mask or conditioning image, turned to fit its picture.
    pub fn companion(
        &self,
        item: &Item,
        image: &ItemImage,
        picture: &Header,
    ) -> Result<DynamicImage, Diagnostic> {
        let header = self.fit(image, picture)?;
        let decode = |source| {
            let content = Content::find(&self.root, source)?;
            // Masks and control images are numbers, not colours.
            Ok::<_, Diagnostic>(content.decode(&header, false)?.image)
        };
        match image.pixels {
            Pixels::Stored(source) => decode(source),
            Pixels::Shapes(shapes) => {
                let mut mask = DynamicImage::ImageLuma8(shapes.draw());
                mask.apply_orientation(header.orientation);
                Ok(mask)
            }
            Pixels::Alpha => {
                let picture = decode(&item.source)?;
                Ok(match picture.color().has_alpha() {
                    true => pixels::alpha(&picture),
                    // Without an alpha channel there is no region, where that is not an error.
                    false => DynamicImage::new_luma8(picture.width(), picture.height()),
                })
            }
        }
    }

    /// Reads the headers of an item's images; the picture's size as shown, or all errors.
    pub fn check_headers(&self, item: &Item) -> Result<(u32, u32), Vec<Diagnostic>> {
        let mut errors = Vec::new();
        let mut push = |image: &ItemImage, error| errors.push(image.locate(item, error));
        let picture = self.header(&item.source);
        if let Err(error) = &picture {
            push(&ItemImage::picture(item), error.clone());
        }
        for image in self.companions(item) {
            let fits = match &picture {
                Ok(picture) => self.fit(&image, picture).map(|_| ()),
                Err(_) => image.source().map_or(Ok(()), |source| self.header(source).map(|_| ())),
            };
            if let Err(error) = fits {
                push(&image, error);
            }
        }
        match picture {
            Ok(picture) if errors.is_empty() => Ok(picture.shown()),
            _ => Err(errors),
        }
    }

    /// Decodes all images of an item; the errors.
    pub fn verify(&self, item: &Item) -> Vec<Diagnostic> {
        let mut errors = Vec::new();
        let mut push = |image: &ItemImage, error| errors.push(image.locate(item, error));
        let decoded = self.find_picture(item).and_then(|(content, header)| {
            self.picture(item, &content, &header)?;
            Ok(header)
        });
        match decoded {
            Err(error) => push(&ItemImage::picture(item), error),
            Ok(header) => {
                for image in self.companions(item) {
                    let decoded = self.companion(item, &image, &header);
                    let result = match image.region {
                        Some(_) => decoded.and_then(pixels::mask).map(|_| ()),
                        None => decoded.map(|_| ()),
                    };
                    if let Err(error) = result {
                        push(&image, error);
                    }
                }
            }
        }
        errors
    }
}

/// The background under an item's transparent parts.
pub(crate) fn background(item: &Item) -> Background {
    if item.takes_alpha() { Background::AsStored } else { Background::White }
}

fn wrong_size(found: (u32, u32), expected: (u32, u32), hint: &str) -> Diagnostic {
    let text = format!(
        "is {} x {} pixels, but {} x {} are needed, the size of the picture{hint}",
        found.0, found.1, expected.0, expected.1
    );
    Diagnostic::new(Kind::Size, text)
}
