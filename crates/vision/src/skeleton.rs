//! Control images: bodies, hands and faces as OpenPose draws them, the input that pose ControlNets expect.
//!
//! Eighteen body points (COCO's seventeen and the neck) with seventeen limbs in the rainbow of the
//! OpenPose paper (arXiv 1812.08008), 21 points per hand with one hue per bone, and 70 white points per
//! face (the 68 of the iBUG annotation and the pupils), on black.

mod read;

use image::RgbImage;
use tiny_skia::{Color, FillRule, Paint, PathBuilder, Pixmap, Stroke, Transform};

use crate::detect::Detections;
use crate::detectors::THRESHOLD;
use crate::landmarks::{Pose, extent};
use crate::people::middle;

pub use read::{Drawn, DrawnHand, read};

/// MediaPipe's point for each of OpenPose's; the neck (number 1) lies between the shoulders.
const BODY: [usize; 18] = [0, 12, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7];
const NECK: usize = 1;

/// Limbs as pairs of OpenPose's points; limb i has colour i.
const LIMBS: [(usize, usize); 17] = [
    (1, 2),
    (1, 5),
    (2, 3),
    (3, 4),
    (5, 6),
    (6, 7),
    (1, 8),
    (8, 9),
    (9, 10),
    (1, 11),
    (11, 12),
    (12, 13),
    (1, 0),
    (0, 14),
    (14, 16),
    (0, 15),
    (15, 17),
];

/// Colours of points, and of limbs at 60 %.
const COLOURS: [[u8; 3]; 18] = [
    [255, 0, 0],
    [255, 85, 0],
    [255, 170, 0],
    [255, 255, 0],
    [170, 255, 0],
    [85, 255, 0],
    [0, 255, 0],
    [0, 255, 85],
    [0, 255, 170],
    [0, 255, 255],
    [0, 170, 255],
    [0, 85, 255],
    [0, 0, 255],
    [85, 0, 255],
    [170, 0, 255],
    [255, 0, 255],
    [255, 0, 170],
    [255, 0, 85],
];

/// MediaPipe's face points for the 68 of iBUG: jaw, brows, nose, eyes, mouth; then the pupils, which lie
/// between the corners of the eyes.
const FACE: [usize; 68] = [
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356, // jaw
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300, // brows
    168, 6, 195, 4, 98, 97, 2, 326, 327, // nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380, // eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, // outer lips
    78, 82, 13, 312, 308, 317, 14, 87, // inner lips
];
const EYES: [(usize, usize); 2] = [(33, 133), (362, 263)];

/// Minimum visibility of a body point to be drawn.
const VISIBLE: f32 = THRESHOLD;

/// Points to draw, in pixels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Skeleton {
    /// OpenPose's 18 body points of each person: nose, neck; shoulder, elbow, wrist of the right and of the
    /// left arm; hip, knee, ankle of the right and of the left leg; right and left eye, right and left ear.
    /// Left and right are the person's own.
    pub bodies: Vec<[Option<[f32; 2]>; 18]>,
    /// The 21 points of each hand: wrist, then four of each finger from thumb to little finger.
    pub hands: Vec<Vec<[f32; 2]>>,
    /// Points of each face, white dots.
    pub faces: Vec<Vec<[f32; 2]>>,
}

/// Widths of the lines. Pose networks have learnt one of them, and follow it best.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Style {
    /// Limbs 8 pixels wide at 512, in proportion to the longer side: drawn at 512 and enlarged, as for the
    /// networks of lllyasviel and thibaud.
    #[default]
    Classic,
    /// Limbs 8 pixels wide at any size: drawn at the picture's own, as in FairHuman.
    Thin,
    /// Limbs of xinsir's networks for SDXL: 24 pixels wide at 1024.
    Xinsir,
}

impl Style {
    /// Multiples of the usual widths, which are for pictures of 512: of limbs, and of everything else.
    fn units(self, side: u32) -> (f32, f32) {
        match self {
            // Below a pixel nothing would be left to see.
            Self::Classic => [(side as f32 / 512.0).max(0.25); 2].into(),
            Self::Thin => (1.0, 1.0),
            Self::Xinsir if side < 500 => (1.0, 1.0),
            Self::Xinsir => ((2 + side / 1000).min(7) as f32, 1.0),
        }
    }
}

impl Skeleton {
    /// The points of all detections.
    pub fn of(found: &Detections) -> Self {
        let hands = found.hands.iter().filter(|hand| hand.points.len() == 21);
        let faces = found.faces.iter().filter(|face| face.points.len() == 468);
        Self {
            bodies: found.people.iter().map(body_points).collect(),
            hands: hands.map(|hand| hand.points.clone()).collect(),
            faces: faces.map(|face| face_points(&face.points)).collect(),
        }
    }

    /// A picture of them, on black.
    pub fn draw(&self, width: u32, height: u32, style: Style) -> RgbImage {
        let Some(mut canvas) = Pixmap::new(width, height) else {
            return RgbImage::new(width, height);
        };
        canvas.fill(Color::BLACK);
        let (limbs, unit) = style.units(width.max(height));
        for points in &self.bodies {
            body(&mut canvas, points, 4.0 * limbs, 4.0 * unit);
        }
        for points in &self.hands {
            fingers(&mut canvas, points, unit);
        }
        for points in &self.faces {
            let radius = marker_size(points, 3.0 * unit, 30.0);
            points.iter().for_each(|&p| dot(&mut canvas, p, radius, [255; 3]));
        }
        let rgb = canvas.pixels().iter().flat_map(|p| [p.red(), p.green(), p.blue()]).collect();
        RgbImage::from_raw(width, height, rgb).unwrap_or_else(|| RgbImage::new(width, height))
    }
}

fn body_points(pose: &Pose) -> [Option<[f32; 2]>; 18] {
    let seen = |i: usize| (pose.visibility[i] >= VISIBLE).then(|| pose.points[i]);
    std::array::from_fn(|i| if i == NECK { Some(middle(seen(11)?, seen(12)?)) } else { seen(BODY[i]) })
}

/// iBUG's 68 points and the pupils, of MediaPipe's 468.
fn face_points(points: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let pupils = EYES.map(|(a, b)| middle(points[a], points[b]));
    FACE.iter().map(|&i| points[i]).chain(pupils).collect()
}

fn body(canvas: &mut Pixmap, points: &[Option<[f32; 2]>; 18], thick: f32, joint: f32) {
    for (i, (a, b)) in LIMBS.into_iter().enumerate() {
        if let (Some(a), Some(b)) = (points[a], points[b]) {
            let dimmed = COLOURS[i].map(|c| (f32::from(c) * 0.6) as u8);
            limb(canvas, a, b, thick, dimmed);
        }
    }
    for (i, colour) in COLOURS.into_iter().enumerate() {
        if let Some(p) = points[i] {
            dot(canvas, p, joint, colour);
        }
    }
}

/// Draws an ellipse from joint to joint.
fn limb(canvas: &mut Pixmap, a: [f32; 2], b: [f32; 2], thick: f32, colour: [u8; 3]) {
    let length = (b[0] - a[0]).hypot(b[1] - a[1]);
    let bounds = tiny_skia::Rect::from_xywh(-length / 2.0, -thick, length, 2.0 * thick);
    let Some(path) = bounds.and_then(PathBuilder::from_oval) else {
        return;
    };
    let angle = (b[1] - a[1]).atan2(b[0] - a[0]).to_degrees();
    let [x, y] = middle(a, b);
    let place = Transform::from_rotate(angle).post_translate(x, y);
    canvas.fill_path(&path, &paint(colour), FillRule::Winding, place, None);
}

/// Draws twenty bones from the wrist to the finger tips, each in its hue, and blue joints.
fn fingers(canvas: &mut Pixmap, points: &[[f32; 2]], unit: f32) {
    for finger in 0..5 {
        for bone in 0..4 {
            let end = 1 + 4 * finger + bone;
            let start = if bone == 0 { 0 } else { end - 1 };
            let mut line = PathBuilder::new();
            line.move_to(points[start][0], points[start][1]);
            line.line_to(points[end][0], points[end][1]);
            let Some(path) = line.finish() else { continue };
            let stroke = Stroke { width: marker_size(points, 2.0 * unit, 25.0), ..Stroke::default() };
            let colour = hue((4 * finger + bone) as f32 / 20.0);
            canvas.stroke_path(&path, &paint(colour), &stroke, Transform::identity(), None);
        }
    }
    let radius = marker_size(points, 4.0 * unit, 15.0);
    for p in points {
        dot(canvas, *p, radius, [0, 0, 255]);
    }
}

/// Size of a marker in pixels: `size`, but at most a `part`th of the region, so that it does not cover it.
fn marker_size(points: &[[f32; 2]], size: f32, part: f32) -> f32 {
    let region = extent(points);
    size.min(region.width().max(region.height()) / part)
}

fn dot(canvas: &mut Pixmap, [x, y]: [f32; 2], radius: f32, colour: [u8; 3]) {
    if let Some(path) = PathBuilder::from_circle(x, y, radius.max(0.5)) {
        canvas.fill_path(&path, &paint(colour), FillRule::Winding, Transform::identity(), None);
    }
}

fn paint([r, g, b]: [u8; 3]) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(r, g, b, 255);
    paint
}

/// A fully saturated colour, `at` in `0..1` around the circle from red.
fn hue(at: f32) -> [u8; 3] {
    [0.0, 4.0, 2.0].map(|shift| {
        let k = (at * 6.0 + shift) % 6.0;
        (((k - 3.0).abs() - 1.0).clamp(0.0, 1.0) * 255.0) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::{Detections, Pose, Skeleton, Style};
    use crate::detect::{Instance, Source};
    use crate::geometry::{Box2, RotatedRect};

    /// OpenPose's 18 points: MediaPipe's number, a place, the colour. The neck (1) lies between the
    /// shoulders.
    const POINTS: [(usize, [f32; 2], u32); 18] = [
        (0, [256., 100.], 0xff0000),  // nose
        (33, [256., 160.], 0xff5500), // neck
        (12, [180., 160.], 0xffaa00), // right shoulder
        (14, [150., 240.], 0xffff00), // right elbow
        (16, [130., 320.], 0xaaff00), // right wrist
        (11, [332., 160.], 0x55ff00), // left shoulder
        (13, [362., 240.], 0x00ff00), // left elbow
        (15, [382., 320.], 0x00ff55), // left wrist
        (24, [220., 300.], 0x00ffaa), // right hip
        (26, [210., 380.], 0x00ffff), // right knee
        (28, [200., 460.], 0x00aaff), // right ankle
        (23, [292., 300.], 0x0055ff), // left hip
        (25, [302., 380.], 0x0000ff), // left knee
        (27, [312., 460.], 0x5500ff), // left ankle
        (5, [226., 80.], 0xaa00ff),   // right eye
        (2, [286., 80.], 0xff00ff),   // left eye
        (8, [190., 100.], 0xff00aa),  // right ear
        (7, [322., 100.], 0xff0055),  // left ear
    ];

    /// OpenPose's limbs, with its colours at 60 %.
    const LIMBS: [(usize, usize, u32); 17] = [
        (1, 2, 0x990000),
        (1, 5, 0x993300),
        (2, 3, 0x996600),
        (3, 4, 0x999900),
        (5, 6, 0x669900),
        (6, 7, 0x339900),
        (1, 8, 0x009900),
        (8, 9, 0x009933),
        (9, 10, 0x009966),
        (1, 11, 0x009999),
        (11, 12, 0x006699),
        (12, 13, 0x003399),
        (1, 0, 0x000099),
        (0, 14, 0x330099),
        (14, 16, 0x660099),
        (0, 15, 0x990099),
        (15, 17, 0x990066),
    ];

    fn draw(found: &Detections) -> image::RgbImage {
        Skeleton::of(found).draw(512, 512, Style::Classic)
    }

    fn colour(picture: &image::RgbImage, [x, y]: [f32; 2]) -> u32 {
        let [r, g, b] = picture.get_pixel(x as u32, y as u32).0.map(u32::from);
        r << 16 | g << 8 | b
    }

    #[test]
    fn a_body_has_openposes_points_limbs_and_colours() {
        let mut points = vec![[0.0; 2]; 34];
        POINTS.iter().for_each(|&(number, place, _)| points[number] = place);
        points.truncate(33);
        let pose = Pose { points, visibility: vec![1.0; 33], score: 1.0, region: RotatedRect::empty() };
        let drawn = draw(&Detections { people: vec![pose], ..Detections::default() });
        for (_, place, expected) in POINTS {
            assert_eq!(colour(&drawn, place), expected, "{place:?}");
        }
        for (from, to, expected) in LIMBS {
            let [a, b] = [from, to].map(|i| POINTS[i].1);
            let middle = [(a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0];
            assert_eq!(colour(&drawn, middle), expected, "limb {from} to {to}");
        }
    }

    #[test]
    fn a_hand_has_a_hue_per_bone_and_blue_joints() {
        // Five fingers that go down from the wrist's height, side by side.
        let place = |i: usize| [100.0 + 60.0 * i.div_ceil(4) as f32, 60.0 + 80.0 * ((i + 3) % 4) as f32];
        let mut points: Vec<[f32; 2]> = (0..21).map(place).collect();
        points[0] = [256.0, 20.0];
        let bbox = Box2 { x0: 0.0, y0: 0.0, x1: 512.0, y1: 512.0 };
        let hand = Instance { bbox, score: 1.0, source: Source::Whole, points: points.clone() };
        let drawn = draw(&Detections { hands: vec![hand], ..Detections::default() });
        assert!(points.iter().all(|&p| colour(&drawn, p) == 0x0000ff));
        let bone = |i: usize| colour(&drawn, [points[i][0], points[i][1] - 40.0]);
        assert_eq!(
            [2, 4, 8, 12, 16, 20].map(bone),
            [0xff4c00, 0xffe500, 0x00ff19, 0x00b2ff, 0x7f00ff, 0xff004c]
        );
    }
}
