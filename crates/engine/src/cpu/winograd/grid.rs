//! The geometry that all of Winograd's stages share: tiles on images, and the layout of frequencies in
//! memory.

/// Outputs along a tile's side.
pub(in crate::cpu) const OUT: usize = 4;
/// Inputs along a tile's side, and frequencies along each axis.
pub(in crate::cpu) const IN: usize = 6;
/// Frequencies of a tile.
pub(in crate::cpu) const FREQUENCIES: usize = IN * IN;

/// Distance between frequencies of `values` values each: an odd number of cache lines. The transforms access
/// all 36 at once; at a power of two they would share few cache sets.
pub(in crate::cpu) fn plane(values: usize) -> usize {
    const LINE: usize = 16;
    (values.div_ceil(LINE) | 1) * LINE
}

/// Images `[N, H, W, C]` of a convolution, and Winograd's tiles on them.
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Grid<'a> {
    pub data: &'a [f32],
    pub samples: usize,
    pub height: usize,
    pub width: usize,
    /// Zeros above and to the left of the image.
    pub top: isize,
    pub left: isize,
    /// Output height and width.
    pub out: (usize, usize),
}

impl Grid<'_> {
    /// Rows and columns of tiles on an image.
    fn tiles(&self) -> (usize, usize) {
        (self.out.0.div_ceil(OUT), self.out.1.div_ceil(OUT))
    }

    /// Number of tiles on all images.
    pub(in crate::cpu) fn count(&self) -> usize {
        self.samples * self.tiles().0 * self.tiles().1
    }

    /// Sample, and first output row and column, of a tile.
    pub(in crate::cpu) fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rows, columns) = self.tiles();
        (tile / columns / rows, tile / columns % rows * OUT, tile % columns * OUT)
    }
}

/// Terms that are added to the result.
#[derive(Clone, Copy, Default)]
pub(in crate::cpu) struct Addends<'a> {
    /// `[O]`.
    pub bias: Option<&'a [f32]>,
    /// `[N, O]`.
    pub shift: Option<&'a [f32]>,
    /// `[N, H', W', O]`.
    pub residual: Option<&'a [f32]>,
    /// Add to what y holds.
    pub accumulate: bool,
}
