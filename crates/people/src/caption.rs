//! Captions: one plain sentence in lower case that describes the picture, from a small fixed set of words.

use crate::background::Place;
use crate::person::{Beard, Bottom, HairStyle, HatStyle, Pattern, Person, Top};
use crate::pose::{Action, Framing, Stance};
use crate::scene::Scene;

/// Every word that a caption can have; captions have no other signs than commas and spaces.
pub const VOCABULARY: &[&str] = &[
    "a",
    "an",
    "and",
    "angry",
    "at",
    "back",
    "background",
    "bald",
    "balloon",
    "beach",
    "beanie",
    "beard",
    "behind",
    "bench",
    "black",
    "blond",
    "blue",
    "bob",
    "both",
    "boy",
    "braids",
    "brown",
    "bun",
    "calm",
    "cap",
    "chin",
    "city",
    "close",
    "cream",
    "curly",
    "dark",
    "dotted",
    "dress",
    "fingers",
    "fist",
    "flower",
    "forest",
    "girl",
    "gives",
    "glasses",
    "gray",
    "green",
    "hair",
    "hand",
    "hands",
    "hat",
    "hips",
    "holds",
    "ice",
    "in",
    "jacket",
    "jumps",
    "laughing",
    "light",
    "long",
    "makes",
    "man",
    "moustache",
    "of",
    "old",
    "on",
    "open",
    "orange",
    "palm",
    "park",
    "peace",
    "people",
    "pink",
    "points",
    "ponytail",
    "portrait",
    "purple",
    "raises",
    "red",
    "room",
    "sad",
    "shirt",
    "short",
    "shorts",
    "shows",
    "side",
    "sign",
    "signs",
    "sits",
    "skin",
    "skirt",
    "smiling",
    "snow",
    "spiky",
    "stands",
    "striped",
    "sunset",
    "surprised",
    "sweater",
    "tan",
    "the",
    "three",
    "thumb",
    "thumbs",
    "to",
    "trousers",
    "two",
    "up",
    "view",
    "walks",
    "waves",
    "white",
    "winking",
    "with",
    "woman",
    "yellow",
];

fn with_article(words: String) -> String {
    let vowel = words.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {words}", if vowel { "an" } else { "a" })
}

/// Words and commas that a caption may have: text encoders read 77 tokens, and most of these words are one.
const ROOM: usize = 62;

/// Level of detail about each person.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Detail {
    /// Hair, top, gesture, expression.
    Least,
    /// Also patterns, walking and sitting.
    Main,
    /// Also skin, hair style, beard, glasses, hat and trousers or skirt.
    All,
}

/// The caption of a scene, with as much detail as fits; for three people not all of it does.
pub fn caption(scene: &Scene) -> String {
    let length = |text: &str| text.split(' ').count() + text.matches(',').count();
    let first = if scene.people.len() < 3 { Detail::All } else { Detail::Main };
    let tries = [Detail::All, Detail::Main].into_iter().filter(|&d| d <= first).map(|d| sentence(scene, d));
    tries.into_iter().find(|text| length(text) <= ROOM).unwrap_or_else(|| sentence(scene, Detail::Least))
}

fn sentence(scene: &Scene, detail: Detail) -> String {
    let people: Vec<String> = scene.people.iter().map(|p| describe(p, scene.framing, detail)).collect();
    let who = match people.as_slice() {
        [one] => one.clone(),
        [one, two] => format!("two people, {one}, and {two}"),
        many => format!("three people, {}", many.join(", and ")),
    };
    let view = match scene.framing {
        Framing::Full => "",
        Framing::Half => "a close view of ",
        Framing::Portrait => "a portrait of ",
    };
    let place = match scene.place {
        Place::Park => "in a park".to_string(),
        Place::Room => "in a room".to_string(),
        Place::Beach => "on a beach".to_string(),
        Place::City => "in a city".to_string(),
        Place::Plain(colour) => format!("on a {} background", colour.name),
        Place::Sunset => "at sunset".to_string(),
        Place::Snow => "in the snow".to_string(),
        Place::Forest => "in a forest".to_string(),
    };
    format!("{view}{who}, {place}")
}

/// One person.
fn describe(p: &Person, framing: Framing, detail: Detail) -> String {
    let old = if p.old { "old " } else { "" };
    let bald = if p.hair == HairStyle::Bald { "bald " } else { "" };
    let mut text = with_article(format!("{bald}{old}{}", p.kind.word()));
    let mut has = Vec::new();
    if detail == Detail::All {
        has.push(format!("{} skin", p.skin.name));
    }
    has.extend(hair(p, detail));
    if detail == Detail::All {
        has.extend(
            p.beard.map(|b| if b == Beard::Full { "a beard".to_string() } else { "a moustache".to_string() }),
        );
        if p.glasses {
            has.push("glasses".into());
        }
    }
    if let Some((last, first)) = has.split_last() {
        let list = if first.is_empty() { last.clone() } else { format!("{} and {last}", first.join(", ")) };
        text += &format!(" with {list}");
    }
    text += &format!(" in {}", clothes(p, framing, detail));
    format!("{text} {}, {}", action(p, detail), p.expression.word())
}

fn hair(p: &Person, detail: Detail) -> Option<String> {
    let colour = p.hair_colour.name;
    Some(match p.hair {
        HairStyle::Bald => return None,
        _ if detail < Detail::All => format!("{colour} hair"),
        HairStyle::Short => format!("short {colour} hair"),
        HairStyle::Spiky => format!("spiky {colour} hair"),
        HairStyle::Bob => with_article(format!("{colour} bob")),
        HairStyle::Long => format!("long {colour} hair"),
        HairStyle::Curly => format!("curly {colour} hair"),
        HairStyle::Bun => with_article(format!("{colour} bun")),
        HairStyle::Ponytail => with_article(format!("{colour} ponytail")),
        HairStyle::Braids => format!("{colour} braids"),
    })
}

fn clothes(p: &Person, framing: Framing, detail: Detail) -> String {
    let pattern = match p.pattern {
        _ if detail == Detail::Least => "",
        Pattern::Plain => "",
        Pattern::Striped => "striped ",
        Pattern::Dotted => "dotted ",
    };
    let top = match p.top {
        Top::Shirt => "shirt",
        Top::Sweater => "sweater",
        Top::Jacket => "jacket",
        Top::Dress => "dress",
    };
    let mut list = vec![with_article(format!("{pattern}{} {top}", p.top_cloth.named.name))];
    if framing == Framing::Full && p.top != Top::Dress && detail == Detail::All {
        let colour = p.bottom_cloth.named.name;
        list.push(match p.bottom {
            Bottom::Trousers => format!("{colour} trousers"),
            Bottom::Shorts => format!("{colour} shorts"),
            Bottom::Skirt => with_article(format!("{colour} skirt")),
        });
    }
    if let Some((style, cloth)) = &p.hat
        && detail == Detail::All
    {
        let hat = match style {
            HatStyle::Cap => "cap",
            HatStyle::Beanie => "beanie",
            HatStyle::Hat => "hat",
        };
        list.push(with_article(format!("{} {hat}", cloth.named.name)));
    }
    match list.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{} and {last}", first.join(", ")),
        None => String::new(),
    }
}

fn action(p: &Person, detail: Detail) -> String {
    let both = p.pose.both;
    let holds = |what: &str| format!("holds {}", with_article(format!("{} {what}", p.thing.name)));
    let does = match p.pose.action {
        Action::Rest => String::new(),
        Action::Wave => "waves with an open hand".into(),
        Action::ArmsUp => "raises both open hands".into(),
        Action::Hips => "stands with hands on hips".into(),
        Action::PointUp => "points up".into(),
        Action::PointSide => "points to the side".into(),
        Action::ThumbsUp if both => "gives two thumbs up".into(),
        Action::ThumbsUp => "gives a thumb up".into(),
        Action::Peace if both => "makes two peace signs".into(),
        Action::Peace => "makes a peace sign".into(),
        Action::Three => "shows three fingers".into(),
        Action::Palm => "shows an open palm".into(),
        Action::Fist => "raises a fist".into(),
        Action::Behind => "stands with hands behind the back".into(),
        Action::Chin if p.pose.stance == Stance::Sit || detail == Detail::Least => {
            "with a hand on the chin".into()
        }
        Action::Chin => "stands with a hand on the chin".into(),
        Action::Balloon => holds("balloon"),
        Action::Flower => holds("flower"),
        Action::IceCream => holds("ice cream"),
    };
    match (p.pose.stance, does.is_empty()) {
        (Stance::Stand, true) => "stands".into(),
        (Stance::Walk, true) => "walks".into(),
        (Stance::Sit, true) => "sits on a bench".into(),
        (Stance::Jump, _) => "jumps with both hands up".into(),
        (Stance::Sit, _) if p.pose.action == Action::Chin && detail > Detail::Least => format!("sits {does}"),
        (Stance::Sit, _) if detail == Detail::All => format!("sits on a bench and {does}"),
        (_, _) if detail == Detail::Least => does,
        (Stance::Walk, _) => format!("walks and {does}"),
        (Stance::Sit, _) => format!("sits and {does}"),
        (Stance::Stand, _) => does,
    }
}
