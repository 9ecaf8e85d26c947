//! A JPEG file's segments. Bytes between two segments are passed over, as libjpeg does: some cameras and many
//! editors leave some there.

use std::io::{BufRead, ErrorKind};

/// The bytes after 0xff that begin a segment.
pub(super) mod marker {
    pub const ALONE: u8 = 0x01;
    pub const HUFFMAN: u8 = 0xc4;
    pub const RESTART_FIRST: u8 = 0xd0;
    pub const RESTART_LAST: u8 = 0xd7;
    pub const START: u8 = 0xd8;
    pub const END: u8 = 0xd9;
    pub const SCAN: u8 = 0xda;
    pub const QUANTISATION: u8 = 0xdb;
    pub const INTERVAL: u8 = 0xdd;
    /// Application segment 1, which holds EXIF data.
    pub const EXIF: u8 = 0xe1;
    /// Application segment 2, which holds colour profiles.
    pub const PROFILE: u8 = 0xe2;

    /// True for the header of a frame, of any process.
    pub fn is_frame(mark: u8) -> bool {
        matches!(mark, 0xc0..=0xcf) && !matches!(mark, HUFFMAN | 0xc8 | 0xcc)
    }

    /// False for what other programs keep in a file: previews, profiles, texts. JFIF's and Adobe's segments
    /// tell the colour space.
    pub fn is_for_decoders(mark: u8) -> bool {
        !matches!(mark, 0xe1..=0xed | 0xef | 0xf0..=0xfe)
    }
}

/// A reader of segments.
pub(super) struct Segments<R> {
    file: R,
    position: usize,
}

impl<R: BufRead> Segments<R> {
    pub fn new(file: R) -> Self {
        Segments { file, position: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Passes over bytes that were read elsewhere.
    pub fn skip(&mut self, mut bytes: usize) {
        self.position += bytes;
        while bytes > 0 {
            let Ok(buffer) = self.file.fill_buf() else { return };
            let part = buffer.len().min(bytes);
            if part == 0 {
                return;
            }
            self.file.consume(part);
            bytes -= part;
        }
    }

    fn byte(&mut self) -> std::io::Result<u8> {
        let byte = *self.file.fill_buf()?.first().ok_or(ErrorKind::UnexpectedEof)?;
        self.file.consume(1);
        self.position += 1;
        Ok(byte)
    }

    /// Reads the mark of the file's start.
    pub fn start(&mut self) -> std::io::Result<[u8; 2]> {
        Ok([self.byte()?, self.byte()?])
    }

    /// The next marker, wherever it is.
    pub fn next(&mut self) -> std::io::Result<u8> {
        loop {
            while self.byte()? != 0xff {}
            let mut mark = self.byte()?;
            while mark == 0xff {
                mark = self.byte()?;
            }
            // 0 is a stuffed byte of data, the others are reserved.
            if !matches!(mark, 0 | 0x02..=0xbf) {
                return Ok(mark);
            }
        }
    }

    /// The content of a segment, without its length; `None` if the length is impossible.
    pub fn content(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let length = usize::from(u16::from_be_bytes([self.byte()?, self.byte()?]));
        let Some(length) = length.checked_sub(2) else { return Ok(None) };
        let mut content = vec![0; length];
        self.file.read_exact(&mut content)?;
        self.position += length;
        Ok(Some(content))
    }
}

/// The length of a scan's data: up to a marker that is no restart.
pub(super) fn data_length(data: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) = data[at..].iter().position(|b| *b == 0xff) {
        at += next;
        let mark = data[at..].iter().position(|b| *b != 0xff).map(|fill| at + fill);
        let Some(mark) = mark else { return data.len() };
        if !matches!(data[mark], 0 | marker::RESTART_FIRST..=marker::RESTART_LAST) {
            return at;
        }
        at = mark + 1;
    }
    data.len()
}
