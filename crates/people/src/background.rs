//! Places that people are in.

use crate::canvas::{Fill, Pen};
use crate::colour::{Named, PLAIN, Rgb};
use crate::geometry::{V2, ellipse, polyline, rectangle, smooth, v2};
use crate::pose::Framing;
use crate::random::Dice;

/// The place that people are in; captions name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Grass, trees, sky.
    Park,
    /// A wall, a floor, a window, a plant.
    Room,
    /// Sand and sea.
    Beach,
    /// Houses and a pavement.
    City,
    /// Nothing but a colour.
    Plain(Named),
    /// Hills and a low sun.
    Sunset,
    /// Snow and firs.
    Snow,
    /// Trunks and leaves.
    Forest,
}

/// Chooses a place.
pub fn choose(dice: &mut Dice) -> Place {
    let plain = dice.pick(&PLAIN);
    dice.weighted(&[
        (1.0, Place::Park),
        (1.0, Place::Room),
        (1.0, Place::Beach),
        (1.0, Place::City),
        (5.0, Place::Plain(plain)),
        (0.8, Place::Sunset),
        (0.7, Place::Snow),
        (0.7, Place::Forest),
    ])
}

fn box_of(pen: &mut Pen, l: f32, t: f32, r: f32, b: f32, c: Rgb) {
    pen.fill(rectangle(l, t, r, b), Fill::Flat(c));
}

fn sky(pen: &mut Pen, top: Rgb, bottom: Rgb, horizon: f32) {
    pen.fill(rectangle(0.0, 0.0, 1.0, 1.0), Fill::Shade(v2(0.0, 0.0), v2(0.0, horizon), top, bottom));
}

fn ground(pen: &mut Pen, horizon: f32, top: Rgb, bottom: Rgb) {
    pen.fill(rectangle(0.0, horizon, 1.0, 1.0), Fill::Shade(v2(0.0, horizon), v2(0.0, 1.0), top, bottom));
}

fn cloud(pen: &mut Pen, at: V2, size: f32, colour: Rgb) {
    for (dx, dy, r) in [(-0.9, 0.1, 0.5), (-0.3, -0.2, 0.7), (0.45, -0.05, 0.6), (1.0, 0.15, 0.42)] {
        pen.fill(ellipse(at + v2(dx, dy) * size, r * size, r * size * 0.72), Fill::Flat(colour));
    }
    pen.fill(ellipse(at + v2(0.05, 0.3) * size, 1.35 * size, 0.26 * size), Fill::Flat(colour));
}

fn hills(pen: &mut Pen, dice: &mut Dice, y: f32, height: f32, colour: Rgb) {
    let mut points = vec![v2(-0.1, 1.0)];
    points.extend((0..7).map(|k| v2(-0.1 + 0.2 * k as f32, y - height * dice.unit())));
    points.push(v2(1.1, 1.0));
    pen.fill(smooth(&points, true), Fill::Flat(colour));
}

fn tree(pen: &mut Pen, dice: &mut Dice, x: f32, base: f32, h: f32, leaves: Rgb) {
    let trunk = Rgb(128, 88, 62);
    box_of(pen, x - h * 0.045, base - h * 0.5, x + h * 0.045, base, trunk);
    let dark = leaves.darker(0.14);
    for (dx, dy, r) in [(-0.17, -0.56, 0.2), (0.18, -0.54, 0.2), (0.0, -0.76, 0.25)] {
        pen.fill(ellipse(v2(x + dx * h, base + dy * h), r * h, r * h), Fill::Flat(dark));
    }
    let jitter = dice.about(0.0, 0.03);
    for (dx, dy, r) in [(-0.12 + jitter, -0.66, 0.16), (0.08, -0.8, 0.15)] {
        pen.fill(ellipse(v2(x + dx * h, base + dy * h), r * h, r * h), Fill::Flat(leaves));
    }
}

fn fir(pen: &mut Pen, x: f32, base: f32, h: f32, colour: Rgb, snow: bool) {
    box_of(pen, x - h * 0.04, base - h * 0.15, x + h * 0.04, base, Rgb(112, 80, 62));
    for k in 0..3 {
        let (low, wide) = (base - h * (0.12 + 0.27 * k as f32), h * (0.26 - 0.055 * k as f32));
        let tip = v2(x, low - h * 0.4);
        pen.fill(
            polyline(&[v2(x - wide, low), v2(x + wide, low), tip], true),
            Fill::Flat(colour.lighter(0.05 * k as f32)),
        );
        if snow {
            let cap = [
                tip,
                tip.towards(v2(x - wide, low), 0.38),
                v2(x, low - h * 0.2),
                tip.towards(v2(x + wide, low), 0.38),
            ];
            pen.fill(polyline(&cap, true), Fill::Flat(Rgb(246, 250, 255)));
        }
    }
}

/// Draws the place.
pub fn draw(pen: &mut Pen, dice: &mut Dice, place: &Place, framing: Framing, light: f32) {
    let horizon = match framing {
        Framing::Full => dice.between(0.62, 0.72),
        _ => dice.between(0.56, 0.7),
    };
    match *place {
        Place::Park => park(pen, dice, horizon, light),
        Place::Room => room(pen, dice, framing),
        Place::Beach => beach(pen, dice, horizon, light),
        Place::City => city(pen, dice, horizon + 0.08),
        Place::Plain(c) => {
            let glow = Fill::Glow(v2(0.5 + 0.2 * light, 0.35), 0.9, c.rgb.lighter(0.35), c.rgb.darker(0.06));
            pen.fill(rectangle(0.0, 0.0, 1.0, 1.0), glow);
        }
        Place::Sunset => sunset(pen, dice, horizon, light),
        Place::Snow => snow(pen, dice, horizon),
        Place::Forest => forest(pen, dice, horizon),
    }
}

/// The colour of the light over everything, last of all.
pub fn light(pen: &mut Pen, place: &Place) {
    if *place == Place::Sunset {
        pen.fill(rectangle(0.0, 0.0, 1.0, 1.0), Fill::Glaze(Rgb(255, 128, 64), 0.1));
    }
}

fn park(pen: &mut Pen, dice: &mut Dice, horizon: f32, light: f32) {
    sky(pen, Rgb(132, 196, 240), Rgb(222, 242, 252), horizon);
    pen.fill(ellipse(v2(0.5 + 0.38 * light, 0.13), 0.065, 0.065), Fill::Flat(Rgb(255, 230, 130)));
    for _ in 0..2 {
        let at = v2(dice.between(0.1, 0.9), dice.between(0.08, 0.26));
        cloud(pen, at, dice.between(0.05, 0.08), Rgb(255, 255, 255));
    }
    hills(pen, dice, horizon, 0.08, Rgb(150, 204, 138));
    for side in [0.12, 0.88] {
        if dice.chance(0.75) {
            let x = side + dice.about(0.0, 0.08);
            tree(pen, dice, x, horizon + 0.05, 0.36, Rgb(96, 172, 96));
        }
    }
    ground(pen, horizon + 0.03, Rgb(140, 204, 112), Rgb(102, 178, 92));
    for _ in 0..6 {
        let p = v2(dice.unit(), dice.between(horizon + 0.06, 0.99));
        let colour = dice.pick(&[Rgb(255, 255, 250), Rgb(250, 216, 90), Rgb(84, 156, 78), Rgb(84, 156, 78)]);
        pen.fill(ellipse(p, 0.008, 0.008), Fill::Flat(colour));
    }
}

fn room(pen: &mut Pen, dice: &mut Dice, framing: Framing) {
    let floor = if framing == Framing::Full { dice.between(0.74, 0.8) } else { 0.9 };
    let wall = dice.pick(&[
        Rgb(246, 226, 200),
        Rgb(206, 224, 226),
        Rgb(236, 212, 212),
        Rgb(222, 226, 200),
        Rgb(220, 214, 236),
    ]);
    pen.fill(
        rectangle(0.0, 0.0, 1.0, 1.0),
        Fill::Shade(v2(0.0, 0.0), v2(1.0, 0.6), wall.lighter(0.2), wall.darker(0.05)),
    );
    let side = dice.sign();
    let x = 0.5 - side * dice.between(0.26, 0.32);
    let (l, t, r, b) = (x - 0.14, 0.12, x + 0.14, 0.46);
    let frame = Rgb(252, 250, 246);
    pen.outlined(
        rectangle(l - 0.018, t - 0.018, r + 0.018, b + 0.018),
        Fill::Flat(frame),
        wall.darker(0.3),
        0.004,
    );
    pen.fill(rectangle(l, t, r, b), Fill::Shade(v2(l, t), v2(l, b), Rgb(146, 204, 242), Rgb(226, 244, 252)));
    box_of(pen, x - 0.007, t, x + 0.007, b, frame);
    box_of(pen, l, 0.28, r, 0.294, frame);
    if dice.chance(0.4) {
        let c = v2(0.5 + side * dice.between(0.24, 0.34), dice.between(0.2, 0.32));
        let paint = dice.pick(&[Rgb(232, 120, 90), Rgb(90, 150, 190), Rgb(240, 196, 90)]);
        pen.outlined(
            rectangle(c.x - 0.09, c.y - 0.07, c.x + 0.09, c.y + 0.07),
            Fill::Flat(frame),
            Rgb(150, 108, 76),
            0.012,
        );
        pen.fill(ellipse(c, 0.045, 0.045), Fill::Flat(paint));
    }
    let boards = dice.pick(&[Rgb(206, 162, 114), Rgb(184, 136, 96), Rgb(170, 158, 150)]);
    ground(pen, floor, boards, boards.lighter(0.14));
    box_of(pen, 0.0, floor - 0.022, 1.0, floor, frame);
    for k in 0..4 {
        let y = floor + (1.0 - floor) * [0.12, 0.32, 0.6, 0.92][k];
        pen.line(polyline(&[v2(0.0, y), v2(1.0, y)], false), 0.003, Fill::Flat(boards.darker(0.14)));
    }
    if dice.chance(0.3) {
        let at = v2(0.5 + side * 0.41, floor + 0.05);
        for k in -2..=2 {
            let tip = at + v2(0.035 * k as f32, -0.24 + 0.03 * (k as f32).abs());
            pen.line(
                smooth(&[at, at.towards(tip, 0.5) + v2(0.008 * k as f32, 0.0), tip], false),
                0.022,
                Fill::Flat(Rgb(84, 150, 92)),
            );
        }
        let pot = [at + v2(-0.05, -0.07), at + v2(0.05, -0.07), at + v2(0.036, 0.03), at + v2(-0.036, 0.03)];
        pen.fill(polyline(&pot, true), Fill::Flat(Rgb(204, 112, 76)));
    }
}

fn beach(pen: &mut Pen, dice: &mut Dice, horizon: f32, light: f32) {
    let sea = horizon - 0.17;
    sky(pen, Rgb(118, 198, 240), Rgb(228, 246, 252), sea);
    pen.fill(ellipse(v2(0.5 + 0.36 * light, 0.12), 0.07, 0.07), Fill::Flat(Rgb(255, 236, 150)));
    let at = v2(dice.between(0.15, 0.85), dice.between(0.1, 0.24));
    cloud(pen, at, 0.06, Rgb(255, 255, 255));
    ground(pen, sea, Rgb(52, 148, 196), Rgb(110, 206, 214));
    for _ in 0..7 {
        let p = v2(dice.unit(), dice.between(sea + 0.02, horizon - 0.03));
        pen.line(polyline(&[p, p + v2(0.06, 0.0)], false), 0.004, Fill::Glaze(Rgb(255, 255, 255), 0.5));
    }
    if dice.chance(0.5) {
        let p = v2(dice.between(0.1, 0.9), sea + 0.02);
        pen.fill(
            polyline(
                &[p + v2(-0.04, 0.0), p + v2(0.04, 0.0), p + v2(0.025, 0.02), p + v2(-0.025, 0.02)],
                true,
            ),
            Fill::Flat(Rgb(190, 80, 64)),
        );
        pen.fill(
            polyline(&[p + v2(0.0, -0.09), p + v2(0.035, -0.006), p + v2(0.0, -0.006)], true),
            Fill::Flat(Rgb(252, 250, 244)),
        );
    }
    let shore = |dy: f32| {
        [
            v2(-0.1, 1.1),
            v2(-0.1, horizon + dy),
            v2(0.25, horizon + 0.02 + dy),
            v2(0.6, horizon - 0.012 + dy),
            v2(1.1, horizon + 0.015 + dy),
            v2(1.1, 1.1),
        ]
    };
    pen.fill(smooth(&shore(-0.016), true), Fill::Flat(Rgb(244, 252, 252)));
    let sand = Fill::Shade(v2(0.0, horizon), v2(0.0, 1.0), Rgb(236, 208, 154), Rgb(246, 222, 172));
    pen.fill(smooth(&shore(0.0), true), sand);
    for _ in 0..5 {
        let p = v2(dice.unit(), dice.between(horizon + 0.06, 0.99));
        pen.fill(ellipse(p, 0.007, 0.0035), Fill::Flat(Rgb(222, 190, 134)));
    }
}

fn city(pen: &mut Pen, dice: &mut Dice, street: f32) {
    sky(pen, Rgb(160, 204, 236), Rgb(236, 240, 240), street);
    let far = Rgb(176, 194, 216);
    let mut x = -0.05;
    while x < 1.0 {
        let w = dice.between(0.1, 0.18);
        box_of(pen, x, dice.between(0.16, 0.4), x + w, street, far);
        x += w + dice.between(0.0, 0.02);
    }
    x = dice.between(-0.12, 0.0);
    while x < 1.0 {
        let w = dice.between(0.17, 0.26);
        let top = dice.between(0.24, 0.46);
        let wall = dice.pick(&[
            Rgb(214, 146, 116),
            Rgb(226, 194, 146),
            Rgb(156, 168, 186),
            Rgb(190, 132, 130),
            Rgb(206, 206, 196),
        ]);
        box_of(pen, x, top, x + w, street, wall);
        box_of(pen, x - 0.006, top - 0.014, x + w + 0.006, top + 0.008, wall.darker(0.25));
        let lit = dice.pick(&[Rgb(252, 240, 190), Rgb(120, 146, 176)]);
        let columns = 2;
        let step = w / columns as f32;
        let mut y = top + 0.035;
        while y + 0.07 < street - 0.02 {
            for c in 0..columns {
                let l = x + step * (c as f32 + 0.27);
                box_of(pen, l, y, l + step * 0.46, y + 0.06, lit);
            }
            y += 0.11;
        }
        x += w;
    }
    ground(pen, street, Rgb(186, 186, 192), Rgb(204, 202, 204));
    box_of(pen, 0.0, street, 1.0, street + 0.012, Rgb(150, 150, 160));
    for k in 0..6 {
        let x = k as f32 * 0.2 + 0.1;
        let line = [v2(x, street + 0.012), v2(0.5 + (x - 0.5) * 1.7, 1.0)];
        pen.line(polyline(&line, false), 0.003, Fill::Flat(Rgb(168, 168, 176)));
    }
}

fn sunset(pen: &mut Pen, dice: &mut Dice, horizon: f32, light: f32) {
    sky(pen, Rgb(96, 78, 156), Rgb(252, 168, 96), horizon);
    let sun = v2(0.5 + light * 0.27, horizon - 0.1);
    pen.fill(ellipse(sun, 0.17, 0.17), Fill::Glaze(Rgb(255, 226, 140), 0.35));
    pen.fill(ellipse(sun, 0.1, 0.1), Fill::Flat(Rgb(255, 222, 122)));
    for _ in 0..3 {
        let p = v2(dice.between(0.0, 0.8), dice.between(0.1, 0.4));
        pen.fill(ellipse(p, dice.between(0.08, 0.16), 0.012), Fill::Glaze(Rgb(255, 186, 160), 0.6));
    }
    hills(pen, dice, horizon, 0.1, Rgb(150, 88, 132));
    hills(pen, dice, horizon + 0.05, 0.06, Rgb(112, 78, 112));
    ground(pen, horizon + 0.06, Rgb(132, 104, 98), Rgb(104, 92, 92));
}

fn snow(pen: &mut Pen, dice: &mut Dice, horizon: f32) {
    sky(pen, Rgb(166, 192, 220), Rgb(232, 240, 248), horizon);
    hills(pen, dice, horizon, 0.14, Rgb(212, 226, 242));
    for x in [0.08, 0.22, 0.8, 0.93] {
        if dice.chance(0.75) {
            fir(
                pen,
                x + dice.about(0.0, 0.04),
                horizon + 0.04,
                dice.between(0.24, 0.36),
                Rgb(66, 120, 104),
                true,
            );
        }
    }
    ground(pen, horizon + 0.02, Rgb(238, 244, 252), Rgb(250, 252, 255));
    for _ in 0..12 {
        let r = dice.between(0.006, 0.01);
        pen.fill(ellipse(v2(dice.unit(), dice.unit()), r, r), Fill::Flat(Rgb(255, 255, 255)));
    }
}

fn forest(pen: &mut Pen, dice: &mut Dice, horizon: f32) {
    sky(pen, Rgb(196, 226, 190), Rgb(226, 240, 206), horizon);
    for k in 0..5 {
        let x = k as f32 * 0.25 + dice.about(0.0, 0.03);
        box_of(pen, x - 0.014, 0.0, x + 0.014, horizon + 0.02, Rgb(150, 168, 130));
    }
    for x in [0.06, 0.24, 0.78, 0.95] {
        if dice.chance(0.85) {
            let (x, w) = (x + dice.about(0.0, 0.04), dice.between(0.026, 0.042));
            pen.fill(
                rectangle(x - w, 0.0, x + w, horizon + 0.06),
                Fill::Shade(v2(x - w, 0.0), v2(x + w, 0.0), Rgb(140, 104, 78), Rgb(104, 74, 60)),
            );
        }
    }
    for k in 0..11 {
        let c = v2(k as f32 * 0.1, dice.between(-0.02, 0.06));
        let r = dice.between(0.08, 0.12);
        pen.fill(
            ellipse(c, r, r),
            Fill::Flat(dice.pick(&[Rgb(84, 150, 84), Rgb(104, 170, 92), Rgb(72, 134, 78)])),
        );
    }
    ground(pen, horizon + 0.04, Rgb(122, 162, 92), Rgb(104, 136, 78));
    for _ in 0..9 {
        let p = v2(dice.unit(), dice.between(horizon + 0.05, horizon + 0.12));
        let r = dice.between(0.015, 0.035);
        pen.fill(ellipse(p, r * 1.4, r), Fill::Flat(Rgb(88, 146, 80)));
    }
}
