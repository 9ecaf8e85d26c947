//! Which process owns which parameter, and the order in which gradients are sent.

use fairhuman_engine::{Backend, ParamId, Params};

/// Values of gradients in a bucket, of all objectives together: 16 MiB as f32. Large enough that a message's
/// fixed cost is nothing beside its bytes, small enough that the first one leaves early in a backward pass.
const BUCKET: usize = 4 << 20;

/// The owners of all parameters, and their gradients in buckets. The same in all processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shards {
    owners: Vec<usize>,
    buckets: Vec<Vec<ParamId>>,
}

impl Shards {
    /// Deals `params` to `size` processes. Buckets are in the order of a backward pass, which reaches the
    /// last parameters first, and each is dealt as evenly as its tensors allow; so is the whole.
    pub fn new<B: Backend>(params: &Params<B>, objectives: usize, size: usize) -> Self {
        let values: Vec<usize> = params.iter().map(|param| B::shape(&param.value).iter().product()).collect();
        let mut buckets: Vec<Vec<ParamId>> = Vec::new();
        let mut filled = usize::MAX;
        for id in (0..values.len()).rev() {
            if filled >= BUCKET {
                buckets.push(Vec::new());
                filled = 0;
            }
            filled += values[id] * objectives.max(1);
            buckets.last_mut().into_iter().for_each(|bucket| bucket.push(ParamId(id)));
        }
        let mut owners = vec![0; values.len()];
        let mut owned = vec![0; size.max(1)];
        for bucket in &buckets {
            let mut largest = bucket.clone();
            largest.sort_by_key(|id| std::cmp::Reverse(values[id.0]));
            for id in largest {
                let owner = (0..owned.len()).min_by_key(|&rank| owned[rank]).unwrap_or_default();
                owners[id.0] = owner;
                owned[owner] += values[id.0];
            }
        }
        Self { owners, buckets }
    }

    /// The rank that owns a parameter.
    pub fn owner(&self, id: ParamId) -> usize {
        self.owners[id.0]
    }

    /// The buckets, in the order in which they are sent.
    pub fn buckets(&self) -> &[Vec<ParamId>] {
        &self.buckets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fairhuman_engine::Reference;

    #[test]
    fn every_parameter_has_a_place_and_the_ranks_have_about_the_same() {
        let mut params = Params::<Reference>::default();
        let backend = Reference;
        let sizes: Vec<usize> = (0..300).map(|i| 1 + (i * 7919) % 20_011).collect();
        for (i, &size) in sizes.iter().enumerate() {
            params.add(i.to_string(), backend.zeros(&[size]));
        }
        let shards = Shards::new(&params, 3, 4);
        assert!(shards.buckets().len() > 2, "{}", shards.buckets().len());
        let order: Vec<usize> = shards.buckets().iter().flatten().map(|id| id.0).collect();
        assert_eq!(order, (0..300).rev().collect::<Vec<_>>());
        let owned = |rank| -> usize {
            (0..300).filter(|&i| shards.owner(ParamId(i)) == rank).map(|i| sizes[i]).sum()
        };
        let owned: Vec<usize> = (0..4).map(owned).collect();
        let (least, most) = (owned.iter().min().unwrap(), owned.iter().max().unwrap());
        assert!((most - least) * 100 < *most, "{owned:?}");
    }

    #[test]
    fn more_processes_than_parameters_leave_some_without() {
        let mut params = Params::<Reference>::default();
        params.add("a", Reference.zeros(&[3]));
        let shards = Shards::new(&params, 2, 4);
        assert_eq!((shards.owner(ParamId(0)), shards.buckets().len()), (0, 1));
    }
}
