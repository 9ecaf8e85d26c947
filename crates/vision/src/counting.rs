//! Counts people once: faces and bodies are found by several networks on several crops, and one person may be
//! among them as a face, as a body, and as a second body in an enlarged crop.

use crate::detect::{Detections, head};
use crate::landmarks::Pose;
use crate::people::{covered, distance, extent};

/// Distance of a face from a body's head, in lengths of its neck, up to which they may belong together.
const SAME_HEAD: f32 = 1.0;
/// Share of a body's trunk or box in the box of another one from which on both are one person.
const SAME_BODY: f32 = 0.4;

impl Detections {
    /// The number of people: every face is one, and every body whose face is not among them, unless most of
    /// it lies in another body, where it is a second look at the same person.
    pub fn count_people(&self) -> usize {
        let mut pairs = Vec::new();
        for (body, pose) in self.people.iter().enumerate() {
            let (head, neck) = head(pose);
            for (face, found) in self.faces.iter().enumerate() {
                let apart = distance(found.bbox.center(), head) / neck.max(found.bbox.width() / 2.0).max(1.0);
                if apart < SAME_HEAD {
                    pairs.push((apart, body, face));
                }
            }
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (mut with_face, mut with_body) = (vec![false; self.people.len()], vec![false; self.faces.len()]);
        for (_, body, face) in pairs {
            if !with_face[body] && !with_body[face] {
                (with_face[body], with_body[face]) = (true, true);
            }
        }
        let (known, others): (Vec<_>, Vec<_>) = (0..self.people.len()).partition(|&body| with_face[body]);
        let mut counted: Vec<&Pose> = known.into_iter().map(|body| &self.people[body]).collect();
        for pose in others.into_iter().map(|body| &self.people[body]) {
            let again = |other: &&Pose| {
                let trunks = covered(pose, other).max(covered(other, pose));
                trunks.max(shared(pose, other)) > SAME_BODY
            };
            // A face without a body of its own belongs to a body whose head it is not far from.
            let faces = self.faces.iter().zip(&with_body).filter(|(_, known)| !**known);
            let of_face = faces.map(|(face, _)| face.bbox.center()).any(|at| is_in(pose, at));
            if !of_face && !counted.iter().any(again) {
                counted.push(pose);
            }
        }
        let bodies = with_body.iter().filter(|known| **known).count();
        self.faces.len() + counted.len() - bodies
    }
}

/// Share of the smaller one of two bodies' boxes that lies in the other.
fn shared(a: &Pose, b: &Pose) -> f32 {
    let (Some(a), Some(b)) = (extent(a), extent(b)) else { return 0.0 };
    let smaller = a.area().min(b.area());
    if smaller > 0.0 { a.intersection(&b) / smaller } else { 0.0 }
}

/// True if a point lies in the box of a body's visible points.
fn is_in(pose: &Pose, [x, y]: [f32; 2]) -> bool {
    extent(pose).is_some_and(|b| (b.x0..b.x1).contains(&x) && (b.y0..b.y1).contains(&y))
}

#[cfg(test)]
mod tests {
    use crate::detect::{Detections, Instance, Source};
    use crate::geometry::{Box2, RotatedRect};
    use crate::landmarks::Pose;

    /// An upright body whose head is at `(x, y)`, with shoulders `size` below it.
    fn body(x: f32, y: f32, size: f32) -> Pose {
        let mut points = vec![[x, y]; 33];
        let mut put = |i: usize, dx: f32, dy: f32| points[i] = [x + dx * size, y + dy * size];
        for (side, left) in [(0, -1.0), (1, 1.0)] {
            put(11 + side, 0.8 * left, 1.0);
            put(13 + side, left, 2.0);
            put(15 + side, left, 3.0);
            put(23 + side, 0.5 * left, 3.0);
            put(25 + side, 0.5 * left, 5.0);
            put(27 + side, 0.5 * left, 7.0);
        }
        let region = RotatedRect::empty();
        Pose { score: 0.9, visibility: vec![0.9; points.len()], points, region }
    }

    fn face(x: f32, y: f32, size: f32) -> Instance {
        let bbox = Box2 { x0: x - size / 2.0, y0: y - size / 2.0, x1: x + size / 2.0, y1: y + size / 2.0 };
        Instance { bbox, score: 0.9, source: Source::Whole, points: Vec::new() }
    }

    fn count(faces: &[Instance], people: &[Pose]) -> usize {
        Detections { faces: faces.to_vec(), hands: Vec::new(), people: people.to_vec() }.count_people()
    }

    #[test]
    fn a_person_is_counted_once() {
        let own = face(100.0, 100.0, 30.0);
        assert_eq!(count(&[], &[]), 0);
        assert_eq!(count(std::slice::from_ref(&own), &[]), 1);
        assert_eq!(count(&[], &[body(100.0, 100.0, 30.0)]), 1);
        // The same person at another scale, and a part of it taken for a person.
        let again = [body(100.0, 100.0, 30.0), body(103.0, 108.0, 36.0), body(105.0, 150.0, 8.0)];
        assert_eq!(count(&[own], &again), 1);
        assert_eq!(count(&[], &again), 1);
    }

    #[test]
    fn people_beside_each_other_are_several() {
        let (a, b) = (body(100.0, 100.0, 30.0), body(180.0, 100.0, 30.0));
        assert_eq!(count(&[], &[a.clone(), b.clone()]), 2);
        // One shows its face, the other its back; a third shows nothing but its face.
        assert_eq!(count(&[face(100.0, 100.0, 30.0)], &[a.clone(), b.clone()]), 2);
        assert_eq!(count(&[face(100.0, 100.0, 30.0), face(400.0, 90.0, 30.0)], &[a, b]), 3);
    }
}
