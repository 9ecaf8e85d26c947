//! `xtask amortise`: fair weights for steps that make no Gram matrix, replayed from the logs of runs that
//! made one in every step. It compares what the steps between could be given: the weights of an average of
//! the Gram matrices (the program's way), an average of the exact steps' weights, and the memory that has
//! been best so far.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;
use fairhuman_fairness::{Gram, RunningGram, State, solve};
use serde_json::Value;

/// `xtask amortise`
#[derive(Debug, Args)]
pub(crate) struct Amortise {
    /// Folders of runs with `weighting = { kind = "alpha-fair" }`, exact in every step
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Steps from one Gram matrix to the next
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=1000))]
    every: u64,
    /// The alpha of the weights
    #[arg(long, value_name = "ALPHA", default_value_t = 2.0)]
    alpha: f64,
}

/// Lengths of the memory, in Gram matrices.
const MEMORIES: [u32; 4] = [1, 3, 10, 30];
/// Share of the newest error in the running error by which a memory is chosen.
const NEWEST: f64 = 0.3;

/// A step's Gram matrix and its weights, divided by their sum: in logarithms, none where absent.
struct Step {
    gram: Gram,
    exact: Vec<Option<f64>>,
}

/// A guess at the weights of the steps between.
enum Guess {
    /// The weights of an average of Gram matrices.
    OfGram(u32, RunningGram),
    /// An average of weights: sums of logarithms, and of the shares that they count with.
    OfWeights(u32, Vec<(f64, f64)>),
}

impl Guess {
    fn name(&self) -> String {
        match self {
            Self::OfGram(memory, _) => format!("average of Gram matrices, memory {memory}"),
            Self::OfWeights(memory, _) => format!("average of log weights, memory {memory}"),
        }
    }

    /// The weights by what it has seen, for a step with these objectives.
    fn weights(&self, absent: &[bool], alpha: f64) -> anyhow::Result<Vec<Option<f64>>> {
        match self {
            Self::OfGram(_, average) => log_weights(&average.gram(names(absent.len()), absent)?, alpha),
            Self::OfWeights(_, sums) => {
                let log = |(&(sum, mass), &absent): (&(f64, f64), &bool)| {
                    (!absent && mass > 0.0).then(|| sum / mass)
                };
                Ok(divided_by_sum(sums.iter().zip(absent).map(log).collect()))
            }
        }
    }

    fn see(&mut self, number: u64, step: &Step) {
        match self {
            Self::OfGram(memory, average) => average.add(&step.gram, number, *memory),
            Self::OfWeights(memory, sums) => {
                let share = 1.0 / f64::from(*memory);
                for (one, exact) in sums.iter_mut().zip(&step.exact) {
                    let newest = exact.map_or((0.0, 0.0), |log| (share * log, share));
                    *one = ((1.0 - share) * one.0 + newest.0, (1.0 - share) * one.1 + newest.1);
                }
            }
        }
    }
}

/// Squared errors of logarithms: their sum and number.
#[derive(Debug, Clone, Copy, Default)]
struct Errors(f64, f64);

impl Errors {
    fn add(&mut self, found: &[Option<f64>], exact: &[Option<f64>]) {
        for (found, exact) in found.iter().zip(exact) {
            if let (Some(found), Some(exact)) = (found, exact) {
                *self = Self(self.0 + (found - exact).powi(2), self.1 + 1.0);
            }
        }
    }

    fn root_mean_square(self) -> f64 {
        (self.0 / self.1).sqrt()
    }
}

/// Replays the logs and prints the table.
pub(crate) fn run(options: &Amortise) -> anyhow::Result<()> {
    ensure!(options.alpha > 0.0 && options.alpha.is_finite(), "--alpha {}: a number above 0", options.alpha);
    let mut rows: Vec<(String, Errors)> = Vec::new();
    for run in &options.runs {
        let steps = read(run, options.alpha).with_context(|| run.display().to_string())?;
        let found = replay(&steps, options.every, options.alpha)?;
        if rows.is_empty() {
            rows = found.iter().map(|(name, _)| (name.clone(), Errors::default())).collect();
        }
        for ((_, all), (_, errors)) in rows.iter_mut().zip(found) {
            *all = Errors(all.0 + errors.0, all.1 + errors.1);
        }
    }
    let (runs, every) = (options.runs.len(), options.every);
    println!("{runs} runs, a Gram matrix every {every} steps, alpha {}. Root mean square of", options.alpha);
    println!("ln(weight / exact weight) over the steps between, weights divided by their sum.\n");
    println!("| the steps between have | error |\n|---|---|");
    rows.iter().for_each(|(name, errors)| println!("| {name} | {:.3} |", errors.root_mean_square()));
    Ok(())
}

fn replay(steps: &[Step], every: u64, alpha: f64) -> anyhow::Result<Vec<(String, Errors)>> {
    let k = steps.first().context("no steps with a Gram matrix")?.exact.len();
    let empty = || RunningGram::read(&State::default(), k);
    let mut guesses = Vec::new();
    for memory in MEMORIES {
        guesses.push(Guess::OfGram(memory, empty()?));
        guesses.push(Guess::OfWeights(memory, vec![(0.0, 0.0); k]));
    }
    let mut errors = vec![Errors::default(); guesses.len()];
    let (mut chosen, mut constant) = (Errors::default(), Errors::default());
    // The running error of each memory of Gram matrices at the exact steps, before it has seen them.
    let mut running = vec![0.0; guesses.len()];
    let mean = mean_weights(steps, k);
    for (number, step) in (1..).zip(steps) {
        let absent = step.gram.absent();
        let is_exact = (number - 1) % every == 0 || (number <= every && number.is_power_of_two());
        let found: Vec<_> =
            guesses.iter().map(|guess| guess.weights(absent, alpha)).collect::<anyhow::Result<_>>()?;
        if is_exact {
            for ((guess, found), running) in guesses.iter_mut().zip(&found).zip(&mut running) {
                let mut error = Errors::default();
                error.add(found, &step.exact);
                if error.1 > 0.0 {
                    *running = (1.0 - NEWEST) * *running + NEWEST * error.0 / error.1;
                }
                guess.see(number, step);
            }
            continue;
        }
        for (errors, found) in errors.iter_mut().zip(&found) {
            errors.add(found, &step.exact);
        }
        let of_gram = (0..guesses.len()).filter(|&i| matches!(guesses[i], Guess::OfGram(..)));
        if let Some(best) = of_gram.min_by(|&a, &b| running[a].total_cmp(&running[b])) {
            chosen.add(&found[best], &step.exact);
        }
        let there: Vec<_> = mean.iter().zip(absent).map(|(&log, &absent)| log.filter(|_| !absent)).collect();
        constant.add(&divided_by_sum(there), &step.exact);
    }
    let mut rows: Vec<_> = guesses.iter().map(Guess::name).zip(errors).collect();
    rows.push(("average of Gram matrices, the memory that was best so far".into(), chosen));
    rows.push(("the mean log weights of the whole run (known afterwards only)".into(), constant));
    Ok(rows)
}

/// Each objective's mean over the steps that it was present in.
fn mean_weights(steps: &[Step], k: usize) -> Vec<Option<f64>> {
    let mean = |i: usize| {
        let logs: Vec<f64> = steps.iter().filter_map(|step| step.exact[i]).collect();
        (!logs.is_empty()).then(|| logs.iter().sum::<f64>() / logs.len() as f64)
    };
    (0..k).map(mean).collect()
}

fn read(run: &Path, alpha: f64) -> anyhow::Result<Vec<Step>> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).context("cannot read events.jsonl")?;
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let steps = events.filter(|event| event["event"] == "step");
    let step = |event: Value| -> anyhow::Result<Step> {
        let number = &event["step"];
        let list = |key: &str| event[key].as_array().with_context(|| format!("step {number}: no {key}"));
        let values: Option<Vec<f64>> = list("gram")?.iter().map(Value::as_f64).collect();
        let absent: Vec<bool> = list("present")?.iter().map(|lanes| lanes == 0).collect();
        let values = values.filter(|values| values.len() == absent.len().pow(2));
        let values =
            values.with_context(|| format!("step {number} has no Gram matrix: the run is not exact"))?;
        let gram = Gram::new(names(absent.len()), values)?.with_absent(&absent)?;
        Ok(Step { exact: log_weights(&gram, alpha)?, gram })
    };
    steps.map(step).collect()
}

fn names(k: usize) -> Vec<String> {
    (0..k).map(|i| i.to_string()).collect()
}

/// Logarithms of the fair weights, divided by their sum.
fn log_weights(gram: &Gram, alpha: f64) -> anyhow::Result<Vec<Option<f64>>> {
    let weights = solve(gram, alpha)?.weights;
    Ok(divided_by_sum(weights.into_iter().map(|weight| (weight > 0.0).then(|| weight.ln())).collect()))
}

fn divided_by_sum(logs: Vec<Option<f64>>) -> Vec<Option<f64>> {
    let sum: f64 = logs.iter().flatten().map(|log| log.exp()).sum();
    logs.into_iter().map(|log| log.map(|log| log - sum.ln())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(squares: [f64; 2]) -> Step {
        let gram = Gram::new(["a", "b"], vec![squares[0], 0.0, 0.0, squares[1]]).expect("a Gram matrix");
        Step { exact: log_weights(&gram, 2.0).expect("weights"), gram }
    }

    #[test]
    fn steps_that_are_alike_are_guessed_and_a_change_is_followed_by_a_short_memory() -> anyhow::Result<()> {
        let alike: Vec<Step> = (0..40).map(|_| step([1.0, 4.0])).collect();
        for (name, errors) in replay(&alike, 10, 2.0)? {
            assert!(errors.root_mean_square() < 1e-9, "{name}");
        }
        let changed = (0..200).map(|i| step(if i < 40 { [1.0, 4.0] } else { [9.0, 0.1] }));
        let rows = replay(&changed.collect::<Vec<_>>(), 10, 2.0)?;
        let error = |part: &str| -> f64 {
            let row = rows.iter().find(|(name, _)| name.contains(part)).map(|(_, errors)| errors);
            row.map_or(f64::NAN, |errors| errors.root_mean_square())
        };
        assert!(error("Gram matrices, memory 1") < error("Gram matrices, memory 30"));
        assert!(error("best so far") < error("Gram matrices, memory 30"));
        Ok(())
    }
}
