//! The runs of the evidence: each is a recipe in a folder and one command, and is not made again once it is
//! done.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::denoised::is_shown;
use super::kept::{Kept, Kind};
use super::outcome::squares;
use super::plan::{ARMS, Arm, REFERENCE, Size, Weighting, World};

/// Where everything lies, and what it is made with.
pub(super) struct Place {
    /// The program.
    pub binary: PathBuf,
    /// The folder of all runs.
    pub folder: PathBuf,
    /// The model that is fine-tuned.
    pub model: PathBuf,
    /// The folder of the results that are kept.
    pub kept: PathBuf,
    /// The size of it all.
    pub size: Size,
}

impl Place {
    /// Runs the program and returns what it printed on stdout.
    pub(super) fn fairhuman(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .current_dir(&self.folder)
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "fairhuman {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Draws the people of a world; those that are there stay.
    pub fn draw(&self, world: &World) -> anyhow::Result<()> {
        let (count, out) = ((self.size.pictures + self.size.held_out).to_string(), people(world));
        let mut arguments = vec!["people", "--size", "96", "--count", &count, "--out", &out];
        arguments.extend(world.people.split(' '));
        self.fairhuman(&arguments).map(drop)
    }

    /// The results of a world that are kept.
    pub fn kept(&self, world: &World) -> anyhow::Result<Kept> {
        Kept::open(&self.kept, world, &self.plan(world)?)
    }

    /// The log of a run that is done.
    fn events(&self, run: &str) -> anyhow::Result<Option<Vec<Value>>> {
        let log = self.folder.join(run).join("events.jsonl");
        let text = match std::fs::read_to_string(&log) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", log.display()))?,
        };
        // The last line of a run that was killed may be half a line.
        let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let done = events.last().is_some_and(|event| event["event"] == "end" && event["reason"] == "done");
        Ok(done.then_some(events))
    }

    /// Trains an arm with a seed and keeps its results, unless they are there.
    pub fn make(&self, world: &World, arm: &Arm, seed: u64, kept: &mut Kept) -> anyhow::Result<()> {
        let run = Some((arm, seed));
        if !kept.has(Kind::Losses, run) {
            let events = self.train(world, arm, seed, kept)?;
            let (before, after) = squares(&events)?;
            if let Some(before) = before {
                kept.add(Kind::Losses, None, None, &before)?;
            }
            let weights = (arm.name == REFERENCE).then(|| self.mean_weights(&run_of(world, arm, seed)));
            kept.add(Kind::Losses, run, weights.transpose()?, &after)?;
        }
        if is_shown(arm) && !kept.has(Kind::Denoised, run) {
            self.train(world, arm, seed, kept)?;
            kept.add(Kind::Denoised, run, None, &self.denoise(world, run)?)?;
        }
        Ok(())
    }

    /// Trains an arm with a seed, unless that is done, and returns its log.
    fn train(&self, world: &World, arm: &Arm, seed: u64, kept: &Kept) -> anyhow::Result<Vec<Value>> {
        let run = run_of(world, arm, seed);
        if let Some(events) = self.events(&run)? {
            return Ok(events);
        }
        let weighting = match arm.weighting {
            Weighting::As(text) => text.to_owned(),
            Weighting::Twin => kept.weights(reference(), seed)?.to_owned(),
            Weighting::Shuffled => {
                // Its weights are needed one by one, so that the run itself must be there.
                self.train(world, reference(), seed, kept)?;
                let run = self.folder.join(run_of(world, reference(), seed));
                format!("{{ kind = \"replay\", run = {:?}, shuffle = true }}", run.to_string_lossy())
            }
        };
        let recipe = format!("{run}.toml");
        let measured = !kept.has(Kind::Losses, None);
        let text = self.recipe(world, (arm.rate, &weighting), seed, measured)?;
        let path = self.folder.join(&recipe);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        // A recipe that was begun stays as it is.
        if !self.folder.join(&run).exists() {
            std::fs::write(&path, text).with_context(|| format!("cannot write {recipe}"))?;
        }
        self.fairhuman(&["train", &recipe, "--out", &run])?;
        self.events(&run)?.with_context(|| format!("{run} has not come to its end"))
    }

    /// The mean weights of a run, as `fairhuman report` recommends them.
    fn mean_weights(&self, run: &str) -> anyhow::Result<String> {
        let said = self.fairhuman(&["report", run, "--pictures", "0", "--out", &format!("{run}.html")])?;
        let line = said.lines().find_map(|line| line.split_once(": weighting = "));
        Ok(line.with_context(|| format!("no mean weights of {run} in {said:?}"))?.1.to_owned())
    }

    /// All that the runs of a world have in common, in words that are the same on every machine.
    fn plan(&self, world: &World) -> anyhow::Result<String> {
        let recipe = self.recipe(world, (1.0, ""), 0, false)?;
        let recipe =
            recipe.replace(&*self.folder.to_string_lossy(), "").replace(&*self.model.to_string_lossy(), "");
        let model = std::fs::read(self.model.join("unet/diffusion_pytorch_model.safetensors"))
            .with_context(|| format!("{}: no weights", self.model.display()))?;
        Ok(format!("{}\n{recipe}\n{}", world.people, blake3::hash(&model)))
    }

    /// All recipes are the same but for world, weighting and seed. Every gradient is clipped, so that each
    /// step counts alike whatever the length of a weighting's direction.
    /// The losses before training are the same in all runs of a world, and are measured in one of them.
    fn recipe(
        &self,
        world: &World,
        (rate, weighting): (f64, &str),
        seed: u64,
        at_start: bool,
    ) -> anyhow::Result<String> {
        let Size { steps, draws, pictures, held_out, .. } = self.size;
        let names: Vec<String> =
            (pictures..pictures + held_out).map(|i| format!("\"images/{i:05}.png\"")).collect();
        // A JSON string is a TOML string, too.
        let string = |path: &Path| serde_json::to_string(&path.to_string_lossy());
        Ok(format!(
            r#"steps = {steps}
seed = {seed}
batch = 4
max_grad_norm = 1e-3
cache = {cache}
weighting = {weighting}
model.path = {model}
dataset.path = {people}
geometry = {{ width = 96, height = 96 }}
lora = {{ rank = 16, targets = ["attention", "feed_forward", "conv"] }}
optimizer.learning_rate = {rate}
schedule = {{ decay = "cosine", warmup = {warmup} }}
checkpoints.every = {steps}
validation = {{ seed = 0, draws = {draws}, every = {steps}, pictures = true, at_start = {at_start}, samples = [{names}] }}
objective = [
    {{ name = "global" }},
    {{ name = "face", mask = "mask_face" }},
    {{ name = "hand", mask = "mask_hand" }},
]
"#,
            cache = string(&self.folder.join(world.name).join("cache"))?,
            model = string(&self.model)?,
            people = string(&self.folder.join(people(world)))?,
            rate = 5e-4 * rate,
            warmup = (steps / 16).min(10),
            names = names.join(", "),
        ))
    }
}

/// The folder of a run.
pub(super) fn run_of(world: &World, arm: &Arm, seed: u64) -> String {
    format!("{}/{}-{seed}", world.name, arm.name.replace([' ', ',', '.', '/'], "_"))
}

fn reference() -> &'static Arm {
    ARMS.iter().find(|arm| arm.name == REFERENCE).expect("the plan has the arm that others are compared with")
}

/// The folder of a world's drawings.
pub(super) fn people(world: &World) -> String {
    format!("{}/people", world.name)
}
