//! Huffman tables of JPEG (T.81, annex C and F.2.2.3): from code lengths to a reader of codes.

use super::bits::Bits;
use super::scan::Damage;

/// Bits of the codes that one look at a table decodes.
const FAST: u32 = 9;

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Huffman {
    /// For every beginning of [`FAST`] bits the code's length, times 256, and its value; 0 for longer codes.
    fast: Vec<u16>,
    /// The greatest code of each length, and what makes an index of values of it; -1 without codes.
    longest: [(i32, i32); 17],
    values: Vec<u8>,
}

impl Huffman {
    /// The table of the numbers of codes of each length, and their values; `None` if there is no such code.
    pub fn new(counts: &[u8; 16], values: &[u8]) -> Option<Self> {
        let mut table = Huffman { fast: vec![0; 1 << FAST], longest: [(-1, 0); 17], values: values.to_vec() };
        let (mut code, mut index) = (0u32, 0usize);
        for (length, count) in (1u32..).zip(counts) {
            let first = (code, index);
            for _ in 0..*count {
                let value = *values.get(index)?;
                if code >= 1 << length {
                    return None;
                }
                if length <= FAST {
                    let from = (code << (FAST - length)) as usize;
                    table.fast[from..from + (1 << (FAST - length))]
                        .fill((length as u16) << 8 | u16::from(value));
                }
                code += 1;
                index += 1;
            }
            if *count > 0 {
                table.longest[length as usize] = (code as i32 - 1, first.1 as i32 - first.0 as i32);
            }
            code <<= 1;
        }
        Some(table)
    }

    /// The value of the next code.
    #[inline]
    pub fn decode(&self, bits: &mut Bits) -> Result<u8, Damage> {
        let next = bits.peek();
        let fast = self.fast[usize::from(next >> (16 - FAST))];
        if fast != 0 {
            bits.take(u32::from(fast >> 8))?;
            return Ok(fast as u8);
        }
        for length in FAST + 1..=16 {
            let code = i32::from(next >> (16 - length));
            let (greatest, offset) = self.longest[length as usize];
            if code <= greatest {
                bits.take(length)?;
                let value = usize::try_from(code + offset).ok().and_then(|i| self.values.get(i));
                return value.copied().ok_or(Damage::Code);
            }
        }
        // Filled up with zeros, the rest of data that end may be any code.
        bits.take(16)?;
        Err(Damage::Code)
    }
}
