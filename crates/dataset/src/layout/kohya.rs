//! sd-scripts' datasets: folders `N_name`, or a TOML file with `[[datasets]]` and their `[[datasets.subsets]]`.
//!
//! What a file says about training rather than data (resolution, batch size, buckets) is the recipe's to say
//! here; it is passed over and noted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use toml::{Table, Value};

use super::files::{self, Rules, add_folder};
use super::{Listing, list_in};
use crate::captions::CaptionSpec;
use crate::paths::unreadable;
use crate::problem::{Fault, Problem, Subject};
use crate::spec::{DatasetSpec, Layout, Region};

/// Reads the TOML file at `path`, or the one TOML file in the folder, or the folder's `N_name` folders.
pub(super) fn read(path: PathBuf, spec: &DatasetSpec, regions: &[Region]) -> Result<Listing, Problem> {
    let problem = |file: &Path, fault| Problem {
        origin: None,
        subject: Subject::Dataset,
        file: file.to_owned(),
        fault,
    };
    let numbered = match path.is_dir() {
        true => folders(&path).map_err(|e| problem(&path, unreadable(&e)))?,
        false => Vec::new(),
    };
    let mut listing;
    if numbered.is_empty() {
        let (list, root) = list_in(path, "dataset.toml");
        let name = PathBuf::from(list.file_name().unwrap_or_default());
        let text = std::fs::read_to_string(&list).map_err(|e| {
            problem(
                &name,
                match unreadable(&e) {
                    Fault::Missing(_) => Fault::Missing(
                        ": the layout `kohya` needs folders such as `10_name`, or a TOML dataset config"
                            .into(),
                    ),
                    other => other,
                },
            )
        })?;
        let config: Config = toml::from_str(&text)
            .map_err(|e| problem(&name, Fault::Json(format!("is not a dataset config: {e}"))))?;
        listing = Listing::new(root, Layout::Kohya);
        listing.used.push(name.clone());
        add_config(&mut listing, &name, &config, spec, regions);
    } else {
        listing = Listing::new(path, Layout::Kohya);
        for (folder, repeats, words) in numbered {
            let mut rules = Rules { repeats, ..Rules::new(spec) };
            rules.default_caption.get_or_insert(words);
            add_folder(&mut listing, &folder, &rules, spec, regions);
        }
    }
    if listing.items.is_empty() && listing.problems.is_empty() {
        return Err(problem(&listing.root, Fault::Recipe("holds no pictures".into())));
    }
    Ok(listing)
}

/// The folders called `N_name` in `root`: their names, N, and the words of the name.
pub(super) fn folders(root: &Path) -> std::io::Result<Vec<(PathBuf, u32, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((number, words)) = name.to_str().and_then(|n| n.split_once('_')) else { continue };
        if let Ok(repeats @ 1..) = number.parse::<u32>()
            && holds_pictures(&entry.path())
        {
            found.push((PathBuf::from(&name), repeats, words.replace('_', " ").trim().to_owned()));
        }
    }
    found.sort();
    Ok(found)
}

#[derive(Deserialize)]
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

/// Keys that are heeded.
const KNOWN: [&str; 13] = [
    "image_dir",
    "num_repeats",
    "caption_extension",
    "class_tokens",
    "conditioning_data_dir",
    "alpha_mask",
    "shuffle_caption",
    "caption_separator",
    "keep_tokens",
    "caption_dropout_rate",
    "caption_tag_dropout_rate",
    "is_reg",
    "subsets",
];

/// Adds the subsets. A key of a subset goes before one of its dataset, and that before a general one.
fn add_config(listing: &mut Listing, name: &Path, config: &Config, spec: &DatasetSpec, regions: &[Region]) {
    let mut passed_over = BTreeSet::new();
    let mut alpha = false;
    for dataset in &config.datasets {
        for subset in &dataset.subsets {
            let tables = [subset, &dataset.own, &config.general];
            let other = tables.iter().flat_map(|t| t.keys()).filter(|k| !KNOWN.contains(&k.as_str()));
            passed_over.extend(other.cloned());
            let keys = Keys { tables };
            alpha |= keys.flag("alpha_mask");
            match rules(listing, &keys, spec) {
                Ok((folder, rules)) => add_folder(listing, &folder, &rules, spec, regions),
                Err((file, fault)) => {
                    let file = if file.as_os_str().is_empty() { name.to_owned() } else { file };
                    listing.problem(Subject::Dataset, file, fault);
                }
            }
        }
    }
    if !passed_over.is_empty() {
        let keys: Vec<String> = passed_over.into_iter().collect();
        listing.notes.push(format!(
            "{}: not heeded, the recipe says how pictures are trained on: {}",
            name.display(),
            keys.join(", ")
        ));
    }
    if alpha && !regions.iter().any(|r| r.mask == "alpha") {
        listing
            .notes
            .push(format!("{}: alpha_mask is set, but no objective has the mask \"alpha\"", name.display()));
    }
}

struct Keys<'a> {
    tables: [&'a Table; 3],
}

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.tables.iter().find_map(|t| t.get(key))
    }
    fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
    fn flag(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool).unwrap_or(false)
    }
    fn number(&self, key: &str) -> Option<f64> {
        let value = self.get(key)?;
        value.as_float().or_else(|| value.as_integer().map(|v| v as f64))
    }
}

/// A subset's folder and how it is read, or the file and what is wrong.
fn rules(
    listing: &mut Listing,
    keys: &Keys,
    spec: &DatasetSpec,
) -> Result<(PathBuf, Rules), (PathBuf, Fault)> {
    let recipe = |text: &str| (PathBuf::new(), Fault::Recipe(text.to_owned()));
    let folder = keys.text("image_dir").ok_or_else(|| recipe("a subset has no image_dir"))?;
    let folder = within(&listing.root, folder)?;
    let mut rules = Rules::new(spec);
    if let Some(extension) = keys.text("caption_extension") {
        rules.caption_extension = extension.trim_start_matches('.').to_owned();
    }
    if let Some(words) = keys.text("class_tokens") {
        rules.default_caption = Some(words.to_owned());
    }
    if let Some(masks) = keys.text("conditioning_data_dir") {
        rules.conditioning = Some(within(&listing.root, masks)?);
    }
    let repeats = keys.number("num_repeats").unwrap_or(1.0);
    if !(1.0..=1e6).contains(&repeats) {
        return Err((folder, Fault::Recipe(format!("num_repeats is {repeats}: expected at least 1"))));
    }
    rules.repeats = repeats as u32;
    let count = |key| keys.number(key).map_or(0, |n| n.max(0.0) as usize);
    let share = |key| keys.number(key).unwrap_or(0.0) as f32;
    let captions = CaptionSpec {
        shuffle: keys.flag("shuffle_caption"),
        separator: keys.text("caption_separator").unwrap_or(",").to_owned(),
        keep: count("keep_tokens"),
        tag_dropout: share("caption_tag_dropout_rate"),
        dropout: share("caption_dropout_rate"),
    };
    if let Some(text) = captions.faults().into_iter().next() {
        return Err((folder, Fault::Recipe(text)));
    }
    if captions != CaptionSpec::default() {
        rules.captions = Some(Arc::new(captions));
    }
    if keys.flag("is_reg") {
        let text = "is_reg: regularisation pictures have no meaning here: leave the subset out";
        return Err((folder, Fault::Recipe(text.into())));
    }
    Ok((folder, rules))
}

/// A folder of the config, relative to the dataset's. Absolute paths are common in these files; they must lie in
/// the folder of the config.
fn within(root: &Path, folder: &str) -> Result<PathBuf, (PathBuf, Fault)> {
    let path = Path::new(folder);
    if path.is_relative() {
        return Ok(path.strip_prefix(".").unwrap_or(path).to_owned());
    }
    let real = path.canonicalize().map_err(|e| (path.to_owned(), unreadable(&e)))?;
    real.strip_prefix(root).map(Path::to_owned).map_err(|_| {
        let text =
            "it does not lie in the folder of the dataset config; put the config above all its folders";
        (path.to_owned(), Fault::Outside(text.into()))
    })
}

/// Whether a folder has pictures in it, directly. Names such as `2023_notes` are common without.
fn holds_pictures(folder: &Path) -> bool {
    let names = files::entries(folder).unwrap_or_default();
    names.iter().any(|n| files::extension(n).is_some_and(|e| files::is_picture(&e)))
}
