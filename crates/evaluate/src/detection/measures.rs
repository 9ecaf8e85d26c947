//! The numbers of a picture's faces or hands beside what is expected of them.

use fairhuman_vision::detect::Instance;
use fairhuman_vision::evaluate::OVERLAP;

use crate::picture_set::Expected;
use crate::truth::{Part, eyes};

/// Faces or hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Faces, whose points are the eyes.
    Face,
    /// Hands, with 21 points.
    Hand,
}

/// Any, rate, presence, count error, overlap and key-point error, in the order of the metrics.
pub(super) fn measures(
    kind: Kind,
    found: &[Instance],
    expected: Expected,
    truth: Option<&[Part]>,
) -> Vec<Option<f64>> {
    let matched = truth.map(|truth| matches(found, truth));
    let hits = matched
        .as_ref()
        .map_or(found.len(), |pairs| pairs.iter().filter(|pair| pair.overlap >= OVERLAP).count());
    let least = expected.least();
    let rate = (least > 0).then(|| hits.min(least) as f64 / least as f64);
    let presence = presence(found, expected);
    let count_error = expected.exact().map(|n| found.len().abs_diff(n) as f64);
    let overlap = truth.zip(matched.as_ref()).filter(|(truth, _)| !truth.is_empty()).map(|(truth, pairs)| {
        pairs.iter().map(|pair| f64::from(pair.overlap)).sum::<f64>() / truth.len() as f64
    });
    let error = truth.zip(matched.as_ref()).and_then(|(truth, pairs)| {
        let hits = pairs.iter().filter(|pair| pair.overlap >= OVERLAP);
        let errors: Vec<f64> =
            hits.filter_map(|pair| keypoint_error(kind, &found[pair.found], &truth[pair.truth])).collect();
        (!errors.is_empty()).then(|| errors.iter().sum::<f64>() / errors.len() as f64)
    });
    vec![Some(f64::from(u8::from(!found.is_empty()))), rate, presence, count_error, overlap, error]
}

/// The mean of the best scores, as many as are expected; one where nothing is known, none where none is.
fn presence(found: &[Instance], expected: Expected) -> Option<f64> {
    let count = match expected {
        Expected::Exactly(0) => return None,
        expected => expected.least().max(1),
    };
    let mut scores: Vec<f32> = found.iter().map(|instance| instance.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    Some(scores.into_iter().take(count).map(f64::from).sum::<f64>() / count as f64)
}

/// A found region and the wanted one that it overlaps.
struct Match {
    found: usize,
    truth: usize,
    overlap: f32,
}

/// Pairs the regions one to one, best overlaps first.
fn matches(found: &[Instance], truth: &[Part]) -> Vec<Match> {
    let overlap = |f: usize, t: usize| found[f].bbox.iou(&truth[t].bbox);
    let pairs = (0..found.len()).flat_map(|f| (0..truth.len()).map(move |t| (f, t)));
    let mut pairs: Vec<Match> =
        pairs.map(|(f, t)| Match { found: f, truth: t, overlap: overlap(f, t) }).collect();
    pairs.sort_by(|a, b| b.overlap.total_cmp(&a.overlap));
    let mut kept: Vec<Match> = Vec::new();
    for pair in pairs {
        let is_free = kept.iter().all(|other| other.found != pair.found && other.truth != pair.truth);
        if pair.overlap > 0.0 && is_free {
            kept.push(pair);
        }
    }
    kept
}

fn distance(a: [f32; 2], b: [f32; 2]) -> f64 {
    f64::from((a[0] - b[0]).hypot(a[1] - b[1]))
}

/// Mean distance of the points, in units of the wanted hand's palm (wrist to the middle finger's knuckle) or
/// the wanted eyes' distance; none where points or unit are not known.
fn keypoint_error(kind: Kind, found: &Instance, wanted: &Part) -> Option<f64> {
    let (points, ends) = match kind {
        Kind::Face => (eyes(&found.points)?.to_vec(), [0, 1]),
        Kind::Hand => (found.points.clone(), [0, 9]),
    };
    let [a, b] = ends.map(|i| wanted.points.get(i).copied().flatten());
    let unit = distance(a?, b?);
    let pairs =
        points.iter().zip(&wanted.points).filter_map(|(found, wanted)| Some(distance(*found, (*wanted)?)));
    let distances: Vec<f64> = pairs.collect();
    (unit > 0.0 && !distances.is_empty())
        .then(|| distances.iter().sum::<f64>() / distances.len() as f64 / unit)
}

#[cfg(test)]
mod tests {
    use fairhuman_vision::detect::Source;
    use fairhuman_vision::geometry::Box2;

    use super::*;

    fn square(x0: f32) -> Box2 {
        Box2 { x0, y0: 0.0, x1: x0 + 10.0, y1: 10.0 }
    }

    fn found(x0: f32, score: f32) -> Instance {
        let points = (0..21).map(|i| [x0 + i as f32, 1.0]).collect();
        Instance { bbox: square(x0), score, source: Source::Whole, points }
    }

    #[test]
    fn misses_count() {
        let of = |list: &[Instance], expected| measures(Kind::Hand, list, expected, None);
        let none = of(&[], Expected::AtLeast(2));
        assert_eq!(none[..4], [Some(0.0), Some(0.0), Some(0.0), None]);
        let one = of(&[found(0.0, 0.8)], Expected::Exactly(2));
        assert_eq!(one[1..4], [Some(0.5), Some(f64::from(0.8f32) / 2.0), Some(1.0)]);
        let many = of(&[found(0.0, 0.5), found(20.0, 1.0), found(40.0, 0.7)], Expected::Exactly(1));
        assert_eq!(many[1..4], [Some(1.0), Some(1.0), Some(2.0)]);
        assert_eq!(of(&[], Expected::Exactly(0))[1..4], [None, None, Some(0.0)]);
        assert_eq!(of(&[found(0.0, 0.9)], Expected::Unknown)[1], None);
    }

    #[test]
    fn under_control_regions_are_found_where_they_should_be() {
        let wanted = |x0: f32| Part {
            bbox: square(x0),
            points: (0..21).map(|i| Some([x0 + i as f32, 1.0])).collect(),
        };
        let truth = [wanted(0.0), wanted(100.0)];
        let scores =
            measures(Kind::Hand, &[found(0.0, 0.9), found(50.0, 0.9)], Expected::Exactly(2), Some(&truth));
        // One of two is where it should be, one is nowhere; all points of the first are in place.
        assert_eq!(scores[1], Some(0.5));
        assert_eq!(scores[4..], [Some(0.5), Some(0.0)]);
        // Nine pixels of palm; moved by one pixel.
        let moved = measures(Kind::Hand, &[found(1.0, 0.9)], Expected::Exactly(1), Some(&truth[..1]));
        assert!((moved[5].unwrap() - 1.0 / 9.0).abs() < 1e-6, "{moved:?}");
    }
}
