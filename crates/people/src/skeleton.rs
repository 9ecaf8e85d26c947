//! Positions of the joints of a pose.
//!
//! Figure coordinates: the unit is the figure's height, the origin is on the ground below it, y points down.

use tiny_skia::Transform;

use crate::canvas::Side;
use crate::geometry::{V2, direction, reach, v2};
use crate::person::Build;
use crate::pose::{Arm, Pose, Stance};

/// Positions of the joints in figure coordinates; pairs are right, left.
#[derive(Clone, Copy, Debug)]
pub struct Skeleton {
    /// From the upright trunk's coordinates to figure coordinates: the lean.
    pub upper: Transform,
    /// From head coordinates (unit: the head's height, origin its middle, y down) to figure coordinates.
    pub head: Transform,
    /// Height of the shoulder joints and of the hip joints, before the lean.
    pub levels: (f32, f32),
    /// Joints.
    pub shoulders: [V2; 2],
    /// Joints.
    pub elbows: [V2; 2],
    /// Joints.
    pub wrists: [V2; 2],
    /// Unit vectors along the hands.
    pub hands: [V2; 2],
    /// Joints.
    pub hips: [V2; 2],
    /// Joints.
    pub knees: [V2; 2],
    /// Joints.
    pub ankles: [V2; 2],
    /// Unit vectors along the feet on the picture, mostly sideways.
    pub feet: [V2; 2],
    /// Height above the ground of who jumps.
    pub lift: f32,
}

/// Length of a hand from wrist to the tip of the middle finger, in units of the figure's height: about 1.5
/// times life, so that fingers are pixels wide in small pictures, too.
pub const HAND: f32 = 0.16;

/// Places the joints.
pub fn skeleton(build: &Build, pose: &Pose) -> Skeleton {
    let body = 1.0 - build.head;
    let lift = if pose.stance == Stance::Jump { 0.07 * pose.stride } else { 0.0 };
    let standing_hip = 0.565 * body;
    let seat = 0.27;
    // Both bones of a leg are alike.
    let thigh = 0.5 * (standing_hip - 0.035);
    let shank = thigh;
    let drop = match pose.stance {
        Stance::Sit => standing_hip - seat - 0.035,
        // A step brings the hips down: the foot that reaches lower stands on the ground.
        Stance::Walk => {
            let way = pose.turn.signum();
            let down = Side::BOTH.map(|s| leg(pose, s, v2(0.0, 0.0), thigh, shank, way).1.y);
            2.0 * thigh - down[0].max(down[1])
        }
        _ => 0.0,
    };
    let hip_y = -standing_hip + drop - lift;
    let shoulder_y = -(body - 0.05) + drop - lift;
    let way = if pose.turn < 0.0 { -1.0 } else { 1.0 };
    let upper = Transform::from_rotate_at(pose.lean, 0.0, hip_y);
    let chin = v2(pose.turn * 0.006, shoulder_y - 0.05);
    let head = upper
        .pre_concat(Transform::from_translate(chin.x, chin.y))
        .pre_concat(Transform::from_rotate(pose.tilt))
        .pre_concat(Transform::from_translate(0.0, -0.5 * build.head))
        .pre_concat(Transform::from_scale(build.head, build.head));

    let hips = Side::BOTH.map(|s| v2(s.sign() * build.hip * 0.56, hip_y));
    let legs = [0, 1].map(|i| leg(pose, Side::BOTH[i], hips[i], thigh, shank, way));

    let (first, second) = (0.2 * body, 0.172 * body);
    let shoulders =
        Side::BOTH.map(|s| v2(s.sign() * (build.shoulder - 0.004), shoulder_y + 0.02).through(upper));
    let arms = [0, 1].map(|i| {
        let (s, root) = (Side::BOTH[i].sign(), shoulders[i]);
        let target = |x: f32, y: f32, bend: f32| reach(root, v2(x, y).through(upper), first, second, bend);
        let (elbow, wrist, along) = match pose.arms[i].arm {
            Arm::Angles(u, f) => {
                let elbow = root + direction(u, s) * first;
                let along = direction(f, s);
                (elbow, elbow + along * second, direction(f + pose.arms[i].bend, s))
            }
            Arm::Hip => {
                let (e, w) = target(s * (build.hip + 0.042), hip_y - 0.08, -s);
                (e, w, direction(-33.0, s))
            }
            Arm::Back => {
                let (e, w) = target(s * 0.02, hip_y - 0.05, -s);
                (e, w, direction(196.0, s))
            }
            Arm::Chin => {
                let c = v2(s * 0.07, 0.5 + 0.42).through(head);
                let (e, w) = reach(root, c, first, second, -s);
                (e, w, direction(192.0, s))
            }
            Arm::Thigh => {
                let on = hips[i].towards(legs[i].0, 0.42) + v2(0.0, -0.03);
                let (e, w) = reach(root, on, first, second, -s);
                (e, w, (legs[i].0 - hips[i] + v2(0.0, 0.03)).unit())
            }
        };
        (elbow, wrist, along)
    });
    Skeleton {
        upper,
        head,
        levels: (shoulder_y, hip_y),
        shoulders,
        elbows: arms.map(|a| a.0),
        wrists: arms.map(|a| a.1),
        hands: arms.map(|a| a.2),
        hips,
        knees: legs.map(|l| l.0),
        ankles: legs.map(|l| l.1),
        feet: legs.map(|l| l.2),
        lift,
    }
}

fn leg(pose: &Pose, side: Side, hip: V2, thigh: f32, shank: f32, way: f32) -> (V2, V2, V2) {
    let s = side.sign();
    let chain = |t: f32, k: f32, sign: f32, foot: V2| {
        let knee = hip + direction(t, sign) * thigh;
        (knee, knee + direction(k, sign) * shank, foot)
    };
    match pose.stance {
        Stance::Stand => chain(4.0 * pose.stride, 2.0, s, v2(s * 0.8, 0.6)),
        // The leg on the side it goes to is ahead; the other pushes off with its heel up.
        Stance::Walk if s == way => chain(24.0 * pose.stride, 8.0, way, v2(way, 0.0)),
        Stance::Walk => chain(-13.0 * pose.stride, -36.0, way, v2(way * 0.9, 0.4)),
        // Thighs point towards us and to the side, so that they look shorter than they are.
        Stance::Sit => {
            let ahead = if s == way { 0.0 } else { 0.028 };
            let knee = hip + v2(way * (thigh * 0.72), 0.03 + ahead * 0.3);
            (knee, v2(knee.x + way * (0.01 + ahead), -0.035), v2(way, 0.1))
        }
        Stance::Jump => {
            let knee = hip + direction(34.0 * pose.stride, s) * (thigh * 0.85);
            (knee, knee + direction(-26.0, s) * (shank * 0.9), v2(s * 0.5, 0.85))
        }
    }
}
