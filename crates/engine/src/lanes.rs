//! Lanes: the (objective, sample) pairs that a backward pass carries.
//!
//! Several objectives of one prediction need several vector-Jacobian products of one forward pass. A *lane*
//! is one (objective, sample) pair that has pixels. A cotangent of an activation `[N, ...]` is one tensor
//! `[L, ...]`, lanes sorted by objective and then by sample; [`Lanes`] maps each lane to its objective and
//! sample. An objective without pixels has no lanes and costs nothing.

use std::ops::Range;

/// The lanes of one backward pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lanes {
    samples: usize,
    sample_of: Vec<usize>,
    ranges: Vec<Range<usize>>,
    by_sample: Vec<Vec<usize>>,
}

impl Lanes {
    /// Lanes from the samples of each objective: `present[k]` lists those where objective `k` has pixels.
    ///
    /// # Panics
    /// If a list is not strictly ascending or names a sample outside `0..samples`.
    pub fn new(samples: usize, present: &[Vec<usize>]) -> Self {
        let mut sample_of = Vec::new();
        let mut ranges = Vec::new();
        let mut by_sample = vec![Vec::new(); samples];
        for list in present {
            assert!(list.windows(2).all(|w| w[0] < w[1]), "samples of an objective must ascend");
            let start = sample_of.len();
            for &sample in list {
                by_sample[sample].push(sample_of.len());
                sample_of.push(sample);
            }
            ranges.push(start..sample_of.len());
        }
        Self { samples, sample_of, ranges, by_sample }
    }

    /// One objective with all samples: an ordinary backward pass.
    pub fn single(samples: usize) -> Self {
        Self::new(samples, &[(0..samples).collect()])
    }

    /// Number of samples `N` of the forward pass.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Number of lanes `L`.
    pub fn len(&self) -> usize {
        self.sample_of.len()
    }

    /// True if no objective has any sample.
    pub fn is_empty(&self) -> bool {
        self.sample_of.is_empty()
    }

    /// Number of objectives `K`, absent ones included.
    pub fn objectives(&self) -> usize {
        self.ranges.len()
    }

    /// The sample of a lane.
    pub fn sample(&self, lane: usize) -> usize {
        self.sample_of[lane]
    }

    /// The lanes of an objective; empty where it is absent.
    pub fn of_objective(&self, objective: usize) -> Range<usize> {
        self.ranges[objective].clone()
    }

    /// The lanes of an objective in runs of at most `most` on consecutive samples, each with its first
    /// sample: the values of such lanes and samples are contiguous.
    pub fn runs(&self, objective: usize, most: usize) -> Vec<(Range<usize>, usize)> {
        let mut runs: Vec<(Range<usize>, usize)> = Vec::new();
        for lane in self.of_objective(objective) {
            let sample = self.sample(lane);
            match runs.last_mut() {
                Some((run, first)) if run.len() < most && *first + run.len() == sample => run.end += 1,
                _ => runs.push((lane..lane + 1, sample)),
            }
        }
        runs
    }

    /// The lanes of a sample, ascending.
    pub fn of_sample(&self, sample: usize) -> &[usize] {
        &self.by_sample[sample]
    }
}

#[cfg(test)]
mod tests {
    use super::Lanes;

    #[test]
    fn runs_end_where_a_sample_is_left_out_or_enough_are_together() {
        let lanes = Lanes::new(6, &[vec![0, 1, 3, 4, 5], vec![], vec![2]]);
        assert_eq!(lanes.runs(0, 9), [(0..2, 0), (2..5, 3)]);
        assert_eq!(lanes.runs(0, 2), [(0..2, 0), (2..4, 3), (4..5, 5)]);
        assert!(lanes.runs(1, 9).is_empty());
        assert_eq!(lanes.runs(2, 9), [(5..6, 2)]);
    }
}
