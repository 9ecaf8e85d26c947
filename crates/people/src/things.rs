//! Things that go with a pose: the bench sat on; the balloon, flower or ice cream held.

use crate::body::LINE;
use crate::canvas::{Fill, Part, Pen, Region};
use crate::colour::Rgb;
use crate::geometry::{V2, ellipse, polyline, rectangle, smooth, v2};
use crate::hand::Placed;
use crate::person::Person;
use crate::pose::Action;
use crate::skeleton::Skeleton;

/// A wooden bench below a sitting figure.
pub fn bench(pen: &mut Pen, bones: &Skeleton, person: &Person) {
    let mut pen = pen.part(Part::Scenery, Region::Rest);
    let (way, seat) = (person.pose.turn.signum(), bones.levels.1 + 0.045);
    let (a, b) = (-0.17 - 0.02 * way, 0.17 + 0.02 * way);
    let wood = Rgb(168, 112, 70);
    for x in [a + 0.03, b - 0.03] {
        pen.outlined(
            rectangle(x - 0.014, seat, x + 0.014, 0.0),
            Fill::Flat(wood.darker(0.25)),
            wood.outline(),
            LINE,
        );
    }
    pen.outlined(rectangle(a, seat, b, seat + 0.034), Fill::Flat(wood), wood.outline(), LINE);
    pen.fill(rectangle(a, seat, b, seat + 0.01), Fill::Flat(wood.lighter(0.2)));
}

/// The thing held, drawn before the hand so that the fingers close over it.
pub fn held(pen: &mut Pen, person: &Person, hand: &Placed) {
    let grip = hand.points[9].towards(hand.points[0], 0.3);
    let outwards = if grip.x < 0.0 { -1.0 } else { 1.0 };
    let mut pen = pen.part(Part::Thing, Region::Rest);
    match person.pose.action {
        Action::Balloon => balloon(&mut pen, grip, outwards, person.thing.rgb),
        Action::Flower => flower(&mut pen, grip, outwards, person.thing.rgb),
        Action::IceCream => ice_cream(&mut pen, grip, outwards, person.thing.rgb),
        _ => {}
    }
}

fn balloon(pen: &mut Pen, grip: V2, s: f32, colour: Rgb) {
    let centre = grip + v2(s * 0.045, -0.235);
    let knot = centre + v2(-s * 0.004, 0.082);
    pen.line(
        smooth(&[grip + v2(0.0, 0.06), grip, grip + v2(s * 0.02, -0.08), knot], false),
        0.005,
        Fill::Flat(Rgb(90, 84, 96)),
    );
    let tie = [knot + v2(-0.011, 0.014), knot + v2(0.011, 0.014), knot + v2(0.0, -0.008)];
    pen.fill(polyline(&tie, true), Fill::Flat(colour.darker(0.2)));
    let glow = Fill::Glow(centre + v2(-0.022, -0.026), 0.1, colour.lighter(0.35), colour);
    pen.outlined(ellipse(centre, 0.068, 0.08), glow, colour.outline(), LINE);
    pen.fill(ellipse(centre + v2(-0.026, -0.034), 0.011, 0.018), Fill::Glaze(Rgb(255, 255, 255), 0.7));
}

fn flower(pen: &mut Pen, grip: V2, s: f32, colour: Rgb) {
    let head = grip + v2(s * 0.012, -0.105);
    let green = Rgb(74, 146, 74);
    pen.line(smooth(&[grip + v2(-s * 0.008, 0.07), grip, head], false), 0.01, Fill::Flat(green));
    let leaf = grip + v2(-s * 0.006, 0.055);
    pen.fill(ellipse(leaf + v2(s * 0.018, 0.0), 0.02, 0.008), Fill::Flat(green.lighter(0.1)));
    for k in 0..6 {
        let a = k as f32 * std::f32::consts::TAU / 6.0;
        let petal = head + v2(a.cos(), a.sin()) * 0.028;
        pen.outlined(ellipse(petal, 0.0185, 0.0185), Fill::Flat(colour), colour.outline(), LINE * 0.8);
    }
    let middle = if colour.1 > 180 && colour.0 > 200 { Rgb(150, 90, 40) } else { Rgb(250, 212, 80) };
    pen.fill(ellipse(head, 0.018, 0.018), Fill::Flat(middle));
}

fn ice_cream(pen: &mut Pen, grip: V2, s: f32, colour: Rgb) {
    let top = grip + v2(s * 0.004, -0.062);
    let cone = [top + v2(-0.03, 0.0), top + v2(0.03, 0.0), grip + v2(0.0, 0.06)];
    let wafer = Rgb(222, 166, 98);
    pen.outlined(polyline(&cone, true), Fill::Flat(wafer), wafer.outline(), LINE);
    for (dx, dy, r) in [(-0.017, -0.016, 0.025), (0.017, -0.016, 0.025), (0.0, -0.042, 0.026)] {
        pen.outlined(
            ellipse(top + v2(dx, dy), r, r),
            Fill::Flat(colour.lighter(0.25)),
            colour.outline(),
            LINE * 0.8,
        );
    }
}
