//! The bits of a scan's data: stuffed bytes are taken out, and a restart marker ends them.

use super::scan::Damage;
use super::segments::marker;

/// Bytes after the last code that may be left: some encoders fill up a buffer, some editors leave a note.
const LEFT: usize = 64;
/// Left bytes that are all zero or all ones, which fill a sector.
const FILL: usize = 512;

/// A reader of bits.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    /// Number of bits in the buffer.
    count: u32,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Bits { data, at: 0, buffer: 0, count: 0 }
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let Some(&byte) = self.data.get(self.at) else { return };
            let mut next = self.at + 1;
            if byte == 0xff {
                while self.data.get(next) == Some(&0xff) {
                    next += 1;
                }
                if self.data.get(next) != Some(&0) {
                    return;
                }
                next += 1;
            }
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.at = next;
        }
    }

    /// The next 16 bits; zeros after the last one.
    pub fn peek(&mut self) -> u16 {
        if self.count < 16 {
            self.fill();
        }
        (self.buffer >> 48) as u16
    }

    /// Takes bits that were seen.
    pub fn take(&mut self, bits: u32) -> Result<(), Damage> {
        if bits > self.count {
            return Err(Damage::Missing);
        }
        self.buffer <<= bits;
        self.count -= bits;
        Ok(())
    }

    /// The number in the next `bits`, at most 16.
    pub fn number(&mut self, bits: u32) -> Result<i32, Damage> {
        if bits == 0 {
            return Ok(0);
        }
        let value = i32::from(self.peek() >> (16 - bits));
        self.take(bits)?;
        Ok(value)
    }

    /// The signed number of the category `bits`: T.81's EXTEND.
    pub fn signed(&mut self, bits: u32) -> Result<i32, Damage> {
        let value = self.number(bits)?;
        let least = if bits == 0 { 0 } else { 1 << (bits - 1) };
        Ok(if value < least { value - (1 << bits) + 1 } else { value })
    }

    /// Passes the restart marker of this number, from 0 to 7.
    pub fn restart(&mut self, number: u8) -> Result<(), Damage> {
        let rest = &self.data[self.at..];
        let found = rest.windows(2).position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xff));
        let Some(found) = found else { return Err(Damage::Missing) };
        if !self.is_fill(found) || rest[found + 1] != marker::RESTART_FIRST + number {
            return Err(Damage::Restart);
        }
        *self = Bits { data: self.data, at: self.at + found + 2, buffer: 0, count: 0 };
        Ok(())
    }

    /// Checks that nothing but filling comes after the last code. A restart marker may be the last.
    pub fn finish(&self) -> Result<(), Damage> {
        let rest = &self.data[self.at..];
        let restart = marker::RESTART_FIRST..=marker::RESTART_LAST;
        let ends = matches!(rest, [.., 0xff, mark] if restart.contains(mark));
        let left = rest.len() - if ends { 2 } else { 0 };
        if self.is_fill(left) { Ok(()) } else { Err(Damage::Unread) }
    }

    /// True if the whole bytes in the buffer and the next `left` ones may be left over.
    fn is_fill(&self, left: usize) -> bool {
        let buffered = (self.count / 8) as usize;
        let bytes = &self.data[self.at.saturating_sub(buffered)..self.at + left];
        let all = |value: u8| bytes.len() <= FILL && bytes.iter().all(|b| *b == value);
        bytes.len() <= LEFT || all(0) || all(0xff)
    }
}
