//! Keys of a recipe that there are not: each with its line, and where the one that was meant is.

use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::elsewhere::{self, Here};
use super::schema;

/// Keys of a table that are named where none is near.
const NAMED: usize = 12;
/// Tables that a key is found in by its very name, of which this many are named.
const TABLES: usize = 3;

/// One line for each unknown key of a recipe; none for a text that is no TOML.
pub fn unknown_keys(text: &str) -> Vec<String> {
    let Ok(document) = DeTable::parse(text) else { return Vec::new() };
    let schema = schema();
    let mut search = Search { text, keys: keys(&schema), found: Vec::new() };
    search.table(document.get_ref(), &schema, "");
    search.found.sort_by_key(|(line, _)| *line);
    search.found.into_iter().map(|(_, told)| told).collect()
}

/// Every key with those of its tables before it: `optimizer.learning_rate`, `objective.scale`.
pub fn keys(schema: &Value) -> Vec<String> {
    fn walk(node: &Value, path: &str, into: &mut Vec<String>) {
        for (key, node) in properties(node) {
            let path = join(path, key);
            walk(node, &path, into);
            into.push(path);
        }
    }
    let mut all = Vec::new();
    walk(schema, "", &mut all);
    all
}

/// The keys of a table, or of the tables of a list.
fn properties(node: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let table = node.get("items").unwrap_or(node);
    table["properties"].as_object().into_iter().flatten()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

struct Search<'a> {
    text: &'a str,
    keys: Vec<String>,
    /// With their lines: tables are walked by the names of keys.
    found: Vec<(usize, String)>,
}

impl Search<'_> {
    fn table(&mut self, table: &DeTable<'_>, node: &Value, path: &str) {
        let rules = node.get("items").unwrap_or(node);
        // Tables that have keys of their own kinds are left to their readers.
        let closed = rules["additionalProperties"] == false;
        for (key, value) in table {
            let name: &str = key.get_ref();
            match properties(node).find(|(known, _)| *known == name) {
                Some((_, node)) => self.value(value.get_ref(), node, &join(path, name)),
                None if closed => {
                    let line = 1 + self.text[..key.span().start].matches('\n').count();
                    let table =
                        if path.is_empty() { String::new() } else { format!(" in {}", self.title(path)) };
                    let is_table = matches!(value.get_ref(), DeValue::Table(_));
                    let advice = self.near_table(name, path).filter(|_| is_table);
                    let advice = advice.unwrap_or_else(|| self.advice(name, path));
                    self.found.push((line, format!("line {line}: unknown key `{name}`{table}: {advice}")));
                }
                None => {}
            }
        }
    }

    fn value(&mut self, value: &DeValue<'_>, node: &Value, path: &str) {
        match value {
            DeValue::Table(table) => self.table(table, node, path),
            DeValue::Array(list) => list.iter().for_each(|entry| self.value(entry.get_ref(), node, path)),
            _ => {}
        }
    }

    /// The table that is meant by one whose name differs in a letter, such as `[checkpoint]`: other trainers'
    /// keys of that name are no tables.
    fn near_table(&self, name: &str, table: &str) -> Option<String> {
        let is_here = |key: &&str| key.rsplit_once('.').map_or("", |(parent, _)| parent) == table;
        let mut tables =
            self.keys.iter().filter_map(|key| key.rsplit_once('.')).map(|(key, _)| key).filter(is_here);
        let near = tables.find_map(|key| {
            let last = key.rsplit('.').next()?;
            (strsim::damerau_levenshtein(last, name) == 1).then_some(last)
        });
        near.map(|key| format!("did you mean `{key}`?"))
    }

    /// Where the key is that was meant.
    fn advice(&self, name: &str, table: &str) -> String {
        match elsewhere::find(name) {
            Some(Here::Key(key)) => return format!("here it is {}", self.place(key)),
            Some(Here::Words(words)) => return words.to_owned(),
            None => {}
        }
        let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        let same: Vec<&String> = self.keys.iter().filter(|key| last(key) == name).collect();
        if !same.is_empty() && same.len() <= TABLES {
            let places: Vec<String> = same.iter().map(|key| self.place(key)).collect();
            return format!("it is {}", places.join(", or "));
        }
        let parent = |key: &str| key.rsplit_once('.').map_or("", |(table, _)| table).to_owned();
        let (here, others): (Vec<&String>, Vec<_>) = self.keys.iter().partition(|key| parent(key) == table);
        let near = |keys: &[&String]| {
            let distance = |key: &&&String| strsim::damerau_levenshtein(&last(key), name);
            // A third of the letters may be wrong.
            let close = |key: &&&String| 3 * distance(key) <= name.chars().count().max(3);
            keys.iter().filter(close).min_by_key(distance).map(|key| (*key).clone())
        };
        match (near(&here), near(&others)) {
            (Some(key), _) => format!("did you mean `{}`?", last(&key)),
            (None, Some(key)) => format!("did you mean {}?", self.place(&key)),
            (None, None) => {
                let mut names: Vec<String> = here.iter().map(|key| format!("`{}`", last(key))).collect();
                if names.len() > NAMED {
                    names.truncate(NAMED);
                    names.push("... (recipes/reference.toml has all)".into());
                }
                format!("known are {}", names.join(", "))
            }
        }
    }

    /// A key and its table, in words.
    fn place(&self, key: &str) -> String {
        match key.rsplit_once('.') {
            Some((table, key)) => format!("`{key}` in {}", self.title(table)),
            None => format!("`{key}`, before the first [table]"),
        }
    }

    /// A table as it is written: `[optimizer]`, `[[objective]]`.
    fn title(&self, table: &str) -> String {
        const LISTS: [&str; 2] = ["objective", "dataset.folders"];
        if LISTS.contains(&table) { format!("[[{table}]]") } else { format!("[{table}]") }
    }
}
