//! Where an item's caption and masks are written, or why they are not; and the originals of files that
//! change.

use std::path::{Component, Path, PathBuf};

use crate::item::Item;
use crate::layout::{Locator, caption_of_file};
use crate::paths::inside;
use crate::picture_files::extension;
use crate::source::{ImageSource, MaskSource};
use crate::spec::{DatasetSpec, Layout, Region};

/// The folder of the dataset with its files as they were before their first change. Readers of datasets pass
/// over names that begin with a dot.
pub(super) const BEFORE: &str = ".before";

/// Where a caption is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum CaptionPlace {
    /// A line of a JSON list: the list, and the line from 1.
    Line(PathBuf, usize),
    /// A text file.
    File(PathBuf),
}

/// Where a mask is written, relative to the dataset's folder.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum MaskPlace {
    /// A file that the item has, or would be found by its name.
    File(PathBuf),
    /// A file that a JSON list names: `file` is the item's own, or a new one.
    Listed { list: PathBuf, line: usize, file: PathBuf, is_new: bool },
}

/// The JSON list that names an item, and its line.
fn json_line(item: &Item, layout: Layout) -> Result<(PathBuf, usize), String> {
    match (&item.origin, layout) {
        (Some(origin), Layout::Metadata | Layout::ImageFolder) if !is(&origin.list, "csv") => {
            Ok((origin.list.clone(), origin.line))
        }
        (Some(origin), _) => Err(format!("it is in {}: change it there", origin.list.display())),
        (None, _) => Err("it is not in a file of its own: change it where it comes from".into()),
    }
}

fn is(path: &Path, ending: &str) -> bool {
    extension(path).is_some_and(|e| e == ending)
}

/// Where the caption of an item is written.
///
/// # Errors
/// Why it is not, in words.
pub(super) fn caption(
    root: &Path,
    item: &Item,
    layout: Layout,
    spec: &DatasetSpec,
) -> Result<CaptionPlace, String> {
    if !matches!(layout, Layout::Files | Layout::Kohya) {
        return json_line(item, layout).map(|(list, line)| CaptionPlace::Line(list, line));
    }
    let file = item.image.with_extension(spec.caption_extension.trim_start_matches('.'));
    match root.join(&file).symlink_metadata() {
        Err(_) if layout == Layout::Files => Ok(CaptionPlace::File(file)),
        // A dataset config may take captions from elsewhere, or put words around them.
        Ok(_)
            if layout == Layout::Files
                || caption_of_file(root, &file, spec) == Some(item.caption.clone()) =>
        {
            Ok(CaptionPlace::File(file))
        }
        _ => Err(format!("it is not what stands in {}: change it where it comes from", file.display())),
    }
}

/// Where the mask of a region is written. `items` are all of the dataset.
///
/// # Errors
/// Why it is not, in words.
pub(super) fn mask(
    root: &Path,
    items: &[Item],
    item: &Item,
    (index, region): (usize, &Region),
    layout: Layout,
) -> Result<MaskPlace, String> {
    let own = match item.masks.get(index).and_then(Option::as_ref) {
        None => None,
        Some(MaskSource::Alpha) => return Err("it is the picture's own transparency".into()),
        Some(MaskSource::Shapes(_)) => return Err("it is drawn of annotations: change them".into()),
        Some(MaskSource::Picture(ImageSource::Cell(_))) => return Err("it is in a table".into()),
        Some(MaskSource::Picture(ImageSource::File(file))) => Some(file.clone()),
    };
    // A black mask that serves for many pictures is a common one.
    let users = |file: &Path| {
        let masks = items.iter().flat_map(|item| item.masks.iter().flatten());
        masks.filter(|mask| mask.path() == Some(file)).count()
    };
    let usable = own.clone().filter(|file| users(file) == 1 && is(file, "png"));
    let listed = json_line(item, layout);
    if let Ok((list, line)) = listed.clone() {
        if let Some(file) = usable {
            return Ok(MaskPlace::Listed { list, line, file, is_new: false });
        }
        let folder = list.parent().unwrap_or(Path::new(""));
        let file = (1..).map(|n| new_name(folder, item, region, n)).find(|file| users(file) == 0);
        return Ok(MaskPlace::Listed { list, line, file: file.unwrap_or_default(), is_new: true });
    }
    match (usable, own) {
        (Some(file), _) => Ok(MaskPlace::File(file)),
        (None, Some(file)) if users(&file) > 1 => Err("other pictures have the same mask file".into()),
        (None, Some(file)) => Err(format!("{}: only masks in PNG are changed here", file.display())),
        (None, None) if layout == Layout::Files => {
            let folder = item.image.parent().unwrap_or(Path::new(""));
            let stem = item.image.file_stem().unwrap_or_default();
            let located = Locator::new(root, folder, &region.mask, None).map_err(|e| e.to_string())?;
            let file = located.place(stem).filter(|file| is(file, "png"));
            file.map(MaskPlace::File).ok_or_else(|| format!("{:?} names no PNG file", region.mask))
        }
        (None, None) => Err(listed.err().unwrap_or_default()),
    }
}

/// The n-th name for a new mask beside a list: `masks/REGION/PICTURE.png`, as `annotate` calls them.
fn new_name(folder: &Path, item: &Item, region: &Region, n: usize) -> PathBuf {
    let short = region.mask.trim_start_matches("mask_").trim_end_matches("_mask");
    let plain = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let region: String = short.chars().map(plain).collect();
    let image = item.image.strip_prefix(folder).unwrap_or(&item.image);
    let image = image.strip_prefix("images").unwrap_or(image);
    let mut file = folder.join("masks").join(region);
    let parts = image.components().filter(|part| matches!(part, Component::Normal(_)));
    file.extend(parts);
    let ending = if n == 1 { ".png".to_owned() } else { format!("-{n}.png") };
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    file.with_file_name(name)
}

/// The path of a file that is to be written, whose folders are made; never outside of the dataset.
///
/// # Errors
/// A path that leaves it, or a folder that cannot be made, in words.
pub(super) fn prepare(root: &Path, file: &Path) -> Result<PathBuf, String> {
    let fail = |reason: String| format!("{}: {reason}", file.display());
    let mut folder = PathBuf::new();
    for part in file.parent().unwrap_or(Path::new("")).components() {
        match part {
            Component::CurDir => continue,
            Component::Normal(_) | Component::ParentDir => folder.push(part),
            _ => return Err(fail("is not within the dataset".into())),
        }
        let there = root.join(&folder);
        if there.symlink_metadata().is_err() {
            std::fs::create_dir(&there).map_err(|e| fail(format!("its folder cannot be made: {e}")))?;
        }
        inside(root, &folder).map_err(|e| fail(e.message))?;
        if !there.is_dir() {
            return Err(fail(format!("{} is a file, where its folder should be", folder.display())));
        }
    }
    Ok(root.join(file))
}

/// Keeps a file as it is before its first change, under [`BEFORE`].
///
/// # Errors
/// The copy cannot be written, in words.
pub(super) fn keep(root: &Path, file: &Path) -> Result<(), String> {
    let plain = file.components().filter(|part| matches!(part, Component::Normal(_)));
    let copy = Path::new(BEFORE).join(plain.collect::<PathBuf>());
    let path = root.join(file);
    if path.symlink_metadata().is_err() || root.join(&copy).symlink_metadata().is_ok() {
        return Ok(());
    }
    // Before a folder is made for it: nothing outside of the dataset is kept, or written later.
    let from = inside(root, file).map_err(|e| format!("{}: {}", file.display(), e.message))?;
    let to = prepare(root, &copy)?;
    let fail = |e: std::io::Error| format!("{}: the original cannot be kept: {e}", copy.display());
    let bytes = fairhuman_files::read(from).map_err(fail)?;
    fairhuman_files::write_atomically(&to, &bytes).map_err(fail)
}
