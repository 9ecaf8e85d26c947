//! An estimate of CLIP's tokens, for want of a model's own tokenizer.

/// Letters of a word's first token, and of each further one, on average: common words are one token each.
const FIRST: usize = 9;
const FURTHER: usize = 4;

/// About how many tokens CLIP makes of a text, begin and end included.
///
/// CLIP splits a text into words, single digits and runs of other signs; common words are one token, rare
/// ones several, letters beyond ASCII one or more each. Good to about a tenth for English captions.
pub(super) fn estimate(text: &str) -> usize {
    #[derive(PartialEq, Clone, Copy)]
    enum Sort {
        Space,
        Word,
        Digit,
        Other,
    }
    let sort = |c: char| match c {
        c if c.is_whitespace() => Sort::Space,
        c if c.is_numeric() => Sort::Digit,
        c if c.is_alphabetic() => Sort::Word,
        _ => Sort::Other,
    };
    let tokens = |sort: Sort, letters: usize| match sort {
        Sort::Space => 0,
        Sort::Digit => letters,
        Sort::Other => 1,
        Sort::Word => 1 + letters.saturating_sub(FIRST).div_ceil(FURTHER),
    };
    let (mut total, mut current, mut letters) = (2, Sort::Space, 0);
    for c in text.chars() {
        let next = sort(c);
        if next != current {
            total += tokens(current, letters);
            (current, letters) = (next, 0);
        }
        letters += if c.is_ascii() { 1 } else { FURTHER.max(2) };
    }
    total + tokens(current, letters)
}

#[cfg(test)]
mod tests {
    use super::estimate;

    #[test]
    fn estimates_are_near_clips_counts() {
        // One token per word, digit and sign: all words here are common ones. Begin and end included.
        for (text, exact) in [
            ("", 2),
            ("a woman waving", 5),
            ("a photo of a man, smiling, outdoors in 2024.", 17),
            ("a close-up portrait photograph of an elderly woman with silver hair", 15),
        ] {
            let found = estimate(text);
            assert!(found.abs_diff(exact) <= 1 + exact / 10, "{text:?}: {found}, exactly {exact}");
        }
    }
}
