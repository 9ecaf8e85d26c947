//! Losses of objectives by bands of time steps, with intervals over pictures.

use std::collections::BTreeMap;

use fairhuman_evaluate::RESAMPLES;
use fairhuman_evaluate::statistics::{Interval, resampled};
use fairhuman_train::evaluation::Evaluation;
use serde_json::{Value, json};

use crate::units::{change, short};

/// An objective in a band of time steps.
struct Row {
    objective: String,
    /// Its first time step and the one after its last.
    band: (usize, usize),
    /// Pictures in which the objective has cells.
    pictures: usize,
    /// Loss of each arm; none without cells. The interval is none for one picture.
    losses: Vec<Option<(f64, Option<Interval>)>>,
    /// Relative change of the second arm from the first.
    change: Option<(f64, Option<Interval>)>,
}

/// All rows.
pub struct Table {
    arms: Vec<String>,
    pictures: usize,
    samples: usize,
    rows: Vec<Row>,
}

/// Sums of squares and elements of each picture, in one band and objective, of one arm.
fn sums(evaluation: &Evaluation, k: usize, band: (usize, usize)) -> Vec<(f64, f64)> {
    let mut pictures: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for sample in &evaluation.samples {
        let sum = pictures.entry(&sample.name).or_default();
        if sample.timestep.is_none_or(|t| (band.0..band.1).contains(&t)) {
            sum.0 += sample.squares[k];
            sum.1 += sample.elements[k];
        }
    }
    pictures.into_values().collect()
}

/// The loss of some pictures: the sum of their squares by that of their elements.
fn loss(sums: &[(f64, f64)], positions: &[usize]) -> f64 {
    let (squares, elements) = positions.iter().fold((0.0, 0.0), |(s, e), &i| (s + sums[i].0, e + sums[i].1));
    squares / elements
}

impl Table {
    /// The rows of all objectives: over all time steps, then band by band.
    pub fn new(found: &[(String, Evaluation)], bands: usize) -> Self {
        let first = &found[0].1;
        let steps = first.steps;
        let edge = |band: usize| band * steps / bands;
        let mut spans = vec![(0, steps)];
        if bands > 1 {
            spans.extend((0..bands).map(|band| (edge(band), edge(band + 1))));
        }
        let mut rows = Vec::new();
        for (k, objective) in first.objectives.iter().enumerate() {
            for &band in &spans {
                let arms: Vec<Vec<(f64, f64)>> =
                    found.iter().map(|(_, evaluation)| sums(evaluation, k, band)).collect();
                let count = arms[0].len();
                let all: Vec<usize> = (0..count).collect();
                let value = |of: &dyn Fn(&[usize]) -> f64| {
                    let value = of(&all);
                    value.is_finite().then(|| (value, resampled(count, RESAMPLES, of)))
                };
                let losses = arms.iter().map(|sums| value(&|positions| loss(sums, positions))).collect();
                let change = arms.get(1).and_then(|second| {
                    value(&|positions| loss(second, positions) / loss(&arms[0], positions) - 1.0)
                });
                let pictures = arms[0].iter().filter(|(_, elements)| *elements > 0.0).count();
                rows.push(Row { objective: objective.clone(), band, pictures, losses, change });
            }
        }
        let pictures = sums(first, 0, (0, steps)).len();
        let arms = found.iter().map(|(name, _)| name.clone()).collect();
        Self { arms, pictures, samples: first.samples.len(), rows }
    }

    /// The size of the experiment in words.
    pub fn sentence(&self) -> String {
        format!(
            "{} pictures, {} pairs of picture and noise, the same for all models. Intervals of 95 % by a bootstrap over pictures.",
            self.pictures, self.samples
        )
    }

    /// The rows for a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.sentence());
        for row in &self.rows {
            let losses = self.arms.iter().zip(&row.losses);
            let losses: Vec<String> = losses.map(|(arm, loss)| format!("{arm} {}", cell(loss))).collect();
            let changed =
                row.change.map(|change| format!("; {}", percent(&Some(change)))).unwrap_or_default();
            text += &format!("{}, {}: {}{changed}\n", row.objective, band(row), losses.join(", "));
        }
        text
    }

    /// The rows as tables of a page.
    pub fn tables(&self) -> Vec<fairhuman_report::Table> {
        let mut columns = vec![String::new(), "time steps".into()];
        columns.extend(self.arms.iter().cloned());
        if self.arms.len() > 1 {
            columns.push("change".into());
        }
        columns.push("pictures".into());
        let row = |row: &Row| {
            let mut cells = vec![row.objective.clone(), band(row)];
            cells.extend(row.losses.iter().map(cell));
            if self.arms.len() > 1 {
                cells.push(percent(&row.change));
            }
            cells.push(row.pictures.to_string());
            cells
        };
        vec![fairhuman_report::Table {
            title: "Losses".into(),
            text: "Mean squared error of the prediction over the whole picture, the cells of a region, and what no region covers.".into(),
            columns,
            rows: self.rows.iter().map(row).collect(),
        }]
    }

    /// The rows for other programs.
    pub fn json(&self) -> Value {
        let ends = |interval: &Option<Interval>| interval.map(|interval| [interval.low, interval.high]);
        let number = |value: &Option<(f64, Option<Interval>)>| {
            value.as_ref().map(|(value, interval)| json!({"value": value, "interval": ends(interval)}))
        };
        let row = |row: &Row| {
            let losses: serde_json::Map<String, Value> = self
                .arms
                .iter()
                .zip(&row.losses)
                .map(|(arm, loss)| (arm.clone(), json!(number(loss))))
                .collect();
            json!({
                "objective": row.objective,
                "from": row.band.0,
                "to": row.band.1,
                "pictures": row.pictures,
                "losses": losses,
                "change": number(&row.change),
            })
        };
        self.rows.iter().map(row).collect()
    }
}

fn band(row: &Row) -> String {
    format!("{} to {}", row.band.0, row.band.1 - 1)
}

fn cell(loss: &Option<(f64, Option<Interval>)>) -> String {
    match loss {
        None => "-".into(),
        Some((value, None)) => short(*value),
        Some((value, Some(i))) => format!("{} [{}, {}]", short(*value), short(i.low), short(i.high)),
    }
}

fn percent(value: &Option<(f64, Option<Interval>)>) -> String {
    match value {
        None => "-".into(),
        Some((value, None)) => change(*value, 2),
        Some((value, Some(i))) => {
            format!("{} [{}, {}]", change(*value, 2), change(i.low, 2), change(i.high, 2))
        }
    }
}
