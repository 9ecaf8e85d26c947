//! Reducing long series: a run of 50,000 steps is drawn with a few hundred points.

use super::Point;

/// Running mean with exponentially falling memory of `memory` values, unbiased at the beginning (as Adam's
/// moments are); gaps stay gaps and do not enter the mean.
pub fn smooth(points: &[Point], memory: usize) -> Vec<Point> {
    let keep = 1.0 - 1.0 / memory.max(1) as f64;
    let (mut sum, mut weight) = (0.0, 0.0);
    let mut next = |&(x, y): &Point| {
        if y.is_finite() {
            sum = keep * sum + (1.0 - keep) * y;
            weight = keep * weight + (1.0 - keep);
        }
        (x, if y.is_finite() { sum / weight } else { f64::NAN })
    };
    points.iter().map(&mut next).collect()
}

/// At most `most` of the points, evenly, the last among them.
pub fn thin(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= most {
        return points.to_vec();
    }
    let last = |chunk: &[Point]| chunk.iter().rev().find(|p| p.1.is_finite()).or(chunk.last()).copied();
    buckets(points, most).filter_map(last).collect()
}

/// At most `2 * most` of the points: the smallest and the largest of every stretch, so that no spike is lost.
pub fn envelope(points: &[Point], most: usize) -> Vec<Point> {
    if points.len() <= 2 * most {
        return points.to_vec();
    }
    let ends = |stretch: &[Point]| {
        let finite = || stretch.iter().filter(|p| p.1.is_finite());
        let low = finite().min_by(|a, b| a.1.total_cmp(&b.1));
        let high = finite().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut ends: Vec<Point> = low.into_iter().chain(high).copied().collect();
        ends.sort_by(|a, b| a.0.total_cmp(&b.0));
        if ends.is_empty() {
            ends.extend(stretch.last());
        }
        ends
    };
    buckets(points, most).flat_map(ends).collect()
}

fn buckets(points: &[Point], most: usize) -> impl Iterator<Item = &[Point]> {
    points.chunks(points.len().div_ceil(most.max(1)).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_series_become_short_and_keep_their_ends_and_spikes() {
        let mut points: Vec<Point> = (0..50_000).map(|i| (f64::from(i), 1.0)).collect();
        points[33_333].1 = 9.0;
        points[7].1 = f64::NAN;
        let (thinned, enveloped) = (thin(&points, 300), envelope(&points, 300));
        assert!(thinned.len() <= 300 && enveloped.len() <= 600);
        assert_eq!(thinned.last().unwrap().0, 49_999.0);
        assert!(enveloped.contains(&(33_333.0, 9.0)));
        assert_eq!(thin(&points[..9], 300).len(), 9);
    }

    #[test]
    fn smoothing_leaves_a_constant_as_it_is_and_gaps_open() {
        let points: Vec<Point> =
            (0..40).map(|i| (f64::from(i), if i == 5 { f64::NAN } else { 3.0 })).collect();
        for (i, (_, y)) in smooth(&points, 10).into_iter().enumerate() {
            assert!(if i == 5 { y.is_nan() } else { (y - 3.0).abs() < 1e-12 }, "{i}: {y}");
        }
    }
}
