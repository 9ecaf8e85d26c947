//! The report: what was measured beside what was wanted, as Markdown.

use std::fmt::Write;

use crate::measurements::{Measurement, Ratio, Series, ratios};
use crate::operations::{Operation, rate};
use crate::speed::{
    BF16, BF16_LAST, CHECKPOINTED, F32, F32_LAST, NO_HAND, ONE_THREAD, OURS, PLAIN, Runs, Workload,
};

/// The machine and the versions that were measured.
pub(crate) struct Machine {
    pub processor: String,
    pub instructions: String,
    pub memory_gib: Option<f64>,
    pub threads: usize,
    pub load: Option<f64>,
    pub torch: Option<String>,
    pub sources: Option<String>,
}

/// Everything that was measured.
pub(crate) struct Report {
    pub machine: Machine,
    pub pairs: usize,
    pub repeat: usize,
    /// GFLOP/s in f32 of all threads.
    pub peak: f64,
    pub peak_instructions: &'static str,
    pub workloads: Vec<(Workload, Runs)>,
    /// MiB of the smallest step: weights and program, hardly any activations.
    pub least_memory: Option<f64>,
    pub operations: Vec<Operation>,
    pub differences: Vec<(Workload, String)>,
    pub profile: String,
    pub minutes: f64,
}

/// A line of the table of goals.
struct Goal {
    what: String,
    found: String,
    goal: String,
    met: Option<bool>,
}

fn at_least(what: &str, ratio: Option<Ratio>, goal: f64) -> Option<Goal> {
    let r = ratio?;
    let found = format!("{:.2} ({:.2} to {:.2})", r.median, r.lowest, r.highest);
    Some(Goal { what: what.into(), found, goal: format!(">= {goal}"), met: Some(r.median >= goal) })
}

fn at_most(what: &str, ratio: Option<Ratio>, goal: f64) -> Option<Goal> {
    let r = ratio?;
    let found = format!("{:.2} ({:.2} to {:.2})", r.median, r.lowest, r.highest);
    Some(Goal { what: what.into(), found, goal: format!("<= {goal:.2}"), met: Some(r.median <= goal) })
}

/// The fastest of PyTorch's exact steps, and its name.
fn best(runs: &Runs) -> Option<(&'static str, &Series)> {
    let exact = [F32, F32_LAST, BF16, BF16_LAST].into_iter().filter_map(|name| Some((name, runs.get(name)?)));
    exact.min_by(|a, b| a.1.step().unwrap_or(f64::MAX).total_cmp(&b.1.step().unwrap_or(f64::MAX)))
}

fn step_ratio(runs: &Runs, above: &str, below: &str) -> Option<Ratio> {
    ratios(runs.get(above)?, runs.get(below)?, |m| Some(m.step))
}

fn main_goals(runs: &Runs, least_memory: Option<f64>) -> Vec<Goal> {
    let mut goals = Vec::new();
    goals.extend(at_least("PyTorch f32 exact step / ours", step_ratio(runs, F32, OURS), 3.0));
    if let Some((name, _)) = best(runs) {
        let what = format!("PyTorch's best exact step ({name}) / ours");
        goals.extend(at_least(&what, step_ratio(runs, name, OURS), 2.3));
    }
    let plain = step_ratio(runs, PLAIN, OURS);
    goals.extend(at_least("PyTorch f32 one-objective step / ours, exact", plain, 1.33));
    let memory = runs.get(OURS).zip(runs.get(F32)).and_then(|(o, t)| ratios(o, t, |m| m.memory));
    goals.extend(at_most("peak memory, ours / PyTorch f32", memory, 0.5));
    goals.extend(no_hand(runs));
    let checkpointed = step_ratio(runs, CHECKPOINTED, OURS);
    goals.extend(at_most("checkpointing / without: time", checkpointed, 1.30));
    let saved = runs.get(CHECKPOINTED).zip(runs.get(OURS)).and_then(|(c, o)| ratios(c, o, |m| m.activations));
    goals.extend(at_most("checkpointing / without: saved activations", saved, 1.0 / 3.0));
    goals.extend(peak_above_least(runs, least_memory));
    let share = runs.get(OURS).and_then(|ours| ours.median(|m| Some(m.solve? / m.step)));
    goals.extend(share.map(|share| Goal {
        what: "fair solve with its Gram matrix, share of the step".into(),
        found: format!("{:.2} %", 100.0 * share),
        goal: "<= 2 %".into(),
        met: Some(share <= 0.02),
    }));
    goals.extend(step_ratio(runs, ONE_THREAD, OURS).map(|r| Goal {
        what: "one thread / all threads".into(),
        found: format!("{:.2}", r.median),
        goal: String::new(),
        met: None,
    }));
    goals
}

/// Without a hand the step should cost `F + 2B` in place of `F + 3B`.
fn no_hand(runs: &Runs) -> Option<Goal> {
    let ours = runs.get(OURS)?;
    let forward = ours.median(|m| m.forward)?;
    let backward = ours.median(|m| m.backward)? / 3.0;
    let expected = (forward + 2.0 * backward) / (forward + 3.0 * backward);
    let found = step_ratio(runs, NO_HAND, OURS)?.median;
    let off = found / expected - 1.0;
    Some(Goal {
        what: "no hand in the batch / all, beside (F+2B)/(F+3B)".into(),
        found: format!("{found:.3} beside {expected:.3}: {:+.1} %", 100.0 * off),
        goal: "within 8 %".into(),
        met: Some(off.abs() <= 0.08),
    })
}

/// Memory above that of the smallest step: saved activations, and the passing ones of a backward pass, which
/// checkpointing cannot spare.
fn peak_above_least(runs: &Runs, least: Option<f64>) -> Option<Goal> {
    let (least, all, kept) = (least?, runs.get(OURS)?.memory()?, runs.get(CHECKPOINTED)?.memory()?);
    let ratio = (kept - least) / (all - least);
    Some(Goal {
        what: "checkpointing / without: peak memory above the smallest step's".into(),
        found: format!("{ratio:.2} ({:.0} MiB / {:.0} MiB)", kept - least, all - least),
        goal: String::new(),
        met: None,
    })
}

fn other_goals(workload: &Workload, runs: &Runs) -> Vec<Goal> {
    let title = workload.title();
    let mut goals = Vec::new();
    let what = format!("{title}: PyTorch f32 exact step / ours");
    goals.extend(at_least(&what, step_ratio(runs, F32, OURS), 2.5));
    if let Some((name, _)) = best(runs) {
        let what = format!("{title}: PyTorch's best exact step ({name}) / ours");
        goals.extend(at_least(&what, step_ratio(runs, name, OURS), 2.5));
    }
    goals.extend(step_ratio(runs, PLAIN, OURS).map(|r| Goal {
        what: format!("{title}: PyTorch f32 one-objective step / ours, exact"),
        found: format!("{:.2}", r.median),
        goal: String::new(),
        met: None,
    }));
    goals
}

const KINDS: [&str; 4] = ["linear", "linear gradient", "convolution", "convolution gradient"];

fn operation_goals(operations: &[Operation], peak: f64) -> impl Iterator<Item = Goal> {
    KINDS.into_iter().map(move |kind| {
        let rate = rate(operations.iter().filter(|o| o.kind == kind));
        Goal {
            what: format!("{kind}, all of the mini step's: share of f32 peak"),
            found: format!("{:.0} % ({rate:.0} GFLOP/s)", 100.0 * rate / peak),
            goal: ">= 80 %".into(),
            met: Some(rate >= 0.8 * peak),
        }
    })
}

/// The whole report.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = compose(report, &mut text);
    text
}

fn compose(report: &Report, text: &mut String) -> std::fmt::Result {
    let m = &report.machine;
    writeln!(text, "Measured by `cargo run --release -p xtask -- speed`.\n")?;
    writeln!(text, "- {}; {}", m.processor, m.instructions)?;
    let memory = m.memory_gib.map_or_else(String::new, |gib| format!(", {gib:.0} GiB of memory"));
    let threads = if m.threads == 1 { "thread" } else { "threads" };
    writeln!(text, "- {} {threads}{memory}", m.threads)?;
    writeln!(text, "- f32 peak {:.0} GFLOP/s, measured ({})", report.peak, report.peak_instructions)?;
    if let Some(torch) = &m.torch {
        writeln!(text, "- PyTorch {torch}")?;
    }
    if let Some(sources) = &m.sources {
        writeln!(text, "- sources {sources}")?;
    }
    let load = m.load.map_or_else(String::new, |load| format!(", system load {load:.1} before"));
    writeln!(
        text,
        "- {} pairs of runs in turn, each the median of {} steps after two to warm up{load}; {:.0} minutes in all\n",
        report.pairs, report.repeat, report.minutes
    )?;

    let mut goals = Vec::new();
    for (workload, runs) in &report.workloads {
        goals.extend(if workload.main {
            main_goals(runs, report.least_memory)
        } else {
            other_goals(workload, runs)
        });
    }
    goals.extend(operation_goals(&report.operations, report.peak));
    writeln!(text, "| measured, medians (lowest to highest pair) | found | goal | met |\n|---|---|---|---|")?;
    for Goal { what, found, goal, met } in goals {
        let met = met.map_or("", |met| if met { "yes" } else { "**no**" });
        writeln!(text, "| {what} | {found} | {goal} | {met} |")?;
    }

    for (workload, runs) in &report.workloads {
        times(workload, runs, text)?;
    }
    for (workload, difference) in &report.differences {
        writeln!(text, "\nOur step beside PyTorch's, relative differences ({}):\n", workload.title())?;
        writeln!(text, "    {difference}")?;
    }
    operations(report, text)?;
    if !report.profile.is_empty() {
        writeln!(text, "\n### Where the time goes (`fairhuman replay --profile`)\n\n```text")?;
        writeln!(text, "{}\n```", report.profile.trim_end())?;
    }
    Ok(())
}

fn times(workload: &Workload, runs: &Runs, text: &mut String) -> std::fmt::Result {
    writeln!(text, "\n### {}\n", workload.title())?;
    writeln!(text, "| run | step, ms | forward | backward | solve | peak memory, MiB |")?;
    writeln!(text, "|---|---:|---:|---:|---:|---:|")?;
    let order = [F32, F32_LAST, BF16, BF16_LAST, PLAIN, OURS, NO_HAND, CHECKPOINTED, ONE_THREAD];
    for (name, series) in order.into_iter().filter_map(|name| Some((name, runs.get(name)?))) {
        let cell = |part: fn(&Measurement) -> Option<f64>, digits: usize| {
            series.median(part).map_or_else(String::new, |value| format!("{value:.digits$}"))
        };
        writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} |",
            cell(|m| Some(m.step), 0),
            cell(|m| m.forward, 0),
            cell(|m| m.backward, 0),
            cell(|m| m.solve, 1),
            cell(|m| m.memory, 0)
        )?;
    }
    Ok(())
}

fn operations(report: &Report, text: &mut String) -> std::fmt::Result {
    writeln!(text, "\n### Products at the mini step's sizes\n")?;
    writeln!(text, "| operation | size | uses | ms | GFLOP/s | of peak |\n|---|---|---:|---:|---:|---:|")?;
    for kind in KINDS {
        for o in report.operations.iter().filter(|o| o.kind == kind) {
            let rate = o.flops / o.seconds * 1e-9;
            let share = 100.0 * rate / report.peak;
            let ms = 1e3 * o.seconds;
            writeln!(text, "| {kind} | {} | {} | {ms:.3} | {rate:.0} | {share:.0} % |", o.size, o.uses)?;
        }
    }
    writeln!(
        text,
        "\nA convolution's operations are those of its definition; Winograd's method does with a quarter of them."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of so many milliseconds, a quarter of it forward, and MiB.
    fn series(step: f64, memory: f64) -> Series {
        let (forward, backward, solve) = (Some(0.25 * step), Some(0.75 * step), Some(0.01 * step));
        let (memory, activations) = (Some(memory), Some(0.5 * memory));
        Series(vec![Measurement { step, forward, backward, solve, memory, activations, device: None }])
    }

    fn line<'a>(goals: &'a [Goal], start: &str) -> &'a Goal {
        goals.iter().find(|g| g.what.starts_with(start)).expect("the goal is in the table")
    }

    #[test]
    fn goals_are_judged() {
        let runs: Runs = [
            (F32, series(1200.0, 2000.0)),
            (BF16, series(900.0, 2000.0)),
            (BF16_LAST, series(840.0, 2000.0)),
            (PLAIN, series(600.0, 2000.0)),
            (OURS, series(400.0, 900.0)),
            (NO_HAND, series(300.0, 900.0)),
            (CHECKPOINTED, series(540.0, 450.0)),
        ]
        .into();
        let goals = main_goals(&runs, Some(300.0));
        let judged = |start: &str| {
            let goal = line(&goals, start);
            (goal.found.as_str(), goal.met)
        };
        assert_eq!(judged("PyTorch f32 exact"), ("3.00 (3.00 to 3.00)", Some(true)));
        assert_eq!(judged("PyTorch's best"), ("2.10 (2.10 to 2.10)", Some(false)));
        assert!(line(&goals, "PyTorch's best").what.contains(BF16_LAST));
        assert_eq!(judged("PyTorch f32 one-objective"), ("1.50 (1.50 to 1.50)", Some(true)));
        assert_eq!(judged("peak memory"), ("0.45 (0.45 to 0.45)", Some(true)));
        assert_eq!(judged("no hand"), ("0.750 beside 0.750: +0.0 %", Some(true)));
        assert_eq!(judged("checkpointing / without: time"), ("1.35 (1.35 to 1.35)", Some(false)));
        assert_eq!(judged("checkpointing / without: saved"), ("0.50 (0.50 to 0.50)", Some(false)));
        assert_eq!(judged("checkpointing / without: peak"), ("0.25 (150 MiB / 600 MiB)", None));
        assert_eq!(judged("fair solve"), ("1.00 %", Some(true)));
        assert!(main_goals(&Runs::new(), None).is_empty());
    }
}
