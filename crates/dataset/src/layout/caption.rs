//! Captions: reading them from a file, and refusing empty ones.

use std::path::Path;
use std::str::Utf8Error;

use super::Listing;
use crate::diagnostic::{Diagnostic, Kind};
use crate::paths::{resolve, unreadable};
use crate::spec::DatasetSpec;

/// Ends of lines: old programs write a return alone.
const LINE_ENDS: [char; 2] = ['\n', '\r'];

/// A caption from a file of its own.
pub(super) struct CaptionFile {
    pub text: String,
    /// True if the file has further lines, which are left out.
    pub has_more_lines: bool,
}

/// Reads the file called `name` in the dataset's folder `root`. The first line that is not empty counts, as
/// in sd-scripts: some write one caption per line to choose from.
pub(super) fn read(root: &Path, name: &Path, spec: &DatasetSpec) -> Result<CaptionFile, Diagnostic> {
    let bytes = fairhuman_files::read(&resolve(root, name)?).map_err(|e| unreadable(&e))?;
    crate::foreign::refuse(&bytes)?;
    let mut lines = utf8(&bytes)?.split(LINE_ENDS).filter(|line| !is_blank(line));
    let text = check(lines.next().unwrap_or_default(), spec)?;
    Ok(CaptionFile { text, has_more_lines: lines.next().is_some() })
}

/// The text of a caption file with `caption` as the line that counts, and its other lines as they were.
pub(crate) fn first_line(before: &str, caption: &str) -> String {
    let (mark, before) = match before.strip_prefix('\u{feff}') {
        Some(rest) => ("\u{feff}", rest),
        None => ("", before),
    };
    let mut lines = before.split_inclusive(LINE_ENDS);
    let mut text = mark.to_owned();
    for line in lines.by_ref() {
        if !is_blank(line) {
            let end = line.strip_suffix(LINE_ENDS).map_or("", |rest| &line[rest.len()..]);
            text.extend([caption, end]);
            text.extend(lines);
            return text;
        }
        text.push_str(line);
    }
    format!("{mark}{caption}\n")
}

/// Bytes as text, without a byte-order mark.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Diagnostic> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|e| not_utf8(&e))
}

fn not_utf8(error: &Utf8Error) -> Diagnostic {
    let text = format!("is not UTF-8 text (byte {}): save it as UTF-8", error.valid_up_to() + 1);
    Diagnostic::new(Kind::CaptionEncoding, text)
}

/// True if nothing of a text can be seen: white space and characters of no width.
fn is_blank(text: &str) -> bool {
    let no_width = |c| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}');
    text.chars().all(|c| c.is_whitespace() || no_width(c))
}

/// Checks and trims a caption.
pub(crate) fn check(text: &str, spec: &DatasetSpec) -> Result<String, Diagnostic> {
    if text.contains('\0') {
        // UTF-16 without a byte-order mark is valid UTF-8 where it is ASCII, with a NUL after every letter.
        let text = "holds NUL characters (it may be UTF-16): save it as UTF-8";
        return Err(Diagnostic::new(Kind::CaptionEncoding, text));
    }
    let text = if is_blank(text) { "" } else { text.trim() };
    if !text.is_empty() || spec.allow_empty_captions {
        return Ok(text.to_owned());
    }
    match &spec.default_caption {
        Some(text) => Ok(text.trim().to_owned()),
        None => Err(Diagnostic::new(
            Kind::CaptionMissing,
            "is empty: say what the picture shows, or set `default_caption` or `allow_empty_captions = true`",
        )),
    }
}

/// Warns of caption files of a folder that had more than the line that counts.
pub(super) fn warn_of_lines(listing: &mut Listing, folder: &Path, files: usize) {
    if files > 0 {
        let noun = if files == 1 { "caption file has" } else { "caption files have" };
        listing.warn(folder, format!("{files} {noun} several lines: the first one is the caption"));
    }
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn only_the_line_that_counts_is_written_anew() {
        for (before, after) in [
            ("old", "new"),
            ("\u{feff}\r\nold\r\nmore\r\n", "\u{feff}\r\nnew\r\nmore\r\n"),
            ("old\rmore", "new\rmore"),
            (" \n", "new\n"),
            ("", "new\n"),
        ] {
            assert_eq!(first_line(before, "new"), after);
        }
    }
}
