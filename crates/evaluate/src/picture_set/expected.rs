//! Numbers of faces and hands that a prompt promises, by its words.

use serde::Serialize;

/// A number of regions that is expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    /// Nothing is said of them.
    Unknown,
    /// This many or more.
    AtLeast(usize),
    /// This many.
    Exactly(usize),
}

impl Expected {
    /// Regions that must be found: those that a detection rate divides by.
    pub fn least(self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::AtLeast(n) | Self::Exactly(n) => n,
        }
    }

    /// This many or more, where it is not known how many.
    #[must_use]
    pub fn at_least(self, n: usize) -> Self {
        match self {
            Self::Unknown if n == 0 => self,
            Self::Unknown | Self::AtLeast(_) => Self::AtLeast(n.max(self.least())),
            Self::Exactly(_) => self,
        }
    }

    /// The number, where it is known.
    pub fn exact(self) -> Option<usize> {
        match self {
            Self::Exactly(n) => Some(n),
            _ => None,
        }
    }
}

const ONE: [&str; 12] = [
    "man",
    "woman",
    "boy",
    "girl",
    "person",
    "child",
    "lady",
    "gentleman",
    "portrait",
    "selfie",
    "face",
    "human",
];
const MANY: [&str; 7] = ["men", "women", "boys", "girls", "people", "children", "faces"];
const NUMBERS: [&str; 9] = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
const HAND: [&str; 12] = [
    "hand", "fist", "finger", "palm", "thumb", "wave", "waves", "waving", "peace", "pointing", "points",
    "gesture",
];
const HANDS: [&str; 5] = ["hands", "fists", "fingers", "palms", "thumbs"];

fn words(prompt: &str) -> Vec<String> {
    let words = prompt.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// Faces that a prompt promises: at least one for a person, as many as it counts ("three women").
pub(super) fn faces(prompt: &str) -> Expected {
    let words = words(prompt);
    let counted = words.windows(2).find_map(|pair| {
        let many = MANY.contains(&pair[1].as_str());
        NUMBERS.iter().position(|number| *number == pair[0]).filter(|_| many).map(|i| i + 2)
    });
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    match counted {
        Some(n) => Expected::AtLeast(n),
        None if any(&MANY) => Expected::AtLeast(2),
        None if any(&ONE) => Expected::AtLeast(1),
        None => Expected::Unknown,
    }
}

/// Hands that a prompt promises: one where it speaks of a hand or of what one does, two where of hands.
pub(super) fn hands(prompt: &str) -> Expected {
    let words = words(prompt);
    let any = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
    // "Shows three fingers": one hand has them.
    let several = words.iter().any(|word| HANDS.contains(&word.as_str()) && word != "fingers");
    match () {
        () if several => Expected::AtLeast(2),
        () if any(&HAND) || any(&HANDS) => Expected::AtLeast(1),
        () => Expected::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_promise_people_and_hands() {
        use Expected::{AtLeast, Unknown};
        for (prompt, expected) in [
            ("a portrait of a woman with long hair, waving", (AtLeast(1), AtLeast(1))),
            ("Two women and a dog", (AtLeast(2), Unknown)),
            ("a man with hands on hips", (AtLeast(1), AtLeast(2))),
            ("a boy shows three fingers", (AtLeast(1), AtLeast(1))),
            ("people in a park", (AtLeast(2), Unknown)),
            ("a red car on a mantelpiece", (Unknown, Unknown)),
            ("", (Unknown, Unknown)),
        ] {
            assert_eq!((faces(prompt), hands(prompt)), expected, "{prompt}");
        }
        assert_eq!(
            [
                Unknown.at_least(0),
                Unknown.at_least(1),
                AtLeast(2).at_least(1),
                Expected::Exactly(1).at_least(2)
            ],
            [Unknown, AtLeast(1), AtLeast(2), Expected::Exactly(1)]
        );
        assert_eq!(
            (AtLeast(2).least(), AtLeast(2).exact(), Expected::Exactly(3).exact()),
            (2, None, Some(3))
        );
    }
}
