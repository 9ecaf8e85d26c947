//! The result in words and a table, both computed from the numbers.

use std::path::Path;

use fairhuman_report::{Advice, Run};

use crate::units::change;

/// Descriptions of the fine-tunings.
pub const ABOUT: [&str; 2] = [
    "the plain loss, a mean over the whole picture",
    "Minimum Potential Delay over picture, faces and hands",
];

/// Held-out losses of the base and after each fine-tuning, per objective.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses {
    /// Names of the objectives.
    pub objectives: Vec<String>,
    /// Before the first step.
    pub base: Vec<f64>,
    /// After the last step: the plain loss, MPD.
    pub tuned: [Vec<f64>; 2],
}

impl Losses {
    /// From the two runs; none where a run has no held-out losses.
    pub fn of(runs: &[Run]) -> Option<Self> {
        let [plain, fair] = runs else { return None };
        let last = |run: &Run| Some(run.validations().last()?.losses.clone());
        Some(Self {
            objectives: plain.objectives().to_vec(),
            base: plain.validations().next()?.losses.clone(),
            tuned: [last(plain)?, last(fair)?],
        })
    }

    /// Reduction of a loss relative to the base's, in percent.
    fn gain(&self, way: usize, k: usize) -> f64 {
        100.0 * (1.0 - self.tuned[way][k] / self.base[k])
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let mut text = format!("{:<14}{:>10}{:>20}{:>20}", "held-out loss", "base", "plain", "MPD");
        for (k, name) in self.objectives.iter().enumerate() {
            let tuned =
                |way: usize| format!("{:.5} ({})", self.tuned[way][k], change(-self.gain(way, k) / 100.0, 1));
            text += &format!("\n{:<14}{:>10.5}{:>20}{:>20}", name, self.base[k], tuned(0), tuned(1));
        }
        text
    }

    /// Objectives in which MPD has the lower loss, and those in which it has not.
    fn sides(&self) -> (Vec<&str>, Vec<&str>) {
        let wins = |k: &usize| self.tuned[1][*k] < self.tuned[0][*k];
        let (won, lost): (Vec<usize>, Vec<usize>) = (0..self.objectives.len()).partition(wins);
        let names = |list: Vec<usize>| list.into_iter().map(|k| self.objectives[k].as_str()).collect();
        (names(won), names(lost))
    }
}

/// The conclusion that the numbers allow, whoever won.
pub fn conclusion(losses: &Losses) -> Vec<String> {
    let (won, lost) = losses.sides();
    let list = |names: &[&str]| names.join(" and ");
    let first = match (won.is_empty(), lost.is_empty()) {
        (false, true) => "MPD has the lower held-out loss in every objective.".to_owned(),
        (true, _) => "In this run the plain loss is lower in every objective: MPD did not win.".to_owned(),
        (false, false) => {
            format!("MPD has the lower held-out loss for {}; the plain loss for {}.", list(&won), list(&lost))
        }
    };
    vec![first]
}

/// The report's first paragraphs.
pub fn summary(losses: &Losses, steps: u64, people: u64) -> Vec<String> {
    let mut text = vec![format!(
        "From the built-in model, two LoRAs were fine-tuned for {steps} steps on the same {people} drawn people, in the same \
         order and with the same noise. One learns from the plain loss, a mean over the whole picture, in which a hand \
         counts for its few percent. The other has three objectives (the picture, faces, hands) and takes at every step \
         the direction that is fair to all of them: Minimum Potential Delay. A fifth of the pictures was held out; the \
         losses of these, at fixed noise and time steps, are what the table compares."
    )];
    text.extend(conclusion(losses));
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
            &format!(
                "Copy {} to mine.toml, put your model, data and run folder in, and change what suits only the small \
                 model: [geometry] to 512 for SD 1.5 or 1024 for SDXL, learning_rate to 1e-5, batch to 1, steps to \
                 2000 (recipes/reference.toml has every key). Then train:",
                out.join("mpd.toml").display()
            ),
            "fairhuman train mine.toml",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(plain: [f64; 3], fair: [f64; 3]) -> Losses {
        Losses {
            objectives: ["global", "face", "hand"].map(Into::into).to_vec(),
            base: vec![1.0; 3],
            tuned: [plain.to_vec(), fair.to_vec()],
        }
    }

    #[test]
    fn the_words_say_who_won_also_when_mpd_did_not() {
        let mixed = conclusion(&losses([0.8, 0.95, 0.9], [0.9, 0.7, 0.8]));
        assert!(mixed[0].contains("for face and hand; the plain loss for global"), "{mixed:?}");
        let lost = conclusion(&losses([0.8; 3], [0.9; 3]));
        assert!(lost[0].contains("did not win"), "{lost:?}");
        let won = conclusion(&losses([0.8; 3], [0.7; 3]));
        assert!(won[0].contains("every objective"), "{won:?}");
    }

    #[test]
    fn the_table_has_the_losses_and_their_changes() {
        let table = losses([0.8, 1.1, 0.9], [0.9, 0.75, 0.8]).table();
        for part in ["global", "0.80000 (-20.0 %)", "1.10000 (+10.0 %)", "0.75000 (-25.0 %)"] {
            assert!(table.contains(part), "{part} is not in\n{table}");
        }
    }
}
