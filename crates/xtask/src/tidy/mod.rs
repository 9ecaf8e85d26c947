//! House rules that a program can check, among them what ARCHITECTURE.md's invariants claim about the
//! sources. They run as `cargo run -p xtask -- tidy` and as tests (`tests/tidy.rs`).
//!
//! A rule is a function from the [`Workspace`] to the places that violate it, each in one line.

mod crates;
mod dependencies;
mod sources;
mod workspace;

pub use workspace::{Source, Workspace};

/// A house rule.
pub struct Rule {
    /// The rule as a sentence.
    pub text: &'static str,
    /// Finds the places that violate it.
    pub violations: fn(&Workspace) -> anyhow::Result<Vec<String>>,
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule { text: "every file opens with `//!`, saying why it exists", violations: sources::opening },
    Rule { text: "a file has at most 450 lines", violations: sources::length },
    Rule { text: "nothing is left unfinished", violations: sources::unfinished },
    Rule { text: "comments wrap at 110 columns", violations: sources::comment_width },
    Rule {
        text: "no doc comment begins with `What` or `How`: name the thing",
        violations: sources::openings,
    },
    Rule {
        text: "libraries do not print, read clocks or the environment, sleep, or draw global random numbers",
        violations: sources::side_effects,
    },
    Rule {
        text: "files are opened by fairhuman-files, which opens no pipes and devices",
        violations: sources::reads,
    },
    Rule { text: "only the crates that own threads use rayon", violations: sources::threads },
    Rule { text: "no code of training and its report knows faces from hands", violations: sources::regions },
    Rule { text: "our crates depend only on those below them (ARCHITECTURE.md)", violations: crates::edges },
    Rule {
        text: "every crate has a readme, a description, keywords and categories",
        violations: crates::about,
    },
    Rule { text: "the Python module has the version of the crates", violations: crates::python_version },
    Rule {
        text: "no dependency needs a newer Rust than Cargo.toml and README.md say",
        violations: dependencies::rust_version,
    },
    Rule { text: "dependencies have licences that deny.toml allows", violations: dependencies::licences },
    Rule {
        text: "a dependency has one version, unless deny.toml skips the others",
        violations: dependencies::duplicates,
    },
];
