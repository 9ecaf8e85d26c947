//! One line of a JSON list with some of its values replaced, and every other byte as it was.

use std::ops::Range;

use fairhuman_files::json;
use serde::de::IgnoredAny;
use serde_json::Value;

/// The line with these values in place of what its keys have; keys that it lacks are added at its end.
///
/// # Errors
/// A line that is no JSON object, or holds numbers that JSON does not know, in words.
pub(super) fn with_values(line: &str, values: &[(String, Value)]) -> Result<String, String> {
    if matches!(json::with_marks(line.as_bytes()), std::borrow::Cow::Owned(_)) {
        return Err("its line holds NaN or Infinity, which are not JSON: change it in an editor".into());
    }
    let (pairs, end) = pairs(line).ok_or("its line is not a JSON object: change it in an editor")?;
    let mut parts: Vec<(Range<usize>, String)> = Vec::new();
    let mut more = String::new();
    for (key, value) in values {
        match pairs.iter().find(|(name, _)| name == key) {
            Some((_, place)) => parts.push((place.clone(), value.to_string())),
            None => {
                let comma = if pairs.is_empty() && more.is_empty() { "" } else { ", " };
                more.push_str(&format!("{comma}{}: {value}", Value::from(key.as_str())));
            }
        }
    }
    parts.push((end..end, more));
    parts.sort_by_key(|(place, _)| place.start);
    let (mut out, mut at) = (String::new(), 0);
    for (place, text) in parts {
        out.push_str(&line[at..place.start]);
        out.push_str(&text);
        at = place.end;
    }
    out.push_str(&line[at..]);
    Ok(out)
}

/// Keys and the places of their values.
type Pairs = Vec<(String, Range<usize>)>;

/// The keys of an object with the places of their values, and the place after the last of them.
fn pairs(line: &str) -> Option<(Pairs, usize)> {
    let mut at = skip(line, 0);
    let take = |at: &mut usize, letter: char| {
        *at = skip(line, *at);
        let is = line[*at..].starts_with(letter);
        *at += usize::from(is);
        is
    };
    let mut pairs = Vec::new();
    if !take(&mut at, '{') {
        return None;
    }
    let mut end = at;
    if !take(&mut at, '}') {
        loop {
            let mut keys = serde_json::Deserializer::from_str(&line[at..]).into_iter::<String>();
            let key = keys.next()?.ok()?;
            at += keys.byte_offset();
            if !take(&mut at, ':') {
                return None;
            }
            at = skip(line, at);
            let mut values = serde_json::Deserializer::from_str(&line[at..]).into_iter::<IgnoredAny>();
            values.next()?.ok()?;
            end = at + values.byte_offset();
            pairs.push((key, at..end));
            at = end;
            if take(&mut at, '}') {
                break;
            }
            if !take(&mut at, ',') {
                return None;
            }
        }
    }
    (skip(line, at) == line.len()).then_some((pairs, end))
}

/// The place of the first letter from `at` that is no white space.
fn skip(line: &str, at: usize) -> usize {
    at + (line[at..].len() - line[at..].trim_start().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_replaced_and_every_other_byte_stays() {
        let line = r#" { "a":1.50e3,"text" : "old \" }",  "nested":{"text":[1, "text"]}, "m": null }"#;
        let text = ("text".to_owned(), Value::from("né \"w\""));
        assert_eq!(
            with_values(line, std::slice::from_ref(&text)).unwrap(),
            r#" { "a":1.50e3,"text" : "né \"w\"",  "nested":{"text":[1, "text"]}, "m": null }"#
        );
        let mask = ("m".to_owned(), Value::from("masks/a.png"));
        let new = ("mask_b".to_owned(), Value::Null);
        let changed = with_values(line, &[mask, new, text]).unwrap();
        assert!(changed.ends_with(r#""m": "masks/a.png", "mask_b": null }"#), "{changed}");
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(&changed)["text"], "né \"w\"");
        assert_eq!(value(&changed)["a"], value(line)["a"]);
        for empty in ["{}", "{ } "] {
            let changed = with_values(empty, &[("a".into(), 1.into()), ("b".into(), 2.into())]).unwrap();
            assert_eq!(value(&changed), value(r#"{"a": 1, "b": 2}"#), "{changed}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for line in [
            "",
            "{",
            "[1]",
            "{\"a\" 1}",
            "{\"a\": }",
            "{\"a\": 1} x",
            "{\"a\": 1,}",
            "{\"a\": 1 \"b\"}",
            "{1: 2}",
        ] {
            assert!(with_values(line, &[]).unwrap_err().contains("JSON object"), "{line}");
        }
        assert!(with_values("{\"a\": NaN}", &[]).unwrap_err().contains("NaN"));
    }
}
