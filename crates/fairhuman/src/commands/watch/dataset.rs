//! A dataset that is shown and changed in the browser: answers to what its page asks for.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fairhuman_dataset::edit::{Change, EditError, Editor, Entry, Stroke};
use fairhuman_dataset::{DatasetSpec, Region};
use fairhuman_files::{FolderLock, LockError};
use fairhuman_report::dataset_page::{self, DatasetPage, colour};
use fairhuman_train::recipe::Recipe;
use serde::Deserialize;
use serde_json::json;

use super::site::{Found, HTML, in_words};

/// Pictures of a page.
const MOST: usize = 200;
/// Longer side in pixels of a picture on the page, and of one that is painted on.
const SMALL: u32 = 320;
const LARGE: u32 = 1600;

/// Time that a save waits for that of another process, and between its tries.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// Where a dataset is told.
enum Source {
    /// The recipe in the folder of a run.
    Run(PathBuf),
    /// Its table and regions.
    Known(Box<DatasetSpec>, Vec<Region>),
}

/// A dataset and the runs that may train on it.
pub struct Dataset {
    source: Source,
    runs: Vec<PathBuf>,
    /// Opened at the first request; replaced when it is changed.
    editor: Mutex<Option<Arc<Editor>>>,
    /// Held by a save of this page while it writes. The next one waits for it however slow the disk is.
    turn: Mutex<()>,
}

/// The place of a page.
pub struct Place<'a> {
    /// Its address.
    pub address: String,
    /// The part of the address after `?`.
    pub query: &'a str,
    /// The secret that changes carry.
    pub token: &'a str,
}

/// A browser's message: [`Change`], and whether it is meant although a run trains on the dataset.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    version: String,
    caption: Option<String>,
    #[serde(default)]
    strokes: std::collections::BTreeMap<usize, Vec<Stroke>>,
    #[serde(default)]
    anyway: bool,
}

const NOT_FOUND: &str = "404 Not Found";
const CONFLICT: &str = "409 Conflict";

impl Dataset {
    /// The dataset that a run trains on, as its recipe says.
    pub fn of_run(run: PathBuf, runs: Vec<PathBuf>) -> Self {
        Self { source: Source::Run(run), runs, editor: Mutex::new(None), turn: Mutex::new(()) }
    }

    /// A dataset, and runs that may train on it. It is opened now.
    ///
    /// # Errors
    /// A dataset of which there is no list.
    pub fn open(spec: DatasetSpec, regions: Vec<Region>, runs: Vec<PathBuf>) -> anyhow::Result<Self> {
        let editor = Editor::open(Path::new(""), &spec, &regions)?;
        let editor = Mutex::new(Some(Arc::new(editor)));
        Ok(Self { source: Source::Known(Box::new(spec), regions), runs, editor, turn: Mutex::new(()) })
    }

    fn kept(&self) -> MutexGuard<'_, Option<Arc<Editor>>> {
        // One that was being replaced is whole: the old or the new.
        self.editor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The dataset as it was read last; `anew`: as it is now.
    fn editor(&self, anew: bool) -> Result<Arc<Editor>, String> {
        let mut kept = self.kept();
        if let Some(editor) = kept.clone().filter(|_| !anew) {
            return Ok(editor);
        }
        let opened = match &self.source {
            Source::Known(spec, regions) => Editor::open(Path::new(""), spec, regions),
            Source::Run(run) => {
                let recipe = recipe(run)?;
                Editor::open(Path::new(""), &recipe.dataset, &recipe.regions())
            }
        };
        let opened = Arc::new(opened.map_err(|e| e.to_string())?);
        *kept = Some(opened.clone());
        Ok(opened)
    }

    /// The page of some of the pictures: those from the number in the query, `from=200`.
    pub fn page(&self, place: &Place<'_>, is_of_runs: bool) -> Found {
        let editor = match self.editor(true) {
            Ok(editor) => editor,
            Err(problem) => return in_words(CONFLICT, &format!("the dataset cannot be shown: {problem}")),
        };
        let from = place.query.strip_prefix("from=").and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let first = from.min(editor.len().saturating_sub(1)) / MOST * MOST;
        let cards = (first..editor.len()).take(MOST).filter_map(|i| editor.title(i));
        let page = DatasetPage {
            title: editor.root().display().to_string(),
            address: place.address.clone(),
            regions: editor.regions().iter().map(|region| region.name.clone()).collect(),
            cards: cards.map(|(name, caption)| (name, caption.to_owned())).collect(),
            first,
            count: editor.len(),
            most: MOST,
            notes: self.training(editor.root()).into_iter().collect(),
            back: is_of_runs.then(|| "/".to_owned()),
            token: place.token.to_owned(),
        };
        ("200 OK", HTML, dataset_page::html(&page).into_bytes())
    }

    /// Something of an item: `item/3`, `small/3`, `picture/3`, or `mask/3/0`.
    pub fn part(&self, what: &str, numbers: &[&str]) -> Found {
        let numbers: Option<Vec<usize>> = numbers.iter().map(|text| text.parse().ok()).collect();
        let editor = match self.editor(false) {
            Ok(editor) => editor,
            Err(problem) => return in_words(CONFLICT, &problem),
        };
        let jpeg = |bytes| ("200 OK", "image/jpeg", bytes);
        let found = match (what, numbers.as_deref()) {
            ("item", Some(&[i])) => editor.entry(i).map(|entry| shown(&entry)),
            ("small", Some(&[i])) => editor.picture(i, SMALL, true).map(jpeg),
            ("picture", Some(&[i])) => editor.picture(i, LARGE, false).map(jpeg),
            ("mask", Some(&[i, r])) => editor.mask(i, r, LARGE).map(|bytes| ("200 OK", "image/png", bytes)),
            _ => Err(EditError::Absent),
        };
        found.unwrap_or_else(|error| told(&error))
    }

    /// Saves a change of an item, and answers with the item as it is then.
    pub fn save(&self, index: &str, content: &[u8]) -> Found {
        let bad = |error: &dyn Display| in_words("400 Bad Request", &format!("this is no change: {error}"));
        let sent: Sent = match serde_json::from_slice(content) {
            Ok(sent) => sent,
            Err(error) => return bad(&error),
        };
        let Ok(index) = index.parse::<usize>() else { return told(&EditError::Absent) };
        let mut editor = match self.editor(false) {
            Ok(editor) => Editor::clone(&editor),
            Err(problem) => return in_words(CONFLICT, &problem),
        };
        if let Some(warning) = self.training(editor.root()).filter(|_| !sent.anyway) {
            return in_words("428 Precondition Required", &warning);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = match lock(editor.root()) {
            Ok(lock) => lock,
            Err(error @ LockError::InUse(_)) => return in_words(CONFLICT, &error.to_string()),
            Err(error) => return in_words("500 Internal Server Error", &error.to_string()),
        };
        let change = Change { version: sent.version, caption: sent.caption, strokes: sent.strokes };
        let saved = editor.save(index, &change);
        let editor = Arc::new(editor);
        *self.kept() = Some(editor.clone());
        drop(lock);
        match saved.and_then(|()| editor.entry(index)) {
            Ok(entry) => shown(&entry),
            Err(error) => told(&error),
        }
    }

    /// A warning if a run trains on the dataset in this folder now.
    fn training(&self, root: &Path) -> Option<String> {
        let trains = |run: &PathBuf| {
            // Who trains holds the folder's lock.
            matches!(FolderLock::take(run), Err(LockError::InUse(_)))
                && recipe(run).is_ok_and(|recipe| {
                    let path = recipe.dataset.path.canonicalize();
                    path.is_ok_and(|path| path == root || path.parent() == Some(root) && path.is_file())
                })
        };
        let run = self.runs.iter().filter(|run| run.join("recipe.toml").is_file()).find(|run| trains(run))?;
        Some(format!(
            "{} trains on this dataset now: it reads a changed file the next time that it comes to the picture, and \
             once it is stopped it will not go on from its checkpoint, because its dataset is another",
            run.display()
        ))
    }
}

/// Locks a dataset's folder: other pages and `annotate` write the same files. One that saves is waited for.
fn lock(root: &Path) -> Result<FolderLock, LockError> {
    let begin = Instant::now();
    loop {
        match FolderLock::take_for_a_while(root) {
            Err(LockError::InUse(_)) if begin.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
}

/// The recipe that a run was begun with. Its paths are relative to the folder that it was begun in.
fn recipe(run: &Path) -> Result<Recipe, String> {
    let path = run.join("recipe.toml");
    let text = fairhuman_files::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Recipe::parse(Path::new("recipe.toml"), &text).map_err(|e| e.to_string())
}

/// An item for the page's script.
fn shown(entry: &Entry) -> Found {
    let masks = entry.masks.iter().enumerate().map(|(r, mask)| {
        json!({
            "region": mask.region,
            "colour": colour(r),
            "isThere": mask.is_there,
            "fixed": mask.fixed,
            "problem": mask.problem,
        })
    });
    let item = json!({
        "name": entry.name,
        "width": entry.size.0,
        "height": entry.size.1,
        "caption": entry.caption,
        "fixed": entry.fixed,
        "masks": masks.collect::<Vec<_>>(),
        "version": entry.version,
    });
    ("200 OK", "application/json", item.to_string().into_bytes())
}

fn told(error: &EditError) -> Found {
    let status = match error {
        EditError::Absent => NOT_FOUND,
        EditError::Stale => CONFLICT,
        EditError::Refused(_) => "400 Bad Request",
        EditError::Failed(_) => "500 Internal Server Error",
    };
    in_words(status, &error.to_string())
}
