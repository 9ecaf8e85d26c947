//! Two folders compared by one metric: differences of prompts, with intervals and tests.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::judge::Better;
use crate::picture_set::{Pairs, PictureSet, unit};
use crate::statistics::{Interval, bootstrap, detectable, holm, mean, sign_test, wilson};

/// Resamples of a bootstrap.
pub const RESAMPLES: usize = 10_000;

/// An interval of 95 %.
pub type Range = [f64; 2];

fn range(interval: Interval) -> Range {
    [interval.low, interval.high]
}

/// One folder by one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Level {
    /// Pictures in the folder.
    pub pictures: usize,
    /// Of these, those with a score.
    pub scored: usize,
    /// Prompts of the scored ones.
    pub prompts: usize,
    /// Mean over prompts of the means of each prompt's pictures; none without scores.
    pub mean: Option<f64>,
    /// Its interval by a bootstrap over prompts, by percentiles; none for one prompt.
    pub interval: Option<Range>,
}

/// The difference of the second folder from the first by one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Pairs of pictures, both with a score.
    pub pairs: usize,
    /// Pairs of which one or both have none.
    pub unscored: usize,
    /// Prompts of the pairs.
    pub prompts: usize,
    /// Mean over prompts of the mean difference of each prompt's pairs; none without pairs.
    pub mean: Option<f64>,
    /// Its interval by a bootstrap over prompts, by percentiles; none for one prompt.
    pub percentile: Option<Range>,
    /// The same corrected for bias and acceleration.
    pub corrected: Option<Range>,
    /// Prompts that the second folder has better.
    pub wins: usize,
    /// Prompts that it has worse.
    pub losses: usize,
    /// Prompts without a difference.
    pub ties: usize,
    /// Share of the wins among wins and losses; none without either.
    pub win_rate: Option<f64>,
    /// Its interval by Wilson.
    pub win_interval: Range,
    /// The sign test's p-value.
    pub p: f64,
    /// The same by Holm's correction over all metrics of this comparison.
    pub p_holm: f64,
    /// The smallest difference that such an experiment finds in four of five cases; none for one prompt.
    pub detectable: Option<f64>,
}

impl Difference {
    /// True if the sign test finds a difference at 5 %, all metrics considered.
    pub fn is_significant(&self) -> bool {
        self.p_holm < 0.05
    }
}

/// Means of the values of each unit.
fn by_unit<'a>(values: impl Iterator<Item = (&'a str, f64)>) -> Vec<(&'a str, f64)> {
    let mut sums: BTreeMap<&str, (f64, usize)> = BTreeMap::new();
    for (unit, value) in values {
        let sum = sums.entry(unit).or_default();
        sum.0 += value;
        sum.1 += 1;
    }
    sums.into_iter().map(|(unit, (sum, count))| (unit, sum / count as f64)).collect()
}

/// The level of a folder, by the scores of its pictures in their order.
pub fn level(set: &PictureSet, scores: &[Option<f64>]) -> Level {
    let scored =
        set.pictures.iter().zip(scores).filter_map(|(picture, score)| Some((unit(picture), (*score)?)));
    let values: Vec<f64> = by_unit(scored).into_iter().map(|(_, value)| value).collect();
    level_of_units((set.pictures.len(), scores.iter().flatten().count()), &values)
}

/// The level of a folder by a number for each prompt, of so many pictures of which so many count.
pub fn level_of_units((pictures, scored): (usize, usize), values: &[f64]) -> Level {
    Level {
        pictures,
        scored,
        prompts: values.len(),
        mean: (!values.is_empty()).then(|| mean(values).mean),
        interval: bootstrap(values, RESAMPLES).map(|found| range(found.percentile)),
    }
}

/// The difference `second - first` by the scores of their pictures; Holm's correction is made by
/// [`correct`], when all metrics are known.
pub fn difference(
    first: (&PictureSet, &[Option<f64>]),
    second: &[Option<f64>],
    pairs: &Pairs,
    better: Better,
) -> Difference {
    let (set, scores) = first;
    let both =
        pairs.pairs.iter().filter_map(|&(i, j)| Some((unit(&set.pictures[i]), second[j]? - scores[i]?)));
    let both: Vec<(&str, f64)> = both.collect();
    let values: Vec<f64> = by_unit(both.iter().copied()).into_iter().map(|(_, value)| value).collect();
    difference_of_units((both.len(), pairs.pairs.len() - both.len()), &values, better)
}

/// The difference of two folders by that of each prompt; `pairs` are scored and not scored ones.
pub fn difference_of_units((pairs, unscored): (usize, usize), values: &[f64], better: Better) -> Difference {
    let sign = if better == Better::Higher { 1.0 } else { -1.0 };
    let count = |is: &dyn Fn(f64) -> bool| values.iter().filter(|value| is(sign * **value)).count();
    let (wins, losses) = (count(&|v| v > 0.0), count(&|v| v < 0.0));
    let intervals = bootstrap(values, RESAMPLES);
    let (low, high) = wilson(wins, wins + losses);
    let p = sign_test(wins, losses);
    Difference {
        pairs,
        unscored,
        prompts: values.len(),
        mean: (!values.is_empty()).then(|| mean(values).mean),
        percentile: intervals.map(|found| range(found.percentile)),
        corrected: intervals.map(|found| range(found.corrected)),
        wins,
        losses,
        ties: values.len() - wins - losses,
        win_rate: (wins + losses > 0).then(|| wins as f64 / (wins + losses) as f64),
        win_interval: [low, high],
        p,
        p_holm: p,
        detectable: (values.len() > 1).then(|| detectable(values)),
    }
}

/// Holm's correction over the metrics of one comparison; those without wins or losses are no test.
pub fn correct<'a>(differences: impl Iterator<Item = &'a mut Difference>) {
    let mut tested: Vec<&mut Difference> = differences.filter(|d| d.wins + d.losses > 0).collect();
    let p: Vec<f64> = tested.iter().map(|difference| difference.p).collect();
    tested.iter_mut().zip(holm(&p)).for_each(|(difference, p)| difference.p_holm = p);
}
