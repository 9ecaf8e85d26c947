//! The texts that programs write into PNG files beside the pixels.

use std::io::Cursor;

/// Keywords and texts of a PNG file, in the file's order, the plain ones first; none of what is no PNG file.
pub fn png_texts(bytes: &[u8]) -> Vec<(String, String)> {
    let Ok(reader) = ::png::Decoder::new(Cursor::new(bytes)).read_info() else { return Vec::new() };
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().map(|text| (text.keyword.clone(), text.text.clone()));
    let wide = info.utf8_text.iter().filter_map(|text| Some((text.keyword.clone(), text.get_text().ok()?)));
    plain.chain(wide).collect()
}
