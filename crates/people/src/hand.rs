//! Hands with joints: 21 points in space per hand, posed by a gesture, rolled about the forearm, projected
//! and drawn.
//!
//! Hand coordinates: x towards the thumb, y along the fingers, z out of the palm; the unit is the length of
//! the hand. The points are those that hand detectors use: wrist, then four per finger from thumb to little
//! finger.

use crate::canvas::{Fill, Part, Pen, Region, Side};
use crate::colour::Rgb;
use crate::geometry::{V2, hull, smooth};
use crate::skeleton::HAND;

/// Pose of the fingers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gesture {
    /// Spread.
    Open,
    /// Straight, side by side.
    Flat,
    /// Slightly bent.
    Relaxed,
    /// All bent, the thumb across.
    Fist,
    /// The index finger alone.
    Point,
    /// The thumb alone.
    ThumbUp,
    /// Index and middle finger.
    Peace,
    /// Index, middle and ring finger.
    Three,
}

impl Gesture {
    /// The word in the key point files.
    pub fn word(self) -> &'static str {
        match self {
            Gesture::Open => "open",
            Gesture::Flat => "flat",
            Gesture::Relaxed => "relaxed",
            Gesture::Fist => "fist",
            Gesture::Point => "pointing",
            Gesture::ThumbUp => "thumb up",
            Gesture::Peace => "peace",
            Gesture::Three => "three",
        }
    }
}

/// A finger: angle in the plane of the palm (towards the thumb) and the three joints' flexion, degrees.
type Bent = (f32, [f32; 3]);
/// A bone of the thumb: angle in the plane of the palm and elevation out of it, degrees.
type Bone = (f32, f32);

const BENT: [f32; 3] = [78.0, 100.0, 50.0];

fn fingers(gesture: Gesture) -> ([Bent; 4], [Bone; 3]) {
    let folded = |spread: f32| (spread, BENT);
    let straight = |spread: f32| (spread, [2.0, 4.0, 4.0]);
    let across = [(34.0, 30.0), (-34.0, 22.0), (-66.0, 4.0)];
    let far_across = [(26.0, 32.0), (-46.0, 22.0), (-72.0, 6.0)];
    match gesture {
        Gesture::Open => (
            [straight(20.0), straight(5.0), straight(-10.0), straight(-27.0)],
            [(66.0, 6.0), (56.0, 4.0), (50.0, 2.0)],
        ),
        Gesture::Flat => (
            [straight(3.0), straight(0.5), straight(-2.0), straight(-5.0)],
            [(46.0, 6.0), (30.0, 4.0), (22.0, 2.0)],
        ),
        Gesture::Relaxed => {
            let bent = |spread: f32, more: f32| (spread, [14.0 + more, 24.0 + more, 14.0]);
            (
                [bent(5.0, 0.0), bent(1.0, 3.0), bent(-3.0, 6.0), bent(-8.0, 8.0)],
                [(36.0, 22.0), (18.0, 14.0), (10.0, 8.0)],
            )
        }
        Gesture::Fist => ([folded(3.0), folded(1.0), folded(-1.0), folded(-4.0)], across),
        Gesture::Point => ([straight(2.0), folded(0.0), folded(-2.0), folded(-5.0)], across),
        Gesture::ThumbUp => {
            ([folded(3.0), folded(1.0), folded(-1.0), folded(-4.0)], [(62.0, 6.0), (84.0, 4.0), (92.0, 2.0)])
        }
        Gesture::Peace => ([straight(17.0), straight(-12.0), folded(-2.0), folded(-5.0)], far_across),
        Gesture::Three => (
            [straight(20.0), straight(2.0), straight(-16.0), folded(-6.0)],
            [(18.0, 34.0), (-58.0, 22.0), (-78.0, 8.0)],
        ),
    }
}

/// Knuckles of the fingers, and the lengths of their bones.
const ROOTS: [((f32, f32), [f32; 3]); 4] = [
    ((0.172, 0.50), [0.205, 0.125, 0.09]),
    ((0.060, 0.525), [0.22, 0.145, 0.10]),
    ((-0.052, 0.505), [0.20, 0.135, 0.095]),
    ((-0.155, 0.455), [0.155, 0.10, 0.085]),
];
const THUMB_ROOT: (f32, f32) = (0.14, 0.13);
const THUMB: [f32; 3] = [0.19, 0.145, 0.11];
/// Half the thickness of the fingers, thumb first.
const THICK: [f32; 5] = [0.072, 0.064, 0.065, 0.062, 0.055];

/// A hand in place: its 21 points on the figure, and how near each is to us.
pub struct Placed {
    /// Points in figure coordinates.
    pub points: [V2; 21],
    depths: [f32; 21],
}

/// Poses a hand at `wrist` along the unit vector `along`. `roll` 0 shows the palm, 180 degrees the back.
pub fn place(side: Side, wrist: V2, along: V2, roll: f32, gesture: Gesture) -> Placed {
    // With the palm towards us and the fingers up, the thumb of a right hand is on the right of the picture.
    let thumbwards = along.turned() * -side.sign();
    let (sin, cos) = roll.to_radians().sin_cos();
    let mut placed = Placed { points: [wrist; 21], depths: [0.0; 21] };
    let mut set = |i: usize, p: [f32; 3]| {
        placed.points[i] = wrist + (along * p[1] + thumbwards * (p[0] * cos + p[2] * sin)) * HAND;
        placed.depths[i] = p[2] * cos - p[0] * sin;
    };
    let (bent, thumb) = fingers(gesture);
    let mut p = [THUMB_ROOT.0, THUMB_ROOT.1, 0.02];
    set(1, p);
    for (k, ((angle, rise), length)) in thumb.into_iter().zip(THUMB).enumerate() {
        let (a, r) = (angle.to_radians(), rise.to_radians());
        let step = [a.sin() * r.cos(), a.cos() * r.cos(), r.sin()];
        p = std::array::from_fn(|i| p[i] + step[i] * length);
        set(2 + k, p);
    }
    for (f, ((spread, flexion), (root, lengths))) in bent.into_iter().zip(ROOTS).enumerate() {
        let s = spread.to_radians();
        let mut p = [root.0, root.1, 0.0];
        set(5 + 4 * f, p);
        let mut total = 0.0f32;
        for k in 0..3 {
            total += flexion[k].to_radians();
            let forward = total.cos() * lengths[k];
            p = [p[0] + s.sin() * forward, p[1] + s.cos() * forward, p[2] + total.sin() * lengths[k]];
            set(6 + 4 * f + k, p);
        }
    }
    placed
}

/// Draws a hand; returns its place in the drawing order. `line` is the width of outlines.
pub fn draw(pen: &mut Pen, side: Side, hand: &Placed, roll: f32, skin: Rgb, line: f32) -> usize {
    let mut pen = pen.part(Part::Hand(side), Region::Hand);
    let order = pen.order();
    let (outline, line) = (skin.outline(), line * pen.style.line());
    let thickness = 2.0 * HAND * pen.style.finger();
    let chain = |f: usize| -> Vec<V2> { (1 + 4 * f..5 + 4 * f).map(|i| hand.points[i]).collect() };
    // Behind the palm, beside it or in front of it: by the depth of the middle of the finger.
    let depth = |f: usize| 0.5 * (hand.depths[2 + 4 * f] + hand.depths[3 + 4 * f]);
    let mut order_of: Vec<usize> = (0..5).collect();
    order_of.sort_by(|&a, &b| depth(a).total_cmp(&depth(b)));
    let front = |f: usize| depth(f) > 0.06;

    let cos = roll.to_radians().cos();
    let wrist_half = 0.125 * cos.abs() + 0.1 * (1.0 - cos.abs());
    let across = (hand.points[5] - hand.points[17]).unit();
    let w = hand.points[0];
    let mut discs = vec![
        (w + across * ((wrist_half - 0.06) * HAND), 0.06 * HAND),
        (w - across * ((wrist_half - 0.06) * HAND), 0.06 * HAND),
        (hand.points[1], 0.075 * HAND),
    ];
    discs.extend((1..5).map(|f| (hand.points[1 + 4 * f], 0.062 * HAND)));
    let palm = hull(&discs);
    let finger = |pen: &mut Pen, f: usize| {
        let path = smooth(&chain(f), false);
        let width = thickness * THICK[f];
        pen.line(path.clone(), width + line, Fill::Flat(outline));
        // Fingers nearer to us are a little lighter, so that a fist is not one lump.
        let tone = if front(f) { skin.lighter(0.06) } else { skin };
        pen.line(path, width - line, Fill::Flat(tone));
    };
    pen.line(palm.clone(), line, Fill::Flat(outline));
    for &f in order_of.iter().filter(|&&f| !front(f)) {
        finger(&mut pen, f);
    }
    pen.fill(palm, Fill::Flat(if cos > 0.0 { skin.lighter(0.08) } else { skin }));
    for &f in order_of.iter().filter(|&&f| front(f)) {
        finger(&mut pen, f);
    }
    order
}
