//! The house rules hold, and each of them finds what it forbids.

use std::path::Path;
use std::sync::LazyLock;

use serde_json::json;
use xtask::tidy::{RULES, Source, Workspace};

static WORKSPACE: LazyLock<Workspace> = LazyLock::new(|| Workspace::read().expect("the repository"));

#[test]
fn the_house_rules_hold() {
    let mut report = String::new();
    for rule in RULES {
        let violations = (rule.violations)(&WORKSPACE).expect(rule.text);
        if !violations.is_empty() {
            report += &format!("\n{}:\n  {}\n", rule.text, violations.join("\n  "));
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// A repository that breaks every rule, with our README.md and deny.toml, in a folder of its own.
fn untidy(root: &Path) -> Workspace {
    for file in ["README.md", "deny.toml"] {
        std::fs::copy(WORKSPACE.root.join(file), root.join(file)).expect(file);
    }
    let module = root.join("python/fairness");
    std::fs::create_dir_all(&module).expect("a folder");
    std::fs::write(module.join("Cargo.toml"), "[package]\nversion = \"99.0.0\"\n").expect("a file");
    let mut lines = vec![
        "use rayon::prelude::*;".to_owned(),
        "let text = std::fs::read(path);".to_owned(),
        "/// What it is.".to_owned(),
        format!("// {} {}", concat!("TO", "DO"), "long ".repeat(30)),
        "fn name() -> &'static str { dbg!(\"face\") }".to_owned(),
    ];
    lines.resize(451, String::new());
    let text = lines.join("\n") + "\n";
    let package = |name: &str, version: &str, source: Option<&str>| {
        json!({
            "id": format!("{name} {version}"),
            "name": name,
            "version": version,
            "source": source,
            "license": "GPL-3.0-only",
            "rust_version": "1.9999.0",
            "dependencies": [],
            "manifest_path": "/nowhere/Cargo.toml",
        })
    };
    let edge = |id: &str, kind: Option<&str>| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
    let metadata = json!({
        "packages": [
            package("stranger", "0.1.0", None),
            package("twice", "1.0.0", Some("registry")),
            package("twice", "2.0.0", Some("registry")),
            package("tested", "1.0.0", Some("registry")),
            package("tested", "2.0.0", Some("registry")),
        ],
        "resolve": { "nodes": [
            {
                "id": "stranger 0.1.0",
                "deps": [
                    edge("twice 1.0.0", None),
                    edge("twice 2.0.0", Some("build")),
                    edge("tested 1.0.0", None),
                    edge("tested 2.0.0", Some("dev")),
                ],
            },
        ] },
    });
    let source = Source { path: "crates/diffusion/src/untidy.rs".into(), text };
    Workspace { root: root.into(), sources: vec![source], metadata }
}

#[test]
fn each_rule_finds_what_it_forbids() {
    let folder = tempfile::tempdir().expect("a folder");
    let untidy = untidy(folder.path());
    for rule in RULES {
        let violations = (rule.violations)(&untidy).expect(rule.text);
        assert!(!violations.is_empty(), "no violation of: {}", rule.text);
    }
}

#[test]
fn a_violation_names_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let untidy = untidy(folder.path());
    let violations = |text: &str| {
        let rule = RULES.iter().find(|rule| rule.text.contains(text)).expect("a rule");
        (rule.violations)(&untidy).expect("violations")
    };
    assert_eq!(violations("rayon"), ["crates/diffusion/src/untidy.rs:1: use rayon::prelude::*;"]);
    assert_eq!(violations("450 lines"), ["crates/diffusion/src/untidy.rs: 451 lines"]);
    assert_eq!(violations("one version"), ["twice: 1.0.0, 2.0.0"], "what only tests need does not count");
}
