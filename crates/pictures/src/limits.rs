//! The bounds of what is read and unpacked: the same for every command.

/// Most pixels of a picture unless a recipe says otherwise.
pub const MAX_PIXELS: u64 = 100_000_000;
/// Most bytes of a colour profile; printers' profiles take up to 3 MiB.
pub(crate) const PROFILE: usize = 8 << 20;
/// Most bytes of EXIF data.
pub(crate) const EXIF: usize = 1 << 20;
/// Most bytes of all texts of a PNG file together, unpacked; workflows take up to one MiB.
pub(crate) const TEXTS: usize = 16 << 20;
/// Most scans of a JPEG: each is a pass over the whole picture, and libraries write about ten.
pub(crate) const SCANS: usize = 500;
/// Room for decoders beside the pixels, in bytes.
const SIDE_DATA: u64 = 64 << 20;
/// Room in a file beside its pixels: films and further pictures that phones append.
const APPENDED: u64 = 512 << 20;
/// The most bytes that a pixel takes: 16-bit RGBA.
const PIXEL: u64 = 8;

/// Most bytes that a decoder may ask for.
pub(crate) fn decoder(pixels: u64) -> u64 {
    pixels * PIXEL + SIDE_DATA
}

/// Most bytes of a file that is read into memory.
pub(crate) fn file(pixels: u64) -> u64 {
    pixels * PIXEL + APPENDED
}
