//! Measured text inside documents: kept up to date between two marks, the prose around it being people's.

use std::path::Path;

use anyhow::Context;

/// Writes `text` to a file: between its lines `<!-- NAME:begin -->` and `<!-- NAME:end -->`, or, where they
/// are not there, as the whole file.
pub(crate) fn write(path: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let old = std::fs::read_to_string(path).unwrap_or_default();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let new = merged(&old, name, text);
    std::fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}

fn merged(old: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name}:begin -->"), format!("<!-- {name}:end -->"));
    let parts = old
        .split_once(begin.as_str())
        .and_then(|(before, rest)| Some((before, rest.split_once(end.as_str())?.1)));
    match parts {
        Some((before, after)) => format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_around_the_text_is_kept() {
        let old = "# Title\n\nProse.\n\n<!-- speed:begin -->\nold\n<!-- speed:end -->\n\nMore.\n";
        let new = merged(old, "speed", "new\n");
        assert_eq!(new, "# Title\n\nProse.\n\n<!-- speed:begin -->\n\nnew\n\n<!-- speed:end -->\n\nMore.\n");
        assert_eq!(merged(&new, "speed", "new\n"), new);
        assert_eq!(merged("", "speed", "new\n"), "new\n");
    }
}
