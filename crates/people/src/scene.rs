//! One picture before rendering: its people, their places, and the display list.

use tiny_skia::Transform;

use crate::background::{self, Place};
use crate::body::{self, Drawn};
use crate::canvas::{Pen, Shape};
use crate::geometry::{V2, v2};
use crate::hand;
use crate::person::{self, HairStyle, HatStyle, Person};
use crate::pose::{self, Action, Framing};
use crate::random::Dice;
use crate::skeleton::skeleton;
use crate::style::Style;

/// Mix of pictures in a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// People in a picture at most, 1 to 3.
    pub figures: u32,
    /// Percentage of close views among pictures of one person: cut off at the hips or the chest.
    pub near: u32,
    /// The way to draw.
    pub style: Style,
}

impl Default for Mix {
    fn default() -> Self {
        Self { figures: crate::MOST_FIGURES, near: 50, style: Style::default() }
    }
}

/// One picture, described.
pub struct Scene {
    /// From left to right.
    pub people: Vec<Person>,
    /// The place.
    pub place: Place,
    /// The framing.
    pub framing: Framing,
    /// The side that light comes from.
    pub light: f32,
    /// For each person the scale and the position of the point below them on the ground, in units of the
    /// side.
    pub stands: Vec<(f32, V2)>,
}

/// One picture, composed.
pub struct Composed {
    /// Its description.
    pub scene: Scene,
    /// The shapes in drawing order.
    pub shapes: Vec<Shape>,
    /// Positions of each person's parts, in the order of the people.
    pub drawn: Vec<Drawn>,
}

/// Composes picture `index` of `seed` and a mix; the result depends on nothing else.
pub fn compose(seed: u64, index: u64, mix: Mix) -> Composed {
    let mut dice = Dice::new(seed, index);
    let scene = choose(&mut dice, mix);
    let mut shapes = Vec::with_capacity(600);
    let mut pen = Pen::new(&mut shapes, mix.style);
    background::draw(&mut pen, &mut dice, &scene.place, scene.framing, scene.light);
    let frame = |i: usize| {
        let (scale, at) = scene.stands[i];
        Transform::from_translate(at.x, at.y).pre_scale(scale, scale)
    };
    // People further back, that is higher in the picture, are drawn first.
    let mut back_to_front: Vec<usize> = (0..scene.people.len()).collect();
    back_to_front.sort_by(|&a, &b| scene.stands[a].1.y.total_cmp(&scene.stands[b].1.y));
    let mut drawn: Vec<Option<Drawn>> = (0..scene.people.len()).map(|_| None).collect();
    for i in back_to_front {
        let mut pen = pen.for_figure(i, frame(i));
        body::shadow(&mut pen, &scene.people[i]);
        drawn[i] = Some(body::draw(&mut pen, &scene.people[i], scene.light));
    }
    background::light(&mut pen, &scene.place);
    Composed { drawn: drawn.into_iter().flatten().collect(), scene, shapes }
}

fn choose(dice: &mut Dice, mix: Mix) -> Scene {
    let near = mix.near as f32 / 100.0;
    let count = dice.weighted(&[(0.58, 1), (0.27, 2), (0.15, 3)]).min(mix.figures.max(1));
    let framing = match count {
        1 => dice.weighted(&[
            (1.0 - near, Framing::Full),
            (0.48 * near, Framing::Half),
            (0.52 * near, Framing::Portrait),
        ]),
        2 => dice.weighted(&[(1.0 - 0.6 * near, Framing::Full), (0.6 * near, Framing::Half)]),
        _ => Framing::Full,
    };
    let people: Vec<Person> =
        (0..count).map(|_| person::choose(dice, |dice| pose::choose(dice, framing, count > 1))).collect();
    let place = background::choose(dice);
    let light = dice.sign();
    let stands = stand(dice, &people, framing);
    Scene { people, place, framing, light, stands }
}

/// Extent of a person in units of their height: left, right and up.
fn extent(person: &Person, framing: Framing) -> (f32, f32, f32) {
    let bones = skeleton(&person.build, &person.pose);
    let head = person.build.head;
    let extra = match (person.hair, person.hat) {
        (_, Some((HatStyle::Beanie, _))) | (HairStyle::Bun | HairStyle::Curly, _) => 0.3,
        (_, Some(_)) => 0.2,
        _ => 0.1,
    };
    let top = v2(0.0, -0.5).through(bones.head);
    let mut reach = (top.x - head * 0.7, top.x + head * 0.7, -top.y + extra * head);
    for (i, side) in crate::canvas::Side::BOTH.into_iter().enumerate() {
        let arm = &person.pose.arms[i];
        let held = matches!(person.pose.action, Action::Balloon) && arm.gesture == hand::Gesture::Fist;
        for p in hand::place(side, bones.wrists[i], bones.hands[i], arm.roll, arm.gesture).points {
            // Parts below the edge of a close view need not fit its width.
            if framing == Framing::Full || p.y < bones.levels.0 * 0.8 {
                let aside = if held { 0.1 } else { 0.01 };
                reach.0 = reach.0.min(p.x - aside);
                reach.1 = reach.1.max(p.x + aside);
                reach.2 = reach.2.max(-p.y + if held { 0.31 } else { 0.02 });
            }
        }
    }
    reach
}

/// Places people side by side so that heads and hands are inside the picture; neighbours may overlap.
fn stand(dice: &mut Dice, people: &[Person], framing: Framing) -> Vec<(f32, V2)> {
    let n = people.len();
    let (size, edge) = match (framing, n) {
        (Framing::Full, 1) => (dice.between(0.8, 0.9), 0.03),
        (Framing::Full, 2) => (dice.between(0.7, 0.8), 0.025),
        (Framing::Full, _) => (dice.between(0.6, 0.7), 0.02),
        (Framing::Half, 1) => (dice.between(1.5, 1.75), 0.04),
        (Framing::Half, _) => (dice.between(1.15, 1.3), 0.03),
        (Framing::Portrait, _) => (dice.between(2.05, 2.4), 0.04),
    };
    let ground = dice.between(0.92, 0.955);
    let tallest = people.iter().map(|p| p.build.height).fold(0.0, f32::max);
    let top = dice.between(0.07, 0.13);
    people
        .iter()
        .enumerate()
        .map(|(i, person)| {
            let (left, right, up) = extent(person, framing);
            // Alone, a child fills the picture nearly as an adult does; beside others it is as small as it
            // is.
            let height = if n == 1 { 0.5 + 0.5 * person.build.height } else { person.build.height / tallest };
            let mut scale = (size * height).min((1.0 - 2.0 * edge) / (right - left));
            let y = match framing {
                Framing::Full => {
                    let y = ground - if n > 1 { dice.between(0.0, 0.035) } else { 0.0 };
                    scale = scale.min((y - 0.025) / up);
                    y
                }
                // Alone, the head is at the top; of several the tallest is, and all stand on the same ground.
                _ if n == 1 => top + scale * up,
                _ => top + size * 1.02,
            };
            let share = 1.0 / n as f32;
            let wanted =
                share * (i as f32 + 0.5) + dice.about(0.0, 0.06 * share) - 0.3 * (left + right) * scale;
            let x = wanted.max(edge - left * scale).min(1.0 - edge - right * scale);
            (scale, v2(x, y))
        })
        .collect()
}
