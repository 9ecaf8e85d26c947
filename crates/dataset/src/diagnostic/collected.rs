//! Many diagnostics: the first of every kind are kept, the rest is counted.
//!
//! A list of a million pictures that are not there is one mistake, and need not take gigabytes to tell.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::{Diagnostic, Kind, Severity};

/// Diagnostics of one kind and severity that are kept.
const KEPT: usize = 10_000;

/// Diagnostics in the order in which they were found, at most [`KEPT`] of a kind and severity.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Diagnostics {
    kept: Vec<Diagnostic>,
    counts: BTreeMap<(Severity, Kind), usize>,
}

impl Diagnostics {
    /// Keeps or counts a diagnostic.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let count = self.counts.entry((diagnostic.severity, diagnostic.kind)).or_default();
        *count += 1;
        if *count <= KEPT {
            self.kept.push(diagnostic);
        }
    }

    /// Takes over diagnostics, counts included.
    pub fn append(&mut self, other: Diagnostics) {
        let mut kept: BTreeMap<_, usize> = BTreeMap::new();
        for diagnostic in other.kept {
            *kept.entry((diagnostic.severity, diagnostic.kind)).or_default() += 1;
            self.push(diagnostic);
        }
        for (kind, count) in other.counts {
            *self.counts.entry(kind).or_default() += count - kept.get(&kind).copied().unwrap_or(0);
        }
    }

    /// The numbers of each severity and kind, kept or not.
    pub fn counts(&self) -> &BTreeMap<(Severity, Kind), usize> {
        &self.counts
    }

    /// The number of a severity, kept or not.
    pub fn count(&self, severity: Severity) -> usize {
        self.counts.iter().filter(|((s, _), _)| *s == severity).map(|(_, n)| n).sum()
    }

    /// Changes what is kept; severities and kinds must stay.
    pub fn map(mut self, change: impl FnMut(Diagnostic) -> Diagnostic) -> Self {
        self.kept = self.kept.into_iter().map(change).collect();
        self
    }

    /// The errors that are kept, and the others.
    pub fn into_errors_and_rest(self) -> (Vec<Diagnostic>, Vec<Diagnostic>) {
        self.kept.into_iter().partition(|d| d.severity == Severity::Error)
    }

    /// The diagnostics that are kept.
    pub fn into_kept(self) -> Vec<Diagnostic> {
        self.kept
    }
}

impl Deref for Diagnostics {
    type Target = [Diagnostic];

    fn deref(&self) -> &[Diagnostic] {
        &self.kept
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<T: IntoIterator<Item = Diagnostic>>(&mut self, diagnostics: T) {
        diagnostics.into_iter().for_each(|d| self.push(d));
    }
}

impl FromIterator<Diagnostic> for Diagnostics {
    fn from_iter<T: IntoIterator<Item = Diagnostic>>(diagnostics: T) -> Self {
        let mut all = Diagnostics::default();
        all.extend(diagnostics);
        all
    }
}
