//! Rules about the packages of others: the Rust that they need, their licences, and one version of each.
//!
//! `deny.toml` is the list for licences and versions, as for cargo-deny, which needs a network for its
//! advisories.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context;
use semver::{Version, VersionReq};
use serde_json::Value;

use super::Workspace;

fn text<'a>(package: &'a Value, key: &str) -> &'a str {
    package[key].as_str().unwrap_or_default()
}

/// Packages that need a newer Rust than ours, and a README that names another one.
pub fn rust_version(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let ours = env!("CARGO_PKG_RUST_VERSION");
    let parse = |version: &str| -> Option<Vec<u32>> { version.split('.').map(|n| n.parse().ok()).collect() };
    let limit = parse(&format!("{ours}.0"));
    let newer = workspace.packages().iter().filter(|package| parse(text(package, "rust_version")) > limit);
    let mut violations: Vec<_> = newer
        .map(|package| format!("{} needs Rust {}", text(package, "name"), text(package, "rust_version")))
        .collect();
    if !workspace.file("README.md")?.contains(&format!("Rust {ours} or newer")) {
        violations.push(format!("README.md does not say `Rust {ours} or newer`"));
    }
    Ok(violations)
}

/// Packages whose licence expression is not satisfied by `licenses.allow`.
pub fn licences(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let deny: toml::Table = workspace.file("deny.toml")?.parse()?;
    let allowed = deny["licenses"]["allow"].as_array().context("deny.toml: no licenses.allow")?;
    let allowed: HashSet<&str> = allowed.iter().filter_map(toml::Value::as_str).collect();
    let mut violations = Vec::new();
    for package in workspace.packages() {
        let licence = text(package, "license");
        // Lax: older packages write `MIT/Apache-2.0`.
        let accepted = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .is_ok_and(|licence| licence.evaluate(|license| allowed.contains(license.to_string().as_str())));
        if !accepted {
            violations.push(format!("{}: `{licence}`", text(package, "name")));
        }
    }
    Ok(violations)
}

/// Packages in several versions, `bans.skip` and what only tests need left out.
pub fn duplicates(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let deny: toml::Table = workspace.file("deny.toml")?.parse()?;
    let skipped = deny["bans"]["skip"].as_array().context("deny.toml: no bans.skip")?;
    let skipped = skipped
        .iter()
        .map(|skip| {
            let spec = skip["crate"].as_str().context("deny.toml: bans.skip without a crate")?;
            let (name, version) = spec.split_once(':').with_context(|| format!("deny.toml: {spec}"))?;
            Ok((name, VersionReq::parse(version)?))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let needed = needed(workspace);
    let mut versions: BTreeMap<&str, Vec<Version>> = BTreeMap::new();
    for package in workspace.packages().iter().filter(|package| needed.contains(text(package, "id"))) {
        let (name, version) = (text(package, "name"), Version::parse(text(package, "version"))?);
        if !skipped.iter().any(|(skip, versions)| *skip == name && versions.matches(&version)) {
            versions.entry(name).or_default().push(version);
        }
    }
    let several = versions.into_iter().filter(|(_, versions)| versions.len() > 1);
    Ok(several
        .map(|(name, versions)| {
            let versions: Vec<_> = versions.iter().map(Version::to_string).collect();
            format!("{name}: {}", versions.join(", "))
        })
        .collect())
}

/// Identifiers of our packages and all that they need to build and run, but not to test.
fn needed(workspace: &Workspace) -> HashSet<&str> {
    let nodes = workspace.metadata["resolve"]["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    let nodes: HashMap<&str, &Value> = nodes.iter().map(|node| (text(node, "id"), node)).collect();
    let mut open: Vec<&str> = workspace.members().map(|package| text(package, "id")).collect();
    let mut needed = HashSet::new();
    while let Some(id) = open.pop() {
        if !needed.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).and_then(|node| node["deps"].as_array()).into_iter().flatten();
        for dependency in dependencies {
            let kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
            if kinds.into_iter().any(|kind| kind["kind"] != "dev") {
                open.push(text(dependency, "pkg"));
            }
        }
    }
    needed
}
