//! The result in words and a table, both computed from the numbers.

use std::path::Path;

use fairhuman_evaluate::statistics::{Interval, bootstrap};
use fairhuman_report::{Advice, Run};
use fairhuman_train::events::Validation;

use super::recipes::WAYS;
use crate::units::change;

/// Resamples of the held-out pictures behind an interval.
const RESAMPLES: usize = 2000;

/// Held-out losses of the base and after each fine-tuning, per objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses {
    /// Names of the objectives.
    pub objectives: Vec<String>,
    /// Before the first step.
    pub base: Vec<f64>,
    /// After the last step, in the order of the ways.
    pub tuned: Vec<Vec<f64>>,
    /// The last way's changes beside those of each of the others, in points: below 0 where its loss is lower.
    /// None where too few pictures show an objective.
    pub differences: Vec<Vec<Option<Interval>>>,
}

impl Losses {
    /// From the runs; none where one has no held-out losses.
    pub fn of(runs: &[Run]) -> Option<Self> {
        let (last, others) = runs.split_last()?;
        let before = last.validations().next()?;
        let end = |run: &'_ Run| run.validations().last().cloned();
        let fair = end(last)?;
        let mut differences = Vec::new();
        for other in others {
            let other = end(other)?;
            differences.push((0..fair.losses.len()).map(|k| difference(before, &other, &fair, k)).collect());
        }
        Some(Self {
            objectives: last.objectives().to_vec(),
            base: before.losses.clone(),
            tuned: runs.iter().map(|run| Some(end(run)?.losses)).collect::<Option<_>>()?,
            differences,
        })
    }

    /// Change of a loss relative to the base's, in percent.
    fn change(&self, way: usize, k: usize) -> f64 {
        100.0 * (self.tuned[way][k] / self.base[k] - 1.0)
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let mut text = format!("{:<14}{:>9}", "held-out loss", "base");
        WAYS.iter().for_each(|way| text += &format!("{:>19}", way.name));
        for (k, name) in self.objectives.iter().enumerate() {
            text += &format!("\n{:<14}{:>9.5}", name, self.base[k]);
            for (way, losses) in self.tuned.iter().enumerate() {
                let cell = format!("{:.5} ({})", losses[k], change(self.change(way, k) / 100.0, 1));
                text += &format!("{cell:>19}");
            }
        }
        text
    }

    /// The objective that gained least in a way, and its change in percent.
    fn least(&self, way: usize) -> (&str, f64) {
        let changes =
            self.objectives.iter().enumerate().map(|(k, name)| (name.as_str(), self.change(way, k)));
        changes.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("none", 0.0))
    }
}

/// The difference between two runs' changes of loss `k`, in points, with an interval over the pictures.
fn difference(before: &Validation, a: &Validation, b: &Validation, k: usize) -> Option<Interval> {
    let all: f64 = before.pictures.iter().map(|picture| picture.squares[k]).sum();
    let shown = before.pictures.iter().zip(&a.pictures).zip(&b.pictures);
    let shown: Vec<_> = shown.filter(|((before, _), _)| before.elements[k] > 0.0).collect();
    let scale = 100.0 * shown.len() as f64 / all;
    let values: Vec<f64> = shown.iter().map(|((_, a), b)| scale * (b.squares[k] - a.squares[k])).collect();
    bootstrap(&values, RESAMPLES).map(|found| found.percentile)
}

/// The conclusion that the numbers allow, whoever won.
pub fn conclusion(losses: &Losses) -> Vec<String> {
    let mut said: Vec<String> =
        WAYS.iter().zip(&losses.differences).map(|(way, by)| beside(way.name, by, losses)).collect();
    let least = WAYS.iter().enumerate().map(|(way, about)| {
        let (name, by) = losses.least(way);
        format!("{}: {name} {}", about.name, change(by / 100.0, 1))
    });
    said.push(format!("The loss that gained least, {}.", least.collect::<Vec<_>>().join("; ")));
    said
}

/// The last way beside another, in a sentence.
fn beside(other: &str, differences: &[Option<Interval>], losses: &Losses) -> String {
    let named = |wanted: fn(&Interval) -> bool| -> Vec<(&str, Interval)> {
        let named = losses.objectives.iter().zip(differences);
        named.filter_map(|(name, by)| Some((name.as_str(), by.filter(wanted)?))).collect()
    };
    let points = |list: &[(&str, Interval)]| {
        let one = |(name, by): &(&str, Interval)| {
            format!("{name} {:+.1} points [{:.1}, {:.1}]", by.mean, by.low, by.high)
        };
        list.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let parts = [
        ("lower held-out losses", named(|by| by.high < 0.0)),
        ("higher ones", named(|by| by.low > 0.0)),
        ("no clear difference", named(|by| by.low <= 0.0 && by.high >= 0.0)),
    ];
    let told = parts.iter().filter(|(_, list)| !list.is_empty());
    let told: Vec<String> = told.map(|(words, list)| format!("{words}: {}", points(list))).collect();
    let name = WAYS[WAYS.len() - 1].name;
    format!(
        "{name} beside {other}: {}.",
        if told.is_empty() { "too few pictures to say".into() } else { told.join("; ") }
    )
}

/// The report's first paragraphs.
pub fn summary(losses: &Losses, steps: u64, people: u64) -> Vec<String> {
    let mut text = conclusion(losses);
    text.push(format!(
        "From the built-in model three LoRAs were fine-tuned, for {steps} steps each, on the same {people} drawn people, in \
         the same order and with the same noise; they are drawn in a style that the model had not seen. The first learns from \
         the plain loss, a mean over the whole picture, in which a hand counts for its few percent. The others have three \
         objectives: the picture, faces and hands. One takes the sum of the three losses; one takes at every step the \
         direction that is fair to all of them, Minimum Potential Delay. A fifth of the pictures was held out; their losses, \
         at fixed noise and time steps, are what is compared. Points are percent of the base's loss; intervals are of 95 %, \
         over the held-out pictures. This is one run of each: another seed would move the numbers."
    ));
    text
}

/// Next steps.
pub fn next(out: &Path) -> Vec<Advice> {
    let advice = |text: &str, command: &str| Advice { text: text.into(), command: Some(command.into()) };
    vec![
        advice("Find faces and hands in your photographs:", "fairhuman annotate PHOTOS --out data/mine"),
        advice(
            "See what each objective will see, and what is wrong:",
            "fairhuman check data/mine --html check.html",
        ),
        advice(
            "Write a recipe for these pictures, your model and this machine's memory, and train:",
            "fairhuman init data/mine --model MODEL && fairhuman train mine.toml",
        ),
        advice(
            &format!(
                "Draw with what was learnt here ({} is such a file):",
                out.join("mpd/lora.safetensors").display()
            ),
            &format!(
                "fairhuman sample --lora {} --prompt \"a woman waves\" --out pictures",
                out.join("mpd/lora.safetensors").display()
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(plain: [f64; 3], fair: [f64; 3]) -> Losses {
        let differences = (0..3).map(|k| {
            let mean = 100.0 * (fair[k] - plain[k]);
            Some(Interval { mean, low: mean - 1.0, high: mean + 1.0 })
        });
        Losses {
            objectives: ["global", "face", "hand"].map(Into::into).to_vec(),
            base: vec![1.0; 3],
            tuned: vec![plain.to_vec(), [1.1, 0.6, 0.6].to_vec(), fair.to_vec()],
            differences: vec![differences.collect()],
        }
    }

    #[test]
    fn the_words_say_who_won_also_when_mpd_did_not() {
        let mixed = conclusion(&losses([0.8, 0.95, 0.9], [0.9, 0.7, 0.895]));
        assert_eq!(
            mixed,
            [
                "MPD beside plain: lower held-out losses: face -25.0 points [-26.0, -24.0]; higher ones: global +10.0 \
                 points [9.0, 11.0]; no clear difference: hand -0.5 points [-1.5, 0.5].",
                "The loss that gained least, plain: face -5.0 %; sum: global +10.0 %; MPD: global -10.0 %.",
            ]
        );
        let lost = conclusion(&losses([0.8; 3], [0.9; 3]));
        assert!(
            lost[0].starts_with("MPD beside plain: higher ones: global") && !lost[0].contains("lower"),
            "{lost:?}"
        );
    }

    #[test]
    fn the_table_has_the_losses_and_their_changes() {
        let table = losses([0.8, 1.1, 0.9], [0.9, 0.75, 0.8]).table();
        for part in ["global", "0.80000 (-20.0 %)", "1.10000 (+10.0 %)", "0.75000 (-25.0 %)"] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }
}
