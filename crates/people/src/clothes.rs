//! Clothes: shirts, sweaters, jackets, dresses, skirts, shorts, trousers, shoes.

use crate::body::{LINE, limb};
use crate::canvas::{Fill, Part, Pen, Region, Side};
use crate::colour::Rgb;
use crate::geometry::{V2, capsule, contains, ellipse, hull, mirrored, polyline, smooth, v2};
use crate::person::{Bottom, Pattern, Person, Top};
use crate::pose::Stance;
use crate::skeleton::Skeleton;

/// Width of a pair of stripes, in units of the figure's height.
const BAND: f32 = 0.062;
const WHITE: Rgb = Rgb(250, 248, 244);

/// Legs, trousers or shorts, and shoes; the far leg first.
pub fn legs(pen: &mut Pen, person: &Person, bones: &Skeleton, light: f32) {
    let thick = person.build.limb;
    let near = if person.pose.turn > 0.0 { 1 } else { 0 };
    for i in [1 - near, near] {
        let side = Side::BOTH[i];
        let mut pen = pen.part(Part::Leg(side), Region::Rest);
        let shade =
            |c: Rgb| if i == near || person.pose.stance == Stance::Stand { c } else { c.darker(0.12) };
        let (hip, knee, ankle) = (bones.hips[i], bones.knees[i], bones.ankles[i]);
        let skin = shade(person.skin_rgb);
        let bare = [(hip, 0.047 * thick), (knee, 0.034 * thick), (ankle, 0.021 * thick)];
        let long = person.top != Top::Dress && person.bottom == Bottom::Trousers;
        if !long {
            limb(&mut pen, &bare, skin, light);
        }
        shoe(&mut pen, ankle, bones.feet[i], shade(person.shoes));
        let cloth = shade(person.bottom_cloth.rgb);
        if long {
            let cut = [(hip, 0.052 * thick), (knee, 0.041 * thick), (ankle + v2(0.0, -0.005), 0.031 * thick)];
            limb(&mut pen, &cut, cloth, light);
        } else if person.top != Top::Dress && person.bottom == Bottom::Shorts {
            let hem = hip.towards(knee, 0.72);
            limb(&mut pen, &[(hip, 0.054 * thick), (hem, 0.047 * thick)], cloth, light);
        }
    }
}

fn shoe(pen: &mut Pen, ankle: V2, along: V2, colour: Rgb) {
    let heel = ankle + v2(0.0, 0.012) - v2(along.x, 0.0) * 0.008;
    let toe = heel + v2(along.x * 0.05, along.y * 0.012 + 0.004);
    let path = hull(&[(heel, 0.02), (toe, 0.015), (ankle, 0.019)]);
    pen.outlined(path, Fill::Flat(colour), colour.outline(), LINE);
    let sole = |p: V2, r: f32| p + v2(0.0, r * 0.86);
    pen.line(polyline(&[sole(heel, 0.02), sole(toe, 0.015)], false), 0.007, Fill::Flat(colour.darker(0.45)));
}

/// The trunk with its clothes, and the neck.
pub fn trunk(pen: &mut Pen, person: &Person, bones: &Skeleton, light: f32) {
    let b = &person.build;
    let (top, hip) = bones.levels;
    let mut pen = pen.part(Part::Torso, Region::Rest);
    let dress = person.top == Top::Dress;
    if !dress && person.bottom == Bottom::Skirt {
        skirt(&mut pen, person, bones, person.bottom_cloth.rgb, false, light);
    }
    let long = if person.top == Top::Shirt || dress { 0.028 } else { 0.045 };
    let hem = hip + long;
    let waist_y = top + (hip - top) * 0.64;
    let sh = b.shoulder;
    let right = [
        v2(0.0, top - 0.028),
        v2(0.035, top - 0.033),
        v2(sh * 0.72, top - 0.026),
        v2(sh + 0.016, top - 0.004),
        v2(sh + 0.012, top + 0.05),
        v2(sh * 0.6 + b.waist * 0.42, top + 0.11),
        v2(b.waist + 0.006, waist_y),
        v2(b.hip + 0.01, hip - 0.02),
        v2(b.hip + if dress { 0.012 } else { 0.014 }, hem),
        v2(0.0, hem + 0.004),
    ];
    let mut upright = pen.within(bones.upper);
    let path = smooth(&mirrored(&right), true);
    let cloth = person.top_cloth.rgb;
    let (from, to) = (v2(light * sh, top), v2(-light * sh * 1.1, hip));
    let fill = match person.pattern {
        Pattern::Striped => Fill::Stripes(v2(0.0, top), v2(0.0, top + BAND), cloth, contrast(cloth)),
        _ => Fill::Shade(from, to, cloth.lighter(0.08), cloth.darker(0.14)),
    };
    upright.outlined(path.clone(), fill, cloth.outline(), LINE);
    match (person.pattern, &path) {
        (Pattern::Dotted, Some(path)) => dots(&mut upright, path, cloth),
        (Pattern::Striped, _) => {
            let dark =
                hull(&[(v2(-light * sh * 0.78, top + 0.08), 0.02), (v2(-light * b.waist * 0.8, hip), 0.014)]);
            upright.fill(dark, Fill::Glaze(Rgb(30, 16, 48), 0.1));
        }
        _ => {}
    }
    if dress {
        skirt(&mut pen, person, bones, cloth, true, light);
    }
    let mut pen = pen.within(bones.upper);
    match person.top {
        Top::Jacket => {
            let inner = [v2(0.024, top - 0.03), v2(0.03, waist_y), v2(0.02, hem)];
            pen.fill(polyline(&mirrored(&inner), true), Fill::Flat(WHITE));
            for s in [-1.0, 1.0] {
                let edge = [v2(s * 0.026, top - 0.03), v2(s * 0.031, waist_y), v2(s * 0.021, hem)];
                pen.line(smooth(&edge, false), LINE, Fill::Flat(cloth.outline()));
                let lapel =
                    [v2(s * 0.026, top - 0.036), v2(s * 0.066, top + 0.03), v2(s * 0.03, top + 0.085)];
                pen.outlined(
                    polyline(&lapel, true),
                    Fill::Flat(cloth.darker(0.1)),
                    cloth.outline(),
                    LINE * 0.7,
                );
            }
        }
        Top::Sweater => {
            let band = [v2(b.hip + 0.012, hem - 0.022), v2(b.hip + 0.013, hem - 0.001)];
            pen.fill(polyline(&mirrored(&band), true), Fill::Glaze(Rgb(30, 16, 48), 0.16));
        }
        Top::Dress => {
            let belt = [v2(b.waist + 0.003, waist_y - 0.009), v2(b.waist + 0.004, waist_y + 0.009)];
            pen.fill(polyline(&mirrored(&belt), true), Fill::Flat(cloth.darker(0.42)));
        }
        Top::Shirt => {
            if person.bottom != Bottom::Skirt {
                let fold = [v2(0.0, hem - 0.05), v2(0.002, hem - 0.012)];
                pen.line(polyline(&fold, false), LINE * 0.6, Fill::Glaze(Rgb(30, 16, 48), 0.2));
            }
        }
    }
}

fn contrast(cloth: Rgb) -> Rgb {
    let bright = cloth.0 as u32 + cloth.1 as u32 + cloth.2 as u32;
    if bright > 620 { Rgb(70, 92, 150) } else { WHITE }
}

fn dots(pen: &mut Pen, path: &tiny_skia::Path, cloth: Rgb) {
    const STEP: f32 = 0.042;
    const R: f32 = 0.0085;
    let b = path.bounds();
    let rows = ((b.bottom() - b.top()) / (STEP * 0.5)) as i32 + 1;
    for row in 0..rows {
        for column in -6..=6 {
            let x = (column as f32 + if row % 2 == 0 { 0.0 } else { 0.5 }) * STEP;
            let p = v2(x, b.top() + (row as f32 + 0.5) * STEP * 0.5);
            let inside = [v2(R, 0.0), v2(-R, 0.0), v2(0.0, R), v2(0.0, -R)];
            if inside.iter().all(|&d| contains(path, p + d * 1.3)) {
                pen.fill(ellipse(p, R, R), Fill::Flat(contrast(cloth)));
            }
        }
    }
}

fn skirt(pen: &mut Pen, person: &Person, bones: &Skeleton, cloth: Rgb, dress: bool, light: f32) {
    let b = &person.build;
    let (top, hip) = bones.levels;
    let waist = v2(0.0, top + (hip - top) * 0.7).through(bones.upper);
    let down = if dress { 0.86 } else { 0.72 };
    let mut discs = vec![(waist + v2(-b.waist + 0.02, 0.0), 0.022), (waist + v2(b.waist - 0.02, 0.0), 0.022)];
    for i in 0..2 {
        let s = Side::BOTH[i].sign();
        let flare = if person.pose.stance == Stance::Sit { 0.0 } else { 0.034 };
        discs.push((bones.hips[i] + v2(s * 0.012, 0.0), 0.048 * b.limb));
        discs.push((bones.hips[i].towards(bones.knees[i], down) + v2(s * flare, 0.0), 0.046 * b.limb));
    }
    let path = hull(&discs);
    let (from, to) = (waist + v2(light * 0.1, 0.0), waist + v2(-light * 0.12, 0.2));
    let fill = match person.pattern {
        Pattern::Striped if dress => Fill::Stripes(v2(0.0, top), v2(0.0, top + BAND), cloth, contrast(cloth)),
        _ => Fill::Shade(from, to, cloth.lighter(0.06), cloth.darker(0.2)),
    };
    pen.outlined(path.clone(), fill, cloth.outline(), LINE);
    match (&path, person.pattern) {
        (Some(path), Pattern::Dotted) if dress => dots(pen, path, cloth),
        _ if person.pose.stance != Stance::Sit => {
            for t in [-0.4, 0.1, 0.5] {
                let hem = bones.hips[0]
                    .towards(bones.knees[0], down)
                    .towards(bones.hips[1].towards(bones.knees[1], down), 0.5 + t);
                let up = bones.hips[0].towards(bones.hips[1], 0.5 + t * 0.7);
                let fold = [up.towards(hem, 0.5), hem + v2(0.0, 0.026)];
                pen.line(polyline(&fold, false), LINE * 0.7, Fill::Glaze(Rgb(30, 16, 48), 0.22));
            }
        }
        _ => {}
    }
}

/// The sleeve over an arm.
pub fn sleeve(pen: &mut Pen, person: &Person, shoulder: V2, elbow: V2, wrist: V2, light: f32) {
    let thick = person.build.limb;
    let cloth = person.top_cloth.rgb;
    let short = 0.033 * thick;
    match person.top {
        Top::Shirt | Top::Dress => {
            let end = shoulder.towards(elbow, if person.top == Top::Dress { 0.38 } else { 0.58 });
            limb(pen, &[(shoulder, short), (end, short * 0.98)], cloth, light);
            stripes(pen, person, shoulder, end, short, 0.0);
        }
        Top::Sweater | Top::Jacket => {
            let end = elbow.towards(wrist, 0.93);
            limb(pen, &[(shoulder, short), (elbow, 0.031 * thick), (end, 0.024 * thick)], cloth, light);
            stripes(pen, person, shoulder, elbow, short, 0.0);
            stripes(pen, person, elbow, end, 0.027 * thick, (elbow - shoulder).length());
        }
    }
}

/// Stripes across a piece of sleeve that begins `before` after the shoulder.
fn stripes(pen: &mut Pen, person: &Person, from: V2, to: V2, half: f32, before: f32) {
    if person.pattern == Pattern::Striped {
        let cloth = person.top_cloth.rgb;
        let along = (to - from).unit();
        let start = from - along * before;
        let fill = Fill::Stripes(start, start + along * BAND, cloth, contrast(cloth));
        pen.fill(capsule(from, half - LINE * 0.5, to, half * 0.95 - LINE * 0.5), fill);
    }
}

/// Joins a sleeve to the trunk: covers the line that the sleeve's end draws across the shoulder.
pub fn join(pen: &mut Pen, person: &Person, bones: &Skeleton, i: usize, light: f32) {
    let (s, b, top) = (Side::BOTH[i].sign(), &person.build, bones.levels.0);
    let shoulder = bones.shoulders[i];
    let inside = v2(s * (b.shoulder * 0.5), top + 0.012).through(bones.upper);
    let below = v2(s * (b.shoulder * 0.55), top + 0.04).through(bones.upper);
    let cloth = person.top_cloth.rgb;
    let fill = match person.pattern {
        Pattern::Striped => Fill::Stripes(
            v2(0.0, top).through(bones.upper),
            v2(0.0, top + BAND).through(bones.upper),
            cloth,
            contrast(cloth),
        ),
        _ => {
            let (from, to) = (v2(light * b.shoulder, top), v2(-light * b.shoulder * 1.1, bones.levels.1));
            Fill::Shade(
                from.through(bones.upper),
                to.through(bones.upper),
                cloth.lighter(0.08),
                cloth.darker(0.14),
            )
        }
    };
    let r = 0.033 * b.limb - LINE * 0.5;
    pen.fill(hull(&[(shoulder, r), (inside, 0.02), (below, 0.012)]), fill);
}

/// The end of a long sleeve, over the wrist.
pub fn cuff(pen: &mut Pen, person: &Person, elbow: V2, wrist: V2) {
    if matches!(person.top, Top::Sweater | Top::Jacket) {
        let along = (wrist - elbow).unit();
        let across = along.turned() * (0.0215 * person.build.limb.clamp(0.9, 1.1));
        let (a, b) = (wrist - along * 0.014, wrist + along * 0.002);
        let cloth = person.top_cloth.rgb.darker(0.12);
        let path = polyline(&[a + across, b + across, b - across, a - across], true);
        pen.outlined(path, Fill::Flat(cloth), cloth.outline(), LINE * 0.8);
    }
}
