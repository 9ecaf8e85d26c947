//! Key points in COCO's order. Files name the points of each category, and the skeletons of CVAT, CrowdPose
//! or of a hand have others than COCO's 17, in an order of their own.

use std::collections::HashMap;

use super::record::{Annotation, Category, Id};

/// COCO's points that faces and hands are estimated from, by their places: those of the head, elbows, wrists.
const POINTS: [(usize, &str); 9] = [
    (0, "nose"),
    (1, "lefteye"),
    (2, "righteye"),
    (3, "leftear"),
    (4, "rightear"),
    (7, "leftelbow"),
    (8, "rightelbow"),
    (9, "leftwrist"),
    (10, "rightwrist"),
];
/// COCO's points of a body.
const BODY: usize = 17;
/// Numbers of points that are COCO's 17, or begin with them: COCO, Halpe's two sets, COCO-WholeBody.
const LIKE_COCO: [usize; 4] = [BODY, 26, 136, 133];

/// Puts the key points of all annotations in COCO's order, by the names that their categories have, and takes
/// away those of no body. Where the names say nothing (none, or CVAT's `1`, `2`, ...), they are COCO's own.
pub(super) fn order(annotations: &mut [Annotation], categories: &[Category]) {
    let named = categories.iter().filter(|category| !category.points().is_empty());
    let orders: HashMap<&Id, (usize, [Option<usize>; BODY])> =
        named.map(|category| (&category.id, (category.points().len(), places(category.points())))).collect();
    for annotation in annotations {
        let Some(points) = annotation.keypoints.as_mut().filter(|points| !points.is_empty()) else {
            continue;
        };
        let named = orders.get(&annotation.category_id);
        let says_nothing = |(count, places): &&(usize, [Option<usize>; BODY])| {
            places.iter().all(Option::is_none) && LIKE_COCO.contains(count)
        };
        match named.filter(|order| !says_nothing(order)) {
            Some((_, places)) if places.iter().all(Option::is_none) => annotation.keypoints = None,
            // There may be more than the names say, as where a whole body's points follow the body's.
            Some((count, _)) if points.len() < 3 * count || !points.len().is_multiple_of(3) => {
                *points = vec![f32::NAN];
            }
            Some((_, places)) => {
                let point =
                    |place: Option<usize>| place.map_or([0.0; 3], |i| [0, 1, 2].map(|k| points[3 * i + k]));
                *points = places.iter().flat_map(|place| point(*place)).collect();
            }
            None if points.len() > 3 * BODY && !LIKE_COCO.contains(&(points.len() / 3)) => {
                annotation.keypoints = None;
            }
            None => {}
        }
    }
}

/// For each of COCO's points that is used its place among these.
fn places(names: &[String]) -> [Option<usize>; BODY] {
    let plain = |name: &String| -> String {
        name.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect()
    };
    let names: Vec<String> = names.iter().map(plain).collect();
    let mut places = [None; BODY];
    for (at, name) in POINTS {
        places[at] = names.iter().position(|found| found == name);
    }
    places
}
