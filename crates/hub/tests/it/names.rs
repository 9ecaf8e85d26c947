//! Names of repositories and files.

use fairhuman_hub::Name;

fn parsed(text: &str) -> Option<(String, String, Option<String>)> {
    Name::parse(text, "http://mirror:8080").map(|name| (name.id, name.revision, name.file))
}

#[test]
fn names_and_addresses_are_read() {
    for (text, id, revision, file) in [
        ("org/people", "org/people", "main", None),
        ("org/people-1.0@fp16", "org/people-1.0", "fp16", None),
        ("org/people/unet/a.safetensors", "org/people", "main", Some("unet/a.safetensors")),
        ("https://huggingface.co/org/people", "org/people", "main", None),
        ("https://huggingface.co/org/people/tree/v2", "org/people", "v2", None),
        (
            "https://huggingface.co/org/people/resolve/main/b.safetensors?download=true",
            "org/people",
            "main",
            Some("b.safetensors"),
        ),
        (
            "http://mirror:8080/org/people/blob/main/x/b.safetensors",
            "org/people",
            "main",
            Some("x/b.safetensors"),
        ),
    ] {
        let expected = (id.to_owned(), revision.to_owned(), file.map(str::to_owned));
        assert_eq!(parsed(text), Some(expected), "{text}");
    }
}

#[test]
fn paths_and_other_addresses_are_no_names() {
    for text in [
        "people",
        "models/people.safetensors",
        "/org/people",
        "../org/people",
        "org/../people",
        "./org",
        "org/",
        "/",
        "org/people/../../x.safetensors",
        "org/people/model.ckpt",
        "https://example.com/org/people",
        "org/peo ple",
        "https://huggingface.co/org/people/resolve/main/..%2f/../x.safetensors",
        "a\\b/c",
    ] {
        assert_eq!(parsed(text), None, "{text}");
    }
}

#[test]
fn a_name_is_shown_as_it_is_written() {
    for text in ["org/people", "org/people@fp16", "org/people@v1/a.safetensors"] {
        assert_eq!(Name::parse(text, "").expect("a name").to_string(), text);
    }
}
