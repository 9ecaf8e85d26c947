//! JPEG files: their segments as libjpeg finds them, and a check that their data are whole.

mod bits;
mod frame;
mod huffman;
mod scan;
mod segments;

use std::io::{BufRead, Cursor, ErrorKind, Read, Seek, SeekFrom};

use crate::error::{PictureError, Problem};
use crate::{exif, limits};
use frame::Frame;
use segments::{Segments, marker};

/// Content of a JPEG file, by its segments.
#[derive(Debug, Default)]
pub(crate) struct Jpeg {
    /// The file as decoders get it: the segments that they need, without what lies between, before or after.
    pub picture: Vec<u8>,
    /// The content of the first EXIF segment.
    pub exif: Option<Vec<u8>>,
    /// The colour profile.
    pub profile: Option<Vec<u8>>,
    frame: Option<Frame>,
}

impl Jpeg {
    /// True if it has four inks.
    pub fn is_cmyk(&self) -> bool {
        self.frame.as_ref().is_some_and(|frame| frame.components.len() == 4)
    }
}

/// The segments before the pixels, after checking that there is an end mark.
pub(crate) fn front(file: &mut (impl BufRead + Seek), length: u64) -> Result<Jpeg, PictureError> {
    file.rewind()?;
    let mut segments = Segments::new(&mut *file);
    let mut jpeg = Jpeg::default();
    let mut profile = Profile::default();
    jpeg.read_to_scan(&mut segments, &mut scan::Scans::default(), &mut profile)?;
    // Compressed data never contain the end mark, so finding it after the first scan means that they ended.
    // It is nearly always within the last bytes; cameras that append a film or a second picture need the
    // rest.
    let start = file.stream_position()?;
    for from in [start.max(length.saturating_sub(1 << 16)), start] {
        file.seek(SeekFrom::Start(from))?;
        if contains_end_mark(file)? {
            return Ok(jpeg);
        }
    }
    Err(PictureError::truncated(&format!("{length} bytes without an end mark")))
}

/// The picture of a whole file, after its data were decoded once to see that nothing of them is damaged.
pub(crate) fn whole(bytes: &[u8]) -> Result<Jpeg, PictureError> {
    let mut file = Cursor::new(bytes);
    let mut jpeg = Jpeg::default();
    let mut scans = scan::Scans::default();
    let mut profile = Profile::default();
    let mut segments = Segments::new(&mut file);
    for _ in 0..limits::SCANS {
        if !jpeg.read_to_scan(&mut segments, &mut scans, &mut profile)? {
            scans.finish(jpeg.frame.as_ref())?;
            jpeg.picture.extend([0xff, marker::END]);
            jpeg.profile = profile.whole();
            return Ok(jpeg);
        }
        let from = segments.position();
        let data = &bytes[from.min(bytes.len())..];
        let data = &data[..segments::data_length(data)];
        if let Some(frame) = &mut jpeg.frame {
            scans.check(frame, data)?;
        }
        jpeg.picture.extend(data);
        segments.skip(data.len());
    }
    let text = format!("it has more than {} scans: no program writes such files", limits::SCANS);
    Err(PictureError::new(Problem::TooLarge, text))
}

impl Jpeg {
    /// Reads segments up to the next scan's header; false at the end mark, after the pixels.
    fn read_to_scan<R: BufRead>(
        &mut self,
        segments: &mut Segments<R>,
        scans: &mut scan::Scans,
        profile: &mut Profile,
    ) -> Result<bool, PictureError> {
        let first = self.picture.is_empty();
        if first {
            segments.start()?;
            self.picture.extend([0xff, marker::START]);
        }
        loop {
            let ended = |e: std::io::Error| match e.kind() {
                ErrorKind::UnexpectedEof => PictureError::truncated("it ends before its pixels"),
                _ => e.into(),
            };
            let mark = segments.next().map_err(ended)?;
            match mark {
                marker::END if first => return Err(PictureError::truncated("it ends before its pixels")),
                marker::END => return Ok(false),
                marker::ALONE | marker::RESTART_FIRST..=marker::START => continue,
                _ => {}
            }
            let content = segments.content().map_err(ended)?;
            let Some(content) = content else {
                return Err(PictureError::damaged("its JPEG segments are damaged"));
            };
            match mark {
                marker::EXIF if content.starts_with(exif::PREFIX) && self.exif.is_none() => {
                    self.exif = Some(content.clone());
                }
                marker::PROFILE => profile.take(&content),
                marker::QUANTISATION => scans.quantisation(&content),
                marker::HUFFMAN => scans.huffman(&content),
                marker::INTERVAL => scans.interval(&content),
                _ if marker::is_frame(mark) && self.frame.is_none() => {
                    self.frame = Some(Frame::read(mark, &content)?);
                }
                _ if marker::is_frame(mark) => {
                    return Err(PictureError::damaged("its JPEG segments are damaged: it has two frames"));
                }
                marker::SCAN => scans.header(&content),
                _ => {}
            }
            if marker::is_for_decoders(mark) {
                self.picture.extend([0xff, mark]);
                self.picture.extend(((content.len() + 2) as u16).to_be_bytes());
                self.picture.extend(&content);
            }
            if mark == marker::SCAN {
                return Ok(true);
            }
        }
    }
}

/// A colour profile, which is divided among segments of 64 KiB.
#[derive(Debug, Default)]
struct Profile {
    /// Number and content of the parts.
    parts: Vec<(u8, Vec<u8>)>,
    /// Number of parts that there should be.
    count: u8,
}

impl Profile {
    fn take(&mut self, content: &[u8]) {
        if let Some([number, count, data @ ..]) = content.strip_prefix(b"ICC_PROFILE\0") {
            self.parts.push((*number, data.to_vec()));
            self.count = *count;
        }
    }

    fn whole(mut self) -> Option<Vec<u8>> {
        self.parts.sort_by_key(|(number, _)| *number);
        let length = self.parts.iter().map(|(_, data)| data.len()).sum::<usize>();
        let complete = self.parts.len() == usize::from(self.count) && (1..=limits::PROFILE).contains(&length);
        complete.then(|| self.parts.into_iter().flat_map(|(_, data)| data).collect())
    }
}

fn contains_end_mark(file: &mut impl Read) -> std::io::Result<bool> {
    let mut buffer = vec![0; 1 << 16];
    let mut last = 0;
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(false);
        }
        for &byte in &buffer[..n] {
            if last == 0xff && byte == marker::END {
                return Ok(true);
            }
            last = byte;
        }
    }
}
