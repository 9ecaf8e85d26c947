//! Inspects one picture and all that belongs to it, pixel by pixel.

use std::path::Path;

use fairhuman_pictures::{Header, ProfileUse};
use image::{DynamicImage, ImageFormat};

use super::Options;
use super::components::{Coverage, components};
use super::duplicates::{Fingerprint, fingerprint};
use super::masks;
use super::report::ItemReport;
use super::thumbnail::thumbnail;
use super::tokens;
use crate::content::Content;
use crate::decode::{Decoder, ItemImage, background};
use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::geometry::{Crop, Draw, GeometrySpec, draw};
use crate::item::Item;
use crate::picture_files::extension;
use crate::pixels::{self, Background};
use crate::resample::cover;
use crate::sample::latent_mask;
use crate::source::ImageSource;

/// CLIP's tokens, begin and end included.
pub(super) const TOKENS: usize = 77;
/// Enlargements, in eighths, at which a region that vanishes is tried.
const LARGER: std::ops::RangeInclusive<u32> = 9..=64;

/// The result of inspecting an item.
pub(super) struct Inspected {
    pub report: ItemReport,
    pub diagnostics: Vec<Diagnostic>,
    pub hash: Option<[u8; 32]>,
    pub fingerprint: Option<Fingerprint>,
    /// The training size; none if the picture cannot be used.
    pub draw: Option<Draw>,
    /// One entry per region.
    pub regions: Vec<Option<InspectedRegion>>,
}

/// A region of an item in cells.
#[derive(Debug, Clone, Default)]
pub(super) struct InspectedRegion {
    /// Its cells in all.
    pub cells: usize,
    /// The cells of each component that has any.
    pub components: Vec<usize>,
    pub vanishing: usize,
    pub cropped: usize,
    /// The enlargement, in eighths, at which every component has a cell, if some vanish.
    pub visible_at: Option<u32>,
}

/// Inspects an item. `good` says that the layout found no error in it.
pub(super) fn inspect(decoder: &Decoder, item: &Item, good: bool, options: &Options) -> Inspected {
    let count = |text: &str| options.tokens.map_or_else(|| tokens::estimate(text), |count| count(text));
    let regions = decoder.regions.len();
    let mut found = Inspected {
        report: ItemReport {
            name: item.image.clone(),
            caption: item.caption.clone(),
            tokens: count(&item.caption),
            size: None,
            repeats: 0,
            cells: vec![None; regions],
            thumbnail: None,
        },
        diagnostics: Vec::new(),
        hash: None,
        fingerprint: None,
        draw: None,
        regions: vec![None; regions],
    };
    if found.report.tokens > TOKENS {
        let about = if options.tokens.is_some() { "" } else { "about (no tokenizer at hand) " };
        let text = format!(
            "has {about}{} tokens, {} more than the text encoder takes: its end is cut off",
            found.report.tokens,
            found.report.tokens - TOKENS
        );
        let long = Diagnostic::new(Kind::CaptionLong, text).about(Subject::Caption, &item.image);
        found.diagnostics.push(long);
    }
    let mut errors = Vec::new();
    let picture = picture(decoder, item, &mut found).map_err(|error| {
        errors.push(ItemImage::picture(item).locate(item, error));
    });
    let mut masks = vec![None; regions];
    for image in decoder.companions(item) {
        let result = match &picture {
            Ok((header, _)) => companion(decoder, item, &image, header, &mut found, &mut masks),
            // Without its picture a mask can still be missing or damaged.
            Err(()) => image.source().map_or(Ok(()), |source| decoder.header(source).map(|_| ())),
        };
        if let Err(error) = result {
            errors.push(image.locate(item, error));
        }
    }
    let usable = good && errors.is_empty();
    found.diagnostics.splice(0..0, errors);
    if let Ok((header, picture)) = picture {
        if options.thumbnails > 0 {
            found.report.thumbnail = thumbnail(&picture, &masks, options.thumbnails);
        }
        if usable {
            found.report.repeats = item.repeats;
        }
        // A size that is refused may be smaller than a cell.
        if usable && options.geometry.check(options.latent_factor).is_ok() {
            inspect_regions(decoder, item, header.shown(), &masks, &mut found, options);
        }
    }
    let origin = item.origin.clone().map(Box::new);
    for diagnostic in &mut found.diagnostics {
        diagnostic.origin = origin.clone();
    }
    found
}

/// Decodes the picture and notes what is lost on the way to 8-bit RGB.
fn picture(
    decoder: &Decoder,
    item: &Item,
    found: &mut Inspected,
) -> Result<(Header, DynamicImage), Diagnostic> {
    let content = Content::find(&decoder.root, &item.source)?;
    let header = decoder.header(&item.source)?;
    let decoded = content.decode(&header, true)?;
    let (decoded, profile) = (decoded.image, decoded.profile);
    found.hash = Some(content.hash()?);
    found.report.size = Some(header.shown());
    let mut note = |kind, text: &str| {
        found.diagnostics.push(Diagnostic::new(kind, text).about(Subject::Picture, &item.image));
    };
    if let Some(text) = mislabelled(&item.source, &header) {
        note(Kind::Mislabelled, &text);
    }
    if header.traits.animated {
        note(Kind::Animated, "is an animation: only its first frame is used");
    }
    if header.traits.cmyk {
        note(Kind::Cmyk, "is CMYK: it is converted to RGB without its colour profile, which shifts colours");
    }
    match profile {
        ProfileUse::None => {}
        ProfileUse::Converted => {
            note(Kind::ColourProfile, "has a colour profile other than sRGB: its colours are converted");
        }
        ProfileUse::Unusable(reason) => note(
            Kind::ColourProfileUnusable,
            &format!("has a colour profile that cannot be used ({reason}): its colours are taken for sRGB"),
        ),
    }
    if header.traits.deep {
        note(Kind::SixteenBit, "has 16 bits per channel: 8 are used");
    }
    if header.shown() != header.stored || header.orientation != image::metadata::Orientation::NoTransforms {
        note(Kind::Rotated, "is turned by its EXIF orientation, as viewers do");
    }
    let background = background(item);
    if matches!(background, Background::White) && is_transparent(&decoded) {
        note(Kind::Alpha, "has transparent parts: they become white");
    }
    let (width, height) = (decoded.width(), decoded.height());
    let rgb = pixels::rgb(decoded, background);
    if rgb.as_chunks::<3>().0.iter().all(|p| p[0] == p[1] && p[1] == p[2]) {
        note(Kind::Gray, "is gray: it teaches gray pictures");
    }
    let picture = image::RgbImage::from_raw(width, height, rgb).unwrap_or_default();
    let picture = DynamicImage::ImageRgb8(picture);
    found.fingerprint = Some(fingerprint(&picture));
    Ok((header, picture))
}

fn is_transparent(picture: &DynamicImage) -> bool {
    picture.color().has_alpha() && picture.to_rgba8().pixels().any(|p| p.0[3] < 255)
}

/// The message for an extension that does not fit the content, if it does not.
fn mislabelled(source: &ImageSource, header: &Header) -> Option<String> {
    let ImageSource::File(path) = source else { return None };
    let told = extension(path)?;
    let format = ImageFormat::from_extension(&told)?;
    (format != header.format).then(|| {
        format!(
            "is called .{told}, but its content is {:?}: it is read, other programs may refuse it",
            header.format
        )
    })
}

/// Decodes a mask or conditioning image and warns of what looks wrong.
fn companion(
    decoder: &Decoder,
    item: &Item,
    image: &ItemImage,
    picture: &Header,
    found: &mut Inspected,
    masks: &mut [Option<Vec<u8>>],
) -> Result<(), Diagnostic> {
    let decoded = decoder.companion(item, image, picture)?;
    let mut warn = |kind, text: String| {
        let subject = image.subject.clone();
        found.diagnostics.push(Diagnostic::new(kind, text).about(subject, image.name(item)));
    };
    if let Some(source) = image.source()
        && let Some(text) = mislabelled(source, &decoder.header(source)?)
    {
        warn(Kind::Mislabelled, text);
    }
    if let Some(region) = image.region {
        if pixels::is_shaped_by_alpha(&decoded) {
            let text = "is all black, and its shape is in its alpha channel: the region is where it is opaque; \
                        if it should be the opposite, save it white on black";
            warn(Kind::Doubtful, text.into());
        }
        let width = decoded.width() as usize;
        let mask = pixels::mask(decoded)?;
        masks::inspect(&mask, width).into_iter().for_each(|(kind, text)| warn(kind, text));
        masks[region] = Some(mask);
    }
    Ok(())
}

/// Counts each region's cells, in the middle of the picture and not mirrored.
fn inspect_regions(
    decoder: &Decoder,
    item: &Item,
    size: (u32, u32),
    masks: &[Option<Vec<u8>>],
    found: &mut Inspected,
    options: &Options,
) {
    let geometry = GeometrySpec { crop: Crop::Center, flip: 0.0, ..options.geometry };
    let draw = draw(&geometry, size, 0, 0, 0);
    found.draw = Some(draw);
    let factor = options.mask_cell.max(1);
    let (cols, rows) = (draw.width as usize / factor, draw.height as usize / factor);
    let threshold = decoder.spec.mask_threshold;
    for (region, mask) in masks.iter().enumerate() {
        let Some(mask) = mask else { continue };
        let cells = latent_mask(&cover(mask, &draw, cols, rows), rows, cols, threshold);
        let cells = cells.map_or(0, |m| m.cells.iter().filter(|c| **c > 0.0).count());
        let mut counted = InspectedRegion { cells, ..InspectedRegion::default() };
        for component in components(mask, size.0 as usize) {
            match component.coverage(&draw, cols, rows, threshold) {
                Coverage::Cells(cells) => counted.components.push(cells),
                Coverage::Cropped => counted.cropped += 1,
                Coverage::Vanishes => {
                    counted.vanishing += 1;
                    let larger = |eighths: u32| {
                        let grown = |n: usize| n * eighths as usize / 8;
                        let coverage = component.coverage(&draw, grown(cols), grown(rows), threshold);
                        matches!(coverage, Coverage::Cells(_))
                    };
                    let needed = LARGER.into_iter().find(|e| larger(*e)).unwrap_or(*LARGER.end());
                    counted.visible_at = counted.visible_at.max(Some(needed));
                }
            }
        }
        let file = item.masks[region].as_ref().and_then(|m| m.path()).unwrap_or(Path::new(&item.image));
        let mut report = |kind, text: String| {
            let subject = Subject::Mask(decoder.regions[region].name.clone());
            found.diagnostics.push(Diagnostic::new(kind, text).about(subject, file));
        };
        if counted.vanishing > 0 {
            let text = format!(
                "{} of its {} parts cover less than the threshold of every cell and vanish",
                counted.vanishing,
                counted.vanishing + counted.components.len() + counted.cropped
            );
            report(Kind::Vanishing, text);
        }
        if counted.cropped > 0 {
            let text = format!("{} of its parts lie outside of the middle that is kept", counted.cropped);
            report(Kind::Cropped, text);
        }
        found.report.cells[region] = Some(cells);
        found.regions[region] = Some(counted);
    }
}
