//! A bounds-checked reader of the parts of FlatBuffers that `.tflite` files use.
//!
//! The generated code for TensorFlow Lite's schema is 15,000 lines, of which this crate would use twenty
//! tables, and its unverified accessors are `unsafe`. Model files may be damaged, so every offset is checked
//! here and a bad file is an error.
//!
//! Layout (FlatBuffers "internals" document): a table starts with a signed offset back to its
//! vtable; the vtable lists, per field, the offset from the table's start, 0 for a missing field;
//! strings, vectors and sub-tables are reached through unsigned relative offsets.

/// An offset beyond the end of the file, with the position where it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an offset leaves the file at byte {0}")]
pub struct OutOfFile(pub usize);

type Result<T> = std::result::Result<T, OutOfFile>;

/// A table: the file and the position of the table in it.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    file: &'a [u8],
    at: usize,
}

/// A vector: position of its first element and its length in elements.
#[derive(Clone, Copy)]
pub struct Vector<'a> {
    file: &'a [u8],
    at: usize,
    /// Number of elements.
    pub len: usize,
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    at.checked_add(N)
        .and_then(|end| file.get(at..end))
        .and_then(|slice| slice.try_into().ok())
        .ok_or(OutOfFile(at))
}

fn follow(file: &[u8], at: usize) -> Result<usize> {
    let offset = u32::from_le_bytes(bytes(file, at)?) as usize;
    at.checked_add(offset).filter(|&target| target < file.len()).ok_or(OutOfFile(at))
}

/// The root table of a FlatBuffers file.
pub fn root(file: &[u8]) -> Result<Table<'_>> {
    Ok(Table { file, at: follow(file, 0)? })
}

impl<'a> Table<'a> {
    /// Position of field number `slot`; `None` if the file has the default.
    fn field(&self, slot: usize) -> Result<Option<usize>> {
        let back = i32::from_le_bytes(bytes(self.file, self.at)?) as i64;
        let vtable = usize::try_from(self.at as i64 - back).map_err(|_| OutOfFile(self.at))?;
        let size = u16::from_le_bytes(bytes(self.file, vtable)?) as usize;
        let entry = 4 + 2 * slot;
        if entry + 2 > size {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(bytes(self.file, vtable + entry)?) as usize;
        Ok((offset != 0).then_some(self.at + offset))
    }

    /// A signed 8-bit field, as enums and booleans are stored.
    pub fn i8(&self, slot: usize) -> Result<i8> {
        match self.field(slot)? {
            Some(at) => Ok(i8::from_le_bytes(bytes(self.file, at)?)),
            None => Ok(0),
        }
    }

    /// A 32-bit field with its schema default.
    pub fn i32(&self, slot: usize, default: i32) -> Result<i32> {
        match self.field(slot)? {
            Some(at) => Ok(i32::from_le_bytes(bytes(self.file, at)?)),
            None => Ok(default),
        }
    }

    /// A sub-table, if the file has it.
    pub fn table(&self, slot: usize) -> Result<Option<Table<'a>>> {
        match self.field(slot)? {
            Some(at) => Ok(Some(Table { file: self.file, at: follow(self.file, at)? })),
            None => Ok(None),
        }
    }

    /// A vector of elements of `size` bytes; empty if the file has none.
    pub fn vector(&self, slot: usize, size: usize) -> Result<Vector<'a>> {
        let Some(field) = self.field(slot)? else {
            return Ok(Vector { file: self.file, at: 0, len: 0 });
        };
        let at = follow(self.file, field)?;
        let len = u32::from_le_bytes(bytes(self.file, at)?) as usize;
        let end = len.checked_mul(size).and_then(|n| n.checked_add(at + 4));
        match end {
            Some(end) if end <= self.file.len() => Ok(Vector { file: self.file, at: at + 4, len }),
            _ => Err(OutOfFile(at)),
        }
    }

    /// All sub-tables of a vector of tables.
    pub fn tables(&self, slot: usize) -> Result<Vec<Table<'a>>> {
        let vector = self.vector(slot, 4)?;
        (0..vector.len)
            .map(|i| Ok(Table { file: self.file, at: follow(self.file, vector.at + 4 * i)? }))
            .collect()
    }

    /// A vector of 32-bit integers.
    pub fn i32s(&self, slot: usize) -> Result<Vec<i32>> {
        Ok(self.vector(slot, 4)?.i32s())
    }

    /// The bytes of a vector of bytes or of a string.
    pub fn bytes(&self, slot: usize) -> Result<&'a [u8]> {
        Ok(self.vector(slot, 1)?.bytes(1))
    }

    /// A string; invalid UTF-8 is replaced.
    pub fn string(&self, slot: usize) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes(slot)?).into_owned())
    }
}

impl<'a> Vector<'a> {
    /// The vector's bytes, with elements of `size` bytes (bounds were checked on creation).
    pub fn bytes(&self, size: usize) -> &'a [u8] {
        &self.file[self.at..self.at + self.len * size]
    }

    /// The elements as 32-bit integers.
    pub fn i32s(&self) -> Vec<i32> {
        let (words, _) = self.bytes(4).as_chunks::<4>();
        words.iter().map(|w| i32::from_le_bytes(*w)).collect()
    }
}
