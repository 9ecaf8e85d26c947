//! Times of runs, and what is made of several.

use anyhow::Context;
use serde_json::Value;

/// The report of one run of either side, itself medians over its repeats. Milliseconds and MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Measurement {
    pub step: f64,
    pub forward: Option<f64>,
    pub backward: Option<f64>,
    pub solve: Option<f64>,
    pub memory: Option<f64>,
    /// Memory that the forward pass saves for the backward pass.
    pub activations: Option<f64>,
    /// Memory that a card has given.
    pub device: Option<f64>,
}

impl Measurement {
    /// From the JSON object on the last line of an output; also what came before it.
    pub(crate) fn from_output(output: &str) -> anyhow::Result<(Self, String)> {
        let output = output.trim_end();
        let (before, last) = output.rsplit_once('\n').unwrap_or(("", output));
        let json: Value = serde_json::from_str(last)
            .with_context(|| format!("expected a line of JSON with times, found {last:?}"))?;
        let number = |key: &str| json[key].as_f64();
        let measurement = Self {
            step: number("step_ms").with_context(|| format!("no step_ms in {last}"))?,
            forward: number("forward_ms"),
            backward: number("backward_ms"),
            solve: number("solve_ms"),
            memory: number("peak_rss_mb"),
            activations: number("activations_mb"),
            device: number("device_memory_mb"),
        };
        Ok((measurement, before.to_owned()))
    }
}

/// All runs of one kind, in the order of the pairs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(pub Vec<Measurement>);

impl Series {
    /// Median of a part of the runs that have it.
    pub(crate) fn median(&self, part: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
        median(self.0.iter().filter_map(part).collect())
    }

    pub(crate) fn step(&self) -> Option<f64> {
        self.median(|m| Some(m.step))
    }

    pub(crate) fn memory(&self) -> Option<f64> {
        self.median(|m| m.memory)
    }
}

/// Quotients of a part of two series, pair by pair.
pub(crate) fn ratios(
    above: &Series,
    below: &Series,
    part: impl Fn(&Measurement) -> Option<f64>,
) -> Option<Ratio> {
    let pairs = above.0.iter().zip(&below.0);
    Ratio::of(pairs.filter_map(|(a, b)| Some(part(a)? / part(b)?)).collect())
}

/// A quotient that was measured several times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    pub median: f64,
    pub lowest: f64,
    pub highest: f64,
}

impl Ratio {
    pub(crate) fn of(values: Vec<f64>) -> Option<Self> {
        let lowest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { median: median(values)?, lowest, highest })
    }
}

/// Middle value; none of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(0.5 * (values[middle - 1] + values[middle])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_the_measurement() {
        let output = "a table\nof operations\n{\"step_ms\": 2.5, \"peak_rss_mb\": null}\n";
        let (m, before) = Measurement::from_output(output).expect("a measurement");
        assert_eq!((m.step, m.memory, m.forward), (2.5, None, None));
        assert_eq!(before, "a table\nof operations");
        assert!(Measurement::from_output("no times").is_err());
        assert!(Measurement::from_output("{}").is_err());
    }

    #[test]
    fn ratios_are_made_pair_by_pair() {
        let series = |steps: &[f64]| {
            let run = |&step: &f64| Measurement { step, ..Measurement::default() };
            Series(steps.iter().map(run).collect())
        };
        let found = ratios(&series(&[2.0, 9.0, 8.0]), &series(&[1.0, 3.0, 2.0]), |m| Some(m.step));
        assert_eq!(found, Some(Ratio { median: 3.0, lowest: 2.0, highest: 4.0 }));
        assert_eq!(ratios(&series(&[]), &series(&[1.0]), |m| Some(m.step)), None);
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
