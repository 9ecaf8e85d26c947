//! A prompt for each region, and the prompt that a picture brings.

use fairhuman_files::MARK;
use fairhuman_refine::{Kind, Region};
use serde_json::Value;

/// Prompts of faces and hands, in the order of the regions.
pub struct Lists {
    faces: Vec<String>,
    hands: Vec<String>,
}

impl Lists {
    /// Lists as the command line gives them; `[SEP]` separates prompts in one text.
    pub fn new(faces: &[String], hands: &[String]) -> Self {
        let split = |texts: &[String]| {
            texts.iter().flat_map(|text| text.split("[SEP]")).map(|text| text.trim().to_owned()).collect()
        };
        Self { faces: split(faces), hands: split(hands) }
    }

    /// The prompt of each region; none where it is to be left out. `scene` is the picture's own.
    pub fn assign(&self, regions: &[Region], scene: &str) -> Vec<Option<String>> {
        let (mut faces, mut hands) = (0, 0);
        let mut next = |region: &Region| {
            let (list, at) = match region.kind {
                Kind::Face => (&self.faces, &mut faces),
                Kind::Hand => (&self.hands, &mut hands),
                Kind::Other => return Some(scene.to_owned()),
            };
            let text = list.get(*at).or(list.last()).map_or("", String::as_str);
            *at += 1;
            match text {
                "" => Some(scene.to_owned()),
                "[SKIP]" => None,
                text => Some(text.replace("[PROMPT]", scene)),
            }
        };
        regions.iter().map(&mut next).collect()
    }
}

/// The prompt that a picture was made of, by the texts that `fairhuman sample`, A1111 or this command wrote
/// into its file.
pub fn of_texts(texts: &[(String, String)]) -> Option<String> {
    let text = |key: &str| texts.iter().find(|(keyword, _)| keyword == key).map(|(_, text)| text.as_str());
    let ours = text(MARK).and_then(|json| serde_json::from_str::<Value>(json).ok()).unwrap_or_default();
    let sampled = ours["prompt"].as_str().map(str::to_owned);
    let refined = || Some(ours["refined"].as_array()?.last()?["prompt"].as_str()?.to_owned());
    let parameters = text("parameters").map(|parameters| {
        // Where there was no prompt, the text begins with what follows it.
        let parameters = format!("\n{parameters}");
        let end = ["\nNegative prompt:", "\nSteps:"].iter().filter_map(|mark| parameters.find(mark)).min();
        parameters[..end.unwrap_or(parameters.len())].trim().to_owned()
    });
    sampled.or(parameters).or_else(refined)
}

#[cfg(test)]
mod tests {
    use fairhuman_refine::{Kind, Rect, Region};

    use super::{Lists, of_texts};

    fn assigned(faces: &[&str], hands: &[&str], kinds: &[Kind]) -> Vec<Option<String>> {
        let bounds = Rect { x0: 0.0, y0: 0.0, x1: 9.0, y1: 9.0 };
        let region = |&kind: &Kind| Region { kind, bounds, points: vec![], score: None };
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let regions: Vec<Region> = kinds.iter().map(region).collect();
        Lists::new(&owned(faces), &owned(hands)).assign(&regions, "scene")
    }

    #[test]
    fn each_region_gets_the_next_prompt_of_its_kind_and_the_last_is_for_the_rest() {
        use Kind::{Face, Hand, Other};
        let kinds = [Face, Hand, Face, Hand, Face, Other];
        let texts = |list: &[&str]| list.iter().map(|text| Some((*text).to_owned())).collect::<Vec<_>>();
        assert_eq!(assigned(&[], &[], &kinds), texts(&["scene"; 6]));
        assert_eq!(
            assigned(&["a man", "a woman"], &["a fist"], &kinds),
            texts(&["a man", "a fist", "a woman", "a fist", "a woman", "scene"])
        );
        // A region's prompt does not depend on what the others of another kind get.
        assert_eq!(assigned(&["a [SEP] [PROMPT], b"], &[], &kinds)[2], Some("scene, b".into()));
        assert_eq!(assigned(&["[SEP]c"], &[], &[Face, Face]), texts(&["scene", "c"]));
        assert_eq!(assigned(&["[SKIP][SEP]c"], &[], &[Face, Face]), [None, Some("c".into())]);
    }

    #[test]
    fn a_picture_brings_the_prompt_that_it_was_made_of() {
        let of = |texts: &[(&str, &str)]| {
            let texts: Vec<_> = texts.iter().map(|&(key, text)| (key.to_owned(), text.to_owned())).collect();
            of_texts(&texts)
        };
        let parameters = ("parameters", "a cat\nNegative prompt: b\nSteps: 3");
        let refined = ("fairhuman", r#"{"refined": [{"prompt": "first"}, {"prompt": "second"}]}"#);
        let sampled = ("fairhuman", r#"{"prompt": "a dog", "refined": [{"prompt": "first"}]}"#);
        assert_eq!(of(&[parameters, sampled]).as_deref(), Some("a dog"));
        assert_eq!(of(&[refined, parameters]).as_deref(), Some("a cat"));
        for without in ["Negative prompt: b\nSteps: 3", "Steps: 3, Sampler: Euler a"] {
            assert_eq!(of(&[("parameters", without)]).as_deref(), Some(""), "{without}");
        }
        assert_eq!(of(&[refined]).as_deref(), Some("second"));
        assert_eq!(of(&[("fairhuman", "no JSON"), ("Comment", "a cat")]), None);
    }
}
