//! Poses: stance, arms and hands, chosen so that they fit the picture. Angles are in degrees from hanging
//! straight down, positive away from the body.

use crate::canvas::Side;
use crate::hand::Gesture;
use crate::random::Dice;

/// Stance of the legs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// On both feet.
    Stand,
    /// A step to the side that the figure faces.
    Walk,
    /// On a bench, turned to the side that the figure faces.
    Sit,
    /// In the air, knees bent.
    Jump,
}

/// Gesture of the arms and hands; captions name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Arms hang, or rest on the thighs of a sitting figure.
    Rest,
    /// One open hand beside the head.
    Wave,
    /// Both open hands above the head.
    ArmsUp,
    /// Both hands on the hips.
    Hips,
    /// One finger up.
    PointUp,
    /// One arm out, its finger along it.
    PointSide,
    /// One or two thumbs up.
    ThumbsUp,
    /// Two fingers of one or both hands.
    Peace,
    /// Three fingers.
    Three,
    /// An open palm in front.
    Palm,
    /// One fist up.
    Fist,
    /// Both hands out of sight behind the back.
    Behind,
    /// One hand at the chin.
    Chin,
    /// Holds a balloon by its string.
    Balloon,
    /// Holds a flower.
    Flower,
    /// Holds an ice cream.
    IceCream,
}

/// Position of an arm, by its angles or by the place of its wrist.
#[derive(Clone, Copy, Debug)]
pub enum Arm {
    /// Angles of the upper arm and of the forearm.
    Angles(f32, f32),
    /// The wrist on the hip.
    Hip,
    /// The wrist behind the back.
    Back,
    /// The wrist below the chin.
    Chin,
    /// The wrist on the thigh.
    Thigh,
}

/// One arm and its hand.
#[derive(Clone, Copy, Debug)]
pub struct ArmPose {
    /// Position of the arm.
    pub arm: Arm,
    /// Angle of the hand against the forearm, positive outwards.
    pub bend: f32,
    /// Roll of the hand about its own axis: 0 shows the palm, 180 the back.
    pub roll: f32,
    /// Pose of the fingers.
    pub gesture: Gesture,
}

/// Pose of one figure.
#[derive(Clone, Copy, Debug)]
pub struct Pose {
    /// The legs.
    pub stance: Stance,
    /// The hands.
    pub action: Action,
    /// True if both hands make the gesture, for gestures of one or two hands.
    pub both: bool,
    /// Right and left arm.
    pub arms: [ArmPose; 2],
    /// Turn of the figure to a side: sign and amount, `[-1, 1]`.
    pub turn: f32,
    /// Tilt of the head in degrees.
    pub tilt: f32,
    /// Lean of the trunk in degrees.
    pub lean: f32,
    /// Width of the step or the stance, about 1.
    pub stride: f32,
}

/// Framing: the part of the figures that the picture shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// From head to foot.
    Full,
    /// To below the hips.
    Half,
    /// Head and shoulders.
    Portrait,
}

/// Chooses a pose whose hands are inside a picture of this framing.
pub fn choose(dice: &mut Dice, framing: Framing, crowd: bool) -> Pose {
    use Action::*;
    let close = framing != Framing::Full;
    let stance = if close {
        Stance::Stand
    } else {
        dice.weighted(&[(0.52, Stance::Stand), (0.2, Stance::Walk), (0.18, Stance::Sit), (0.1, Stance::Jump)])
    };
    let action = choose_action(dice, stance, framing, crowd);
    let both = match action {
        ThumbsUp | Peace => dice.chance(0.35),
        ArmsUp | Hips | Behind => true,
        _ => false,
    };
    let active = dice.pick(&Side::BOTH);
    let mut arms = Side::BOTH.map(|side| {
        if action != Rest && (both || side == active) {
            doing(dice, action, framing)
        } else {
            resting(dice, stance, close)
        }
    });
    let turn = if matches!(stance, Stance::Walk | Stance::Sit) {
        dice.sign() * dice.between(0.5, 0.9)
    } else {
        dice.about(0.0, 0.6)
    };
    if stance == Stance::Walk {
        swing_arms(dice, &mut arms, turn.signum());
    }
    Pose {
        stance,
        action,
        both,
        arms,
        turn,
        tilt: dice.about(0.0, 7.0),
        lean: match stance {
            Stance::Walk => turn.signum() * dice.between(1.0, 5.0),
            Stance::Sit => -turn.signum() * dice.between(0.0, 4.0),
            _ => dice.about(0.0, 3.0),
        },
        stride: dice.between(0.8, 1.2),
    }
}

/// An action of the hands that this stance and framing allow.
fn choose_action(dice: &mut Dice, stance: Stance, framing: Framing, crowd: bool) -> Action {
    use Action::*;
    match (stance, framing) {
        (Stance::Jump, _) => ArmsUp,
        (_, Framing::Full) => loop {
            let action = dice.weighted(&[
                (1.4, Rest),
                (1.6, Wave),
                (0.9, ArmsUp),
                (0.9, Hips),
                (0.8, PointUp),
                (0.8, PointSide),
                (1.0, ThumbsUp),
                (1.0, Peace),
                (0.7, Three),
                (0.8, Palm),
                (0.6, Fist),
                (0.4, Behind),
                (0.5, Chin),
                (0.6, Balloon),
                (0.6, Flower),
                (0.5, IceCream),
            ]);
            let apt = match stance {
                Stance::Sit => !matches!(action, Hips | Behind | ArmsUp),
                Stance::Walk => !matches!(action, Hips | Behind | Chin | ArmsUp),
                _ => true,
            };
            if apt && !(crowd && action == PointSide) {
                break action;
            }
        },
        (_, Framing::Half) => dice.weighted(&[
            (1.6, Wave),
            (0.9, Hips),
            (0.9, PointUp),
            (1.2, ThumbsUp),
            (1.2, Peace),
            (0.8, Three),
            (0.9, Palm),
            (0.6, Fist),
            (0.3, Behind),
            (0.7, Chin),
            (0.6, Flower),
            (0.6, IceCream),
        ]),
        (_, Framing::Portrait) => dice.weighted(&[
            (1.4, Wave),
            (1.0, PointUp),
            (1.0, ThumbsUp),
            (1.4, Peace),
            (1.0, Three),
            (0.8, Fist),
            (0.9, Chin),
            (1.2, Palm),
        ]),
    }
}

/// Hanging arms swing against each other along the way, which goes to the side of this sign.
fn swing_arms(dice: &mut Dice, arms: &mut [ArmPose; 2], way: f32) {
    let swing = dice.between(14.0, 26.0);
    for (side, arm) in Side::BOTH.into_iter().zip(arms) {
        if let Arm::Angles(upper, fore) = &mut arm.arm
            && *fore < 40.0
        {
            let forward = side.sign() * way > 0.0;
            *upper = if forward { swing } else { swing * 0.8 };
            *fore = if forward { swing + 22.0 } else { swing * 0.8 - 6.0 };
        }
    }
}

fn resting(dice: &mut Dice, stance: Stance, close: bool) -> ArmPose {
    let arm = match stance {
        Stance::Sit => Arm::Thigh,
        _ => Arm::Angles(dice.between(5.0, 13.0), dice.between(0.0, 9.0)),
    };
    // A close view ends at the hips: a hanging arm may leave it.
    let roll = if close { 180.0 } else { dice.pick(&[180.0, 150.0, 205.0]) };
    ArmPose { arm, bend: dice.about(0.0, 6.0), roll, gesture: Gesture::Relaxed }
}

fn doing(dice: &mut Dice, action: Action, framing: Framing) -> ArmPose {
    use Action::*;
    let up = |dice: &mut Dice| match framing {
        // Beside the face, or it would not be in a portrait.
        Framing::Portrait => Arm::Angles(dice.between(26.0, 36.0), dice.between(166.0, 182.0)),
        _ => Arm::Angles(dice.between(22.0, 46.0), dice.between(150.0, 176.0)),
    };
    let (arm, bend, roll, gesture) = match action {
        Rest | Behind => (Arm::Back, 0.0, 180.0, Gesture::Relaxed),
        Wave if framing == Framing::Full && dice.chance(0.4) => (
            Arm::Angles(dice.between(95.0, 125.0), dice.between(140.0, 165.0)),
            dice.about(0.0, 14.0),
            0.0,
            Gesture::Open,
        ),
        Wave => (up(dice), dice.about(6.0, 14.0), 0.0, Gesture::Open),
        ArmsUp => (
            Arm::Angles(dice.between(128.0, 150.0), dice.between(150.0, 172.0)),
            dice.about(0.0, 10.0),
            0.0,
            Gesture::Open,
        ),
        Hips => (Arm::Hip, 0.0, 180.0, Gesture::Relaxed),
        PointUp => (up(dice), dice.about(0.0, 6.0), 0.0, Gesture::Point),
        PointSide => {
            (Arm::Angles(dice.between(78.0, 104.0), dice.between(86.0, 108.0)), 0.0, 180.0, Gesture::Point)
        }
        ThumbsUp => (
            Arm::Angles(dice.between(20.0, 34.0), dice.between(136.0, 156.0)),
            dice.between(-38.0, -52.0),
            0.0,
            Gesture::ThumbUp,
        ),
        Peace => (up(dice), dice.about(0.0, 8.0), 0.0, Gesture::Peace),
        Three => (up(dice), dice.about(0.0, 6.0), 0.0, Gesture::Three),
        Palm if framing == Framing::Full => (
            Arm::Angles(dice.between(30.0, 60.0), dice.between(130.0, 160.0)),
            dice.between(5.0, 25.0),
            0.0,
            Gesture::Open,
        ),
        Palm => (up(dice), dice.about(0.0, 5.0), 0.0, Gesture::Flat),
        Fist => (up(dice), 0.0, 0.0, Gesture::Fist),
        Chin => (Arm::Chin, 0.0, 180.0, Gesture::Fist),
        Balloon => {
            (Arm::Angles(dice.between(30.0, 50.0), dice.between(130.0, 150.0)), 0.0, 0.0, Gesture::Fist)
        }
        Flower | IceCream => (
            Arm::Angles(dice.between(12.0, 28.0), dice.between(138.0, 158.0)),
            dice.about(0.0, 6.0),
            0.0,
            Gesture::Fist,
        ),
    };
    ArmPose { arm, bend, roll, gesture }
}
