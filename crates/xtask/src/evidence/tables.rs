//! The tables of the evidence in Markdown.

use std::fmt::Write;

use fairhuman_evaluate::statistics::{Interval, holm, mean, student, t_test};

use super::outcome::{K, LOSSES};
use super::plan::REFERENCE;
use super::statistics::{CRITERIA, difference, on_front};
use super::{Found, Row};

/// All tables.
pub(super) fn text(found: &[Found], resamples: usize) -> String {
    let mut text = String::new();
    for world in found {
        let pictures = world.rows[0].runs[0].pictures.len();
        let _ = writeln!(
            text,
            "### {}: {}\n\n{pictures} held-out pictures. Change of held-out losses in per cent, mean and standard \
             deviation over seeds.\n",
            world.world.name, world.world.about
        );
        changes(&mut text, &world.rows);
        differences(&mut text, &world.rows, resamples);
        front(&mut text, world);
        denoised(&mut text, &world.denoised, resamples);
    }
    regret(&mut text, found);
    text
}

/// Errors of drawings that were denoised.
fn denoised(text: &mut String, rows: &[Row], resamples: usize) {
    let Some(first) = rows.first() else { return };
    let _ = writeln!(
        text,
        "**Pictures.** {} held-out drawings with noise, denoised again: squared error to the drawing, in per cent more or \
         less than the base model's; mean and standard deviation over seeds.\n",
        first.runs[0].pictures.len()
    );
    changes(text, rows);
    differences(text, rows, resamples);
    text.push('\n');
}

fn changes(text: &mut String, rows: &[Row]) {
    let _ = writeln!(text, "| arm | seeds | {} |\n|---|---|{}", LOSSES.join(" | "), "---|".repeat(K));
    for row in rows {
        let of = |k: usize| {
            let found = mean(&row.runs.iter().map(|run| run.change()[k]).collect::<Vec<_>>());
            match row.runs.len() {
                1 => format!("{:+.2}", found.mean),
                _ => format!("{:+.2} ± {:.2}", found.mean, found.deviation),
            }
        };
        let cells: Vec<String> = (0..K).map(of).collect();
        let _ = writeln!(text, "| {} | {} | {} |", row.arm.name, row.runs.len(), cells.join(" | "));
    }
}

fn interval(of: &Interval) -> String {
    let mark = if of.is_clear() { "**" } else { "" };
    format!("{mark}{:+.2}{mark} [{:+.2}, {:+.2}]", of.mean, of.low, of.high)
}

fn differences(text: &mut String, rows: &[Row], resamples: usize) {
    let Some(reference) = rows.iter().find(|row| row.arm.name == REFERENCE) else { return };
    let _ = writeln!(
        text,
        "\nArm minus {REFERENCE} in points, paired by seed and picture; intervals of 95 % by a bootstrap over seeds and \
         pictures, for each number by itself; bold where they leave out 0.\n"
    );
    let _ = writeln!(text, "| arm | {} |\n|---|{}", LOSSES.join(" | "), "---|".repeat(K));
    for row in rows.iter().filter(|row| row.arm.name != REFERENCE) {
        let cells = difference(&row.runs, &reference.runs, resamples).map(|found| interval(&found));
        let _ = writeln!(text, "| {} | {} |", row.arm.name, cells.join(" | "));
    }
}

/// The static arms' changes with one seed, of those that have it.
fn static_front(world: &Found, seed: usize) -> Vec<[f64; K]> {
    let fronts = world.rows.iter().filter(|row| row.arm.front);
    fronts.filter_map(|row| Some(row.runs.get(seed)?.change())).collect()
}

fn front(text: &mut String, world: &Found) {
    let compare = |row: &Row, k: usize| -> Vec<f64> {
        let one = |(seed, change): (usize, [f64; K])| {
            Some(change[k] - on_front(&static_front(world, seed), change[0], k)?)
        };
        row.runs.iter().map(super::Outcome::change).enumerate().filter_map(one).collect()
    };
    let rows: Vec<&Row> = world.rows.iter().filter(|row| !row.arm.front).collect();
    let cell = |values: &[f64]| match (student(values), values) {
        (Some(found), _) => interval(&found),
        (None, [one]) => format!("{one:+.2}"),
        _ => "beyond its ends".into(),
    };
    let _ = writeln!(
        text,
        "\nArm minus the front of static weights (1, f, f) at the arm's own global change, seed by seed, in points; intervals \
         of 95 % over seeds, p by Student's test with Holm's correction over the arms. Negative is better than any static \
         weights.\n\n| arm | face | p | hand | p |\n|---|---|---|---|---|"
    );
    let columns = [1, 2].map(|k| {
        let values: Vec<Vec<f64>> = rows.iter().map(|row| compare(row, k)).collect();
        let tested: Vec<Option<f64>> = values.iter().map(|values| t_test(values)).collect();
        let mut corrected = holm(&tested.iter().flatten().copied().collect::<Vec<_>>()).into_iter();
        let p = |found: Option<f64>| found.and_then(|_| corrected.next()).map(|p| format!("{p:.3}"));
        let p: Vec<String> = tested.into_iter().map(p).map(Option::unwrap_or_default).collect();
        values.iter().map(|values| cell(values)).zip(p).collect::<Vec<_>>()
    });
    for (row, (face, hand)) in rows.iter().zip(columns[0].iter().zip(&columns[1])) {
        let _ = writeln!(text, "| {} | {} | {} | {} | {} |", row.arm.name, face.0, face.1, hand.0, hand.1);
    }
    text.push('\n');
}

/// By how much each arm is worse than the best static weights of each world, in the mean over worlds and in
/// the worst.
fn regret(text: &mut String, found: &[Found]) {
    let Some(first) = found.first().filter(|_| found.len() > 1) else { return };
    let everywhere = first.rows.iter().map(|row| row.arm.name);
    let arms: Vec<&str> =
        everywhere.filter(|arm| found.iter().all(|world| world.row(arm).is_some())).collect();
    let _ = writeln!(
        text,
        "### Regret\n\nBy how many points an arm is worse than the best static weights (1, f, f) of each world: in the mean over \
         the worlds, and in the worst. Two criteria make one number of the changes of global, face and hand.\n"
    );
    let heads = CRITERIA.map(|(name, _)| format!("{name}: mean | worst"));
    let _ = writeln!(text, "| arm | {} |\n|---|{}", heads.join(" | "), "---|".repeat(2 * CRITERIA.len()));
    for arm in arms {
        let cells = CRITERIA.map(|(_, of)| {
            let score =
                |row: &Row| mean(&row.runs.iter().map(|run| of(&run.change())).collect::<Vec<_>>()).mean;
            let against = |world: &Found| {
                let fronts = world.rows.iter().filter(|row| row.arm.front);
                let best = fronts.map(score).fold(f64::INFINITY, f64::min);
                world.row(arm).map_or(f64::NAN, score) - best
            };
            let regrets: Vec<f64> = found.iter().map(against).collect();
            let worst = regrets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{:.2} | {worst:.2}", mean(&regrets).mean)
        });
        let _ = writeln!(text, "| {arm} | {} |", cells.join(" | "));
    }
}
