//! Lanes in terms of views: what belongs to a sample, as its lanes want it.

use super::Torch;
use crate::abi::{Handle, Type};
use crate::operators;
use fairhuman_engine::Lanes;

/// True if the lanes are the samples in order, whatever their objectives.
fn one_to_one(samples: &[i64], all: usize) -> bool {
    samples.len() == all && samples.iter().enumerate().all(|(i, &sample)| sample == i as i64)
}

/// True if every objective sees every sample.
pub(super) fn complete(lanes: &Lanes) -> bool {
    lanes.len() == lanes.samples() * lanes.objectives()
}

fn samples_of(lanes: &Lanes, range: std::ops::Range<usize>) -> Vec<i64> {
    range.map(|lane| lanes.sample(lane) as i64).collect()
}

impl Torch {
    /// `x [N, ...]` as `[L, ...]`: a view for one sample or one lane each, else a copy.
    pub(super) fn per_lane(&self, x: &Handle, lanes: &Lanes) -> Handle {
        let samples = samples_of(lanes, 0..lanes.len());
        if lanes.samples() == 1 {
            let mut sizes = x.sizes();
            sizes[0] = lanes.len() as i64;
            return x.expand(&sizes);
        }
        if one_to_one(&samples, lanes.samples()) {
            x.clone()
        } else {
            operators::index_select(x, 0, &self.indices(&samples))
        }
    }

    /// `g [L, ...]` and `x [N, ...]` as views of the same sizes for pointwise work, copied only where some
    /// objectives see some samples. The result is `g`'s values in their order.
    pub(super) fn pair(&self, g: &Handle, x: &Handle, lanes: &Lanes) -> (Handle, Handle) {
        if !complete(lanes) || lanes.samples() == 1 {
            return (g.clone(), self.per_lane(x, lanes));
        }
        let with_objectives = |first: i64, sizes: Vec<i64>| {
            let mut all = vec![first, lanes.samples() as i64];
            all.extend(&sizes[1..]);
            all
        };
        let objectives = lanes.objectives() as i64;
        let once = x.reshape(&with_objectives(1, x.sizes()));
        let repeated = once.expand(&with_objectives(objectives, x.sizes()));
        (g.reshape(&with_objectives(objectives, g.sizes())), repeated)
    }

    /// The parts of `g [L, ...]` and `x [N, ...]` of one objective, lane for lane.
    pub(super) fn of_objective(
        &self,
        g: &Handle,
        x: &Handle,
        lanes: &Lanes,
        objective: usize,
    ) -> (Handle, Handle) {
        let range = lanes.of_objective(objective);
        let g = g.narrow(0, range.start as i64, range.len() as i64);
        let x = match lanes.runs(objective, usize::MAX).as_slice() {
            [(run, first)] => x.narrow(0, *first as i64, run.len() as i64),
            _ => operators::index_select(x, 0, &self.indices(&samples_of(lanes, range))),
        };
        (g, x)
    }

    /// One gradient for each objective, `[K, ...]` in f32: `gradient` of those that have lanes, `sizes` each,
    /// and zeros for the others.
    pub(super) fn per_objective(
        &self,
        lanes: &Lanes,
        sizes: &[i64],
        gradient: impl Fn(usize) -> Handle,
    ) -> Handle {
        let one = [&[1], sizes].concat();
        let all: Vec<_> = (0..lanes.objectives())
            .map(|objective| {
                if lanes.of_objective(objective).is_empty() {
                    self.zeros_of(&one, Type::F32)
                } else {
                    operators::to_type(&gradient(objective), Type::F32).reshape(&one)
                }
            })
            .collect();
        match all.as_slice() {
            [alone] => alone.clone(),
            several => operators::cat(&several.iter().collect::<Vec<_>>(), 0),
        }
    }

    /// Sums of `[L, C]` in f32 over each objective's lanes, `[K, C]`.
    pub(super) fn objective_sums(&self, per_lane: &Handle, lanes: &Lanes) -> Handle {
        self.per_objective(lanes, &[per_lane.last()], |objective| {
            let range = lanes.of_objective(objective);
            let part = per_lane.narrow(0, range.start as i64, range.len() as i64);
            if range.len() == 1 { part } else { operators::sum(&part, &[0], true, Type::F32) }
        })
    }
}
