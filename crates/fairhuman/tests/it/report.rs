//! `fairhuman report` from outside: people, a model, two runs, one page; and what is said when something is
//! wrong.

use std::path::Path;

use assert_cmd::Command;

fn fairhuman(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::cargo_bin("fairhuman").unwrap();
    command.current_dir(folder).args(words);
    command
}

fn ok(folder: &Path, words: &[&str]) -> String {
    String::from_utf8(fairhuman(folder, words).assert().success().get_output().stdout.clone()).unwrap()
}

fn fails(folder: &Path, words: &[&str]) -> String {
    String::from_utf8(fairhuman(folder, words).assert().failure().get_output().stderr.clone()).unwrap()
}

const RECIPE: &str = r#"
steps = 3
batch = 2
[model]
path = "tiny"
[dataset]
path = "people"
[geometry]
width = 64
height = 64
[[objective]]
name = "global"
[[objective]]
name = "hand"
mask = "mask_hand"
[lora]
rank = 2
[validation]
share = 0.2
draws = 1
"#;

#[test]
fn two_runs_become_one_page_and_a_third_that_is_none_is_named() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    ok(folder, &["people", "--count", "10", "--size", "64", "--out", "people"]);
    ok(folder, &["init-model", "--preset", "tiny", "--out", "tiny"]);
    std::fs::write(folder.join("fair.toml"), RECIPE).unwrap();
    std::fs::write(folder.join("plain.toml"), format!("{RECIPE}[weighting]\nkind = \"linear\"\n")).unwrap();
    for recipe in ["fair.toml", "plain.toml"] {
        ok(folder, &["train", recipe]);
    }
    let said = ok(
        folder,
        &["report", "runs/fair", "runs/plain", "--name", "A & B", "--name", "Plain", "--out", "new/r.html"],
    );
    assert!(said.contains("new/r.html"), "{said}");
    let page = std::fs::read_to_string(folder.join("new/r.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
    for expected in ["A &amp; B", "Plain", "id=\"held-out\"", "id=\"masks\"", "What differs", "Peak memory"] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(page.contains("data:image/png;base64,"), "pictures of the dataset");

    let said = fails(folder, &["report", "runs/fair", "runs/none", "--out", "never.html"]);
    assert!(said.contains("runs/none") && said.contains("no such folder"), "{said}");
    let said = fails(folder, &["report", "runs/fair", "--name", "a", "--name", "b", "--out", "never.html"]);
    assert!(said.contains("runs: 1, --name: 2"), "{said}");
    assert!(!folder.join("never.html").exists());
}
