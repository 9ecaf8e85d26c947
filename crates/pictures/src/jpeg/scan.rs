//! Decodes the codes of a JPEG's scans, without making pixels of them, to see whether the data are whole.
//!
//! Decoders go on after damage, and leave gray what they cannot find. Huffman codes find their step again
//! after a few codes, so the signs of damage are: a code that the table has not, a coefficient beyond the
//! block or beyond what 8-bit pixels give, restart markers out of their order, blocks missing at the end of
//! the data, data left over after the last block, and components without a scan. What keeps to all of that
//! is a picture as good as another; nobody can tell it from a whole one.

use super::bits::Bits;
use super::frame::{Frame, Process};
use super::huffman::Huffman;
use crate::error::PictureError;

/// A sign of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    Code,
    Coefficient,
    Missing,
    Restart,
    Unread,
    Header,
}

impl Damage {
    fn text(self) -> &'static str {
        match self {
            Damage::Code => "a code that its table has not",
            Damage::Coefficient => "a value that no picture has",
            Damage::Missing => "the data end early",
            Damage::Restart => "its parts are not in their order",
            Damage::Unread => "data are left over",
            Damage::Header => "a scan without its tables",
        }
    }
}

/// Greatest coefficient of 8-bit pixels, with room for editors that work on coefficients; T.81 has 1,024.
const GREATEST: i32 = 2048;
/// Categories (numbers of bits) of coefficients of 8-bit pixels.
const CATEGORIES: u8 = 11;

/// Tables that hold until others replace them, and the header of the scan that comes next.
#[derive(Debug, Default)]
pub(super) struct Scans {
    quantisation: [Option<[i32; 64]>; 4],
    mean: [Option<Huffman>; 4],
    others: [Option<Huffman>; 4],
    /// Units between two restart markers; 0 for none.
    interval: usize,
    /// The content of the scan's header.
    header: Vec<u8>,
}

/// A component of a scan with its tables.
struct Part<'a> {
    /// Index of the component in the frame.
    index: usize,
    mean: Option<&'a Huffman>,
    others: Option<&'a Huffman>,
    quantisation: [i32; 64],
}

/// A scan: its components, its band and its bits.
struct Scan<'a> {
    components: Vec<Part<'a>>,
    /// First and last coefficient.
    band: (usize, usize),
    /// Bits known before, and bits that are left for later.
    high: u32,
    low: u32,
}

/// Values that are carried from block to block.
struct State<'a> {
    bits: Bits<'a>,
    /// The last mean value of each component.
    mean: [i32; 4],
    /// Blocks to come without codes.
    empty: u32,
}

impl Scans {
    pub fn quantisation(&mut self, mut content: &[u8]) {
        while let [kind, rest @ ..] = content {
            let wide = kind >> 4 != 0;
            let length = if wide { 128 } else { 64 };
            let Some((values, rest)) = rest.split_at_checked(length) else { return };
            let value = |i: usize| match wide {
                true => i32::from(u16::from_be_bytes([values[2 * i], values[2 * i + 1]])),
                false => i32::from(values[i]),
            };
            self.quantisation[usize::from(kind & 3)] = Some(std::array::from_fn(value));
            content = rest;
        }
    }

    pub fn huffman(&mut self, mut content: &[u8]) {
        while let [kind, rest @ ..] = content {
            let Some((counts, rest)) = rest.split_first_chunk::<16>() else { return };
            let length = counts.iter().map(|c| usize::from(*c)).sum();
            let Some((values, rest)) = rest.split_at_checked(length) else { return };
            let tables = if kind >> 4 == 0 { &mut self.mean } else { &mut self.others };
            tables[usize::from(kind & 3)] = Huffman::new(counts, values);
            content = rest;
        }
    }

    pub fn interval(&mut self, content: &[u8]) {
        if let [a, b, ..] = content {
            self.interval = usize::from(u16::from_be_bytes([*a, *b]));
        }
    }

    pub fn header(&mut self, content: &[u8]) {
        self.header = content.to_vec();
    }

    /// Checks the data of the scan whose header came last.
    pub fn check(&self, frame: &mut Frame, data: &[u8]) -> Result<(), PictureError> {
        if frame.process == Process::Other {
            return Ok(());
        }
        let mut done = 0.0;
        let scan = self.scan(frame).ok_or(Damage::Header);
        scan.and_then(|scan| self.blocks(&scan, frame, data, &mut done)).map_err(|damage| {
            let text = match frame.process {
                Process::Progressive => String::new(),
                _ => format!(" from about {:.0} % of its height on", 100.0 * done),
            };
            PictureError::damaged(format!(
                "its JPEG data are damaged{text} ({}): copy it again from its source",
                damage.text()
            ))
        })
    }

    /// Checks that every component had a scan, and the bits that scans left for later ones.
    pub fn finish(&self, frame: Option<&Frame>) -> Result<(), PictureError> {
        let Some(frame) = frame else {
            return Err(PictureError::damaged("its JPEG segments are damaged: it has no frame"));
        };
        if frame.process == Process::Other {
            return Ok(());
        }
        if !frame.components.iter().all(|c| c.seen) {
            return Err(PictureError::truncated("a colour component has no data"));
        }
        if frame.components.iter().any(|c| c.left != [0; 64]) {
            return Err(PictureError::truncated("its last scans are missing"));
        }
        Ok(())
    }

    /// The header of the scan with its tables; `None` if something of it is missing.
    fn scan(&self, frame: &Frame) -> Option<Scan<'_>> {
        let [count, rest @ ..] = &self.header[..] else { return None };
        let (choices, rest) = rest.split_at_checked(2 * usize::from(*count))?;
        let [first, last, bits, ..] = *rest else { return None };
        let progressive = frame.process == Process::Progressive;
        let band = if progressive { (usize::from(first), usize::from(last)) } else { (0, 63) };
        let (high, low) = if progressive { (u32::from(bits >> 4), u32::from(bits & 15)) } else { (0, 0) };
        let mut components = Vec::new();
        for [id, tables] in choices.as_chunks::<2>().0 {
            let index = frame.components.iter().position(|c| c.id == *id)?;
            let mean = self.mean.get(usize::from(tables >> 4))?.as_ref();
            let others = self.others.get(usize::from(tables & 15))?.as_ref();
            // Bits that refine mean values have no codes.
            let needs_mean = band.0 == 0 && high == 0;
            if needs_mean && mean.is_none() || band.1 > 0 && others.is_none() {
                return None;
            }
            let quantisation = self.quantisation[frame.components[index].quantisation]?;
            components.push(Part { index, mean, others, quantisation });
        }
        let several = progressive && band.0 > 0 && components.len() > 1;
        let possible =
            band.0 <= band.1 && band.1 < 64 && low < 14 && !(progressive && band.0 == 0 && band.1 > 0);
        (!components.is_empty() && possible && !several).then_some(Scan { components, band, high, low })
    }

    fn blocks(&self, scan: &Scan, frame: &mut Frame, data: &[u8], done: &mut f64) -> Result<(), Damage> {
        let mut state = State { bits: Bits::new(data), mean: [0; 4], empty: 0 };
        for part in &scan.components {
            let component = &mut frame.components[part.index];
            component.seen |= scan.band.0 == 0;
            component.left[scan.band.0..=scan.band.1].fill(scan.low);
            if frame.process == Process::Progressive && component.nonzero.is_empty() {
                let rows = frame.units.1 * component.sampling.1;
                component.nonzero = vec![0; component.stride * rows];
            }
        }
        // A component alone has no filling at the right and the bottom.
        let alone = scan.components.len() == 1;
        let units = if alone { frame.components[scan.components[0].index].blocks } else { frame.units };
        let interval = if self.interval == 0 { usize::MAX } else { self.interval };
        let mut restarts = 0u8;
        for unit in 0..units.0 * units.1 {
            let (column, row) = (unit % units.0, unit / units.0);
            *done = row as f64 / units.1 as f64;
            if unit > 0 && unit.is_multiple_of(interval) {
                if state.empty > 0 {
                    return Err(Damage::Unread);
                }
                state.bits.restart(restarts % 8)?;
                restarts = restarts.wrapping_add(1);
                state.mean = [0; 4];
            }
            for (slot, Part { index, .. }) in scan.components.iter().enumerate() {
                let (h, v) = if alone { (1, 1) } else { frame.components[*index].sampling };
                for part in 0..h * v {
                    let (x, y) = (column * h + part % h, row * v + part / h);
                    match frame.process {
                        Process::Sequential => sequential(scan, slot, &mut state)?,
                        _ => {
                            let component = &mut frame.components[*index];
                            let at = y * component.stride + x;
                            progressive(scan, slot, &mut state, &mut component.nonzero[at])?;
                        }
                    }
                }
            }
        }
        *done = 1.0;
        if state.empty > 0 { Err(Damage::Unread) } else { state.bits.finish() }
    }
}

/// Checks a coefficient by its place, without quantisation.
fn plausible(value: i32, quantisation: &[i32; 64], place: usize) -> Result<(), Damage> {
    let step = quantisation[place];
    if value.saturating_mul(step).saturating_abs() > GREATEST + 2 * step {
        return Err(Damage::Coefficient);
    }
    Ok(())
}

/// Reads a mean value, which is coded as the difference from the last one.
fn mean(scan: &Scan, slot: usize, state: &mut State) -> Result<(), Damage> {
    let Part { mean: table, quantisation, .. } = &scan.components[slot];
    let category = table.ok_or(Damage::Header)?.decode(&mut state.bits)?;
    if category > CATEGORIES {
        return Err(Damage::Coefficient);
    }
    let value = state.mean[slot] + state.bits.signed(category.into())?;
    state.mean[slot] = value;
    plausible(value << scan.low, quantisation, 0)
}

/// A block of a sequential frame.
fn sequential(scan: &Scan, slot: usize, state: &mut State) -> Result<(), Damage> {
    mean(scan, slot, state)?;
    let Part { others: table, quantisation, .. } = &scan.components[slot];
    let table = table.ok_or(Damage::Header)?;
    let mut place = 1;
    while place < 64 {
        let code = table.decode(&mut state.bits)?;
        let (run, category) = (usize::from(code >> 4), code & 15);
        if category == 0 {
            if run < 15 {
                break;
            }
            place += 16;
            continue;
        }
        place += run;
        if place > 63 || category > CATEGORIES {
            return Err(Damage::Coefficient);
        }
        plausible(state.bits.signed(category.into())?, quantisation, place)?;
        place += 1;
    }
    if place > 64 { Err(Damage::Coefficient) } else { Ok(()) }
}

/// A block of one scan of a progressive frame (T.81, annex G). `nonzero` has a bit for each coefficient.
fn progressive(scan: &Scan, slot: usize, state: &mut State, nonzero: &mut u64) -> Result<(), Damage> {
    if scan.band.0 == 0 {
        return match scan.high {
            0 => mean(scan, slot, state),
            _ => state.bits.number(1).map(|_| ()),
        };
    }
    let Part { others: table, quantisation, .. } = &scan.components[slot];
    let table = table.ok_or(Damage::Header)?;
    let mut place = scan.band.0;
    if state.empty == 0 {
        while place <= scan.band.1 {
            let code = table.decode(&mut state.bits)?;
            let (run, category) = (usize::from(code >> 4), code & 15);
            if category == 0 && run < 15 {
                state.empty = (1 << run) + state.bits.number(run as u32)? as u32;
                break;
            }
            if scan.high == 0 {
                place += run;
                if category > 0 {
                    if place > scan.band.1 || category > CATEGORIES {
                        return Err(Damage::Coefficient);
                    }
                    plausible(state.bits.signed(category.into())? << scan.low, quantisation, place)?;
                    *nonzero |= 1 << place;
                }
                place += 1;
                continue;
            }
            // A refining scan adds values of one bit only.
            if category > 1 {
                return Err(Damage::Coefficient);
            }
            if category == 1 {
                state.bits.number(1)?;
            }
            let mut zeros = run;
            while place <= scan.band.1 {
                if *nonzero & 1 << place != 0 {
                    state.bits.number(1)?;
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                place += 1;
            }
            if category == 1 {
                if place > scan.band.1 {
                    return Err(Damage::Coefficient);
                }
                *nonzero |= 1 << place;
            }
            place += 1;
        }
    }
    if state.empty > 0 {
        state.empty -= 1;
        if scan.high > 0 {
            for place in place..=scan.band.1 {
                if *nonzero & 1 << place != 0 {
                    state.bits.number(1)?;
                }
            }
        }
    }
    Ok(())
}
