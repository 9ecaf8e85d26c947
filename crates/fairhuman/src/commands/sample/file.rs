//! PNG files with text in them.

use fairhuman_diffusion::generate::Rgb;
use png::{BitDepth, ColorType, Encoder};

/// A PNG file of `picture` with `chunks` of text, keyword and content.
pub fn encode(picture: &Rgb, chunks: &[(&str, String)]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (width, height) = (u32::try_from(picture.width)?, u32::try_from(picture.height)?);
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    for (keyword, content) in chunks {
        // The format has no NUL in text, and nothing but Latin-1 in the plain kind of it.
        let content = content.replace('\0', " ");
        match content.chars().all(|c| c <= '\u{ff}') {
            true => encoder.add_text_chunk((*keyword).to_owned(), content)?,
            false => encoder.add_itxt_chunk((*keyword).to_owned(), content)?,
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(bytes)
}
