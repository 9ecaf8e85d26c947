//! Whether a refined region is kept.

/// Loss of score from which the original is better: less is within what detectors vary by.
const TOLERANCE: f64 = 0.1;

/// The fate of a refined region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The new one is as good or better.
    Kept,
    /// It was found before and is not found any more: the original stays.
    Lost,
    /// Its score fell clearly: the original stays.
    Worse,
    /// Nobody looked.
    Unchecked,
}

impl Verdict {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Lost => "lost",
            Self::Worse => "worse",
            Self::Unchecked => "unchecked",
        }
    }

    /// True if the refined region replaces the original.
    pub fn replaces(self) -> bool {
        matches!(self, Self::Kept | Self::Unchecked)
    }
}

/// The verdict on a region that was found with score `before` and is found with `after`; none: not found.
pub fn verdict(before: Option<f64>, after: Option<f64>) -> Verdict {
    match (before, after) {
        (None, _) => Verdict::Kept,
        (Some(_), None) => Verdict::Lost,
        (Some(before), Some(after)) if after < before - TOLERANCE => Verdict::Worse,
        _ => Verdict::Kept,
    }
}
