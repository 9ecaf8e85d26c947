//! The palette: named colours that captions may use, and simple arithmetic on them.

use crate::random::Dice;

/// An opaque colour, sRGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rgb(pub u8, pub u8, pub u8);

impl Rgb {
    /// A share `t` of the way to `other`.
    pub fn mix(self, other: Rgb, t: f32) -> Rgb {
        let m = |a: u8, b: u8| (a as f32 + (b as f32 - a as f32) * t).round().clamp(0.0, 255.0) as u8;
        Rgb(m(self.0, other.0), m(self.1, other.1), m(self.2, other.2))
    }

    /// Darker by the share `t`.
    pub fn darker(self, t: f32) -> Rgb {
        // Shadows lean to violet: plain black makes skin look dirty.
        self.mix(Rgb(38, 16, 48), t)
    }

    /// Lighter by the share `t`.
    pub fn lighter(self, t: f32) -> Rgb {
        self.mix(Rgb(255, 252, 240), t)
    }

    /// The colour of the thin line around a shape of this colour.
    pub fn outline(self) -> Rgb {
        self.darker(0.66)
    }

    /// Distance to another colour, largest channel difference.
    pub fn distance(self, other: Rgb) -> u8 {
        self.0.abs_diff(other.0).max(self.1.abs_diff(other.1)).max(self.2.abs_diff(other.2))
    }

    /// A similar colour, so that two red shirts are not the same red.
    pub fn varied(self, dice: &mut Dice) -> Rgb {
        let t = dice.between(0.0, 0.14);
        if dice.chance(0.5) { self.lighter(t) } else { self.darker(t) }
    }
}

/// A colour with the word that captions use for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The word.
    pub name: &'static str,
    /// The colour.
    pub rgb: Rgb,
}

const fn named(name: &'static str, r: u8, g: u8, b: u8) -> Named {
    Named { name, rgb: Rgb(r, g, b) }
}

/// Colours of clothes and things.
pub const CLOTHES: [Named; 11] = [
    named("red", 214, 58, 54),
    named("orange", 240, 138, 44),
    named("yellow", 246, 202, 62),
    named("green", 72, 160, 88),
    named("blue", 58, 112, 204),
    named("purple", 132, 84, 180),
    named("pink", 242, 140, 172),
    named("white", 244, 242, 238),
    named("black", 54, 52, 62),
    named("gray", 146, 150, 160),
    named("brown", 142, 94, 60),
];

/// Colours of hair; the last two are those of age.
pub const HAIR: [Named; 6] = [
    named("black", 42, 36, 44),
    named("brown", 104, 62, 38),
    named("blond", 232, 190, 98),
    named("red", 190, 80, 36),
    named("gray", 160, 160, 168),
    named("white", 232, 230, 228),
];

/// Skin tones.
pub const SKIN: [Named; 4] = [
    named("light", 252, 216, 188),
    named("tan", 230, 178, 132),
    named("brown", 176, 118, 80),
    named("dark", 116, 74, 54),
];

/// Colours of irises; captions do not name them.
pub const EYES: [Rgb; 4] = [Rgb(74, 46, 32), Rgb(62, 112, 168), Rgb(72, 124, 76), Rgb(96, 72, 44)];

/// Colours of a plain background.
pub const PLAIN: [Named; 7] = [
    named("yellow", 252, 232, 168),
    named("green", 196, 226, 190),
    named("blue", 186, 216, 240),
    named("purple", 212, 200, 236),
    named("pink", 250, 212, 218),
    named("white", 248, 248, 246),
    named("gray", 208, 210, 216),
];
