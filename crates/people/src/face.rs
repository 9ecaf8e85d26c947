//! Heads and faces. Head coordinates: the unit is the head's height, the origin its middle, y points down.

use crate::body::{LINE, neck};
use crate::canvas::{Fill, Part, Pen, Region};
use crate::colour::Rgb;
use crate::geometry::{V2, ellipse, mirrored, smooth, v2};
use crate::person::{Beard, Expression, Kind, Person};
use crate::skeleton::Skeleton;
use crate::style::Style;

/// The points of a face that are recorded, with their names; right and left are the figure's own.
pub type FacePoints = Vec<(&'static str, V2)>;

/// Turn of the head: shifts the features in front to that side and narrows those on the far side.
#[derive(Clone, Copy)]
pub struct Turned(f32);

impl Turned {
    /// The turn of a person's head.
    pub fn of(person: &Person) -> Self {
        Turned(person.pose.turn)
    }

    /// The projection of a point on the front of the head; `depth` 0 at the ears, 1 at the tip of the nose.
    pub fn at(self, x: f32, y: f32, depth: f32) -> V2 {
        v2(x * (1.0 - 0.1 * self.0 * self.0) + 0.085 * self.0 * depth, y)
    }
}

/// Half the width of the head at the ears.
pub fn half_width(person: &Person) -> f32 {
    if person.kind.is_child() { 0.41 } else { 0.375 }
}

/// Draws neck, ears, head and features; returns the face's points in figure coordinates.
pub fn draw(pen: &mut Pen, person: &Person, bones: &Skeleton, light: f32) -> FacePoints {
    neck(&mut pen.part(Part::Torso, Region::Rest), person, bones);
    let mut pen = pen.part(Part::Head, Region::Face);
    let mut pen = pen.within(bones.head);
    let line = LINE / person.build.head;
    let (w, t) = (half_width(person), Turned::of(person));
    let skin = person.skin_rgb;
    for s in [-1.0, 1.0] {
        let ear = v2(s * (w + 0.012) - 0.05 * person.pose.turn, 0.05);
        pen.outlined(ellipse(ear, 0.06, 0.1), Fill::Flat(skin.darker(0.05)), skin.outline(), line);
        pen.fill(ellipse(ear, 0.028, 0.055), Fill::Glaze(skin.darker(0.4), 0.5));
    }
    let jaw = 0.24 + 0.07 * person.jaw + if person.kind.is_child() { 0.03 } else { 0.0 };
    let outline = mirrored(&[
        v2(0.0, -0.5),
        v2(w * 0.62, -0.43),
        v2(w * 0.95, -0.23),
        v2(w, 0.02),
        v2(w * 0.93, 0.2),
        v2(jaw, 0.37),
        v2(0.1 + 0.05 * person.jaw, 0.48),
        v2(0.0, 0.5),
    ]);
    let shade = Fill::Shade(v2(light * w, -0.3), v2(-light * w, 0.3), skin.lighter(0.1), skin.darker(0.12));
    pen.outlined(smooth(&outline, true), shade, skin.outline(), line);
    if person.beard == Some(Beard::Full) {
        beard(&mut pen, person, w, jaw, t);
    }
    let blush = Rgb(236, 96, 88);
    let rosy = if person.kind == Kind::Man { 0.1 } else { 0.24 } * (skin.0 as f32 / 255.0).powi(2);
    for s in [-1.0, 1.0] {
        pen.fill(ellipse(t.at(s * 0.22, 0.19, 0.7), 0.075, 0.05), Fill::Glaze(blush, rosy));
    }
    for s in [-1.0, 1.0] {
        eye(&mut pen, person, t, s);
        brow(&mut pen, person, t, s);
    }
    nose(&mut pen, person, t, light);
    mouth(&mut pen, person, t);
    if person.beard == Some(Beard::Moustache) {
        moustache(&mut pen, person, t);
    }
    if person.glasses {
        glasses(&mut pen, t, w);
    }
    if person.old {
        for s in [-1.0, 1.0] {
            let fold = [t.at(s * 0.1, 0.17, 0.8), t.at(s * 0.16, 0.23, 0.75), t.at(s * 0.175, 0.3, 0.7)];
            pen.line(smooth(&fold, false), 0.012, Fill::Glaze(skin.darker(0.6), 0.5));
        }
    }
    points(t, w, jaw).into_iter().map(|(name, p)| (name, p.through(bones.head))).collect()
}

fn points(t: Turned, w: f32, jaw: f32) -> FacePoints {
    // The figure's right is on the left of the picture.
    vec![
        ("right_eye", t.at(-0.18, 0.03, 0.8)),
        ("left_eye", t.at(0.18, 0.03, 0.8)),
        ("right_brow", t.at(-0.18, -0.14, 0.8)),
        ("left_brow", t.at(0.18, -0.14, 0.8)),
        ("nose", t.at(0.0, 0.14, 1.0)),
        ("mouth_right", t.at(-0.12, 0.29, 0.8)),
        ("mouth_left", t.at(0.12, 0.29, 0.8)),
        ("mouth", t.at(0.0, 0.3, 0.9)),
        ("right_ear", v2(-w - 0.012 - 0.05 * t.0, 0.05)),
        ("left_ear", v2(w + 0.012 - 0.05 * t.0, 0.05)),
        ("right_jaw", v2(-jaw * 0.97, 0.36)),
        ("left_jaw", v2(jaw * 0.97, 0.36)),
        ("chin", v2(0.0, 0.47)),
    ]
}

fn eye(pen: &mut Pen, person: &Person, t: Turned, s: f32) {
    use Expression::*;
    let dark = Rgb(46, 30, 38);
    let centre = t.at(s * 0.18, 0.03, 0.8);
    let lashes = person.kind.is_female();
    let shut = person.expression == Laughing || (person.expression == Winking && s == person.parting);
    if shut {
        let arc = [centre + v2(-0.1, 0.035), centre + v2(0.0, -0.045), centre + v2(0.1, 0.035)];
        pen.line(smooth(&arc, false), 0.046, Fill::Flat(dark));
        return;
    }
    if pen.style == Style::Ink {
        let (rx, ry) = if person.expression == Surprised { (0.06, 0.11) } else { (0.05, 0.085) };
        pen.fill(ellipse(centre, rx, ry), Fill::Flat(dark));
        pen.fill(ellipse(centre + v2(0.015, -0.035), 0.014, 0.018), Fill::Flat(Rgb(255, 255, 255)));
        return;
    }
    let (rx, ry) = match person.expression {
        Surprised => (0.108, 0.128),
        Angry => (0.104, 0.085),
        Sad | Calm => (0.1, 0.096),
        _ => (0.104, 0.112),
    };
    pen.outlined(ellipse(centre, rx, ry), Fill::Flat(Rgb(253, 252, 250)), dark, 0.026);
    let look = centre + v2(0.018 * t.0, 0.004);
    let iris = ry.min(0.078);
    pen.fill(ellipse(look, iris, iris), Fill::Flat(person.eyes));
    pen.fill(ellipse(look, iris * 0.6, iris * 0.6), Fill::Flat(Rgb(26, 18, 24)));
    pen.fill(ellipse(look + v2(0.026, -0.03), 0.023, 0.023), Fill::Flat(Rgb(255, 255, 255)));
    // The upper lid, lower on the inside of an angry eye and on the outside of a sad one.
    let slope = match person.expression {
        Angry => 0.03,
        Sad => -0.025,
        _ => 0.0,
    };
    let lid = [
        centre + v2(-s * rx, slope - 0.008),
        centre + v2(-s * rx * 0.5, -ry * 0.86 + slope * 0.6),
        centre + v2(s * rx * 0.4, -ry * 0.92 - slope * 0.5),
        centre + v2(s * rx, -slope - 0.012),
    ];
    pen.line(smooth(&lid, false), if lashes { 0.042 } else { 0.032 }, Fill::Flat(dark));
    if lashes {
        let lash = [centre + v2(s * rx * 0.9, -0.02), centre + v2(s * (rx + 0.035), -0.05)];
        pen.line(smooth(&lash, false), 0.022, Fill::Flat(dark));
    }
}

fn brow(pen: &mut Pen, person: &Person, t: Turned, s: f32) {
    use Expression::*;
    let (inner, outer) = match person.expression {
        Angry => (-0.085, -0.19),
        Sad => (-0.205, -0.125),
        Surprised => (-0.2, -0.2),
        Laughing => (-0.16, -0.15),
        _ => (-0.145, -0.14),
    };
    let middle = 0.5 * (inner + outer) - 0.028;
    let arc = [t.at(s * 0.085, inner, 0.85), t.at(s * 0.165, middle, 0.8), t.at(s * 0.25, outer, 0.75)];
    // White brows would vanish on light skin.
    let colour = person.hair_rgb.darker(if person.old { 0.3 } else { 0.15 });
    pen.line(smooth(&arc, false), if person.kind.is_female() { 0.036 } else { 0.05 }, Fill::Flat(colour));
}

fn nose(pen: &mut Pen, person: &Person, t: Turned, light: f32) {
    let s = if t.0.abs() > 0.15 { t.0.signum() } else { -light };
    let skin = person.skin_rgb;
    let size = if person.kind.is_child() { 0.8 } else { 1.0 };
    pen.fill(
        ellipse(t.at(0.0, 0.145, 1.0), 0.045 * size, 0.036 * size),
        Fill::Glaze(skin.darker(0.35).mix(Rgb(220, 90, 70), 0.3), 0.35),
    );
    let tip = t.at(0.0, 0.15, 1.0);
    let side =
        [tip + v2(-s * 0.012, -0.09 * size), tip + v2(s * 0.045 * size, 0.0), tip + v2(-s * 0.022, 0.03)];
    pen.line(smooth(&side, false), 0.024, Fill::Flat(skin.darker(0.5)));
}

fn mouth(pen: &mut Pen, person: &Person, t: Turned) {
    use Expression::*;
    let skin = person.skin_rgb;
    let lip =
        if person.kind.is_female() { skin.darker(0.2).mix(Rgb(196, 48, 64), 0.62) } else { skin.darker(0.5) };
    let dark = Rgb(112, 32, 40);
    let p = |x: f32, y: f32| t.at(x, y, 0.85);
    match person.expression {
        Laughing => {
            let open = [
                p(-0.15, 0.255),
                p(0.0, 0.275),
                p(0.15, 0.255),
                p(0.105, 0.36),
                p(0.0, 0.4),
                p(-0.105, 0.36),
            ];
            pen.outlined(smooth(&open, true), Fill::Flat(dark), lip.darker(0.3), 0.022);
            pen.fill(ellipse(p(0.0, 0.362), 0.06, 0.028), Fill::Flat(Rgb(232, 104, 108)));
            let teeth = [
                p(-0.125, 0.268),
                p(0.0, 0.285),
                p(0.125, 0.268),
                p(0.1, 0.303),
                p(0.0, 0.313),
                p(-0.1, 0.303),
            ];
            pen.fill(smooth(&teeth, true), Fill::Flat(Rgb(255, 253, 248)));
        }
        Surprised => {
            pen.outlined(ellipse(p(0.0, 0.325), 0.07, 0.086), Fill::Flat(dark), lip.darker(0.2), 0.024);
        }
        Smiling | Winking => {
            let arc = [p(-0.155, 0.255), p(-0.085, 0.317), p(0.0, 0.338), p(0.085, 0.317), p(0.155, 0.255)];
            pen.line(smooth(&arc, false), 0.042, Fill::Flat(lip));
        }
        Calm => pen.line(smooth(&[p(-0.1, 0.3), p(0.0, 0.303), p(0.1, 0.3)], false), 0.04, Fill::Flat(lip)),
        Sad => {
            let arc = [p(-0.11, 0.345), p(-0.06, 0.308), p(0.0, 0.298), p(0.06, 0.308), p(0.11, 0.345)];
            pen.line(smooth(&arc, false), 0.042, Fill::Flat(lip));
        }
        Angry => {
            let arc = [p(-0.12, 0.33), p(-0.06, 0.3), p(0.0, 0.296), p(0.06, 0.3), p(0.12, 0.33)];
            pen.line(smooth(&arc, false), 0.044, Fill::Flat(lip));
        }
    }
}

fn beard(pen: &mut Pen, person: &Person, w: f32, jaw: f32, t: Turned) {
    let k = person.pose.turn * 0.03;
    let outer = [
        v2(w * 1.0, 0.02),
        v2(w * 0.97, 0.2),
        v2(jaw * 1.04, 0.39),
        v2(0.15, 0.52),
        v2(0.0, 0.55),
        v2(-0.15, 0.52),
        v2(-jaw * 1.04, 0.39),
        v2(-w * 0.97, 0.2),
        v2(-w, 0.02),
        v2(-w * 0.84, 0.1),
        v2(-0.2 + k, 0.215),
        t.at(-0.08, 0.222, 0.8),
        t.at(0.0, 0.235, 0.8),
        t.at(0.08, 0.222, 0.8),
        v2(0.2 + k, 0.215),
        v2(w * 0.84, 0.1),
    ];
    let hair = person.hair_rgb;
    pen.outlined(smooth(&outer, true), Fill::Flat(hair), hair.outline(), 0.02);
    pen.fill(ellipse(t.at(0.0, 0.325, 0.85), 0.155, 0.078), Fill::Flat(person.skin_rgb));
}

fn moustache(pen: &mut Pen, person: &Person, t: Turned) {
    let p = |x: f32, y: f32| t.at(x, y, 0.9);
    let hair = person.hair_rgb;
    let path = [
        p(0.0, 0.212),
        p(0.08, 0.205),
        p(0.17, 0.27),
        p(0.08, 0.262),
        p(0.0, 0.252),
        p(-0.08, 0.262),
        p(-0.17, 0.27),
        p(-0.08, 0.205),
    ];
    pen.outlined(smooth(&path, true), Fill::Flat(hair), hair.outline(), 0.014);
}

fn glasses(pen: &mut Pen, t: Turned, w: f32) {
    let frame = Fill::Flat(Rgb(48, 42, 60));
    for s in [-1.0, 1.0] {
        let c = t.at(s * 0.185, 0.035, 0.85);
        pen.fill(ellipse(c, 0.15, 0.145), Fill::Glaze(Rgb(214, 236, 250), 0.22));
        pen.line(ellipse(c, 0.15, 0.145), 0.034, frame.clone());
        let arm = [c + v2(s * 0.15, -0.02), v2(s * w, 0.0)];
        pen.line(smooth(&arm, false), 0.024, frame.clone());
    }
    let bridge = [t.at(-0.045, 0.02, 0.9), t.at(0.0, 0.005, 0.9), t.at(0.045, 0.02, 0.9)];
    pen.line(smooth(&bridge, false), 0.024, frame);
}
