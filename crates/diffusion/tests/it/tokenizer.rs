//! The tokenizer against transformers (`reference/tokenizer_golden.py`), and the folders it writes.

use std::path::{Path, PathBuf};

use fairhuman_diffusion::tokenizer::{ClipTokenizer, PadToken, write_tokenizer};
use serde_json::{Value, json};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tokenizer")
}

fn text_of(entry: &Value) -> String {
    match entry {
        Value::String(text) => text.clone(),
        pair => pair[0].as_str().unwrap().repeat(pair[1].as_u64().unwrap() as usize),
    }
}

#[test]
fn ids_equal_those_of_clip_tokenizer_fast_on_200_hard_strings() {
    let rows: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(data().join("golden.json")).unwrap()).unwrap();
    assert_eq!(rows.len(), 200);
    for folder in ["tokenizer", "tokenizer_2", "written"] {
        let tokenizer = ClipTokenizer::open(&data().join(folder)).unwrap();
        for row in &rows {
            let text = text_of(&row["text"]);
            let tokens = tokenizer.encode(&text);
            let mut expected: Vec<u32> = serde_json::from_value(row[folder]["ids"].clone()).unwrap();
            expected.resize(77, tokenizer.pad_id());
            assert_eq!(tokens.ids, expected, "{folder}: {:?}", row["text"]);
            assert_eq!(tokens.count as u64, row[folder]["count"].as_u64().unwrap(), "{:?}", row["text"]);
            assert_eq!(tokens.truncated, tokens.count > 77);
        }
    }
}

#[test]
fn a_folder_of_tokenizer_json_alone_gives_the_same_ids() {
    let rows: Vec<Value> =
        serde_json::from_str(&std::fs::read_to_string(data().join("golden.json")).unwrap()).unwrap();
    for (name, pairs) in [("tokenizer", false), ("tokenizer_2", true)] {
        let read = |file: &str| std::fs::read_to_string(data().join(name).join(file)).unwrap();
        let merges = read("merges.txt");
        let merges = merges.trim().lines().skip(1).map(|line| match pairs {
            true => Value::from_iter(line.split(' ')),
            false => line.into(),
        });
        let vocab: Value = serde_json::from_str(&read("vocab.json")).unwrap();
        let mut config: Value = serde_json::from_str(&read("tokenizer_config.json")).unwrap();
        config.as_object_mut().unwrap().remove("added_tokens_decoder");
        // As CLIPTokenizerFast writes them.
        let marks = [("!", false), ("<|startoftext|>", true), ("<|endoftext|>", true)];
        let added = marks.into_iter().skip(usize::from(name == "tokenizer")).map(|(content, normalized)| {
            json!({"id": vocab[content], "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": normalized, "special": true})
        });
        let added = Vec::from_iter(added);
        let model = json!({"vocab": vocab, "merges": Vec::from_iter(merges), "end_of_word_suffix": "</w>", "type": "BPE"});
        let whole = json!({"model": model, "added_tokens": added});
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), whole.to_string()).unwrap();
        std::fs::write(folder.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        let (of_files, of_whole) =
            (ClipTokenizer::open(&data().join(name)).unwrap(), ClipTokenizer::open(folder.path()).unwrap());
        for row in &rows {
            let text = text_of(&row["text"]);
            assert_eq!(of_whole.encode(&text), of_files.encode(&text), "{name}: {text:?}");
        }

        let other = whole.to_string().replace("</w>", "");
        std::fs::write(folder.path().join("tokenizer.json"), other).unwrap();
        let error = ClipTokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && error.contains("end_of_word_suffix"), "{error}");
    }
}

#[test]
fn truncation_keeps_begin_and_end() {
    let tokenizer = ClipTokenizer::open(&data().join("tokenizer")).unwrap();
    let fits = tokenizer.encode(&"a ".repeat(75));
    let cut = tokenizer.encode(&"a ".repeat(76));
    assert_eq!((fits.count, fits.truncated), (77, false));
    assert_eq!((cut.count, cut.truncated), (78, true));
    assert_eq!(fits.ids, cut.ids);
    assert_eq!(cut.ids[76], tokenizer.end_id());
}

#[test]
fn the_folder_shown_to_transformers_is_the_one_written_today() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = [
        "a woman with a red hat is waving with her left hand",
        "a man with a blue hat, his hands and his face in the light",
        "two people, two faces, four hands: a drawing",
    ];
    write_tokenizer(folder.path(), &corpus, 640, PadToken::Exclamation).unwrap();
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"] {
        let shown = data().join("written").join(name);
        let written = std::fs::read(folder.path().join(name)).unwrap();
        if std::env::var_os("FAIRHUMAN_WRITE_GOLDEN").is_some() {
            std::fs::create_dir_all(data().join("written")).unwrap();
            std::fs::write(&shown, &written).unwrap();
        }
        let same = std::fs::read(&shown).unwrap() == written;
        assert!(same, "{name} changed: set FAIRHUMAN_WRITE_GOLDEN=1 and run reference/tokenizer_golden.py");
    }
}

#[test]
fn a_written_folder_reads_back_and_shortens_the_words_it_was_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let corpus = ["a woman with a red hat", "a man with a red hat", "hands and faces, hands and faces"];
    for (pad, id_of_pad) in [(PadToken::EndOfText, None), (PadToken::Exclamation, Some(0))] {
        let count = write_tokenizer(folder.path(), &corpus, 600, pad).unwrap();
        let tokenizer = ClipTokenizer::open(folder.path()).unwrap();
        assert_eq!(tokenizer.vocab_size(), count);
        assert_eq!(tokenizer.max_length(), 77);
        assert_eq!(tokenizer.pad_id(), id_of_pad.unwrap_or(tokenizer.end_id()));
        assert_eq!(tokenizer.encode("A red hat").count, 2 + 3);
        // Anything can be spelt, known or not: one token per byte at most.
        assert_eq!(tokenizer.encode("手").count, 2 + 3);
    }
}

#[test]
fn a_written_folder_depends_on_the_corpus_and_the_size_alone() {
    let corpus: Vec<String> = (0..50).map(|i| format!("word{} and part{}", i % 7, i % 5)).collect();
    let [a, b] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    for folder in [&a, &b] {
        write_tokenizer(folder.path(), &corpus, 540, PadToken::EndOfText).unwrap();
    }
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"] {
        let [a, b] = [&a, &b].map(|f| std::fs::read(f.path().join(name)).unwrap());
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn a_vocabulary_too_small_to_spell_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = write_tokenizer(folder.path(), &["a"], 513, PadToken::EndOfText).unwrap_err();
    assert!(error.to_string().contains("514"), "{error}");
}

/// A copy of the first golden folder with one file replaced, or removed where there is no text.
fn spoilt(name: &str, text: Option<&str>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(data().join("tokenizer")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
    }
    match text {
        Some(text) => std::fs::write(folder.path().join(name), text).unwrap(),
        None => std::fs::remove_file(folder.path().join(name)).unwrap(),
    }
    folder
}

#[test]
fn broken_files_are_errors_that_name_them() {
    for (name, text, word) in [
        ("vocab.json", None, "vocab.json"),
        ("merges.txt", None, "merges.txt"),
        ("vocab.json", Some("[1, 2]"), "vocab.json"),
        ("vocab.json", Some("{\"a\": 0}"), "merges.txt"),
        (
            "tokenizer_config.json",
            Some("{\"bos_token\": \"<begin>\", \"added_tokens_decoder\": {}}"),
            "<begin>",
        ),
        ("merges.txt", Some("#version: 0.2\nh e\nh e l\n"), "line 3"),
        ("merges.txt", Some("#version: 0.2\nnobody knows\n"), "merges.txt"),
        ("tokenizer_config.json", Some("{"), "tokenizer_config.json"),
        ("tokenizer_config.json", Some("{\"model_max_length\": 1}"), "model_max_length"),
        ("tokenizer_config.json", Some("{\"added_tokens_decoder\": {\"0\": \"a\", \"7\": {}}}"), "content"),
        ("special_tokens_map.json", Some("[]"), "object"),
    ] {
        let folder = spoilt(name, text);
        if name == "special_tokens_map.json" {
            // Read only by folders that do not list their added tokens.
            std::fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
        }
        let error = ClipTokenizer::open(folder.path()).expect_err(name).to_string();
        assert!(error.contains(word), "{name}: {error}");
    }
}

#[test]
fn merges_that_were_cut_or_emptied_are_refused() {
    let merges = std::fs::read_to_string(data().join("tokenizer/merges.txt")).unwrap();
    let lines = Vec::from_iter(merges.trim().lines());
    for kept in [0, 1, lines.len() / 2, lines.len() - 1] {
        let folder = spoilt("merges.txt", Some(&lines[..kept].join("\n")));
        let error = ClipTokenizer::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("merges.txt") && error.contains("cut short"), "{kept} lines: {error}");
    }
}

#[test]
fn an_unlimited_length_means_clips_77() {
    let folder =
        spoilt("tokenizer_config.json", Some("{\"model_max_length\": 1000000000000000019884624838656}"));
    assert_eq!(ClipTokenizer::open(folder.path()).unwrap().max_length(), 77);
}
