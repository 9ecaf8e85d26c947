//! Bodies of a picture beside the skeleton of its control image.

use crate::truth::Body;

/// Share of the trunk's length within which a point is where it should be (PCK, Yang and Ramanan 2013).
const NEAR: f64 = 0.2;
/// Mean distance of the points, in the same units, beyond which two bodies have nothing to do with each
/// other.
const FAR: f64 = 1.0;

const NECK: usize = 1;
const SHOULDERS: [usize; 2] = [2, 5];
const HIPS: [usize; 2] = [8, 11];

fn distance(a: [f32; 2], b: [f32; 2]) -> f64 {
    f64::from((a[0] - b[0]).hypot(a[1] - b[1]))
}

/// From the neck to the hips; of a body without hips one and a half times the width of the shoulders, which
/// is about as much.
fn trunk(body: &Body) -> Option<f64> {
    let hips: Vec<[f32; 2]> = HIPS.iter().filter_map(|&hip| body[hip]).collect();
    let count = hips.len() as f32;
    let middle = [0, 1].map(|axis| hips.iter().map(|hip| hip[axis]).sum::<f32>() / count);
    let long = body[NECK].filter(|_| !hips.is_empty()).map(|neck| distance(neck, middle));
    let wide = || Some(1.5 * distance(body[SHOULDERS[0]]?, body[SHOULDERS[1]]?));
    long.or_else(wide).filter(|length| *length > 0.0)
}

/// The distances of the points that both bodies have, in units of the wanted one's trunk.
fn distances(found: &Body, wanted: &Body) -> Vec<f64> {
    let Some(unit) = trunk(wanted) else { return Vec::new() };
    let both = found.iter().zip(wanted).filter_map(|(found, wanted)| Some(distance((*found)?, (*wanted)?)));
    both.map(|distance| distance / unit).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The share of the wanted points that are where they should be, and the mean distance of matched bodies'.
/// Bodies of which neither trunk nor shoulders are wanted do not count.
pub(super) fn measures(found: &[Body], wanted: &[Body]) -> [Option<f64>; 2] {
    let wanted: Vec<&Body> = wanted.iter().filter(|body| trunk(body).is_some()).collect();
    let points: usize = wanted.iter().map(|body| body.iter().flatten().count()).sum();
    if points == 0 {
        return [None, None];
    }
    let pairs = (0..found.len()).flat_map(|f| (0..wanted.len()).map(move |w| (f, w)));
    let mut pairs: Vec<(usize, usize, Vec<f64>)> =
        pairs.map(|(f, w)| (f, w, distances(&found[f], wanted[w]))).collect();
    pairs.retain(|(_, _, distances)| !distances.is_empty() && mean(distances) <= FAR);
    pairs.sort_by(|a, b| mean(&a.2).total_cmp(&mean(&b.2)));
    let mut kept: Vec<(usize, usize, Vec<f64>)> = Vec::new();
    for pair in pairs {
        if kept.iter().all(|other| other.0 != pair.0 && other.1 != pair.1) {
            kept.push(pair);
        }
    }
    let all: Vec<f64> = kept.into_iter().flat_map(|(_, _, distances)| distances).collect();
    let near = all.iter().filter(|distance| **distance <= NEAR).count();
    [Some(near as f64 / points as f64), (!all.is_empty()).then(|| mean(&all))]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trunk of 100 pixels, with arms.
    fn body(x: f32) -> Body {
        let mut body = [None; 18];
        for (i, place) in
            [(1, [0.0, 0.0]), (2, [-30.0, 0.0]), (5, [30.0, 0.0]), (8, [-20.0, 100.0]), (11, [20.0, 100.0])]
        {
            body[i] = Some([x + place[0], place[1]]);
        }
        body
    }

    #[test]
    fn points_that_are_missing_or_elsewhere_count() {
        let wanted = [body(0.0), body(400.0)];
        assert_eq!(measures(&[], &wanted), [Some(0.0), None]);
        assert_eq!(measures(&wanted, &[]), [None, None]);
        let [points, error] = measures(&[body(400.0), body(10.0)], &wanted);
        assert_eq!(points, Some(1.0));
        assert!((error.unwrap() - 0.05).abs() < 1e-6, "{error:?}");
        let mut one = body(0.0);
        (one[2], one[5]) = (None, Some([30.0, 25.0]));
        let [points, error] = measures(&[one], &wanted);
        assert_eq!(points, Some(0.3), "three of ten");
        assert!((error.unwrap() - 0.25 / 4.0).abs() < 1e-6, "{error:?}");
        // One that stands elsewhere is another's.
        assert_eq!(measures(&[body(200.0)], &wanted), [Some(0.0), None]);
    }

    #[test]
    fn without_hips_the_shoulders_are_the_unit_and_without_either_nothing_is_said() {
        let mut bust = body(0.0);
        (bust[8], bust[11]) = (None, None);
        let mut moved = bust;
        moved[1] = Some([0.0, 9.0]);
        let [points, error] = measures(&[moved], &[bust]);
        assert_eq!(points, Some(1.0));
        assert!((error.unwrap() - 0.1 / 3.0).abs() < 1e-6, "{error:?}");
        bust[2] = None;
        assert_eq!(measures(&[moved], &[bust]), [None, None]);
    }
}
