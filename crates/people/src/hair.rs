//! Hair and hats, in head coordinates: the parts behind the body, and those over the head.

use crate::body::LINE;
use crate::canvas::{Fill, Part, Pen, Region};
use crate::colour::Rgb;
use crate::face::{Turned, half_width};
use crate::geometry::{V2, ellipse, mirrored, smooth, v2};
use crate::person::{HairStyle, HatStyle, Person};
use crate::skeleton::Skeleton;

/// A shape of hair: outline, a little light at the top.
fn lock(pen: &mut Pen, points: &[V2], person: &Person, dark: f32) {
    let colour = person.hair_rgb.darker(dark);
    let line = LINE / person.build.head;
    let fill = Fill::Shade(v2(0.0, -0.55), v2(0.0, 0.5), colour.lighter(0.12), colour.darker(0.12));
    pen.outlined(smooth(points, true), fill, colour.outline(), line);
}

fn discs(pen: &mut Pen, centres: &[(V2, f32)], person: &Person, dark: f32) {
    let colour = person.hair_rgb.darker(dark);
    let line = LINE / person.build.head;
    for &(c, r) in centres {
        pen.line(ellipse(c, r, r), line, Fill::Flat(colour.outline()));
    }
    for &(c, r) in centres {
        pen.fill(
            ellipse(c, r, r),
            Fill::Shade(c + v2(0.0, -r), c + v2(0.0, r), colour.lighter(0.08), colour.darker(0.08)),
        );
    }
}

/// The hair behind the shoulders and the head.
pub fn behind(pen: &mut Pen, person: &Person, bones: &Skeleton, _light: f32) {
    let mut pen = pen.part(Part::Hair, Region::Rest);
    let mut pen = pen.within(bones.head);
    let w = half_width(person);
    let side = person.parting;
    match person.hair {
        HairStyle::Long => {
            let right = [
                v2(0.0, -0.56),
                v2(w * 0.8, -0.46),
                v2(w + 0.12, -0.1),
                v2(w + 0.13, 0.4),
                v2(w + 0.15, 0.85),
                v2(w * 0.5, 0.98),
                v2(0.0, 0.9),
            ];
            lock(&mut pen, &mirrored(&right), person, 0.14);
        }
        HairStyle::Bob => {
            let right = [
                v2(0.0, -0.57),
                v2(w * 0.8, -0.47),
                v2(w + 0.13, -0.08),
                v2(w + 0.15, 0.3),
                v2(w * 0.82, 0.46),
                v2(0.0, 0.42),
            ];
            lock(&mut pen, &mirrored(&right), person, 0.14);
        }
        HairStyle::Curly => {
            let cloud: Vec<_> = (0..11)
                .map(|k| {
                    let a = (k as f32 - 5.0) * 0.43;
                    (v2(a.sin() * (w + 0.1), -0.12 - a.cos() * 0.38), 0.185)
                })
                .collect();
            discs(&mut pen, &cloud, person, 0.06);
        }
        HairStyle::Bun => discs(&mut pen, &[(v2(0.06 * person.pose.turn, -0.6), 0.19)], person, 0.04),
        HairStyle::Ponytail => {
            let tail = [
                v2(side * 0.26, -0.4),
                v2(side * (w + 0.16), -0.34),
                v2(side * (w + 0.3), 0.0),
                v2(side * (w + 0.26), 0.42),
                v2(side * (w + 0.16), 0.66),
                v2(side * (w + 0.1), 0.3),
                v2(side * (w + 0.02), -0.05),
            ];
            lock(&mut pen, &tail, person, 0.06);
            let tie = ellipse(v2(side * (w + 0.02), -0.28), 0.07, 0.07);
            pen.fill(tie, Fill::Flat(person.thing.rgb));
        }
        HairStyle::Spiky | HairStyle::Short | HairStyle::Braids | HairStyle::Bald => {}
    }
}

/// The parts over the head: crown, fringe, side locks, braids and hats.
pub fn front(pen: &mut Pen, person: &Person, bones: &Skeleton, light: f32) {
    let mut pen = pen.part(Part::Hair, Region::Rest);
    let mut pen = pen.within(bones.head);
    let (w, t, s) = (half_width(person), Turned::of(person), person.parting);
    match person.hair {
        HairStyle::Bald => {}
        HairStyle::Short => lock(&mut pen, &short(w, t, s), person, 0.0),
        HairStyle::Spiky => lock(&mut pen, &spiky(w, t), person, 0.0),
        HairStyle::Curly => {
            let curls: Vec<_> = (0..7)
                .map(|k| {
                    let a = (k as f32 - 3.0) * 0.46;
                    (t.at(a.sin() * (w - 0.01), -0.1 - a.cos() * 0.32, 0.4), 0.12)
                })
                .collect();
            discs(&mut pen, &curls, person, 0.0);
        }
        HairStyle::Long | HairStyle::Bob => {
            let end = if person.hair == HairStyle::Long { 0.62 } else { 0.34 };
            for k in [-1.0, 1.0] {
                let side = [
                    v2(k * w * 0.86, -0.32),
                    v2(k * (w + 0.085), -0.1),
                    v2(k * (w + 0.1), end * 0.55),
                    v2(k * (w + 0.07), end),
                    v2(k * (w - 0.02), end * 0.86),
                    v2(k * (w - 0.04), 0.1),
                    v2(k * (w - 0.09), -0.18),
                ];
                lock(&mut pen, &side, person, 0.0);
            }
            let bangs = person.hair == HairStyle::Bob;
            lock(&mut pen, &if bangs { fringe(w, t) } else { parted(w, t, s) }, person, 0.0);
        }
        HairStyle::Bun | HairStyle::Ponytail => lock(&mut pen, &parted(w, t, s), person, 0.0),
        HairStyle::Braids => {
            for k in [-1.0, 1.0] {
                let beads: Vec<_> = (0..5)
                    .map(|i| {
                        (
                            v2(k * (w + 0.07 + 0.012 * i as f32), 0.2 + 0.15 * i as f32),
                            0.098 - 0.006 * i as f32,
                        )
                    })
                    .collect();
                discs(&mut pen, &beads, person, 0.0);
                pen.fill(ellipse(v2(k * (w + 0.12), 0.86), 0.065, 0.055), Fill::Flat(person.thing.rgb));
            }
            lock(&mut pen, &fringe(w, t), person, 0.0);
        }
    }
    if !matches!(person.hair, HairStyle::Bald | HairStyle::Curly) && person.hat.is_none() {
        let shine = [v2(light * w * 0.35, -0.455), v2(light * w * 0.62, -0.4), v2(light * w * 0.8, -0.3)];
        pen.line(smooth(&shine, false), 0.03, Fill::Glaze(Rgb(255, 255, 255), 0.22));
    }
    if let Some((style, cloth)) = &person.hat {
        hat(&mut pen, *style, cloth.rgb, person, w, t);
    }
}

fn short(w: f32, t: Turned, s: f32) -> Vec<V2> {
    vec![
        v2(s * (w + 0.03), 0.06),
        v2(s * (w + 0.045), -0.2),
        v2(s * w * 0.74, -0.5),
        v2(0.0, -0.585),
        v2(-s * w * 0.74, -0.51),
        v2(-s * (w + 0.045), -0.2),
        v2(-s * (w + 0.03), 0.06),
        v2(-s * (w - 0.035), -0.1),
        t.at(-s * w * 0.72, -0.22, 0.5),
        t.at(-s * w * 0.3, -0.3, 0.6),
        t.at(s * w * 0.3, -0.32, 0.6),
        t.at(s * w * 0.66, -0.26, 0.5),
        v2(s * (w - 0.035), -0.1),
    ]
}

fn spiky(w: f32, t: Turned) -> Vec<V2> {
    let mut points = vec![v2(w + 0.03, 0.04), v2(w + 0.05, -0.2)];
    for k in 0..5 {
        let a = 1.15 - 0.575 * k as f32;
        let r = |r: f32, a: f32| v2(a.sin() * w * r * 1.06, -0.12 - a.cos() * 0.44 * r);
        points.push(r(1.28, a));
        if k < 4 {
            points.push(r(1.0, a - 0.29));
        }
    }
    points.extend([v2(-w - 0.05, -0.2), v2(-w - 0.03, 0.04), v2(-w + 0.035, -0.1)]);
    for k in 0..5 {
        let x = -0.26 + 0.13 * k as f32;
        points.push(t.at(x, if k % 2 == 0 { -0.27 } else { -0.21 }, 0.5));
    }
    points.push(v2(w - 0.035, -0.1));
    points
}

fn parted(w: f32, t: Turned, s: f32) -> Vec<V2> {
    vec![
        v2(s * (w + 0.04), 0.02),
        v2(s * (w + 0.055), -0.18),
        v2(s * w * 0.76, -0.49),
        v2(0.0, -0.575),
        v2(-s * w * 0.76, -0.49),
        v2(-s * (w + 0.055), -0.18),
        v2(-s * (w + 0.04), 0.02),
        v2(-s * (w - 0.045), -0.06),
        t.at(-s * w * 0.62, -0.2, 0.5),
        t.at(-s * w * 0.1, -0.26, 0.6),
        t.at(s * w * 0.36, -0.4, 0.6),
        t.at(s * w * 0.7, -0.24, 0.5),
        v2(s * (w - 0.045), -0.06),
    ]
}

fn fringe(w: f32, t: Turned) -> Vec<V2> {
    let mut points = vec![
        v2(w + 0.045, 0.1),
        v2(w + 0.06, -0.18),
        v2(w * 0.76, -0.49),
        v2(0.0, -0.575),
        v2(-w * 0.76, -0.49),
        v2(-w - 0.06, -0.18),
        v2(-w - 0.045, 0.1),
        v2(-w + 0.05, -0.02),
    ];
    points.extend(
        [-0.7, -0.35, 0.0, 0.35, 0.7].map(|x: f32| t.at(x * w, -0.185 - 0.025 * (1.0 - x.abs()), 0.5)),
    );
    points.push(v2(w - 0.05, -0.02));
    points
}

fn hat(pen: &mut Pen, style: HatStyle, cloth: Rgb, person: &Person, w: f32, t: Turned) {
    let line = LINE / person.build.head;
    let shade = Fill::Shade(v2(-w, -0.6), v2(w, -0.2), cloth.lighter(0.1), cloth.darker(0.12));
    let dome = |low: f32, wide: f32, high: f32| {
        mirrored(&[
            v2(0.0, high),
            v2(w * 0.66, high + 0.07),
            v2(w + wide, low - 0.17),
            v2(w + wide + 0.01, low),
            v2(0.0, low + 0.035),
        ])
    };
    match style {
        HatStyle::Cap => {
            pen.outlined(smooth(&dome(-0.23, 0.05, -0.63), true), shade, cloth.outline(), line);
            let peak = [
                t.at(-0.3, -0.24, 0.8),
                t.at(0.0, -0.3, 1.0),
                t.at(0.3, -0.24, 0.8),
                t.at(0.36, -0.15, 1.6),
                t.at(0.0, -0.11, 2.2),
                t.at(-0.36, -0.15, 1.6),
            ];
            let dark = cloth.darker(0.22);
            pen.outlined(smooth(&peak, true), Fill::Flat(dark), dark.outline(), line);
        }
        HatStyle::Beanie => {
            pen.outlined(smooth(&dome(-0.26, 0.05, -0.68), true), shade, cloth.outline(), line);
            let band = mirrored(&[v2(0.0, -0.34), v2(w + 0.055, -0.35), v2(w + 0.06, -0.19), v2(0.0, -0.18)]);
            let dark = cloth.darker(0.16);
            pen.outlined(smooth(&band, true), Fill::Flat(dark), dark.outline(), line);
            pen.outlined(
                ellipse(v2(0.0, -0.73), 0.09, 0.09),
                Fill::Flat(cloth.lighter(0.4)),
                cloth.outline(),
                line,
            );
        }
        HatStyle::Hat => {
            pen.outlined(
                ellipse(v2(0.0, -0.27), w + 0.3, 0.1),
                Fill::Flat(cloth.darker(0.1)),
                cloth.outline(),
                line,
            );
            pen.outlined(smooth(&dome(-0.28, 0.0, -0.7), true), shade, cloth.outline(), line);
            let band =
                mirrored(&[v2(0.0, -0.36), v2(w + 0.005, -0.375), v2(w + 0.01, -0.28), v2(0.0, -0.25)]);
            pen.fill(smooth(&band, true), Fill::Flat(cloth.darker(0.5)));
        }
    }
}
