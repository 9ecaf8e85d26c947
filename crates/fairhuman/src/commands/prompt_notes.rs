//! Notes on prompts that are not read as their authors mean: texts that are too long, and the syntax of other
//! programs (A1111's weights and networks, options in kohya's files of prompts), which is words here.

use fairhuman_diffusion::pipeline::Pipeline;
use fairhuman_engine::Backend;

/// A note for each kind of foreign syntax in some prompts, with an example.
pub fn foreign<'a>(prompts: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    type Find = fn(&str) -> Option<&str>;
    let kinds: [(Find, &str); 3] = [
        (weighted, "is read as words: prompts have no weights here"),
        (network, "is read as words and loads nothing: --lora FILE does, --lora-weight W sets its weight"),
        (
            option,
            "is read as words: negative prompt, size, seed, steps and guidance are options of the command",
        ),
    ];
    let note = |(find, meaning): (Find, &str)| {
        let found = prompts.clone().find_map(find)?;
        Some(format!("\"{found}\" in a prompt {meaning}"))
    };
    kinds.into_iter().filter_map(note).collect()
}

/// The note for a prompt of which the text encoders read the beginning.
pub fn truncated<B: Backend>(pipeline: &Pipeline<B>, prompt: &str) -> Option<String> {
    let mut encoders = pipeline.text.encoders.iter();
    let is_cut = encoders.any(|(tokenizer, _)| tokenizer.encode(prompt).truncated);
    let beginning: String = prompt.chars().take(60).collect();
    is_cut.then(|| format!("longer than the text encoder reads, its end is cut off: {beginning}..."))
}

/// `(a hat:1.2)`. A proportion such as (16:9) is none.
fn weighted(prompt: &str) -> Option<&str> {
    prompt.match_indices(')').find_map(|(end, _)| {
        let (words, weight) = prompt[..end].rsplit_once(':')?;
        let start = words.rfind('(')?;
        let words = words[start + 1..].trim();
        let is_weight = weight.trim().parse::<f32>().is_ok_and(|weight| weight.abs() <= 10.0);
        let is_number = words.chars().all(|c| c.is_ascii_digit());
        (is_weight && !is_number && !words.contains(')')).then(|| &prompt[start..=end])
    })
}

/// `<lora:name:0.8>`
fn network(prompt: &str) -> Option<&str> {
    let start = ["<lora:", "<lyco:", "<hypernet:"].iter().find_map(|kind| prompt.find(kind))?;
    let length = prompt[start..].find('>')?;
    Some(&prompt[start..=start + length])
}

/// `--n`, `--w`, `--negative_prompt`
fn option(prompt: &str) -> Option<&str> {
    let is_name = |word: &str| !word.is_empty() && word.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
    prompt.split_whitespace().find(|word| word.strip_prefix("--").is_some_and(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_syntax_of_other_programs_is_told_and_plain_words_are_not() {
        for (prompt, expected) in [
            ("a man, (a red hat:1.2), ((b))", "(a red hat:1.2)"),
            ("a (b) (c: 0.5 )", "(c: 0.5 )"),
            ("a man <lora:hats_v2:0.8>, waving", "<lora:hats_v2:0.8>"),
            ("a man --n blurry --w 512", "--n"),
            ("--prompt \"a man\" --steps 20", "--prompt"),
        ] {
            let notes = foreign([prompt].into_iter());
            assert!(notes.len() == 1 && notes[0].contains(&format!("\"{expected}\"")), "{prompt}: {notes:?}");
        }
        for plain in ["a man (left), 16:9", "a wide picture (16:9)", "a -- b, c--d, x :1)", "(:1)<lora:", ""]
        {
            assert_eq!(foreign([plain].into_iter()), [""; 0], "{plain}");
        }
        let both = ["a (b:2) --n c", "a (d:3)"];
        assert_eq!(foreign(both.into_iter()).len(), 2, "one note of each kind");
    }
}
