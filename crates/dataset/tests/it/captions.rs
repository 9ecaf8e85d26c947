//! Captions vary by (seed, step, sample) alone, and only as the recipe says.

use std::collections::BTreeSet;

use crate::common::{messages, put, spec, write_all};
use fairhuman_dataset::{CaptionSpec, Dataset, caption};
use tempfile::TempDir;

const TEXT: &str = "a photo, red hair,  smiling, waving , outdoors";

#[test]
fn by_default_the_caption_is_the_written_one() {
    assert!(CaptionSpec::default().is_fixed());
    assert_eq!(caption(&CaptionSpec::default(), TEXT, 1, 2, 3), TEXT);
}

#[test]
fn shuffled_tags_keep_the_first_and_lose_none() {
    let shuffled = CaptionSpec { shuffle: true, keep: 2, ..CaptionSpec::default() };
    let mut seen = BTreeSet::new();
    for step in 0..200 {
        let text = caption(&shuffled, TEXT, 5, step, 0);
        assert_eq!(text, caption(&shuffled, TEXT, 5, step, 0));
        assert!(text.starts_with("a photo, red hair, "), "{text}");
        let mut tags: Vec<&str> = text.split(", ").collect();
        tags.sort_unstable();
        assert_eq!(tags, ["a photo", "outdoors", "red hair", "smiling", "waving"]);
        seen.insert(text);
    }
    assert_eq!(seen.len(), 6, "all orders of the three free tags");
}

#[test]
fn captions_and_tags_are_dropped_as_often_as_asked() {
    let dropping = CaptionSpec { dropout: 0.1, tag_dropout: 0.25, keep: 1, ..CaptionSpec::default() };
    let texts: Vec<String> = (0..4000).map(|i| caption(&dropping, TEXT, 9, i / 4, i % 4)).collect();
    let empty = texts.iter().filter(|t| t.is_empty()).count() as f64 / 4000.0;
    assert!((empty - 0.1).abs() < 0.02, "{empty}");
    let tags: usize = texts.iter().filter(|t| !t.is_empty()).map(|t| t.split(", ").count() - 1).sum();
    let kept = tags as f64 / (4.0 * 4000.0 * (1.0 - empty));
    assert!((kept - 0.75).abs() < 0.02, "{kept}");
    assert!(texts.iter().all(|t| t.is_empty() || t.starts_with("a photo")));
}

#[test]
fn one_option_leaves_the_others_as_they_were() {
    let shuffled = CaptionSpec { shuffle: true, ..CaptionSpec::default() };
    let both = CaptionSpec { dropout: 0.5, ..shuffled.clone() };
    let mut dropped = 0;
    for step in 0..100 {
        let text = caption(&both, TEXT, 0, step, 1);
        dropped += usize::from(text.is_empty());
        assert!(text.is_empty() || text == caption(&shuffled, TEXT, 0, step, 1));
    }
    assert!((30..70).contains(&dropped));
}

#[test]
fn the_recipe_says_how_captions_vary_and_wrong_values_are_named() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png"]);
    put(&dir, "a.txt", "x | y | z");
    let text = "path = \".\"\n[captions]\nshuffle = true\nseparator = \"|\"\nkeep = 1";
    let data = Dataset::open(dir.path(), &spec(text), &[]).unwrap();
    let seen: BTreeSet<String> = (0..50).map(|step| data.caption(0, 1, step, 0)).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["x| y| z", "x| z| y"]);
    for (text, part) in [
        ("captions.dropout = 1.5", "captions.dropout is 1.5: it is a probability"),
        ("captions.shuffle = true\ncaptions.separator = \"\"", "captions.separator is empty"),
    ] {
        let error = Dataset::open(dir.path(), &spec(&format!("path = \".\"\n{text}")), &[]).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_default_caption_stands_in_for_missing_ones() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png", "b.png", "c.png"]);
    put(&dir, "a.txt", "own");
    put(&dir, "b.txt", " ");
    let data = Dataset::open(dir.path(), &spec("path = \".\"\ndefault_caption = \"someone\""), &[]).unwrap();
    let found: Vec<_> = data.items().iter().map(|i| i.caption.as_str()).collect();
    assert_eq!(found, ["own", "someone", "someone"]);
}

#[test]
fn of_a_caption_file_the_first_line_that_is_not_empty_counts() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png", "b.png", "c.png"]);
    put(&dir, "a.txt", "\u{feff}\r\n  a woman waves \r\na person\r\n");
    put(&dir, "b.txt", "one line\n\n");
    put(&dir, "c.txt", "as old programs end lines\ra person\r");
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap();
    let found: Vec<_> = data.items().iter().map(|i| i.caption.as_str()).collect();
    assert_eq!(found, ["a woman waves", "one line", "as old programs end lines"]);
    assert_eq!(messages(&data), ["2 caption files have several lines: the first one is the caption"]);
}

#[test]
fn captions_of_which_nothing_can_be_read_are_errors() {
    let utf16: Vec<u8> = "a hand".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, expected) in [
        (&b"a \0 hand"[..], "holds NUL characters"),
        (&utf16, "holds NUL characters (it may be UTF-16)"),
        ("\u{200b}\u{feff} \u{200d}\n\u{2060}".as_bytes(), "is empty"),
        ("\u{feff}\u{feff}".as_bytes(), "is empty"),
    ] {
        let dir = TempDir::new().unwrap();
        write_all(&dir, &["a.png"]);
        put(&dir, "a.txt", bytes);
        let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err().to_string();
        assert!(error.contains("caption a.txt") && error.contains(expected), "{error}");
    }
    // In a list, too; and what joins letters is no reason to refuse a caption.
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png"]);
    put(&dir, "metadata.jsonl", "{\"image\": \"a.png\", \"text\": \"\\u0000\"}");
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err().to_string();
    assert!(error.contains("line 1: caption: holds NUL"), "{error}");
    put(&dir, "metadata.jsonl", "{\"image\": \"a.png\", \"text\": \"\u{1f469}\u{200d}\u{1f680} waves\"}");
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap();
    assert_eq!(data.item(0).caption, "\u{1f469}\u{200d}\u{1f680} waves");
}
