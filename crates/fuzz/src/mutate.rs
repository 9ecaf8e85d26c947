//! Mutations of whole files: a pure function of the seeds and a number, so that a failure can be repeated.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// Values at which readers break: in files that hold little-endian numbers, and as text.
const NUMBERS: [i64; 14] = [
    0,
    1,
    -1,
    2,
    127,
    255,
    65_535,
    1 << 24,
    i32::MAX as i64,
    1 << 31,
    u32::MAX as i64,
    1 << 40,
    i64::MAX,
    i64::MIN,
];

/// Pieces of text formats.
const WORDS: [&str; 24] = [
    "null",
    "NaN",
    "-Infinity",
    "1e308",
    "-0.0",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\"",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "\u{200b}",
    "\n",
    "\r\n",
    ",",
    "=",
    "[[a]]",
    "../",
    "/dev/zero",
    "\u{1b}[31m",
    "e\u{301}",
];

/// Depths to which brackets are nested.
const DEPTHS: [usize; 3] = [8, 200, 100_000];

/// The largest mutated file, in bytes.
const LONGEST: usize = 4 << 20;

/// Mutation `number` of the seeds: one of them, changed in one to six places. Mutation 0 to `seeds.len() - 1`
/// are the seeds themselves.
pub fn mutation(seeds: &[Vec<u8>], seed: u64, number: u64) -> Vec<u8> {
    if let Some(whole) = usize::try_from(number).ok().and_then(|number| seeds.get(number)) {
        return whole.clone();
    }
    let mut random = Random::new(seed, number);
    let Some(mut bytes) = random.choose(seeds).cloned() else {
        return Vec::new();
    };
    for _ in 0..1 + random.below(6) {
        change(&mut bytes, seeds, &mut random);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let (from, to) = random.range(bytes.len());
    match random.below(12) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte ^= 1 << random.below(8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte = random.below(256) as u8;
            }
        }
        3 => bytes.truncate(from),
        4 => {
            bytes.drain(from..to);
        }
        5 => {
            let copy = bytes[from..to].to_vec();
            bytes.splice(from..from, copy);
        }
        6 => bytes[from..to].fill(0),
        7 => {
            let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
            let width = [1, 2, 4, 8][random.below(4)];
            for (byte, new) in bytes.iter_mut().skip(from).zip(&number[..width]) {
                *byte = *new;
            }
        }
        8 => {
            let other = random.choose(seeds).map_or(&[][..], |other| other);
            let (start, end) = random.range(other.len());
            bytes.splice(from..from, other[start..end].iter().copied());
        }
        9 => {
            let number = NUMBERS[random.below(NUMBERS.len())].to_string();
            replace_digits(bytes, from, number.as_bytes());
        }
        10 => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(from..from, word.bytes());
        }
        _ => {
            let depth = DEPTHS[random.below(DEPTHS.len())];
            let open: &[u8] = [&b"["[..], b"{\"a\":", b"(", b"\x0a\x7f"][random.below(4)];
            bytes.splice(from..from, open.repeat(depth));
        }
    }
}

/// Replaces the first run of digits at or after `from`.
fn replace_digits(bytes: &mut Vec<u8>, from: usize, number: &[u8]) {
    let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|i| from + i) else {
        return;
    };
    let length = bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    bytes.splice(start..start + length, number.iter().copied());
}

struct Random(ChaCha8Rng);

impl Random {
    fn new(seed: u64, number: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number);
        Self(random)
    }

    /// A number below `end`; 0 if that is 0. The bias of the remainder does not matter here.
    fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end.max(1) as u64) as usize
    }

    /// A range of positions, both at most `length`; mostly short ones.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let from = self.below(length);
        let longest = if self.below(4) == 0 { length } else { 64 };
        (from, length.min(from + self.below(longest)))
    }

    fn choose<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}
