//! PNG files with text in them.

use fairhuman_diffusion::generate::Rgb;
use png::text_metadata::{ITXtChunk, TEXtChunk};
use png::{BitDepth, ColorType, Encoder};

/// A PNG file of `picture` with `texts`, keyword and content, in their order.
pub fn encode<K: AsRef<str>>(picture: &Rgb, texts: &[(K, String)]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let (width, height) = (u32::try_from(picture.width)?, u32::try_from(picture.height)?);
    let mut encoder = Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    for (keyword, content) in texts {
        // The format has no NUL in text, and nothing but Latin-1 in the plain kind of it.
        let (keyword, content) = (keyword.as_ref(), content.replace('\0', " "));
        match content.chars().all(|c| c <= '\u{ff}') {
            true => writer.write_text_chunk(&TEXtChunk::new(keyword, content))?,
            false => writer.write_text_chunk(&ITXtChunk::new(keyword, content))?,
        }
    }
    writer.write_image_data(&picture.pixels)?;
    writer.finish()?;
    Ok(bytes)
}
