//! Ways to draw the same people: another style is what a model has not seen yet, with faces and hands as
//! large as before.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::canvas::Fill;
use crate::colour::Rgb;

/// A way to draw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Thin lines, shaded skin, eyes with white and iris.
    #[default]
    Soft,
    /// As a print on paper: muted flat colours, thick lines, eyes that are dark ovals, plump fingers.
    Ink,
}

/// The paper of [`Style::Ink`].
const PAPER: Rgb = Rgb(248, 238, 214);

impl Style {
    /// All styles.
    pub const ALL: [Style; 2] = [Style::Soft, Style::Ink];

    /// Its name in options and files.
    pub fn name(self) -> &'static str {
        match self {
            Style::Soft => "soft",
            Style::Ink => "ink",
        }
    }

    /// True for the first style, which folders of people have that do not say which.
    pub(crate) fn is_soft(&self) -> bool {
        *self == Style::Soft
    }

    /// Width of outlines, beside those of [`Style::Soft`].
    pub(crate) fn line(self) -> f32 {
        match self {
            Style::Soft => 1.0,
            Style::Ink => 2.2,
        }
    }

    /// Thickness of fingers, likewise.
    pub(crate) fn finger(self) -> f32 {
        match self {
            Style::Soft => 1.0,
            Style::Ink => 1.3,
        }
    }

    /// A fill in this style; none for what it leaves out.
    pub(crate) fn fill(self, fill: Fill) -> Option<Fill> {
        match (self, fill) {
            (Style::Soft, fill) => Some(fill),
            (Style::Ink, Fill::Flat(colour)) => Some(Fill::Flat(print(colour))),
            // Shadows, blushes, light.
            (Style::Ink, Fill::Glaze(..)) => None,
            (Style::Ink, Fill::Shade(_, _, a, b) | Fill::Glow(_, _, a, b)) => {
                Some(Fill::Flat(print(a.mix(b, 0.5))))
            }
            (Style::Ink, Fill::Stripes(from, to, a, b)) => Some(Fill::Stripes(from, to, print(a), print(b))),
        }
    }
}

impl FromStr for Style {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.map(Self::name).join("\" or \"");
        let found = Self::ALL.into_iter().find(|style| style.name() == text);
        found.ok_or_else(|| format!("expected \"{known}\""))
    }
}

/// A colour as it is printed: paler, on paper that shows through.
fn print(colour: Rgb) -> Rgb {
    let Rgb(r, g, b) = colour;
    let gray = ((u16::from(r) + u16::from(g) + u16::from(b)) / 3) as u8;
    colour.mix(Rgb(gray, gray, gray), 0.25).mix(PAPER, 0.2)
}
