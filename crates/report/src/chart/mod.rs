//! Charts as SVG that stretches to the width of the page, with labels that do not.
//!
//! The drawing is stretched in both directions (`preserveAspectRatio="none"`), lines keep their width, and
//! all text is HTML beside it: the same chart is readable on a telephone and on a wide screen.

mod line;
mod scale;
mod thin;

pub use line::{LineChart, Series};
pub use scale::Scale;
pub use thin::{envelope, smooth, thin};

/// A step and a value; a value that is not finite is a gap.
pub type Point = (f64, f64);

/// The values of `points` without the most extreme ones: spikes of a few steps must not flatten the rest.
pub fn bulk(points: &[Point]) -> impl Iterator<Item = f64> {
    let mut values: Vec<f64> = points.iter().map(|p| p.1).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let cut = values.len() / 100;
    let kept = values.len() - cut;
    values.into_iter().take(kept).skip(cut)
}
