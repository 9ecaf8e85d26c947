//! One picture and all that belongs to it, looked at pixel by pixel.

use std::path::Path;

use image::{DynamicImage, ImageFormat};

use super::Options;
use super::duplicates::{Looks, looks};
use super::masks::suspicions;
use super::parts::{Seen, parts};
use super::report::{Finding, ItemReport, Kind};
use super::thumbnail::thumbnail;
use super::tokens;
use crate::content::Content;
use crate::dataset::{Dataset, latent_mask};
use crate::geometry::{Crop, Draw, GeometrySpec, draw};
use crate::header::Header;
use crate::layout::Item;
use crate::layout::files::extension;
use crate::part::Part;
use crate::pixels::{self, Under};
use crate::problem::{Fault, Subject};
use crate::resample::cover;
use crate::source::Source;

/// CLIP's tokens, begin and end included.
pub(super) const TOKENS: usize = 77;
/// How much larger a region that vanishes is tried, in eighths.
const LARGER: std::ops::RangeInclusive<u32> = 9..=64;

/// What was seen of an item.
pub(super) struct Looked {
    pub report: ItemReport,
    pub findings: Vec<Finding>,
    pub hash: Option<[u8; 32]>,
    pub looks: Option<Looks>,
    /// The training size; none if the picture cannot be used.
    pub draw: Option<Draw>,
    /// One entry per region.
    pub regions: Vec<Option<LookedRegion>>,
}

/// A region of an item in cells.
#[derive(Debug, Clone, Default)]
pub(super) struct LookedRegion {
    /// Its cells in all.
    pub cells: usize,
    /// The cells of each part that has any.
    pub parts: Vec<usize>,
    pub vanishing: usize,
    pub cropped: usize,
    /// The enlargement, in eighths, at which every part has a cell, if some vanish.
    pub visible_at: Option<u32>,
}

/// Looks at an item. `good` says that the layout found nothing wrong with it.
pub(super) fn look(dataset: &Dataset, item: &Item, good: bool, options: &Options) -> Looked {
    let count = |text: &str| options.tokens.map_or_else(|| tokens::estimate(text), |count| count(text));
    let mut looked = Looked {
        report: ItemReport {
            name: item.image.clone(),
            caption: item.caption.clone(),
            tokens: count(&item.caption),
            size: None,
            repeats: 0,
            cells: vec![None; dataset.regions().len()],
            thumbnail: None,
        },
        findings: Vec::new(),
        hash: None,
        looks: None,
        draw: None,
        regions: vec![None; dataset.regions().len()],
    };
    if looked.report.tokens > TOKENS {
        let about = if options.tokens.is_some() { "" } else { "about (no tokenizer at hand) " };
        let text = format!(
            "has {about}{} tokens, {} more than the text encoder takes: its end is cut off",
            looked.report.tokens,
            looked.report.tokens - TOKENS
        );
        looked.findings.push(Finding::new(Kind::CaptionLong, &Subject::Caption, &item.image, text));
    }
    let mut problems = Vec::new();
    let picture = picture(dataset, item, &mut looked, &mut problems);
    let mut masks = vec![None; dataset.regions().len()];
    for part in dataset.others(item) {
        let seen = match &picture {
            Some((header, _)) => mask(dataset, item, &part, header, &mut looked, &mut masks),
            // Without its picture a mask can still be missing or damaged.
            None => part.source().map_or(Ok(()), |source| dataset.header(source).map(|_| ())),
        };
        if let Err(fault) = seen {
            problems.push((part, fault));
        }
    }
    let usable = good && problems.is_empty() && picture.is_some();
    let faults = problems.into_iter().map(|(part, fault)| Finding::from(&part.problem(item, fault)));
    looked.findings.splice(0..0, faults);
    if let Some((header, picture)) = picture {
        if options.thumbnails > 0 {
            looked.report.thumbnail = thumbnail(&picture, &masks, options.thumbnails);
        }
        if usable {
            looked.report.repeats = item.repeats;
        }
        // A size that is refused may be smaller than a cell.
        if usable && options.geometry.check(options.latent_factor).is_ok() {
            regions(dataset, item, header.shown(), &masks, &mut looked, options);
        }
    }
    let line = item.origin.as_ref().map(ToString::to_string);
    for finding in &mut looked.findings {
        finding.line = line.clone();
    }
    looked
}

/// Decodes the picture and notes what is lost on the way to 8-bit RGB.
fn picture<'a>(
    dataset: &Dataset,
    item: &'a Item,
    looked: &mut Looked,
    problems: &mut Vec<(Part<'a>, Fault)>,
) -> Option<(Header, DynamicImage)> {
    let read = || {
        let content = Content::find(dataset.root(), &item.source)?;
        let header = dataset.header(&item.source)?;
        let picture = pixels::decode(&content, &header, header.orientation)?;
        Ok((content.hash()?, header, picture))
    };
    let (hash, header, decoded) = match read() {
        Ok(read) => read,
        Err(fault) => {
            problems.push((Part::picture(item), fault));
            return None;
        }
    };
    looked.hash = Some(hash);
    looked.report.size = Some(header.shown());
    let mut note = |kind, text: &str| {
        looked.findings.push(Finding::new(kind, &Subject::Picture, &item.image, text.to_owned()));
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
    if header.traits.deep {
        note(Kind::SixteenBit, "has 16 bits per channel: 8 are used");
    }
    if header.shown() != header.stored || header.orientation != image::metadata::Orientation::NoTransforms {
        note(Kind::Rotated, "is turned by its EXIF orientation, as viewers do");
    }
    let under = if item.takes_alpha() { Under::AsStored } else { Under::White };
    if matches!(under, Under::White) && is_transparent(&decoded) {
        note(Kind::Alpha, "has transparent parts: they become white");
    }
    let (width, height) = (decoded.width(), decoded.height());
    let rgb = pixels::rgb(decoded, under);
    if rgb.as_chunks::<3>().0.iter().all(|p| p[0] == p[1] && p[1] == p[2]) {
        note(Kind::Gray, "is gray: it teaches gray pictures");
    }
    let picture = DynamicImage::ImageRgb8(image::RgbImage::from_raw(width, height, rgb)?);
    looked.looks = Some(looks(&picture));
    Some((header, picture))
}

fn is_transparent(picture: &DynamicImage) -> bool {
    picture.color().has_alpha() && picture.to_rgba8().pixels().any(|p| p.0[3] < 255)
}

/// What is wrong with the extension of a picture's file.
fn mislabelled(source: &Source, header: &Header) -> Option<String> {
    let Source::File(path) = source else { return None };
    let told = extension(path)?;
    let format = ImageFormat::from_extension(&told)?;
    (format != header.format).then(|| {
        format!(
            "is called .{told}, but its content is {:?}: it is read, other programs may refuse it",
            header.format
        )
    })
}

/// Decodes a mask or conditioning image and notes what is suspicious.
fn mask(
    dataset: &Dataset,
    item: &Item,
    part: &Part,
    picture: &Header,
    looked: &mut Looked,
    masks: &mut [Option<Vec<u8>>],
) -> Result<(), Fault> {
    let decoded = dataset.beside(item, part, picture)?;
    if let Some(source) = part.source()
        && let Some(text) = mislabelled(source, &dataset.header(source)?)
    {
        looked.findings.push(Finding::new(Kind::Mislabelled, &part.subject, part.name(item), text));
    }
    if let Some(region) = part.region {
        let width = decoded.width() as usize;
        let mask = pixels::mask(decoded)?;
        for (kind, text) in suspicions(&mask, width) {
            looked.findings.push(Finding::new(kind, &part.subject, part.name(item), text));
        }
        masks[region] = Some(mask);
    }
    Ok(())
}

/// What each region is in cells, in the middle of the picture and not mirrored.
fn regions(
    dataset: &Dataset,
    item: &Item,
    size: (u32, u32),
    masks: &[Option<Vec<u8>>],
    looked: &mut Looked,
    options: &Options,
) {
    let geometry = GeometrySpec { crop: Crop::Center, flip: 0.0, ..options.geometry };
    let draw = draw(&geometry, size, 0, 0, 0);
    looked.draw = Some(draw);
    let factor = options.mask_cell.max(1);
    let (cols, rows) = (draw.width as usize / factor, draw.height as usize / factor);
    let threshold = dataset.spec().mask_threshold;
    for (region, mask) in masks.iter().enumerate() {
        let Some(mask) = mask else { continue };
        let cells = latent_mask(&cover(mask, &draw, cols, rows), rows, cols, threshold);
        let cells = cells.map_or(0, |m| m.cells.iter().filter(|c| **c > 0.0).count());
        let mut seen = LookedRegion { cells, ..LookedRegion::default() };
        for part in parts(mask, size.0 as usize) {
            match part.seen(&draw, cols, rows, threshold) {
                Seen::Cells(cells) => seen.parts.push(cells),
                Seen::Cropped => seen.cropped += 1,
                Seen::Vanishes => {
                    seen.vanishing += 1;
                    let larger = |eighths: u32| {
                        let grown = |n: usize| n * eighths as usize / 8;
                        matches!(part.seen(&draw, grown(cols), grown(rows), threshold), Seen::Cells(_))
                    };
                    let needed = LARGER.into_iter().find(|e| larger(*e)).unwrap_or(*LARGER.end());
                    seen.visible_at = seen.visible_at.max(Some(needed));
                }
            }
        }
        let name = dataset.regions()[region].name.clone();
        let subject = Subject::Mask(name);
        let file = item.masks[region].as_ref().and_then(|m| m.path()).unwrap_or(Path::new(&item.image));
        if seen.vanishing > 0 {
            let text = format!(
                "{} of its {} parts cover less than the threshold of every cell and vanish",
                seen.vanishing,
                seen.vanishing + seen.parts.len() + seen.cropped
            );
            looked.findings.push(Finding::new(Kind::Vanishing, &subject, file, text));
        }
        if seen.cropped > 0 {
            let text = format!("{} of its parts lie outside of the middle that is kept", seen.cropped);
            looked.findings.push(Finding::new(Kind::Cropped, &subject, file, text));
        }
        looked.report.cells[region] = Some(cells);
        looked.regions[region] = Some(seen);
    }
}
