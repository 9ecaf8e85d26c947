//! Rules about our own crates: who depends on whom, and what each says about itself.

use serde_json::Value;

use super::Workspace;

/// For each crate, those of our crates that it may depend on, the lowest first; files is below all.
/// ARCHITECTURE.md explains the order.
const EDGES: &[(&str, &[&str])] = &[
    ("files", &[]),
    ("pictures", &["files"]),
    ("fairness", &["files"]),
    ("engine", &[]),
    ("engine-conformance", &["engine"]),
    ("torch", &["engine"]),
    ("people", &["files"]),
    ("refine", &["pictures"]),
    ("vision", &["files", "pictures"]),
    ("dataset", &["files", "pictures"]),
    ("builtin", &["files"]),
    ("hub", &["files"]),
    ("diffusion", &["files", "engine"]),
    ("evaluate", &["files", "pictures", "people", "engine", "diffusion", "vision"]),
    ("train", &["files", "pictures", "diffusion", "dataset", "fairness", "engine"]),
    ("processes", &["train", "torch", "engine"]),
    ("report", &["files", "train", "dataset"]),
    (
        "fairhuman",
        &[
            "files",
            "report",
            "processes",
            "train",
            "diffusion",
            "dataset",
            "fairness",
            "engine",
            "torch",
            "people",
            "pictures",
            "refine",
            "vision",
            "evaluate",
            "builtin",
            "hub",
        ],
    ),
    ("fuzz", &["report", "train", "dataset", "diffusion", "vision"]),
    ("xtask", &["diffusion", "engine", "evaluate", "fairness"]),
];

/// A package's name without the prefix that all of ours have.
fn short(package: &Value) -> &str {
    let name = package["name"].as_str().unwrap_or_default();
    name.strip_prefix("fairhuman-").unwrap_or(name)
}

/// Dependencies of our crates on each other that [`EDGES`] does not list; those of tests apart.
pub fn edges(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut violations = Vec::new();
    for package in workspace.members() {
        let name = short(package);
        let Some((_, allowed)) = EDGES.iter().find(|(krate, _)| *krate == name) else {
            violations.push(format!("{name}: say in xtask/src/tidy/crates.rs what it may depend on"));
            continue;
        };
        let dependencies = package["dependencies"].as_array().into_iter().flatten();
        for dependency in dependencies.filter(|d| !d["path"].is_null() && d["kind"] != "dev") {
            let other = short(dependency);
            if !allowed.contains(&other) {
                violations.push(format!("{name} -> {other}"));
            }
        }
    }
    Ok(violations)
}

/// Crates without a readme file, a description, or (unless they are tools of this workspace) keywords and
/// categories.
pub fn about(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let mut violations = Vec::new();
    for package in workspace.members() {
        let name = short(package);
        let mut require = |there: bool, what: &str| {
            if !there {
                violations.push(format!("{name}: no {what}"));
            }
        };
        let folder = package["manifest_path"].as_str().and_then(|file| file.strip_suffix("Cargo.toml"));
        let readme = folder.zip(package["readme"].as_str()).map(|(folder, file)| format!("{folder}{file}"));
        require(readme.is_some_and(|file| std::path::Path::new(&file).is_file()), "readme");
        require(package["description"].is_string(), "description");
        if package["publish"].is_null() {
            let listed = |list: &Value| list.as_array().is_some_and(|list| !list.is_empty());
            require(listed(&package["keywords"]), "keywords");
            require(listed(&package["categories"]), "categories");
        }
    }
    Ok(violations)
}

/// A version of the Python module, which is outside the workspace, that is not the workspace's.
pub fn python_version(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let path = "python/fairness/Cargo.toml";
    let manifest: toml::Table = workspace.file(path)?.parse()?;
    let (found, ours) = (manifest["package"]["version"].as_str(), env!("CARGO_PKG_VERSION"));
    Ok(if found == Some(ours) { Vec::new() } else { vec![format!("{path}: {found:?}, expected {ours}")] })
}
