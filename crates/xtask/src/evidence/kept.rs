//! Results that are kept with the project: the held-out losses of each run, picture by picture, a line for
//! each run in a file for each world. A machine that has none of the runs makes the same tables from them,
//! and goes on with the runs that are missing.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::outcome::{K, Outcome, Picture};
use super::plan::{Arm, World};

/// The arm of the model before training.
const BASE: &str = "base";

/// The kind of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Held-out losses.
    Losses,
    /// Pictures that were denoised again.
    Denoised,
}

/// A result: a line of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: Kind,
    arm: String,
    seed: u64,
    /// The plan that the run followed, the weighting included, as a digest.
    plan: String,
    /// The mean weights of the run, as a recipe has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weights: Option<String>,
    /// Sums of squared errors of each picture: everywhere, in faces, in hands, outside both.
    squares: Vec<[f64; K]>,
}

/// The results of a world.
pub(super) struct Kept {
    file: PathBuf,
    /// All that the runs of this world have in common.
    plan: String,
    lines: Vec<Line>,
}

impl Kept {
    /// Reads the results of a world that were made by the plan `plan`; others are left out.
    pub fn open(folder: &Path, world: &World, plan: &str) -> anyhow::Result<Self> {
        let file = folder.join(format!("{}.jsonl", world.name));
        let text = match std::fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let line = |(i, line): (usize, &str)| {
            serde_json::from_str(line).with_context(|| format!("{}, line {}", file.display(), i + 1))
        };
        let lines = text.lines().enumerate().map(line).collect::<anyhow::Result<Vec<Line>>>()?;
        Ok(Self { plan: plan.to_owned(), lines, file })
    }

    /// The digest of what an arm's runs are made by; none is the model before training.
    fn digest(&self, arm: Option<&Arm>) -> String {
        let weighting = arm.map(|arm| (arm.weighting, arm.rate));
        let text = format!("{}\n{weighting:?}", self.plan);
        blake3::hash(text.as_bytes()).to_hex()[..12].to_owned()
    }

    fn line(&self, kind: Kind, arm: Option<&Arm>, seed: u64) -> Option<&Line> {
        let (name, plan) = (name(arm), self.digest(arm));
        let same =
            |line: &&Line| line.kind == kind && line.arm == name && line.seed == seed && line.plan == plan;
        self.lines.iter().rev().find(same)
    }

    /// True if there is such a result; without an arm, of the model before training.
    pub fn has(&self, kind: Kind, arm: Option<(&Arm, u64)>) -> bool {
        let (arm, seed) = arm.unzip();
        self.line(kind, arm, seed.unwrap_or(0)).is_some()
    }

    /// The mean weights of an arm's run.
    pub fn weights(&self, arm: &Arm, seed: u64) -> anyhow::Result<&str> {
        let line = self.line(Kind::Losses, Some(arm), seed);
        let weights = line.and_then(|line| line.weights.as_deref());
        weights.with_context(|| format!("no weights of {} with seed {seed}", arm.name))
    }

    /// Keeps a result.
    pub fn add(
        &mut self,
        kind: Kind,
        arm: Option<(&Arm, u64)>,
        weights: Option<String>,
        squares: &[[f64; K]],
    ) -> anyhow::Result<()> {
        let (arm, seed) = arm.unzip();
        let line = Line {
            kind,
            arm: name(arm).to_owned(),
            seed: seed.unwrap_or(0),
            plan: self.digest(arm),
            weights,
            squares: squares.iter().map(|all| all.map(rounded)).collect(),
        };
        let mut text = serde_json::to_string(&line)?;
        text.push('\n');
        let file = || -> std::io::Result<()> {
            self.file.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            OpenOptions::new().create(true).append(true).open(&self.file)?.write_all(text.as_bytes())
        };
        file().with_context(|| format!("cannot write {}", self.file.display()))?;
        self.lines.push(line);
        Ok(())
    }

    /// The outcomes of an arm, of the seeds 1, 2, ... before the first that is missing: pairs are of the same
    /// seeds.
    pub fn outcomes(&self, kind: Kind, arm: &Arm) -> anyhow::Result<Vec<Outcome>> {
        let Some(before) = self.line(kind, None, 0) else { return Ok(Vec::new()) };
        let runs = (1..).map_while(|seed| self.line(kind, Some(arm), seed));
        let outcome = |line: &Line| -> anyhow::Result<Outcome> {
            ensure!(
                line.squares.len() == before.squares.len() && !before.squares.is_empty(),
                "{}: {} with seed {} has {} pictures, expected {}",
                self.file.display(),
                line.arm,
                line.seed,
                line.squares.len(),
                before.squares.len()
            );
            let pairs = before.squares.iter().zip(&line.squares);
            Ok(Outcome { pictures: pairs.map(|(&before, &after)| Picture { before, after }).collect() })
        };
        runs.map(outcome).collect()
    }
}

fn name(arm: Option<&Arm>) -> &'static str {
    arm.map_or(BASE, |arm| arm.name)
}

/// Five digits: the files lie in the repository.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let unit = 10f64.powi(4 - value.abs().log10().floor() as i32);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use super::super::plan::{ARMS, WORLDS};
    use super::*;

    #[test]
    fn results_come_back_to_those_who_follow_the_same_plan() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (world, arm) = (&WORLDS[0], &ARMS[0]);
        let mut kept = Kept::open(folder.path(), world, "plan")?;
        kept.add(Kind::Losses, None, None, &[[2.0, 0.0, 1.0, 4.0]])?;
        kept.add(Kind::Losses, Some((arm, 1)), Some("{ }".into()), &[[1.234_567, 0.0, 2.0, 3.0]])?;
        kept.add(Kind::Losses, Some((arm, 3)), None, &[[1.0; K]])?;

        let again = Kept::open(folder.path(), world, "plan")?;
        let outcomes = again.outcomes(Kind::Losses, arm)?;
        assert_eq!(outcomes.len(), 1, "seed 2 is missing");
        assert_eq!(outcomes[0].pictures[0].after, [1.2346, 0.0, 2.0, 3.0]);
        assert_eq!(outcomes[0].pictures[0].before[3], 4.0);
        assert_eq!(again.weights(arm, 1)?, "{ }");
        assert!(again.has(Kind::Losses, Some((arm, 3))) && !again.has(Kind::Denoised, Some((arm, 3))));
        assert!(again.outcomes(Kind::Losses, &ARMS[1])?.is_empty(), "another weighting");

        let other = Kept::open(folder.path(), world, "another plan")?;
        assert!(!other.has(Kind::Losses, Some((arm, 1))) && !other.has(Kind::Losses, None));
        Ok(())
    }

    #[test]
    fn a_damaged_line_is_named() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("near.jsonl"), "{\n")?;
        let error = Kept::open(folder.path(), &WORLDS[0], "plan").err().map(|error| format!("{error:#}"));
        assert!(error.is_some_and(|error| error.contains("near.jsonl, line 1")));
        Ok(())
    }
}
