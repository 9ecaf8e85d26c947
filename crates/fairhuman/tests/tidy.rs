//! The house rules that a program can check: every file says why it exists, and files stay small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
    assert!(found.len() > 50, "only {} source files found", found.len());
    found.into_iter().map(|p| (p.clone(), fs::read_to_string(&p).expect("UTF-8"))).collect()
}

#[test]
fn every_file_opens_by_saying_why_it_exists() {
    let silent: Vec<_> = all().into_iter().filter(|(_, text)| !text.starts_with("//!")).collect();
    assert!(silent.is_empty(), "no //! line: {:?}", silent.iter().map(|(p, _)| p).collect::<Vec<_>>());
}

#[test]
fn files_stay_small() {
    let large: Vec<_> = all()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|&(_, lines)| lines > 450)
        .collect();
    assert!(large.is_empty(), "one file, one idea, at most 450 lines: {large:?}");
}

#[test]
fn nothing_is_left_undone() {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimpl", "emented!(")];
    let undone: Vec<_> = all()
        .into_iter()
        .filter(|(_, text)| marks.iter().any(|m| text.contains(m)))
        .map(|(p, _)| p)
        .collect();
    assert!(undone.is_empty(), "unfinished work: {undone:?}");
}

#[test]
fn libraries_do_not_print_or_read_clocks() {
    let forbidden = ["println!(", "eprintln!(", "Instant::now(", "SystemTime::now(", "thread_rng("];
    let found: Vec<_> = all()
        .into_iter()
        .filter(|(path, _)| {
            let path = path.to_string_lossy();
            let prints = ["/../fairhuman/", "/../xtask/"].iter().any(|binary| path.contains(binary));
            path.contains("/src/") && !prints
        })
        .filter_map(|(path, text)| {
            let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
            let hit = code.clone().find(|line| forbidden.iter().any(|f| line.contains(f)))?;
            Some((path, hit.to_string()))
        })
        .collect();
    assert!(found.is_empty(), "only the binary prints and keeps time: {found:?}");
}

/// What a command of cargo's prints.
fn cargo(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(words).output().expect("cargo");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn no_package_needs_a_newer_rust_than_ours_says() {
    // This machine's packages alone: those of other systems need not have been downloaded.
    let about = cargo(&["--version", "--verbose"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("a host");
    let text = cargo(&["metadata", "--locked", "--format-version", "1", "--filter-platform", host]);
    let metadata: Value = serde_json::from_str(&text).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let version = |package: &Value| -> Option<Vec<u32>> {
        package["rust_version"].as_str()?.split('.').map(|part| part.parse().ok()).collect()
    };
    let ours = env!("CARGO_PKG_RUST_VERSION").split('.').map(|part| part.parse().expect("a number"));
    let ours: Vec<u32> = ours.chain([0]).collect();
    let newer: Vec<_> = packages
        .iter()
        .filter(|package| version(package).is_some_and(|theirs| theirs > ours))
        .map(|package| format!("{}: {}", package["name"], package["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "raise rust-version in Cargo.toml: {newer:?}");
    let readme = include_str!("../../../README.md");
    assert!(readme.contains(concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"), " or newer")), "README.md");
}
