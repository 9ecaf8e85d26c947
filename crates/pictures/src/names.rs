//! Picture formats by the extensions of names and by the first bytes of files.

use std::path::Path;

use image::ImageFormat;

/// Extensions of the pictures that are read. An `.mpo` holds several JPEG pictures; the first is read.
pub const READ: [&str; 8] = ["png", "jpg", "jpeg", "webp", "jfif", "jpe", "jif", "mpo"];

/// Extensions of picture formats that are not read: passing over them in silence would lose data unnoticed.
pub const OTHERS: [&str; 17] = [
    "apng", "avif", "avifs", "bmp", "gif", "heic", "heif", "hif", "j2k", "jp2", "jpx", "jxl", "jxr", "svg",
    "tga", "tif", "tiff",
];

/// Extensions of cameras' and drawing programs' own formats, which lie beside the pictures that were made of
/// them.
pub const ORIGINALS: [&str; 13] =
    ["arw", "cr2", "cr3", "dng", "ico", "nef", "orf", "pbm", "pgm", "ppm", "psd", "raf", "rw2"];

/// Ends of the stems of masks and control images that lie beside a picture, as OneTrainer calls them.
pub const COMPANION_ENDINGS: [&str; 2] = ["-masklabel", "-condlabel"];

/// Number of bytes that [`content`] needs.
pub const HEAD: usize = 32;

/// A file's extension in lower case.
pub fn extension(name: &Path) -> Option<String> {
    Some(name.extension()?.to_str()?.to_ascii_lowercase())
}

/// A picture format, by a file's first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// One that is read.
    Read(ImageFormat),
    /// One that is not, by its name.
    Other(&'static str),
}

/// The picture format of a file's first [`HEAD`] bytes, if they are a picture's.
pub fn content(head: &[u8]) -> Option<Content> {
    let brand = (head.get(4..8) == Some(b"ftyp")).then(|| head.get(8..12)).flatten();
    match brand {
        Some(b"avif" | b"avis") => return Some(Content::Other("Avif")),
        Some(b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" | b"mif1" | b"msf1") => {
            // `mif1` is the common ground of both; the brands after it say which one it is.
            let avif = head.get(16..).unwrap_or_default().chunks_exact(4).any(|brand| brand == b"avif");
            return Some(Content::Other(if avif { "Avif" } else { "Heic" }));
        }
        Some(b"crx ") => return Some(Content::Other("Canon's raw format")),
        _ => {}
    }
    let begins = |mark: &[u8]| head.starts_with(mark);
    // Without a third byte, as other programs want it: something may stand before the first segment.
    if begins(b"\xff\xd8") {
        return Some(Content::Read(ImageFormat::Jpeg));
    }
    match image::guess_format(head) {
        Ok(format @ (ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::WebP)) => {
            Some(Content::Read(format))
        }
        Ok(ImageFormat::Gif) => Some(Content::Other("Gif")),
        Ok(ImageFormat::Tiff) => Some(Content::Other("Tiff")),
        Ok(ImageFormat::Bmp) => Some(Content::Other("Bmp")),
        Ok(ImageFormat::Ico) => Some(Content::Other("Ico")),
        Ok(ImageFormat::Avif) => Some(Content::Other("Avif")),
        Ok(ImageFormat::Pnm) => Some(Content::Other("Pnm")),
        Ok(ImageFormat::OpenExr) => Some(Content::Other("OpenExr")),
        Ok(ImageFormat::Qoi) => Some(Content::Other("Qoi")),
        Ok(_) => Some(Content::Other("of a format")),
        Err(_) if begins(b"\xff\x0a") || begins(b"\0\0\0\x0cJXL ") => Some(Content::Other("JPEG XL")),
        Err(_) if begins(b"\0\0\0\x0cjP  ") || begins(b"\xff\x4f\xff\x51") => {
            Some(Content::Other("JPEG 2000"))
        }
        Err(_) if begins(b"8BPS") => Some(Content::Other("Photoshop's")),
        Err(_) => None,
    }
}

/// Extensions of files that lie beside pictures and are not opened to see what they are.
const BESIDE: [&str; 14] = [
    "txt",
    "caption",
    "json",
    "jsonl",
    "toml",
    "yaml",
    "csv",
    "npz",
    "npy",
    "md",
    "html",
    "parquet",
    "safetensors",
    "xmp",
];

/// A picture by its first bytes whose name has no extension that says so, or `None`: the sentence that tells
/// it.
///
/// Only files whose extension is no picture's are opened.
pub fn disguised(file: &Path) -> Option<String> {
    use std::io::Read;
    let extension = extension(file).unwrap_or_default();
    if [&READ[..], &OTHERS, &ORIGINALS, &BESIDE].iter().any(|known| known.contains(&extension.as_str())) {
        return None;
    }
    let mut head = Vec::new();
    fairhuman_files::open(file).ok()?.take(HEAD as u64).read_to_end(&mut head).ok()?;
    let named = match extension.as_str() {
        "" => "has no extension".to_owned(),
        known => format!("is called .{known}"),
    };
    Some(match content(&head)? {
        Content::Read(format) => {
            let right = format.extensions_str().first().unwrap_or(&"png");
            format!("{named}, but its content is {format:?}: it is not read; call it .{right}, or remove it")
        }
        // Texts begin like PNM files, and some raw files like TIFF.
        Content::Other("Pnm" | "Ico" | "of a format") => return None,
        Content::Other(name) => {
            format!("{named}, but its content is {name}: it is not read; convert it to PNG, JPEG or WebP")
        }
    })
}
