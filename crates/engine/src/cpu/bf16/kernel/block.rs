//! A block of C: the unit of work that every kernel computes.

/// Rows of A that are taken together.
pub(in crate::cpu) const GROUP: usize = 16;
/// Values of k in a line: 16 pairs.
pub(in crate::cpu) const STEP: usize = 32;
/// Rows and columns of a block.
pub(in crate::cpu) const SIDE: usize = 32;

/// 32 values of bfloat16: of a row of A, 32 consecutive k; of a panel of B, two k of each of its 16 columns,
/// pair by pair.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(in crate::cpu) struct Line(pub [u16; STEP]);

/// Sums of a block of C.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(in crate::cpu) struct Sums(pub [[f32; SIDE]; SIDE]);

/// One block's operands: one or two groups of rows times one or two panels.
pub(in crate::cpu) struct Block {
    /// First rows of the groups, at the first k; row `i` of a group is `i * a_row` lines further on.
    pub a: [*const Line; 2],
    pub a_row: usize,
    /// Groups, 1 or 2.
    pub groups: usize,
    /// Lines of the first panel, 16 for each step; those of the second are `b_next` further on.
    pub b: *const Line,
    pub b_next: usize,
    /// Panels, 1 or 2.
    pub panels: usize,
    /// Depth in steps of 32 values.
    pub steps: usize,
    /// Result. What is beyond the groups and panels may be anything afterwards.
    pub sums: *mut Sums,
    /// Add to the result what it holds.
    pub accumulate: bool,
}

/// Computes a block.
///
/// # Safety
/// For every group, its 16 rows of `steps` lines can be read; for every panel, `16 * steps` lines; `sums` can
/// be written, and no other thread accesses it meanwhile. The machine has the instructions that the function
/// is compiled for, and [`super::Kernel::session`] has prepared this thread.
pub(in crate::cpu) type BlockFn = unsafe fn(&Block);
