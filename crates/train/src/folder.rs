//! The run folder: what it holds, and that one process at a time writes in it.
//!
//! ```text
//! RUN/recipe.toml            the resolved recipe, every default written out
//! RUN/events.jsonl           everything of every step
//! RUN/checkpoints/step-N.safetensors
//! RUN/lora.safetensors       the adapter for other programs (kohya keys); lora_peft.safetensors on request
//! RUN/model/                 methods full and vae: a whole model folder with the trained network
//! RUN/samples/step-N/I.png   pictures of the recipe's prompts ([samples])
//! RUN/record/step-N/         recorded steps (--record)
//! RUN/requests/              what other processes ask of the run (requests.rs)
//! RUN/tensorboard/           the log as TensorBoard reads it ([log] tensorboard)
//! RUN/cache/                 encoded pictures and captions, unless the recipe names another folder
//! ```

use std::path::{Path, PathBuf};

use fairhuman_diffusion::weights::write_atomically;
use fairhuman_files::{FolderLock, LockError, Overlap, ensure_apart, remove_leftovers};

use crate::error::TrainError;
use crate::events::{self, Event, EventLog, Resumed};
use crate::recipe::Recipe;
use crate::requests;

const RECIPE: &str = "recipe.toml";
const EVENTS: &str = "events.jsonl";
/// Folder of the log as TensorBoard reads it.
pub const TENSORBOARD: &str = "tensorboard";
const RECIPE_BEGINNING: &str = "# The resolved recipe of this run";

/// An open run folder.
pub struct RunFolder {
    path: PathBuf,
    log: EventLog,
    /// Held as long as the folder is open; the system lets go of it even if the process is killed.
    _lock: FolderLock,
}

impl RunFolder {
    /// Makes the folder if need be and locks it. Temporary files of processes that were killed are removed.
    ///
    /// # Errors
    /// A folder that cannot be written, or that another process trains in.
    pub fn lock(path: &Path) -> Result<FolderLock, TrainError> {
        let lock = FolderLock::take(path).map_err(|error| match error {
            LockError::InUse(path) => TrainError::InUse { path },
            LockError::Io(path, source) => TrainError::Io { path, source },
        })?;
        for folder in [path.to_path_buf(), checkpoints(path)] {
            // They are in nobody's way: what cannot be listed or removed stays.
            let _ = remove_leftovers(&folder);
        }
        requests::clear(path);
        Ok(lock)
    }

    /// Opens a locked folder for a run with `step` steps done and saves the recipe in it; also what its log
    /// says of that step.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn open(
        path: &Path,
        lock: FolderLock,
        recipe: &Recipe,
        step: u64,
    ) -> Result<(Self, Resumed), TrainError> {
        let file = self::recipe(path);
        let text = format!(
            "{RECIPE_BEGINNING}: every default is written out. Its paths are relative to the folder that\n\
             # `fairhuman train` was run in, where `fairhuman train` takes this file, too.\n\n{}",
            recipe.to_toml()
        );
        write_atomically(&file, text.as_bytes()).map_err(|source| TrainError::Io { path: file, source })?;
        let file = path.join(EVENTS);
        let (log, resumed) =
            EventLog::resume(&file, step).map_err(|source| TrainError::Io { path: file, source })?;
        Ok((Self { path: path.into(), log, _lock: lock }, resumed))
    }

    /// Writes an event.
    ///
    /// # Errors
    /// The system's error.
    pub fn write(&mut self, event: &Event) -> Result<(), TrainError> {
        self.log
            .write(event)
            .map_err(|source| TrainError::Io { path: self.path.join("events.jsonl"), source })
    }

    /// Waits until all events are on the disk.
    ///
    /// # Errors
    /// The system's error.
    pub fn sync(&self) -> Result<(), TrainError> {
        self.log.sync().map_err(|source| TrainError::Io { path: self.path.join("events.jsonl"), source })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path relative to the folder, for events.
    pub fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.path).unwrap_or(path).to_path_buf()
    }
}

/// Everything that a run writes.
pub fn written(recipe: &Recipe) -> Vec<PathBuf> {
    let names = [RECIPE, EVENTS, "checkpoints", "samples", "record", TENSORBOARD];
    let all = names.iter().chain(recipe.method.writes()).map(|name| recipe.out.join(name));
    all.chain([recipe.cache.clone()]).collect()
}

/// Fails where a run that begins at step 0 would replace something that is not its own: what another run has
/// learnt, or files that no run made.
///
/// # Errors
/// See above.
pub fn ensure_new(recipe: &Recipe) -> Result<(), TrainError> {
    let taken = |path: PathBuf, problem: &str| {
        Err(TrainError::Taken { path, run: recipe.out.clone(), problem: problem.into() })
    };
    let exists = |path: &Path| path.symlink_metadata().is_ok();
    let events = recipe.out.join(EVENTS);
    if events::has_checkpoint(&events) {
        return taken(events, "tells of a run whose checkpoints are gone");
    }
    let recipe_file = recipe.out.join(RECIPE);
    let is_ours = |text: String| is_resolved(&text);
    if exists(&recipe_file) && !fairhuman_files::read_to_string(&recipe_file).is_ok_and(is_ours) {
        return taken(recipe_file, "is no recipe that a run wrote");
    }
    for name in recipe.method.writes() {
        let path = recipe.out.join(name);
        if exists(&path) {
            return taken(path, "is there, and not of this run");
        }
    }
    Ok(())
}

/// Fails where a file is in the place of a folder that a run writes into.
///
/// # Errors
/// See above.
pub fn ensure_folders(recipe: &Recipe) -> Result<(), TrainError> {
    let folders = [recipe.out.clone(), recipe.cache.clone(), checkpoints(&recipe.out)];
    folders.iter().try_for_each(|path| fairhuman_files::ensure_no_file(path).map_err(TrainError::NoFolder))
}

/// True for the text of a recipe that a run wrote.
pub fn is_resolved(recipe: &str) -> bool {
    recipe.starts_with(RECIPE_BEGINNING)
}

/// Fails where a run would write over its recipe, the file at `path`. The run's own may be read and written
/// again.
///
/// # Errors
/// The file, and what would be written there.
pub fn ensure_apart_of_recipe(run: &Recipe, path: &Path) -> Result<(), Overlap> {
    match is_own_recipe(&run.out, path) {
        true => Ok(()),
        false => ensure_apart(&written(run), &[("the recipe", path)]),
    }
}

/// True if a recipe is the one that the run in a folder wrote.
fn is_own_recipe(run: &Path, path: &Path) -> bool {
    let is_there = match (path.canonicalize(), recipe(run).canonicalize()) {
        (Ok(path), Ok(own)) => path == own,
        _ => false,
    };
    is_there && fairhuman_files::read_to_string(path).is_ok_and(|text| is_resolved(&text))
}

/// Where the resolved recipe of a run is.
pub fn recipe(run: &Path) -> PathBuf {
    run.join(RECIPE)
}

/// Where the checkpoints of a run are.
pub fn checkpoints(run: &Path) -> PathBuf {
    run.join("checkpoints")
}

/// The step of a run's newest checkpoint; 0 where there is none.
pub fn last_step(run: &Path) -> u64 {
    crate::checkpoint::list(&checkpoints(run))
        .ok()
        .and_then(|list| list.last().map(|(step, _)| *step))
        .unwrap_or(0)
}

/// Where the pictures after a step are.
pub fn samples(run: &Path, step: u64) -> PathBuf {
    run.join("samples").join(format!("step-{step:08}"))
}

/// Where a recorded step is.
pub fn record(run: &Path, step: u64) -> PathBuf {
    run.join("record").join(format!("step-{step:08}"))
}
