//! A figure's description, chosen before anything is drawn.

use crate::colour::{CLOTHES, EYES, HAIR, Named, Rgb, SKIN};
use crate::pose::Pose;
use crate::random::Dice;

/// The four kinds of people; captions use the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An adult, "woman".
    Woman,
    /// An adult, "man".
    Man,
    /// A child, "girl".
    Girl,
    /// A child, "boy".
    Boy,
}

impl Kind {
    /// The caption's word.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Woman => "woman",
            Kind::Man => "man",
            Kind::Girl => "girl",
            Kind::Boy => "boy",
        }
    }

    /// True for girls and boys.
    pub fn is_child(self) -> bool {
        matches!(self, Kind::Girl | Kind::Boy)
    }

    /// True for women and girls.
    pub fn is_female(self) -> bool {
        matches!(self, Kind::Woman | Kind::Girl)
    }
}

/// Proportions; lengths in units of the figure's own height.
#[derive(Clone, Copy, Debug)]
pub struct Build {
    /// Height beside an average man's.
    pub height: f32,
    /// Head, chin to crown.
    pub head: f32,
    /// Half the distance of the shoulder joints.
    pub shoulder: f32,
    /// Half the width of the waist.
    pub waist: f32,
    /// Half the width of the hips.
    pub hip: f32,
    /// Thickness of limbs, 1 for average.
    pub limb: f32,
}

/// Hair styles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HairStyle {
    /// None at all.
    Bald,
    /// Short.
    Short,
    /// Short and standing up.
    Spiky,
    /// To the jaw.
    Bob,
    /// Over the shoulders.
    Long,
    /// A round cloud of curls.
    Curly,
    /// A knot on top.
    Bun,
    /// One tail at the side.
    Ponytail,
    /// Two braids.
    Braids,
}

/// Hats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HatStyle {
    /// With a peak.
    Cap,
    /// Knitted.
    Beanie,
    /// With a wide brim.
    Hat,
}

/// Hair on a man's face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beard {
    /// Cheeks and chin.
    Full,
    /// Upper lip.
    Moustache,
}

/// Patterns of cloth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// One colour.
    Plain,
    /// Bands across.
    Striped,
    /// White dots.
    Dotted,
}

/// Clothes of the trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// Short sleeves.
    Shirt,
    /// Long sleeves and a hem.
    Sweater,
    /// Long sleeves, open over white.
    Jacket,
    /// Top and skirt in one, short sleeves.
    Dress,
}

/// Clothes of the legs (none under a dress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bottom {
    /// To the ankle.
    Trousers,
    /// To above the knee.
    Shorts,
    /// A skirt.
    Skirt,
}

/// Expressions of the face.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Closed mouth, corners up.
    Smiling,
    /// Open mouth, eyes shut.
    Laughing,
    /// Straight.
    Calm,
    /// Corners down, brows up in the middle.
    Sad,
    /// Round mouth and eyes.
    Surprised,
    /// Brows down in the middle.
    Angry,
    /// One eye shut.
    Winking,
}

impl Expression {
    /// The caption's word.
    pub fn word(self) -> &'static str {
        match self {
            Expression::Smiling => "smiling",
            Expression::Laughing => "laughing",
            Expression::Calm => "calm",
            Expression::Sad => "sad",
            Expression::Surprised => "surprised",
            Expression::Angry => "angry",
            Expression::Winking => "winking",
        }
    }
}

/// A piece of clothing: its named colour and the exact shade of this one.
#[derive(Clone, Copy, Debug)]
pub struct Cloth {
    /// Colour as captions name it.
    pub named: Named,
    /// Colour as drawn.
    pub rgb: Rgb,
}

impl Cloth {
    fn choose(dice: &mut Dice) -> Self {
        let named = dice.pick(&CLOTHES);
        Cloth { named, rgb: named.rgb.varied(dice) }
    }
}

/// One figure, fully described.
#[derive(Clone, Debug)]
pub struct Person {
    /// Woman, man, girl or boy.
    pub kind: Kind,
    /// True for old adults.
    pub old: bool,
    /// Proportions.
    pub build: Build,
    /// Skin as captions name it.
    pub skin: Named,
    /// Skin as drawn.
    pub skin_rgb: Rgb,
    /// Hair: style, colour as named and as drawn.
    pub hair: HairStyle,
    /// Colour of hair, brows and beard as captions name it.
    pub hair_colour: Named,
    /// The same as drawn.
    pub hair_rgb: Rgb,
    /// The side of the parting or the tail.
    pub parting: f32,
    /// The hat, if any.
    pub hat: Option<(HatStyle, Cloth)>,
    /// True with glasses.
    pub glasses: bool,
    /// Hair on the face.
    pub beard: Option<Beard>,
    /// Colour of the irises.
    pub eyes: Rgb,
    /// The expression.
    pub expression: Expression,
    /// On the trunk.
    pub top: Top,
    /// Its cloth.
    pub top_cloth: Cloth,
    /// Its pattern.
    pub pattern: Pattern,
    /// On the legs.
    pub bottom: Bottom,
    /// Its cloth.
    pub bottom_cloth: Cloth,
    /// Colour of the shoes.
    pub shoes: Rgb,
    /// Colour of a thing held.
    pub thing: Named,
    /// Roundness of the jaw, 0 narrow to 1 broad.
    pub jaw: f32,
    /// The pose.
    pub pose: Pose,
}

/// Chooses everything but the pose.
pub fn choose(dice: &mut Dice, pose: impl FnOnce(&mut Dice) -> Pose) -> Person {
    let kind = dice.weighted(&[(3.2, Kind::Woman), (3.2, Kind::Man), (1.6, Kind::Girl), (1.6, Kind::Boy)]);
    let old = !kind.is_child() && dice.chance(0.14);
    let skin = dice.pick(&SKIN);
    let hair_colour = if old { dice.pick(&HAIR[4..]) } else { dice.pick(&HAIR[..4]) };
    let hair = hair_style(dice, kind, old);
    let hat_style = dice.weighted(&[
        (0.88, None),
        (0.04, Some(HatStyle::Cap)),
        (0.04, Some(HatStyle::Beanie)),
        (0.04, Some(HatStyle::Hat)),
    ]);
    let fits = !matches!(hair, HairStyle::Curly | HairStyle::Bun | HairStyle::Spiky);
    let hat = hat_style.filter(|_| fits).map(|style| (style, Cloth::choose(dice)));
    let beard = (kind == Kind::Man && dice.chance(0.26))
        .then(|| dice.weighted(&[(0.65, Beard::Full), (0.35, Beard::Moustache)]));
    let top = if kind.is_female() {
        dice.weighted(&[(0.4, Top::Dress), (0.28, Top::Shirt), (0.18, Top::Sweater), (0.14, Top::Jacket)])
    } else {
        dice.weighted(&[(0.5, Top::Shirt), (0.28, Top::Sweater), (0.22, Top::Jacket)])
    };
    let bottom = if kind.is_female() {
        dice.weighted(&[(0.45, Bottom::Trousers), (0.15, Bottom::Shorts), (0.4, Bottom::Skirt)])
    } else {
        dice.weighted(&[(0.7, Bottom::Trousers), (0.3, Bottom::Shorts)])
    };
    let pattern = dice.weighted(&[(0.8, Pattern::Plain), (0.14, Pattern::Striped), (0.06, Pattern::Dotted)]);
    let mut top_cloth = Cloth::choose(dice);
    while top_cloth.rgb.distance(skin.rgb) < 56 {
        // A shirt of the skin's colour would look like none.
        top_cloth = Cloth::choose(dice);
    }
    let mut bottom_cloth = Cloth::choose(dice);
    if bottom_cloth.named == top_cloth.named {
        // One colour from neck to foot would look like an overall.
        let other = CLOTHES[if top_cloth.named.name == "blue" { 8 } else { 4 }];
        bottom_cloth = Cloth { named: other, rgb: other.rgb.varied(dice) };
    }
    Person {
        kind,
        old,
        build: build(dice, kind),
        skin,
        skin_rgb: skin.rgb.varied(dice),
        hair,
        hair_colour,
        hair_rgb: hair_colour.rgb.varied(dice),
        parting: dice.sign(),
        hat,
        glasses: dice.chance(if old { 0.3 } else { 0.08 }),
        beard,
        eyes: if skin.name == "light" { dice.pick(&EYES) } else { dice.pick(&[EYES[0], EYES[0], EYES[3]]) },
        expression: dice.weighted(&[
            (0.36, Expression::Smiling),
            (0.2, Expression::Laughing),
            (0.13, Expression::Calm),
            (0.08, Expression::Sad),
            (0.1, Expression::Surprised),
            (0.06, Expression::Angry),
            (0.07, Expression::Winking),
        ]),
        top,
        top_cloth,
        pattern: if top == Top::Jacket { Pattern::Plain } else { pattern },
        bottom,
        bottom_cloth,
        shoes: dice.pick(&CLOTHES).rgb.varied(dice),
        thing: dice.pick(&CLOTHES[..7]),
        jaw: if kind == Kind::Man { dice.between(0.4, 1.0) } else { dice.between(0.0, 0.6) },
        pose: pose(dice),
    }
}

fn hair_style(dice: &mut Dice, kind: Kind, old: bool) -> HairStyle {
    use HairStyle::*;
    match kind {
        Kind::Man if old => dice.weighted(&[(0.4, Bald), (0.6, Short)]),
        Kind::Man => dice.weighted(&[(0.1, Bald), (0.5, Short), (0.16, Spiky), (0.14, Curly), (0.1, Long)]),
        Kind::Boy => dice.weighted(&[(0.55, Short), (0.27, Spiky), (0.18, Curly)]),
        Kind::Woman => dice.weighted(&[
            (0.34, Long),
            (0.18, Bob),
            (0.14, Curly),
            (0.14, Bun),
            (0.14, Ponytail),
            (0.06, Short),
        ]),
        Kind::Girl => {
            dice.weighted(&[(0.26, Long), (0.18, Bob), (0.12, Curly), (0.22, Ponytail), (0.22, Braids)])
        }
    }
}

fn build(dice: &mut Dice, kind: Kind) -> Build {
    let weight = dice.weighted(&[(0.3, 0.9), (0.5, 1.0), (0.2, 1.2)]) * dice.about(1.0, 0.04);
    let (height, head, shoulder, waist, hip) = match kind {
        Kind::Man => (1.0, 0.2, 0.108, 0.076, 0.075),
        Kind::Woman => (0.95, 0.204, 0.092, 0.062, 0.078),
        Kind::Boy | Kind::Girl => (0.74, 0.25, 0.095, 0.072, 0.076),
    };
    Build {
        height: height * dice.about(1.0, 0.05),
        head: head * dice.about(1.0, 0.03),
        shoulder: shoulder * (0.6 + 0.4 * weight),
        waist: waist * weight,
        hip: hip * (0.3 + 0.7 * weight),
        limb: (0.4 + 0.6 * weight) * if kind == Kind::Man { 1.06 } else { 0.96 },
    }
}
