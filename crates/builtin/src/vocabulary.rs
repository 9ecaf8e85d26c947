//! CLIP's vocabulary: checkpoint files of SD 1.x, SD 2.x and SDXL leave it out, because all have the same.

use std::io::{Error, ErrorKind, Result};

/// The merges of CLIP's byte-pair encoding, a pair a line, compressed (`vocabulary/LICENSE`).
const MERGES: &[u8] = include_bytes!("../vocabulary/merges.deflate");

/// The pairs of symbols that CLIP's tokenizer joins, by rank: 48,894.
///
/// # Errors
/// None with a binary that is whole.
pub fn clip_merges() -> Result<Vec<(String, String)>> {
    let damaged = || Error::new(ErrorKind::InvalidData, "the vocabulary in this program is damaged");
    let text = miniz_oxide::inflate::decompress_to_vec(MERGES).map_err(|_| damaged())?;
    let text = String::from_utf8(text).map_err(|_| damaged())?;
    let pair = |line: &str| line.split_once(' ').map(|(first, second)| (first.to_owned(), second.to_owned()));
    text.lines().map(|line| pair(line).ok_or_else(damaged)).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn all_merges_are_there_in_order() {
        let merges = super::clip_merges().unwrap();
        assert_eq!(merges.len(), 48_894);
        let pair = |i: usize| (merges[i].0.as_str(), merges[i].1.as_str());
        assert_eq!([pair(0), pair(1), pair(48_893)], [("i", "n"), ("t", "h"), ("jeky", "ll</w>")]);
    }
}
