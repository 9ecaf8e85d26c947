//! Which pictures of two folders are compared, in words; where there are none, the reason and a remedy.

use std::collections::BTreeSet;

use fairhuman_evaluate::{Pairs, PictureSet};

use crate::units::count;

/// The property that the pairs have in common.
pub fn by(pairs: &Pairs) -> &'static str {
    if pairs.by_name { "file name" } else { "prompt and noise" }
}

/// Why two folders have no pairs, and what makes some.
pub fn why_none(sets: [&PictureSet; 2], names: [&str; 2]) -> String {
    let counts = [0, 1].map(|i| {
        let pictures = &sets[i].pictures;
        let prompts = pictures.iter().filter(|picture| picture.prompt.is_some()).count();
        let noises = pictures.iter().filter(|picture| picture.noise.is_some()).count();
        format!(
            "{} has {}, {prompts} with a prompt, {noises} with seed and index",
            names[i],
            count(pictures.len() as u64, "picture")
        )
    });
    let prompts = sets.map(|set| -> BTreeSet<&str> {
        set.pictures.iter().filter_map(|picture| picture.prompt.as_deref()).collect()
    });
    let shared = prompts[0].intersection(&prompts[1]).count();
    let without: Vec<&str> = (0..2).filter(|&i| prompts[i].is_empty()).map(|i| names[i]).collect();
    let reason = match (without.is_empty(), shared) {
        (false, _) => format!(
            "no prompt is known in {}, and no two files have the same name: --prompts names them",
            without.join(" and ")
        ),
        (true, 0) => {
            "no prompt is in both: make pictures of the same prompts, or name them by --prompts".into()
        }
        (true, _) => format!(
            "both have {}, and no two of their pictures have the same seed and index: make both with the same --seed and --index",
            count(shared as u64, "prompt")
        ),
    };
    format!(
        "pairs have the same prompt, seed and index, or else the same file name; {}; {}; {reason}",
        counts[0], counts[1]
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fairhuman_evaluate::{Expected, Picture};

    use super::*;

    /// Name, prompt and noise.
    type About = (&'static str, Option<&'static str>, Option<(u64, u64)>);

    fn set(pictures: &[About]) -> PictureSet {
        let picture = |&(name, prompt, noise): &About| Picture {
            file: Path::new("folder").join(name),
            name: name.into(),
            prompt: prompt.map(str::to_owned),
            noise,
            faces: Expected::Unknown,
            hands: Expected::Unknown,
            controls: Vec::new(),
            truth: None,
            keypoints: None,
        };
        PictureSet {
            folder: "folder".into(),
            pictures: pictures.iter().map(picture).collect(),
            missing: vec![],
            left_out: vec![],
        }
    }

    #[test]
    fn the_key_that_is_missing_is_named() {
        let sampled = set(&[("0.png", Some("a cat"), Some((1, 0))), ("1.png", Some("a dog"), Some((1, 1)))]);
        let plain = set(&[("x.png", None, None)]);
        let other = set(&[("0.png", Some("a fox"), Some((1, 0)))]);
        let reseeded = set(&[("0.png", Some("a cat"), Some((2, 0)))]);
        for (second, expected) in [
            (&plain, "no prompt is known in b,"),
            (&other, "no prompt is in both"),
            (&reseeded, "both have 1 prompt, and no two of their pictures have the same seed"),
        ] {
            assert!(fairhuman_evaluate::pairs(&sampled, second).pairs.is_empty());
            let said = why_none([&sampled, second], ["a", "b"]);
            assert!(said.contains("a has 2 pictures, 2 with a prompt, 2 with seed and index"), "{said}");
            assert!(said.contains("b has 1 picture,") && said.contains(expected), "{said}");
        }
    }
}
