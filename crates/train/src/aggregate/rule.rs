//! `weighting` in a recipe: the rule, and how often its gradients are made.

use std::collections::BTreeMap;
use std::path::Path;

use fairhuman_fairness as fairness;
use fairhuman_fairness::{Needs, Observation, RunningGram, Solution, State};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{GradDrop, Replay};
use crate::recipe::bounds;

/// Steps between the Gram matrices of a weighting that needs none, by default: they are for the log alone.
const LOGGED: u64 = 10;
/// Gram matrices that are averaged where they are not made in every step, by default.
const AVERAGED: u32 = 10;
/// Why such a rule has no weights to tell.
pub(super) const WITHOUT_WEIGHTS: &str = "a weighting without weights needs the gradients themselves";

/// The rule that makes one gradient of the objectives' gradients, and how often it has all of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Weighting {
    /// The rule: `kind` and its parameters.
    #[serde(flatten)]
    pub rule: Rule,
    /// Steps between two that make every objective's gradient ("exact" ones). Those between have the gradient
    /// of one weighted sum of the losses, at the cost of an ordinary step. Default 1; 10 for rules that need
    /// no inner products of gradients, whose weights are the same either way.
    pub every: u64,
    /// Length of the memory of Gram matrices that weights are solved for, in exact steps; 1: each alone.
    /// Default 1 where `every` is 1, else 10.
    pub average: u32,
    /// Priorities by the objectives' names, as a recipe may give them, until they are resolved.
    #[serde(skip)]
    named: BTreeMap<String, f64>,
}

/// The rule that makes one gradient of the objectives' gradients.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rule {
    /// A weighted sum, whose weights follow from the Gram matrix and the losses.
    Gram(fairness::Weighting),
    /// See [`Replay`].
    Replay(Replay),
    /// See [`GradDrop`].
    GradDrop(GradDrop),
}

impl Rule {
    /// The parts of a step that its weights follow from; none for a rule without weights.
    pub fn needs(&self) -> Option<Needs> {
        match self {
            Rule::Gram(weighting) => Some(weighting.needs()),
            Rule::Replay(_) => Some(Needs::NOTHING),
            Rule::GradDrop(_) => None,
        }
    }

    /// The weights of one step.
    ///
    /// # Errors
    /// A rule without weights; numbers that it cannot work with, in words.
    pub fn weigh(&self, seen: &Observation<'_>, state: &mut State) -> Result<Solution, String> {
        match self {
            Rule::Gram(weighting) => fairness::weigh(weighting, seen, state).map_err(|e| e.to_string()),
            Rule::Replay(replay) => replay.weigh(seen),
            Rule::GradDrop(_) => Err(WITHOUT_WEIGHTS.into()),
        }
    }

    fn read(table: toml::Table) -> Result<Self, toml::de::Error> {
        let kind = table.get("kind").and_then(toml::Value::as_str).unwrap_or_default().to_owned();
        let without_kind = |mut table: toml::Table| {
            table.remove("kind");
            table
        };
        let known = fairness::Weighting::KINDS;
        match kind.as_str() {
            GradDrop::KIND => without_kind(table).try_into().map(Rule::GradDrop),
            Replay::KIND => without_kind(table).try_into().map(Rule::Replay),
            kind if known.contains(&kind) => table.try_into().map(Rule::Gram),
            _ => {
                let others = [GradDrop::KIND, Replay::KIND].join("\" or \"");
                let known = known.join("\", \"");
                let text = format!("weighting: expected kind = \"{known}\", \"{others}\"");
                Err(toml::de::Error::custom(text))
            }
        }
    }
}

impl Weighting {
    /// Every step exact, as it is where a recipe does not say how often.
    pub fn exact(rule: Rule) -> Self {
        Self { rule, every: 1, average: 1, named: BTreeMap::new() }
    }

    /// Completes what a recipe says by what it stands beside: priorities by name are those of the
    /// `objectives` (1 for those that are not named), and another run's weights are read, its folder being
    /// relative to `base`.
    ///
    /// # Errors
    /// A name of no objective; a run that cannot be read or does not fit.
    pub fn resolve(&mut self, base: &Path, objectives: &[&str]) -> Result<(), String> {
        match &mut self.rule {
            Rule::Replay(replay) => replay.read(base, objectives).map_err(|e| format!("run: {e}")),
            Rule::Gram(fairness::Weighting::AlphaFair(method)) if !self.named.is_empty() => {
                let named = std::mem::take(&mut self.named);
                if let Some(name) = named.keys().find(|name| !objectives.contains(&name.as_str())) {
                    return Err(format!("priority: no objective is called {name:?}"));
                }
                method.priority =
                    objectives.iter().map(|name| named.get(*name).copied().unwrap_or(1.0)).collect();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Checks the weighting for a number of objectives, before anything is trained with it.
    ///
    /// # Errors
    /// The value that is wrong, in words.
    pub fn validate(&self, objectives: usize) -> Result<(), String> {
        if !(1..=bounds::STEPS).contains(&self.every) {
            return Err(format!("every is {}; expected 1 to {}", self.every, bounds::STEPS));
        }
        if self.average == 0 {
            return Err("average is 0; expected at least 1".into());
        }
        match &self.rule {
            Rule::Gram(weighting) => weighting.validate(objectives).map_err(|e| e.to_string()),
            Rule::Replay(_) => Ok(()),
            Rule::GradDrop(_) if (self.every, self.average) != (1, 1) => {
                Err("every and average are 1 for a rule that needs the gradients themselves".into())
            }
            Rule::GradDrop(_) => Ok(()),
        }
    }

    /// The method with its parameters in a few words, for reports.
    pub fn label(&self) -> String {
        let rule = match &self.rule {
            Rule::Gram(weighting) => weighting.label(),
            Rule::Replay(replay) if replay.shuffle => {
                format!("the weights of {}, shuffled", replay.run.display())
            }
            Rule::Replay(replay) => format!("the weights of {}", replay.run.display()),
            Rule::GradDrop(_) => "GradDrop".into(),
        };
        match self.every {
            every if every > 1 && self.keeps_average() => format!("{rule}, solved every {every} steps"),
            _ => rule,
        }
    }

    /// True if weights are solved for an average of Gram matrices, which is kept from step to step.
    pub fn keeps_average(&self) -> bool {
        (self.every, self.average) != (1, 1) && self.rule.needs().is_some_and(|needs| needs.gram)
    }

    /// True if the losses of a step's samples are wanted once more after the step: a further forward pass.
    pub fn looks_back(&self) -> bool {
        self.rule.needs().is_some_and(|needs| needs.losses_after)
    }

    /// True if a step must have the gradients of all objectives: every so many steps, more often at the
    /// beginning, while an average has few steps to go by (1, 2, 4, 8, ...), and where an objective has
    /// pixels of which the average knows nothing.
    pub fn is_exact(&self, step: u64, absent: &[bool], average: &RunningGram) -> bool {
        let Some(needs) = self.rule.needs() else { return true };
        let regular = step.saturating_sub(1).is_multiple_of(self.every);
        let early = step <= self.every && step.is_power_of_two();
        let unknown = absent.iter().enumerate().any(|(i, &absent)| !absent && !average.knows(i));
        regular || (needs.gram && (early || unknown))
    }
}

impl Default for Weighting {
    /// Minimum Potential Delay.
    fn default() -> Self {
        Self::exact(Rule::Gram(fairness::Weighting::default()))
    }
}

impl From<fairness::Weighting> for Weighting {
    fn from(weighting: fairness::Weighting) -> Self {
        Self::exact(Rule::Gram(weighting))
    }
}

impl From<GradDrop> for Weighting {
    fn from(method: GradDrop) -> Self {
        Self::exact(Rule::GradDrop(method))
    }
}

impl<'de> Deserialize<'de> for Weighting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut table = toml::Table::deserialize(deserializer)?;
        if let Some(problem) = unread(&table) {
            return Err(D::Error::custom(problem));
        }
        let named = match table.get("priority") {
            Some(toml::Value::Table(_)) => table.remove("priority"),
            _ => None,
        };
        let mut whole = |key: &str, most: i64| match table.remove(key) {
            None => Ok(None),
            Some(toml::Value::Integer(value)) if (1..=most).contains(&value) => Ok(Some(value as u64)),
            Some(found) => {
                let text =
                    format!("weighting.{key}: expected a whole number from 1 to {most}, found {found}");
                Err(D::Error::custom(text))
            }
        };
        let every = whole("every", bounds::STEPS as i64)?;
        let average = whole("average", 1_000_000)?;
        let rule = Rule::read(table).map_err(D::Error::custom)?;
        let named = match named {
            None => BTreeMap::new(),
            Some(named) => named.try_into().map_err(D::Error::custom)?,
        };
        let logged = rule.needs().is_some_and(|needs| !needs.gram);
        let every = every.unwrap_or(if logged { LOGGED } else { 1 });
        let average = average.map_or(if every == 1 || logged { 1 } else { AVERAGED }, |n| n as u32);
        Ok(Self { rule, every, average, named })
    }
}

/// The problem with a key that alpha-fair weights alone read, in a table of another kind or of none.
fn unread(table: &toml::Table) -> Option<String> {
    const ALPHA_FAIR: &str = "alpha-fair";
    let key = ["priority", "normalise"].into_iter().find(|key| table.contains_key(*key))?;
    let is_known = |kind: &str| {
        fairness::Weighting::KINDS
            .iter()
            .copied()
            .chain([GradDrop::KIND, Replay::KIND])
            .any(|known| known == kind)
    };
    match table.get("kind").and_then(toml::Value::as_str) {
        // An unknown kind is told of by itself.
        Some(kind) if kind == ALPHA_FAIR || !is_known(kind) => None,
        Some(kind) => {
            Some(format!("weighting.{key}: kind = \"{kind}\" does not read it; \"{ALPHA_FAIR}\" does"))
        }
        None => {
            Some(format!("weighting.{key}: it is read with kind = \"{ALPHA_FAIR}\", and there is no kind"))
        }
    }
}
