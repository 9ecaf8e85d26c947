//! JSON as Python writes it: with `NaN`, `Infinity` and `-Infinity`, which JSON does not know.

use std::borrow::Cow;

/// The numbers of Python's JSON that are none, longest first.
const NOT_NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// The text with every `NaN` and infinity as `null`.
pub fn with_null(text: &[u8]) -> Cow<'_, [u8]> {
    replace_nan(text, |_| "null".into())
}

/// The text with every `NaN` and infinity as a string that [`marked`] recognises: no caption or path holds a
/// NUL.
pub fn with_marks(text: &[u8]) -> Cow<'_, [u8]> {
    replace_nan(text, |word| format!("\"\\u0000{word}\""))
}

/// The number that a string stands for, if [`with_marks`] made it.
pub fn marked(text: &str) -> Option<&str> {
    text.strip_prefix('\0').filter(|word| NOT_NUMBERS.contains(word))
}

/// The text with every `NaN` and infinity outside of strings replaced by `replacement`.
fn replace_nan(text: &[u8], replacement: impl Fn(&str) -> String) -> Cow<'_, [u8]> {
    // Most files have none.
    let has = |word: &[u8]| text.windows(word.len()).any(|w| w == word);
    if !has(b"NaN") && !has(b"Infinity") {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let (mut at, mut in_string) = (0, false);
    while let Some(&byte) = text.get(at) {
        let word = NOT_NUMBERS.iter().find(|word| !in_string && text[at..].starts_with(word.as_bytes()));
        if let Some(word) = word {
            out.extend(replacement(word).bytes());
            at += word.len();
            continue;
        }
        match byte {
            b'\\' if in_string => {
                out.push(byte);
                at += 1;
                out.extend(text.get(at));
            }
            b'"' => {
                in_string = !in_string;
                out.push(byte);
            }
            _ => out.push(byte),
        }
        at += 1;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_are_replaced() {
        let text = br#"{"NaN": "a \" NaN \\", "a": [NaN, -Infinity,Infinity], "b": -1}"#;
        let replaced = replace_nan(text, |word| format!("<{word}>"));
        let expected = br#"{"NaN": "a \" NaN \\", "a": [<NaN>, <-Infinity>,<Infinity>], "b": -1}"#;
        assert_eq!(replaced, &expected[..]);
        for text in [&b"\"\\"[..], b"NaN", b"\"NaN", b"Na", b""] {
            replace_nan(text, |_| "null".into());
        }
    }
}
