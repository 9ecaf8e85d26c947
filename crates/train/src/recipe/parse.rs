//! From the text of a recipe to its parts: `method` and its table go to the training method, the rest is
//! common.

use std::fmt::Formatter;
use std::path::Path;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, Error, ValueDeserializer};

use super::resolve::resolve;
use super::unknown::unknown_keys;
use super::{RawRecipe, Recipe, RecipeError};
use crate::folder;
use crate::method::MethodSettings;
use crate::problems::Problems;

/// The beginning of serde's words about a key that a table has not.
const UNKNOWN: &str = "unknown field";

/// Parses and resolves a recipe; `path` serves messages, relative paths and the default of `out`.
pub(super) fn parse(path: &Path, text: &str) -> Result<Recipe, RecipeError> {
    let syntax = |mut e: Error| {
        let unknown = match e.message().starts_with(UNKNOWN) {
            true => unknown_keys(text),
            false => Vec::new(),
        };
        if !unknown.is_empty() {
            return RecipeError::Values { path: path.into(), problems: unknown };
        }
        // Errors of parts know where they are, and need the text to show it.
        e.set_input(Some(text));
        RecipeError::Syntax { path: path.into(), problem: in_words(&e.to_string()) }
    };
    let mut problems = Problems::default();
    // A run's own recipe has its paths as they were found from the folder that `train` was run in.
    let own_folder = path.parent().filter(|_| !folder::is_resolved(text));
    let base = own_folder.unwrap_or(Path::new(""));
    let mut document = DeTable::parse(text).map_err(syntax)?;
    let method = take_method(document.get_mut(), base, &mut problems).map_err(syntax)?;
    let raw = RawRecipe::deserialize(Deserializer::from(document)).map_err(syntax)?;
    let values = |problems| RecipeError::Values { path: path.into(), problems };
    resolve(raw, method, (path, base), problems).map_err(values)
}

/// Takes `method` and the tables of all methods out of a recipe; tables of other methods are problems.
fn take_method(
    recipe: &mut DeTable<'_>,
    base: &Path,
    problems: &mut Problems,
) -> Result<MethodSettings, Error> {
    let names = MethodSettings::NAMES;
    let name = match recipe.remove("method") {
        None => names[0],
        Some(value) => read_name(value)?,
    };
    let mut own = None;
    for &other in names {
        let table = recipe.remove(other);
        if other == name {
            own = table;
        } else {
            let key = format!("method = \"{other}\"");
            problems.check(table.is_none(), &format!("[{other}]"), &key, "another method");
        }
    }
    MethodSettings::read(name, own, base, problems)
}

/// A message in which the types of numbers are words, and those of whole numbers ranges.
fn in_words(problem: &str) -> String {
    let problem = ["f32", "f64"].iter().fold(problem.to_owned(), |text, name| {
        text.replace(&format!("expected {name}"), "expected a number")
    });
    let types = [("u32", u64::from(u32::MAX)), ("u64", u64::MAX), ("usize", usize::MAX as u64)];
    types.into_iter().fold(problem, |text, (name, most)| {
        text.replace(&format!("expected {name}"), &format!("expected a whole number from 0 to {most}"))
    })
}

fn read_name(value: Spanned<DeValue<'_>>) -> Result<&'static str, Error> {
    struct Name;
    impl Visitor<'_> for Name {
        type Value = &'static str;

        fn expecting(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
            write!(f, "one of {}", MethodSettings::NAMES.join(", "))
        }

        fn visit_str<E: serde::de::Error>(self, found: &str) -> Result<&'static str, E> {
            let known = MethodSettings::NAMES.iter().find(|name| **name == found);
            known.copied().ok_or_else(|| E::unknown_variant(found, MethodSettings::NAMES))
        }
    }
    ValueDeserializer::from(value).deserialize_str(Name)
}
