//! The largest numbers that a recipe may have: far beyond any use, and small enough that a slip of the finger
//! neither overflows nor asks for more memory or time than there is. Of those that something is multiplied or
//! divided by also the smallest.

/// Steps of training, of warm-up.
pub const STEPS: u64 = 1_000_000_000;
/// Samples per pass.
pub const BATCH: usize = 4096;
/// Passes per step.
pub const ACCUMULATION: usize = 65_536;
/// Threads: a machine that is asked for thousands stands still.
pub const THREADS: usize = 512;
/// Time steps per held-out picture.
pub const DRAWS: usize = 1000;
/// Pixels of a picture's side.
pub const SIDE: u32 = 16_384;
/// Steps from noise to picture.
pub const SAMPLING_STEPS: usize = 10_000;
/// Layers of a text encoder.
pub const CLIP_SKIP: usize = 64;
/// Scale of guidance.
pub const GUIDANCE: f64 = 1000.0;
/// Learning rate, weight decay: the update is made in f32.
pub const RATE: f64 = 1e30;
/// Factors of losses and adapters.
pub const FACTOR: f64 = 1e6;
/// The smallest of them, and of norms: with less nothing is learnt.
pub const LEAST: f64 = 1e-9;
/// The number that AdamW adds to the root of the second moment, from and to: the update is made in f32, where
/// less would be nothing, and with more nothing moves.
pub const EPS: (f64, f64) = (1e-30, 1.0);
