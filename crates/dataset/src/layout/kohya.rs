//! sd-scripts' datasets: folders `N_name`, or a TOML file with `[[datasets]]` and their
//! `[[datasets.subsets]]`.
//!
//! Settings of training rather than of data (resolution, batch size, buckets) belong to the recipe: they are
//! ignored, with a note.

mod keys;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::{Table, Value};

use super::files::{FolderRules, add_folder};
use super::{Listing, list_in};
use crate::captions::CaptionSpec;
use crate::diagnostic::{Diagnostic, Kind, Subject};
use crate::paths::{inside, unreadable};
use crate::picture_files::holds_pictures;
use crate::spec::{DatasetSpec, Layout, MOST_REPEATS, Region};
use crate::spelling::Spellings;
use keys::{Meaning, meaning};

/// Accepted range of repeat counts.
const REPEATS: RangeInclusive<u64> = 1..=MOST_REPEATS as u64;
/// A repeat count above this is reported: the number may be something else, a date or a size.
const MANY: u32 = 1000;

/// Reads the TOML file at `path`, or the folder's `N_name` folders, or its `dataset.toml`.
pub(super) fn read(path: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Diagnostic> {
    let problem = |file: &Path, error: Diagnostic| error.about(Subject::Dataset, file);
    let numbered = match path.is_dir() {
        true => folders(&path).map_err(|e| problem(&path, unreadable(&e)))?,
        false => Vec::new(),
    };
    let mut listing;
    if numbered.is_empty() {
        let (list, root) = list_in(path, "dataset.toml");
        let name = PathBuf::from(list.file_name().unwrap_or_default());
        let hint = ": the layout `kohya` needs folders such as `10_name`, or a TOML dataset config";
        let text = inside(&root, &name)
            .and_then(|_| fairhuman_files::read_to_string(&list).map_err(|e| unreadable(&e)));
        let text = text.map_err(|error| problem(&name, error.with_hint(hint)))?;
        let config: Config = toml::from_str(&text).map_err(|e| {
            problem(&name, Diagnostic::new(Kind::List, format!("is not a dataset config: {e}")))
        })?;
        listing = Listing::new(root, Layout::Kohya);
        listing.used.push(name.clone());
        add_config(&mut listing, &name, &config, spec, regions);
    } else {
        listing = Listing::new(path, Layout::Kohya);
        for (folder, number, words) in numbered {
            let Some(repeats) = in_range(number, &REPEATS) else {
                let text = format!(
                    "its name says {number} repeats: expected {} to {}; where the number is none of repeats, \
                     rename the folder, or set `layout = \"files\"` and name it in `folders`",
                    REPEATS.start(),
                    REPEATS.end()
                );
                listing.report(Subject::Dataset, folder, Diagnostic::new(Kind::Recipe, text));
                continue;
            };
            let mut rules = FolderRules { repeats, ..FolderRules::new(spec) };
            rules.default_caption.get_or_insert(words);
            add(&mut listing, &folder, &rules, spec, regions);
        }
    }
    if listing.is_empty() {
        return Err(problem(&listing.root, Diagnostic::new(Kind::Recipe, "holds no pictures")));
    }
    Ok(listing)
}

/// `number`, if it lies in `range`.
fn in_range(number: u64, range: &RangeInclusive<u64>) -> Option<u32> {
    range.contains(&number).then(|| u32::try_from(number).ok())?
}

/// Adds the pictures of a folder, and warns of large numbers of repeats.
fn add(listing: &mut Listing, folder: &Path, rules: &FolderRules, spec: &DatasetSpec, regions: &[Region]) {
    if rules.repeats > MANY {
        let text = format!("each of its pictures comes {} times in an epoch", rules.repeats);
        listing.warn(folder, text);
    }
    add_folder(listing, folder, rules, spec, regions);
}

/// True if a folder is called `N_name`.
pub(super) fn is_numbered(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.split_once('_').is_some_and(|(number, _)| number.parse::<u64>().is_ok_and(|number| number > 0))
}

/// The folders called `N_name` in `root`: their names, N, and the words of the name.
pub(super) fn folders(root: &Path) -> std::io::Result<Vec<(PathBuf, u64, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, words)) = name.to_str().and_then(|n| n.split_once('_')) else { continue };
        if let Ok(repeats @ 1..) = number.parse::<u64>()
            // Names such as `2023_notes` are common without pictures.
            && holds_pictures(&entry.path())
        {
            found.push((PathBuf::from(&name), repeats, words.replace('_', " ").trim().to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    general: Table,
    #[serde(default)]
    datasets: Vec<Dataset>,
}

#[derive(Deserialize)]
struct Dataset {
    #[serde(default)]
    subsets: Vec<Table>,
    #[serde(flatten)]
    own: Table,
}

/// The tables in which a key of a subset is looked for, in this order: the subset's, its dataset's, the
/// general one.
type Tables<'a> = [&'a Table; 3];

impl Config {
    /// The subsets, with what they are called in messages.
    fn subsets(&self) -> impl Iterator<Item = (String, Tables<'_>)> {
        self.datasets.iter().enumerate().flat_map(move |(d, dataset)| {
            let name = move |s: usize| format!("subset {} of dataset {}", s + 1, d + 1);
            let subsets = dataset.subsets.iter().enumerate();
            subsets.map(move |(s, subset)| (name(s), [subset, &dataset.own, &self.general]))
        })
    }
}

/// The sources of masks ([`Region::mask`]) that the dataset config at `list` speaks of.
pub(super) fn mask_sources(list: &Path) -> Vec<&'static str> {
    let text = fairhuman_files::read_to_string(list).unwrap_or_default();
    let Ok(config) = toml::from_str::<Config>(&text) else { return Vec::new() };
    let set = |key: &str| {
        let value = |(_, tables): (_, Tables)| tables.iter().find_map(|t| t.get(key)).cloned();
        config.subsets().filter_map(value).any(|value| value != Value::Boolean(false))
    };
    let sources = [("conditioning_data_dir", "conditioning"), ("alpha_mask", "alpha")];
    sources.into_iter().filter(|(key, _)| set(key)).map(|(_, source)| source).collect()
}

/// Adds the subsets.
fn add_config(listing: &mut Listing, name: &Path, config: &Config, spec: &DatasetSpec, regions: &[Region]) {
    let mut ignored = BTreeSet::new();
    let mut alpha = false;
    for (subset, tables) in config.subsets() {
        let mut keys = Keys { tables, list: name, subset, errors: Vec::new() };
        // A subset's value hides its dataset's, and that a general one.
        let mut seen = BTreeSet::new();
        for (key, value) in tables.into_iter().flatten().filter(|(key, _)| seen.insert(key.as_str())) {
            match meaning(key, value) {
                Meaning::Applied => {}
                Meaning::Ignored => _ = ignored.insert(key.clone()),
                Meaning::Wrong(text) => keys.wrong(&text),
            }
        }
        alpha |= keys.flag("alpha_mask") == Some(true);
        let rules = rules(&listing.root, &mut keys, spec);
        match rules.filter(|_| keys.errors.is_empty()) {
            Some((folder, rules)) => add(listing, &folder, &rules, spec, regions),
            None => {
                listing.diagnostics.extend(keys.errors);
            }
        }
    }
    if !ignored.is_empty() {
        let keys: Vec<String> = ignored.into_iter().collect();
        let text = format!("not heeded, the recipe says how pictures are trained on: {}", keys.join(", "));
        listing.report(Subject::Dataset, name, Diagnostic::new(Kind::Ignored, text));
    }
    if alpha && !regions.iter().any(|r| r.mask == "alpha") {
        listing.warn(name, "alpha_mask is set, but no objective has the mask \"alpha\"".into());
    }
}

/// A subset's keys, and the errors of those that were read.
struct Keys<'a> {
    tables: Tables<'a>,
    list: &'a Path,
    subset: String,
    errors: Vec<Diagnostic>,
}

impl<'a> Keys<'a> {
    fn wrong(&mut self, text: &str) {
        let text = format!("{}: {text}", self.subset);
        self.errors.push(Diagnostic::new(Kind::Recipe, text).in_file(self.list));
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.tables.iter().find_map(|t| t.get(key))
    }

    /// The value of a key that is set, as `read` has it; an error where it cannot be read.
    fn take<T>(&mut self, key: &str, expected: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<T> {
        let value = self.get(key)?;
        let taken = read(value);
        if taken.is_none() {
            self.wrong(&format!("{key} is {value}: expected {expected}"));
        }
        taken
    }

    fn text(&mut self, key: &str) -> Option<&'a str> {
        self.take(key, "a text", Value::as_str)
    }

    fn flag(&mut self, key: &str) -> Option<bool> {
        self.take(key, "true or false", Value::as_bool)
    }

    fn whole(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.take(key, &expected, |value| in_range(value.as_integer()?.try_into().ok()?, &range))
    }

    fn share(&mut self, key: &str) -> Option<f32> {
        self.take(key, "a number from 0 to 1", |value| {
            let share = value.as_float().or_else(|| value.as_integer().map(|v| v as f64))?;
            (0.0..=1.0).contains(&share).then_some(share as f32)
        })
    }

    fn folder(&mut self, key: &str, root: &Path) -> Option<PathBuf> {
        let folder = self.text(key)?;
        within(root, folder).map_err(|error| self.errors.push(error)).ok()
    }
}

/// A subset's folder and its settings; errors are left in `keys`.
fn rules(root: &Path, keys: &mut Keys, spec: &DatasetSpec) -> Option<(PathBuf, FolderRules)> {
    if keys.get("image_dir").is_none() {
        keys.wrong("has no image_dir");
    }
    let folder = keys.folder("image_dir", root);
    let mut rules = FolderRules::new(spec);
    if let Some(extension) = keys.text("caption_extension") {
        rules.caption_extension = extension.trim_start_matches('.').to_owned();
    }
    if let Some(words) = keys.text("class_tokens") {
        rules.default_caption = Some(words.to_owned());
    }
    rules.prefix = keys.text("caption_prefix").unwrap_or_default().to_owned();
    rules.suffix = keys.text("caption_suffix").unwrap_or_default().to_owned();
    rules.conditioning = keys.folder("conditioning_data_dir", root);
    rules.repeats = keys.whole("num_repeats", REPEATS).unwrap_or(1);
    // What the config leaves open is the recipe's to say.
    let recipe = &spec.captions;
    let captions = CaptionSpec {
        shuffle: keys.flag("shuffle_caption").unwrap_or(recipe.shuffle),
        separator: keys.text("caption_separator").unwrap_or(&recipe.separator).to_owned(),
        keep: keys.whole("keep_tokens", 0..=*REPEATS.end()).map_or(recipe.keep, |n| n as usize),
        tag_dropout: keys.share("caption_tag_dropout_rate").unwrap_or(recipe.tag_dropout),
        dropout: keys.share("caption_dropout_rate").unwrap_or(recipe.dropout),
    };
    captions.errors().iter().for_each(|text| keys.wrong(text));
    rules.captions = Arc::new(captions);
    if keys.flag("is_reg") == Some(true) {
        keys.wrong("is_reg: regularisation pictures have no meaning here: leave the subset out");
    }
    Some((folder?, rules))
}

/// A folder of the config, relative to the dataset's. Absolute paths are common in these files; they must lie
/// in the folder of the config.
fn within(root: &Path, folder: &str) -> Result<PathBuf, Diagnostic> {
    let path = Path::new(folder);
    if path.is_relative() {
        let path = path.strip_prefix(".").unwrap_or(path);
        return Ok(Spellings::new(root).find(path.to_owned()));
    }
    let real = path.canonicalize().map_err(|e| unreadable(&e).in_file(path))?;
    real.strip_prefix(root).map(Path::to_owned).map_err(|_| {
        let text =
            "it does not lie in the folder of the dataset config; put the config above all its folders";
        Diagnostic::new(Kind::Outside, text).in_file(path)
    })
}
