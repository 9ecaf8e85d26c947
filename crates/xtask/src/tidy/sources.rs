//! Rules about source files.

use super::{Source, Workspace};

type Violations = anyhow::Result<Vec<String>>;

/// Longest file in lines.
const LINES: usize = 450;
/// Longest comment line in characters, as `max_width` of rustfmt.toml for code.
const COLUMNS: usize = 110;

/// `path:line: text` of a violation.
fn at(source: &Source, line: usize, text: &str) -> String {
    format!("{}:{line}: {}", source.path, text.trim())
}

/// First lines of code in each source that contain one of the words.
fn containing<'a>(sources: impl Iterator<Item = &'a Source>, words: &[&str]) -> Vec<String> {
    let hit = |source: &Source| {
        let (line, text) = source.code().find(|(_, text)| words.iter().any(|word| text.contains(word)))?;
        Some(at(source, line, text))
    };
    sources.filter_map(hit).collect()
}

/// Files that do not begin with a module comment.
pub fn opening(workspace: &Workspace) -> Violations {
    let silent = workspace.sources.iter().filter(|source| !source.text.starts_with("//! "));
    Ok(silent.map(|source| source.path.clone()).collect())
}

/// Files with too many lines.
pub fn length(workspace: &Workspace) -> Violations {
    let lengths = workspace.sources.iter().map(|source| (source, source.text.lines().count()));
    Ok(lengths
        .filter(|&(_, lines)| lines > LINES)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path))
        .collect())
}

/// Marks of unfinished work, in code and comments.
pub fn unfinished(workspace: &Workspace) -> Violations {
    let marks =
        [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!("), concat!("unimpl", "emented!(")];
    let marked = workspace.sources.iter().filter(|source| marks.iter().any(|m| source.text.contains(m)));
    Ok(marked.map(|source| source.path.clone()).collect())
}

/// Comment lines that are too long, except for what cannot be wrapped: code, rows of tables, addresses.
pub fn comment_width(workspace: &Workspace) -> Violations {
    let mut long = Vec::new();
    for source in &workspace.sources {
        let mut in_code = false;
        for (line, text) in source.comments() {
            let words = text.trim_start().trim_start_matches(['/', '!']).trim_start();
            in_code ^= words.starts_with("```");
            let fixed = in_code || words.starts_with('|') || text.contains("://");
            if !fixed && text.chars().count() > COLUMNS {
                long.push(at(source, line, text));
            }
        }
    }
    Ok(long)
}

/// Doc comments that begin with a question word and hide the noun. Of a boolean, `True if` or `Whether` is
/// fine.
pub fn openings(workspace: &Workspace) -> Violations {
    let mut found = Vec::new();
    for source in &workspace.sources {
        for (line, text) in source.comments() {
            let doc = text.trim_start();
            let words = doc.strip_prefix("/// ").or_else(|| doc.strip_prefix("//! ")).unwrap_or_default();
            if words.starts_with("What ") || words.starts_with("How ") {
                found.push(at(source, line, text));
            }
        }
    }
    Ok(found)
}

/// Output, clocks, waiting, the environment and global random generators in libraries. The program and this
/// crate may.
pub fn side_effects(workspace: &Workspace) -> Violations {
    let forbidden = [
        "println!(",
        "print!(",
        "eprintln!(",
        "eprint!(",
        "dbg!(",
        "Instant::now(",
        "SystemTime::now(",
        "thread::sleep(",
        "std::env::",
        "use std::env",
        "env::var",
        "env::args",
        "thread_rng(",
        "rand::rng(",
        "rand::random",
        "OsRng",
        "from_entropy(",
        "from_os_rng(",
    ];
    let libraries = workspace.sources.iter().filter(|source| {
        let (krate, path) = source.place();
        path.starts_with("src/") && !["fairhuman", "xtask", "fuzz"].contains(&krate)
    });
    Ok(containing(libraries, &forbidden))
}

/// Files that are opened without a look at what they are: a named pipe waits for ever, and a device has no
/// end. Unit tests may.
pub fn reads(workspace: &Workspace) -> Violations {
    let openings = ["fs::read(", "fs::read_to_string(", "File::open("];
    let ours = ["builtin", "engine", "engine-conformance", "files", "fuzz", "torch", "xtask"];
    let mut found = Vec::new();
    for source in &workspace.sources {
        let (krate, path) = source.place();
        if path.starts_with("src/") && !ours.contains(&krate) {
            let code = source.code().take_while(|(_, text)| !text.contains("#[cfg(test)]"));
            let hit = code.into_iter().find(|(_, text)| openings.iter().any(|word| text.contains(word)));
            found.extend(hit.map(|(line, text)| at(source, line, text)));
        }
    }
    Ok(found)
}

/// Use of rayon outside the CPU backend and the crates that handle many pictures.
pub fn threads(workspace: &Workspace) -> Violations {
    let others = workspace.sources.iter().filter(|source| {
        let (krate, path) = source.place();
        let allowed = ["dataset", "evaluate", "vision", "people", "xtask"].contains(&krate);
        path.starts_with("src/") && !allowed && !source.path.starts_with("crates/engine/src/cpu")
    });
    Ok(containing(others, &["rayon"]))
}

/// Names of regions as string literals, where objectives must be data. Unit tests may name them.
pub fn regions(workspace: &Workspace) -> Violations {
    let names =
        ["face", "faces", "mask_face", "hand", "hands", "mask_hand"].map(|name| format!("\"{name}\""));
    let crates = ["engine", "engine-conformance", "fairness", "diffusion", "train", "report"];
    let mut found = Vec::new();
    for source in &workspace.sources {
        let (krate, path) = source.place();
        if path.starts_with("src/") && crates.contains(&krate) {
            let code = source.code().take_while(|(_, text)| !text.contains("#[cfg(test)]"));
            let hit = code.into_iter().find(|(_, text)| names.iter().any(|name| text.contains(name)));
            found.extend(hit.map(|(line, text)| at(source, line, text)));
        }
    }
    Ok(found)
}
