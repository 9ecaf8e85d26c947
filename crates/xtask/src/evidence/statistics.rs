//! Statistics of the evidence: paired differences with intervals, the front of static weights, and regret.

use fairhuman_evaluate::statistics::{Interval, Random, quantile};

use super::outcome::{K, Outcome};

/// Differences of changes between two arms, seed by seed: `arm - reference` in points, with percentile
/// intervals of a bootstrap over seeds and pictures. Both arms have the same pictures in every resample.
pub(super) fn difference(arm: &[Outcome], reference: &[Outcome], resamples: usize) -> [Interval; K] {
    let paired = arm.len().min(reference.len());
    let pictures = arm[0].pictures.len();
    let all: Vec<usize> = (0..pictures).collect();
    let mean_over = |seeds: &[usize], pictures: &[usize]| -> [f64; K] {
        let mut sums = [0.0; K];
        for &seed in seeds {
            let [a, b] = [&arm[seed], &reference[seed]].map(|run| run.change_over(pictures.iter().copied()));
            (0..K).for_each(|k| sums[k] += (a[k] - b[k]) / seeds.len() as f64);
        }
        sums
    };
    let means = mean_over(&(0..paired).collect::<Vec<_>>(), &all);
    let mut random = Random::new(1);
    let mut draws: [Vec<f64>; K] = Default::default();
    for _ in 0..resamples {
        let mut draw = |count: usize| (0..count).map(|_| random.below(count)).collect::<Vec<_>>();
        let (seeds, pictures) = (draw(paired), draw(pictures));
        mean_over(&seeds, &pictures).into_iter().zip(&mut draws).for_each(|(value, list)| list.push(value));
    }
    std::array::from_fn(|k| {
        draws[k].sort_by(f64::total_cmp);
        let at = |share: f64| quantile(&draws[k], share);
        Interval { mean: means[k], low: at(0.025), high: at(0.975) }
    })
}

/// The change of loss `k` on the front of static weights at a global change of `at`: `front` are the changes
/// of the static arms of one seed. Between two of them it is a line, beyond the ends none.
pub(super) fn on_front(front: &[[f64; K]], at: f64, k: usize) -> Option<f64> {
    let mut points: Vec<(f64, f64)> = front.iter().map(|change| (change[0], change[k])).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let pair = points.windows(2).find(|pair| (pair[0].0..=pair[1].0).contains(&at))?;
    let [(x0, y0), (x1, y1)] = [pair[0], pair[1]];
    Some(if x1 > x0 { y0 + (y1 - y0) * (at - x0) / (x1 - x0) } else { y0.min(y1) })
}

/// A way to make one number of the changes of the three objectives: less is better.
pub(super) type Criterion = (&'static str, fn(&[f64; K]) -> f64);

/// The criteria of regret.
pub(super) const CRITERIA: [Criterion; 2] = [
    ("mean of the three changes", |change| change[..3].iter().sum::<f64>() / 3.0),
    ("the least gain", |change| change[..3].iter().copied().fold(f64::NEG_INFINITY, f64::max)),
];

#[cfg(test)]
mod tests {
    use super::super::outcome::Picture;
    use super::*;

    fn run(changes: &[f64]) -> Outcome {
        let picture = |&change: &f64| Picture { before: [1.0; K], after: [1.0 + change / 100.0; K] };
        Outcome { pictures: changes.iter().map(picture).collect() }
    }

    #[test]
    fn a_difference_that_all_pictures_and_seeds_share_is_certain_and_one_of_a_picture_is_not() {
        let (a, b) = ([run(&[-3.0; 20]), run(&[-4.0; 20])], [run(&[-1.0; 20]), run(&[-2.0; 20])]);
        let found = difference(&a, &b, 200)[0];
        assert!(
            (found.mean + 2.0).abs() < 1e-9 && (found.high - found.low).abs() < 1e-9 && found.is_clear(),
            "{found:?}"
        );
        let mut lone = vec![0.0; 20];
        lone[7] = -20.0;
        let found = difference(&[run(&lone)], &[run(&[0.0; 20])], 400)[0];
        assert!((found.mean + 1.0).abs() < 1e-9, "{found:?}");
        assert!(found.low < -1.5 && found.high.abs() < 1e-9 && !found.is_clear(), "{found:?}");
        assert_eq!(found, difference(&[run(&lone)], &[run(&[0.0; 20])], 400)[0], "it has a seed");
    }

    #[test]
    fn the_front_is_a_line_between_its_points_and_ends_there() {
        let point = |x: f64, y: f64| [x, y, 2.0 * y, 0.0];
        let front = [point(4.0, -3.0), point(0.0, 0.0), point(1.0, -2.0)];
        assert_eq!(on_front(&front, 0.5, 1), Some(-1.0));
        assert_eq!(on_front(&front, 2.5, 2), Some(-5.0));
        assert_eq!(on_front(&front, 4.0, 1), Some(-3.0));
        assert_eq!(on_front(&front, -0.1, 1), None);
        assert_eq!(on_front(&front, 4.1, 1), None);
    }
}
