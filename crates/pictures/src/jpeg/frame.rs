//! A JPEG's frame header: size, process, and the components with their sampling.

use crate::error::PictureError;

/// Coding of a frame's coefficients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Huffman codes, each block in one scan: baseline and extended.
    Sequential,
    /// Huffman codes, in several scans of bands and bits.
    Progressive,
    /// Arithmetic codes, lossless, hierarchical, 12 bits: none that decoders here read.
    Other,
}

/// A colour component.
#[derive(Debug, Clone)]
pub(super) struct Component {
    pub id: u8,
    /// Sampling factors, horizontal and vertical.
    pub sampling: (usize, usize),
    /// Number of its quantisation table.
    pub quantisation: usize,
    /// Columns and rows of blocks with pixels.
    pub blocks: (usize, usize),
    /// Columns of blocks, those that fill up the last unit included.
    pub stride: usize,
    /// True once a scan with its mean values was read.
    pub seen: bool,
    /// For each coefficient the number of low bits that scans so far have left for later ones.
    pub left: [u32; 64],
    /// For progressive frames: a bit for each coefficient of each block that is not zero so far.
    pub nonzero: Vec<u64>,
}

/// A frame.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub process: Process,
    pub components: Vec<Component>,
    /// Columns and rows of units: the least that holds whole blocks of all components.
    pub units: (usize, usize),
}

impl Frame {
    /// Reads the content of a frame header's segment.
    pub fn read(mark: u8, content: &[u8]) -> Result<Frame, PictureError> {
        let damaged = || PictureError::damaged("its JPEG segments are damaged");
        let [precision, h1, h2, w1, w2, count, rest @ ..] = content else { return Err(damaged()) };
        let size = (usize::from(u16::from_be_bytes([*w1, *w2])), usize::from(u16::from_be_bytes([*h1, *h2])));
        let process = match (mark, precision) {
            (0xc0 | 0xc1, 8) => Process::Sequential,
            (0xc2, 8) => Process::Progressive,
            _ => Process::Other,
        };
        let components = rest.as_chunks::<3>().0;
        if components.len() < usize::from(*count) {
            return Err(damaged());
        }
        let components = &components[..usize::from(*count)];
        let sampling = |c: &[u8; 3]| (usize::from(c[1] >> 4), usize::from(c[1] & 15));
        let possible = |(h, v): (usize, usize)| (1..=4).contains(&h) && (1..=4).contains(&v);
        if components.is_empty() || components.len() > 4 || !components.iter().all(|c| possible(sampling(c)))
        {
            return Err(damaged());
        }
        let h = components.iter().map(|c| sampling(c).0).max().unwrap_or(1);
        let v = components.iter().map(|c| sampling(c).1).max().unwrap_or(1);
        let units = (size.0.div_ceil(8 * h), size.1.div_ceil(8 * v));
        let component = |c: &[u8; 3]| {
            let (ch, cv) = sampling(c);
            Component {
                id: c[0],
                sampling: (ch, cv),
                quantisation: usize::from(c[2] & 3),
                blocks: ((size.0 * ch).div_ceil(h).div_ceil(8), (size.1 * cv).div_ceil(v).div_ceil(8)),
                stride: units.0 * ch,
                seen: false,
                left: [0; 64],
                nonzero: Vec::new(),
            }
        };
        Ok(Frame { process, components: components.iter().map(component).collect(), units })
    }
}
