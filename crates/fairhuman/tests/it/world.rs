//! A temporary folder with drawn people, a tiny random model and a recipe.

use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use fairhuman_train::events::{self, Event, Step, Validation};
use tempfile::TempDir;

/// A recipe that trains in a moment: 10 people at 64 pixels, rank 2.
pub const RECIPE: &str = r#"
steps = 6
batch = 2
model.path = "tiny"
dataset.path = "people"
geometry = { width = 64, height = 64, flip = 0.5 }
objective = [
    { name = "global" },
    { name = "face", mask = "mask_face" },
    { name = "hand", mask = "mask_hand" },
]
lora = { rank = 2, targets = ["attention", "conv"] }
optimizer.learning_rate = 1e-3
checkpoints = { every = 2, keep = 2 }
validation = { share = 0.2, every = 3, draws = 2 }
"#;

pub struct World(TempDir);

impl World {
    /// People, model and the recipe, with lines replaced.
    pub fn new(replace: &[(&str, &str)]) -> Self {
        let world = Self(TempDir::new().unwrap());
        world.ok(&["people", "--count", "10", "--size", "64", "--out", "people"]);
        world.ok(&["init-model", "--preset", "tiny", "--out", "tiny"]);
        world.recipe("recipe.toml", replace);
        world
    }

    /// An empty folder.
    pub fn empty() -> Self {
        Self(TempDir::new().unwrap())
    }

    /// Writes the recipe with parts replaced.
    pub fn recipe(&self, name: &str, replace: &[(&str, &str)]) {
        let text = replace.iter().fold(RECIPE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from:?} is not in the recipe");
            text.replace(from, to)
        });
        std::fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::cargo_bin("fairhuman").unwrap();
        // The user's own cache folder is left alone.
        command.current_dir(self.0.path()).env("XDG_CACHE_HOME", self.path("user-cache")).args(arguments);
        // libtorch's threads do not spin while they wait for each other, beside other tests.
        command.env("OMP_WAIT_POLICY", "passive");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed; what it printed on stdout.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {:?}\n{error}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with exit code 1; what it said on stderr.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}\n{error}");
        error
    }

    pub fn events(&self, run: &str) -> Vec<Event> {
        events::read(&self.path(run).join("events.jsonl")).unwrap()
    }

    /// The steps of a run, without what depends on the clock and the machine.
    pub fn steps(&self, run: &str) -> Vec<Step> {
        let timeless = |event| match event {
            Event::Step(step) => Some(Step { seconds: Default::default(), peak_memory_mib: None, ..*step }),
            _ => None,
        };
        self.events(run).into_iter().filter_map(timeless).collect()
    }

    /// The validations of a run, without what depends on the clock and the machine.
    pub fn validations(&self, run: &str) -> Vec<Validation> {
        let timeless = |event| match event {
            Event::Validation(v) => Some(Validation { seconds: 0.0, ..v }),
            _ => None,
        };
        self.events(run).into_iter().filter_map(timeless).collect()
    }

    pub fn bytes(&self, file: &str) -> Vec<u8> {
        let path = self.path(file);
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// All files below a folder, relative to it, sorted.
    pub fn files(&self, folder: &str) -> Vec<String> {
        fn walk(folder: &Path, base: &Path, list: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => walk(&path, base, list),
                    false => list.push(path.strip_prefix(base).unwrap().display().to_string()),
                }
            }
        }
        let (mut list, base) = (Vec::new(), self.path(folder));
        walk(&base, &base, &mut list);
        list.sort();
        list
    }
}
