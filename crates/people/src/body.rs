//! One figure from back to front: hair behind, hidden arms, legs, trunk, head, arms, hands.

use crate::canvas::{Fill, Part, Pen, Region, Side};
use crate::clothes;
use crate::colour::Rgb;
use crate::face::{self, FacePoints};
use crate::geometry::{V2, capsule, ellipse, hull, v2};
use crate::hair;
use crate::hand::{self, Placed};
use crate::person::{Person, Top};
use crate::pose::{Action, Arm, Stance};
use crate::skeleton::{Skeleton, skeleton};
use crate::things;

/// Width of outlines, in units of the figure's height.
pub const LINE: f32 = 0.0064;

/// Positions of the drawn parts, for the key points. Points are in figure coordinates.
pub struct Drawn {
    /// The joints.
    pub skeleton: Skeleton,
    /// Both hands.
    pub hands: [Placed; 2],
    /// The points of the face.
    pub face: FacePoints,
    /// Places in the drawing order: of each arm, of each hand, of the legs, of the trunk and of the head.
    pub order: Orders,
}

/// Places in the drawing order after which a part can be hidden.
#[derive(Clone, Copy, Debug, Default)]
pub struct Orders {
    /// The arms.
    pub arms: [usize; 2],
    /// The hands.
    pub hands: [usize; 2],
    /// The legs.
    pub legs: usize,
    /// The head.
    pub head: usize,
}

/// Draws `person` in figure coordinates. `light` is the side that light comes from.
pub fn draw(pen: &mut Pen, person: &Person, light: f32) -> Drawn {
    let bones = skeleton(&person.build, &person.pose);
    let hands = [0, 1].map(|i| {
        let arm = &person.pose.arms[i];
        hand::place(Side::BOTH[i], bones.wrists[i], bones.hands[i], arm.roll, arm.gesture)
    });
    let mut order = Orders::default();
    if person.pose.stance == Stance::Sit {
        things::bench(pen, &bones, person);
    }
    hair::behind(pen, person, &bones, light);
    let hidden = |i: usize| matches!(person.pose.arms[i].arm, Arm::Back);
    // The far arm of a walking figure swings behind the trunk.
    let far = |i: usize| {
        person.pose.stance == Stance::Walk
            && Side::BOTH[i].sign() != person.pose.turn.signum()
            && bones.hands[i].y > 0.0
            && person.pose.action != Action::Flower
    };
    for i in (0..2).filter(|&i| hidden(i) || far(i)) {
        (order.arms[i], order.hands[i]) = arm(pen, person, &bones, &hands[i], i, light);
    }
    order.legs = pen.order();
    clothes::legs(pen, person, &bones, light);
    clothes::trunk(pen, person, &bones, light);
    order.head = pen.order();
    let points = face::draw(pen, person, &bones, light);
    hair::front(pen, person, &bones, light);
    for i in (0..2).filter(|&i| !hidden(i) && !far(i)) {
        (order.arms[i], order.hands[i]) = arm(pen, person, &bones, &hands[i], i, light);
    }
    Drawn { skeleton: bones, hands, face: points, order }
}

/// One arm with its sleeve, the thing held, and the hand.
fn arm(
    pen: &mut Pen,
    person: &Person,
    bones: &Skeleton,
    hand: &Placed,
    i: usize,
    light: f32,
) -> (usize, usize) {
    let side = Side::BOTH[i];
    let arm_order = pen.order();
    let (shoulder, elbow, wrist) = (bones.shoulders[i], bones.elbows[i], bones.wrists[i]);
    let thick = person.build.limb;
    let mut pen_arm = pen.part(Part::Arm(side), Region::Rest);
    limb(
        &mut pen_arm,
        &[(shoulder, 0.031 * thick), (elbow, 0.025 * thick), (wrist, 0.0165 * thick.min(1.1))],
        person.skin_rgb,
        light,
    );
    clothes::sleeve(&mut pen_arm, person, shoulder, elbow, wrist, light);
    let behind = matches!(person.pose.arms[i].arm, Arm::Back);
    if !behind {
        clothes::join(&mut pen_arm, person, bones, i, light);
    }
    let holds = person.pose.arms[i].gesture == hand::Gesture::Fist && person.pose.stance != Stance::Jump;
    if holds {
        things::held(pen, person, hand);
    }
    let hand_order = hand::draw(pen, side, hand, person.pose.arms[i].roll, person.skin_rgb, LINE);
    // The cuff lies over the wrist.
    clothes::cuff(&mut pen.part(Part::Arm(side), Region::Rest), person, elbow, wrist);
    (arm_order, hand_order)
}

/// A chain of tapered pieces with one outline around all of it, lit from one side.
pub fn limb(pen: &mut Pen, joints: &[(V2, f32)], colour: Rgb, light: f32) {
    let pieces: Vec<_> = joints.windows(2).map(|p| (p[0], p[1])).collect();
    for &((a, ra), (b, rb)) in &pieces {
        pen.line(capsule(a, ra, b, rb), LINE, Fill::Flat(colour.outline()));
    }
    for &((a, ra), (b, rb)) in &pieces {
        let mut across = (b - a).unit().turned() * ra.max(rb);
        if across.x * light < 0.0 {
            across = across * -1.0;
        }
        let fill = Fill::Shade(a + across, a - across, colour.lighter(0.06), colour.darker(0.16));
        pen.fill(capsule(a, ra, b, rb), fill);
    }
}

/// The shadow on the ground below a figure.
pub fn shadow(pen: &mut Pen, person: &Person) {
    let bones = skeleton(&person.build, &person.pose);
    let feet = [bones.ankles[0].x, bones.ankles[1].x];
    let (left, right) = (feet[0].min(feet[1]).min(-0.06), feet[0].max(feet[1]).max(0.06));
    let shrink = 1.0 - 2.0 * bones.lift;
    let mut pen = pen.part(Part::Scenery, Region::Rest);
    let centre = v2(0.5 * (left + right), 0.008);
    pen.fill(
        ellipse(centre, (0.5 * (right - left) + 0.07) * shrink, 0.024 * shrink),
        Fill::Glaze(Rgb(30, 24, 50), 0.24),
    );
}

/// The neck, down to a round neckline.
pub fn neck(pen: &mut Pen, person: &Person, bones: &Skeleton) {
    let b = &person.build;
    let (top, base) =
        (v2(0.0, 0.3).through(bones.head), v2(0.0, bones.levels.0 - 0.012).through(bones.upper));
    let width = b.head * 0.19 * (0.7 + 0.3 * b.limb);
    let skin = person.skin_rgb;
    let collar = match person.top {
        Top::Jacket => Rgb(224, 220, 222),
        _ => person.top_cloth.rgb.darker(0.2),
    };
    pen.fill(ellipse(base + v2(0.0, 0.002), width * 1.08 + 0.009, width * 1.08 + 0.008), Fill::Flat(collar));
    let path = hull(&[(top, width), (base, width * 1.08)]);
    pen.outlined(path, Fill::Flat(skin), skin.outline(), LINE * 0.8);
    // The head's own shadow.
    let chin = v2(0.0, 0.44).through(bones.head);
    pen.fill(ellipse(chin, width * 0.98, b.head * 0.17), Fill::Flat(skin.darker(0.2)));
}
