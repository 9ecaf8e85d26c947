//! The page: tables of levels and differences, and pairs of pictures side by side, those that differ most
//! first.

use anyhow::bail;
use fairhuman_evaluate::{Better, Difference, Level, Picture, Range};
use fairhuman_report::{Grid, Report, Row, Table, html as report_html};

use super::outcome::{Measured, Outcome, number, signed, verdict};
use super::pairing;
use super::sets::Distance;
use crate::cli::Evaluate;
use crate::machine;
use crate::units::{self, short};

/// The page's text.
///
/// # Errors
/// A metric to sort by that no judge has, pictures that cannot be read any more.
pub fn html(outcome: &Outcome, options: &Evaluate) -> anyhow::Result<String> {
    let names = outcome.names();
    let mut report = Report::new(names.join(" and "));
    report.summary = summary(outcome, &names);
    report.tables.push(levels(outcome, &names));
    for (i, name) in names.iter().skip(1).enumerate() {
        report.tables.push(differences(outcome, i, (&names[0], name)));
    }
    if !outcome.distances.is_empty() {
        report.tables.push(distances(outcome, &names));
    }
    report.tables.push(definitions(outcome));
    for (i, name) in names.iter().skip(1).enumerate() {
        report.grids.extend(pairs(outcome, i, (&names[0], name), options)?);
    }
    report.about = vec![
        ("Page made by".into(), format!("fairhuman {}", env!("CARGO_PKG_VERSION"))),
        ("on".into(), machine::description()),
    ];
    Ok(report_html(&report))
}

/// Sentences at the beginning: what was compared, and what was missing.
fn summary(outcome: &Outcome, names: &[String]) -> Vec<String> {
    let mut said = Vec::new();
    let counts: Vec<String> = outcome
        .sets
        .iter()
        .zip(names)
        .map(|(set, name)| format!("{name}: {} pictures", set.pictures.len()))
        .collect();
    said.push(format!("{}.", counts.join("; ")));
    for (set, name) in outcome.sets.iter().zip(names).filter(|(set, _)| !set.missing.is_empty()) {
        let shown: Vec<&str> = set.missing.iter().take(3).map(String::as_str).collect();
        said.push(format!(
            "{} that {name} should have are missing, such as: {}.",
            set.missing.len(),
            shown.join("; ")
        ));
    }
    for (set, name) in outcome.sets.iter().zip(names).filter(|(set, _)| !set.left_out.is_empty()) {
        said.push(format!(
            "{} of {name} carry no prompt, as others do, and are left out, such as: {}.",
            units::count(set.left_out.len() as u64, "picture"),
            set.left_out[0]
        ));
    }
    for (i, (pairs, name)) in outcome.pairs.iter().zip(&names[1..]).enumerate() {
        let (first, second) = (pairs.only_first.len(), pairs.only_second.len());
        if first + second > 0 {
            said.push(format!(
                "{} pairs; {first} pictures of {} and {second} of {name} have no partner of the same {}, and are in no difference.",
                pairs.pairs.len(),
                names[0],
                pairing::by(pairs)
            ));
        } else if pairs.by_name {
            said.push(format!("{} pairs of {} and {name}, by file name.", pairs.pairs.len(), names[0]));
        }
        said.extend(outcome.why_no_pairs(i).map(|why| format!("Why there are no pairs: {why}.")));
    }
    said
}

fn range(range: Option<[f64; 2]>) -> String {
    range.map_or_else(String::new, |[low, high]| format!(" [{}, {}]", short(low), short(high)))
}

fn levels(outcome: &Outcome, names: &[String]) -> Table {
    let cell = |level: &Level| {
        let scored = match level.scored == level.pictures {
            true => String::new(),
            false => format!(", {} of {} scored", level.scored, level.pictures),
        };
        format!("{}{}{scored}", number(level.mean), range(level.interval))
    };
    let row = |m: &Measured| {
        let arrow = if m.metric.better == Better::Higher { "↑" } else { "↓" };
        [format!("{} {arrow}", m.metric.name)].into_iter().chain(m.levels.iter().map(cell)).collect()
    };
    Table {
        title: "Levels".into(),
        text: "Means over prompts of the means of each prompt's pictures, with the 95 % interval of a bootstrap over prompts. ↑: higher is better.".into(),
        columns: ["".to_owned()].into_iter().chain(names.iter().cloned()).collect(),
        rows: outcome.measured.iter().map(row).collect(),
    }
}

fn differences(outcome: &Outcome, i: usize, (first, second): (&str, &str)) -> Table {
    let row = |m: &Measured| {
        let d: &Difference = &m.differences[i];
        let ends = |[low, high]: Range| format!("[{}, {}]", signed(low), signed(high));
        let corrected = d.corrected.map_or_else(String::new, |range| format!(" {}", ends(range)));
        let [low, high] = d.win_interval;
        let wins = d.win_rate.map_or_else(
            || "-".into(),
            |rate| {
                format!(
                    "{:.0} % [{:.0}, {:.0}], {} of {}",
                    100.0 * rate,
                    100.0 * low,
                    100.0 * high,
                    d.wins,
                    d.wins + d.losses
                )
            },
        );
        let unscored =
            if d.unscored > 0 { format!(", {} without a score", d.unscored) } else { String::new() };
        vec![
            m.metric.name.clone(),
            d.mean.map_or_else(|| "-".into(), |mean| format!("{}{corrected}", signed(mean))),
            d.percentile.map_or_else(|| "-".into(), ends),
            wins,
            short(d.p),
            short(d.p_holm),
            verdict(d, m.metric.better).into(),
            if d.is_significant() { String::new() } else { number(d.detectable) },
            format!("{} of {} prompts{unscored}", d.pairs, d.prompts),
        ]
    };
    let columns =
        ["", "difference", "by percentiles", "won", "p", "p by Holm", "verdict", "detectable", "pairs"];
    Table {
        title: format!("{second} beside {first}"),
        text: format!(
            "Mean difference {second} - {first} over prompts with its corrected 95 % interval (BCa), and the interval by percentiles; share of prompts that {second} \
             wins, ties apart, with Wilson's interval; p of the sign test, and by Holm's correction over all rows, which decides the verdict. Where no difference is \
             shown: the least one that would have been found four times of five."
        ),
        columns: columns.map(str::to_owned).to_vec(),
        rows: outcome.measured.iter().map(row).collect(),
    }
}

fn distances(outcome: &Outcome, names: &[String]) -> Table {
    let cell = |(value, count): &(Option<f64>, usize)| format!("{}, of {count}", number(*value));
    let row = |distance: &Distance| {
        let name = format!("{}, reference of {}", distance.metric.name, distance.reference_count);
        [name].into_iter().chain(distance.values.iter().map(cell)).collect()
    };
    Table {
        title: "Distances of sets".into(),
        text: "Distances of the pictures, or of faces and hands cut out of them, from those of the reference; lower is nearer. FD depends on the number of \
               pictures: compare only sets of one size; with fewer than 2,000 KID is the one to read."
            .into(),
        columns: ["".to_owned()].into_iter().chain(names.iter().cloned()).collect(),
        rows: outcome.distances.iter().map(row).collect(),
    }
}

fn definitions(outcome: &Outcome) -> Table {
    let metrics = outcome.judges.iter().flat_map(|judge| {
        judge
            .metrics
            .iter()
            .map(|metric| vec![metric.name.clone(), metric.about.clone(), judge.identity.clone()])
    });
    Table {
        title: "Definitions".into(),
        text: "The same are in summary.json, with all numbers.".into(),
        columns: ["", "definition", "by"].map(str::to_owned).to_vec(),
        rows: metrics.collect(),
    }
}

/// The pairs that differ most in one metric, from gained to lost; none without any.
fn pairs(
    outcome: &Outcome,
    i: usize,
    names: (&str, &str),
    options: &Evaluate,
) -> anyhow::Result<Option<Grid>> {
    let pairs = &outcome.pairs[i].pairs;
    let gains = |m: &Measured| -> Vec<(f64, usize)> {
        let sign = if m.metric.better == Better::Higher { 1.0 } else { -1.0 };
        let gain = |(k, &(a, b)): (usize, &(usize, usize))| {
            Some((sign * (m.scores[i + 1][b]? - m.scores[0][a]?), k))
        };
        pairs.iter().enumerate().filter_map(gain).collect()
    };
    let measured = match &options.sort {
        Some(name) => match outcome.measured.iter().find(|m| m.metric.name == *name) {
            Some(measured) => Some(measured),
            None => {
                let known: Vec<&str> = outcome.measured.iter().map(|m| m.metric.name.as_str()).collect();
                bail!("--sort {name}: expected one of {}", known.join(", "));
            }
        },
        None => outcome.measured.iter().find(|m| gains(m).iter().any(|(gain, _)| *gain != 0.0)),
    };
    let Some(measured) = measured.or(outcome.measured.first()) else { return Ok(None) };
    let mut ranked = gains(measured);
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (half, len) = (options.pairs.div_ceil(2), ranked.len());
    // The ends of the order: those that gained most, and those that lost most.
    let shown: Vec<(f64, usize)> = match len <= options.pairs {
        true => ranked,
        false => ranked[..half].iter().chain(&ranked[len - (options.pairs - half)..]).copied().collect(),
    };
    let mut rows = Vec::new();
    for (_, k) in shown {
        let (a, b) = pairs[k];
        let both = [(0, a), (i + 1, b)].map(|(set, picture)| &outcome.sets[set].pictures[picture]);
        let [before, after] = [(0, a), (i + 1, b)].map(|(set, picture)| measured.scores[set][picture]);
        let label = format!(
            "{}: {} → {} · {}",
            measured.metric.name,
            number(before),
            number(after),
            both[0].prompt.as_deref().unwrap_or(&both[0].name)
        );
        rows.push(Row { label, cells: vec![Some(shown_picture(both[0])?), Some(shown_picture(both[1])?)] });
    }
    Ok(Some(Grid {
        title: format!("Pairs by {}", measured.metric.name),
        text: format!(
            "Pictures of the same {}: first those that {} gains most, last those that it loses most.",
            pairing::by(&outcome.pairs[i]),
            names.1
        ),
        columns: vec![names.0.to_owned(), names.1.to_owned()],
        rows,
    }))
}

fn shown_picture(picture: &Picture) -> anyhow::Result<fairhuman_report::Picture> {
    let (image, _) = picture.read()?;
    Ok(fairhuman_report::Picture { image, crops: Vec::new() })
}
