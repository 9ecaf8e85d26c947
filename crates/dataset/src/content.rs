//! The encoded bytes of a picture, from a file or from a table, behind one reader.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use crate::diagnostic::Diagnostic;
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
                let file = File::open(path).map_err(|e| unreadable(&e))?;
                let length = file.metadata().map_err(|e| unreadable(&e))?.len();
                Ok((Box::new(BufReader::new(file)), length))
            }
            Content::Bytes(bytes) => Ok((Box::new(Cursor::new(bytes)), bytes.len() as u64)),
        }
    }

    /// BLAKE3 of the bytes.
    pub fn hash(&self) -> Result<[u8; 32], Diagnostic> {
        let mut hasher = blake3::Hasher::new();
        let (stream, length) = self.open()?;
        hasher.update_reader(stream.take(length)).map_err(|e| unreadable(&e))?;
        Ok(hasher.finalize().into())
    }
}
