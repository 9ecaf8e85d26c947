//! Warnings about a mask's pixels: empty, full, inverted or soft masks.

use crate::diagnostic::Kind;

/// Share of a mask's outermost pixels that are white, from which it looks inverted.
const INVERTED_BORDER: f64 = 0.75;
/// Gray pixels per pixel of the region's outline, from which a mask is soft. An anti-aliased edge has about
/// one.
const SOFT_EDGE: usize = 3;
/// Different gray levels, from which gray is not a flat partial cover.
const SOFT_LEVELS: usize = 8;

/// The kinds and messages of what looks wrong, worst first. `mask` is `[H, W]` with `width` columns.
pub(super) fn inspect(mask: &[u8], width: usize) -> Vec<(Kind, String)> {
    let white = mask.iter().filter(|v| **v >= 128).count();
    let total = mask.len();
    if mask.iter().all(|v| *v == 0) {
        let text = "is all black: this picture has no such region";
        return vec![(Kind::MaskEmpty, text.into())];
    }
    if white == total {
        let text =
            "is all white: the region is the whole picture, and its objective the same as the global one";
        return vec![(Kind::MaskFull, text.into())];
    }
    let mut found = Vec::new();
    let share = white as f64 / total.max(1) as f64;
    let border = border(mask, width);
    if share > 0.5 && border >= INVERTED_BORDER {
        let text = format!(
            "looks inverted: {:.0} % of it and {:.0} % of its border are white; white must be the region",
            100.0 * share,
            100.0 * border
        );
        found.push((Kind::MaskInverted, text));
    }
    let gray = mask.iter().filter(|v| (16..240).contains(*v)).count();
    let mut seen = [false; 256];
    mask.iter().for_each(|v| seen[usize::from(*v)] = true);
    let levels = seen[16..240].iter().filter(|s| **s).count();
    if levels >= SOFT_LEVELS && gray > SOFT_EDGE * outline(mask, width) {
        let text = format!(
            "is soft: {:.0} % of its pixels are gray, in {levels} levels; gray counts as partial cover, so the \
             region reaches as far as the gray does",
            100.0 * gray as f64 / total.max(1) as f64
        );
        found.push((Kind::MaskSoft, text));
    }
    found
}

/// The share of the outermost pixels that are white.
fn border(mask: &[u8], width: usize) -> f64 {
    let rows: Vec<&[u8]> = mask.chunks_exact(width.max(1)).collect();
    let ends = rows.first().into_iter().chain(rows.last()).flat_map(|row| row.iter());
    let sides = rows.iter().flat_map(|row| row.first().into_iter().chain(row.last()));
    let (mut white, mut all) = (0, 0);
    for value in ends.chain(sides) {
        white += usize::from(*value >= 128);
        all += 1;
    }
    f64::from(white as u32) / f64::from(all.max(1))
}

/// White pixels with a darker neighbour to the right, left, above or below.
fn outline(mask: &[u8], width: usize) -> usize {
    let dark = |i: Option<usize>| i.and_then(|i| mask.get(i)).is_some_and(|v| *v < 128);
    let edge = |i: usize| {
        let column = i % width.max(1);
        mask[i] >= 128
            && (dark(i.checked_sub(width))
                || dark(i.checked_add(width))
                || column > 0 && dark(i.checked_sub(1))
                || column + 1 < width && dark(Some(i + 1)))
    };
    (0..mask.len()).filter(|i| edge(*i)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(value: impl Fn(f32, f32) -> f32) -> Vec<Kind> {
        let pixels = (0..64 * 64).map(|i| value((i % 64) as f32, (i / 64) as f32).clamp(0.0, 255.0) as u8);
        inspect(&pixels.collect::<Vec<_>>(), 64).into_iter().map(|(kind, _)| kind).collect()
    }

    fn disc(radius: f32, edge: f32) -> impl Fn(f32, f32) -> f32 {
        move |x, y| ((radius - (x - 31.0).hypot(y - 31.0)) / edge + 0.5) * 255.0
    }

    #[test]
    fn clean_masks_raise_no_warning() {
        assert!(kinds(disc(10.0, 0.01)).is_empty());
        assert!(kinds(disc(10.0, 1.0)).is_empty(), "anti-aliased");
        assert!(kinds(disc(2.5, 1.0)).is_empty(), "small and anti-aliased");
        assert!(kinds(|x, _| if x < 40.0 { 255.0 } else { 0.0 }).is_empty(), "a close-up");
        assert!(
            kinds(|x, _| if x < 40.0 { 246.0 + x % 9.0 } else { x % 7.0 }).is_empty(),
            "a JPEG's ripples"
        );
    }

    #[test]
    fn each_warning_is_raised_by_its_mask() {
        assert_eq!(kinds(|_, _| 0.0), [Kind::MaskEmpty]);
        assert_eq!(kinds(|_, _| 255.0), [Kind::MaskFull]);
        let inverted = disc(10.0, 1.0);
        assert_eq!(kinds(move |x, y| 255.0 - inverted(x, y)), [Kind::MaskInverted]);
        assert_eq!(kinds(disc(10.0, 16.0)), [Kind::MaskSoft]);
    }
}
