//! The encoded bytes of a picture, from a file or from a table, behind one reader.

use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use fairhuman_pictures::names::content;
use fairhuman_pictures::{Decoded, Header, PictureError, Problem, read_header};

use crate::diagnostic::{Diagnostic, Kind};
use crate::foreign;
use crate::paths::{resolve, unreadable};
use crate::source::ImageSource;

/// The reader that decoders take.
pub(crate) trait Stream: BufRead + Seek {}
impl<T: BufRead + Seek> Stream for T {}

/// A picture as it is stored.
pub(crate) enum Content {
    /// A file that lies in the dataset's folder.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Vec<u8>),
}

impl Content {
    /// Finds `source` in the dataset's folder `root`, which must be canonical.
    pub fn find(root: &Path, source: &ImageSource) -> Result<Content, Diagnostic> {
        let file = resolve(root, source.file())?;
        match source {
            ImageSource::File(_) => Ok(Content::File(file)),
            #[cfg(feature = "parquet")]
            ImageSource::Cell(cell) => crate::layout::parquet::cell(&file, cell).map(Content::Bytes),
            #[cfg(not(feature = "parquet"))]
            ImageSource::Cell(_) => Err(crate::paths::cannot_read(crate::layout::NO_PARQUET)),
        }
    }

    /// A reader at the beginning, and the number of bytes.
    pub fn open(&self) -> Result<(Box<dyn Stream + '_>, u64), Diagnostic> {
        match self {
            Content::File(path) => {
                let file = fairhuman_files::open(path).map_err(|e| unreadable(&e))?;
                let length = file.metadata().map_err(|e| unreadable(&e))?.len();
                Ok((Box::new(BufReader::new(file)), length))
            }
            Content::Bytes(bytes) => Ok((Box::new(Cursor::new(bytes)), bytes.len() as u64)),
        }
    }

    /// The picture's header, after a check that the file is complete.
    pub fn header(&self, max_pixels: u64) -> Result<Header, Diagnostic> {
        let (stream, length) = self.open()?;
        read_header(stream, length, max_pixels).map_err(|error| self.foreign().err().unwrap_or(error.into()))
    }

    /// An error that names what a file is that is no picture of any kind.
    fn foreign(&self) -> Result<(), Diagnostic> {
        let mut head = Vec::new();
        let (stream, _) = self.open()?;
        stream.take(foreign::ENOUGH as u64).read_to_end(&mut head).map_err(|e| unreadable(&e))?;
        if content(&head).is_some() { Ok(()) } else { foreign::refuse(&head) }
    }

    /// Decodes a picture, whose header was read just before, and turns it by the header's orientation; with
    /// `srgb` its colours are those of sRGB, else the numbers of the file.
    pub fn decode(&self, header: &Header, srgb: bool) -> Result<Decoded, Diagnostic> {
        let mut decoded = match self {
            Content::Bytes(bytes) => fairhuman_pictures::decode(bytes, header, srgb)?,
            Content::File(_) => {
                let (stream, _) = self.open()?;
                let mut bytes = Vec::new();
                // A byte more than allowed, so that what is too long is refused and not cut.
                let most = header.most_bytes() + 1;
                stream.take(most).read_to_end(&mut bytes).map_err(|e| unreadable(&e))?;
                fairhuman_pictures::decode(&bytes, header, srgb)?
            }
        };
        decoded.image.apply_orientation(header.orientation);
        Ok(decoded)
    }

    /// BLAKE3 of the bytes.
    pub fn hash(&self) -> Result<[u8; 32], Diagnostic> {
        let mut hasher = blake3::Hasher::new();
        let (stream, length) = self.open()?;
        hasher.update_reader(stream.take(length)).map_err(|e| unreadable(&e))?;
        Ok(hasher.finalize().into())
    }
}

/// A file that ends too early.
#[cfg(feature = "parquet")]
pub(crate) fn truncated(found: &str) -> Diagnostic {
    let text = format!("the file is cut off ({found}): copy it again from its source");
    Diagnostic::new(Kind::Truncated, text)
}

impl From<PictureError> for Diagnostic {
    fn from(error: PictureError) -> Self {
        let kind = match error.problem {
            Problem::NotAPicture => Kind::NotAPicture,
            Problem::Truncated => Kind::Truncated,
            Problem::TooLarge => Kind::TooLarge,
            Problem::Unreadable => Kind::Unreadable,
        };
        Diagnostic::new(kind, error.text)
    }
}
