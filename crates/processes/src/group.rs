//! Tensors of a group: packed by their owners into one row of values, exchanged, and unpacked.

use fairhuman_engine::Backend;
use fairhuman_train::group::{Group, Owned};

use crate::processes::{Begun, Processes};
use crate::traffic::Kind;

impl<B: Backend> Group<B> for Processes {
    fn rank(&self) -> usize {
        Processes::rank(self)
    }

    fn size(&self) -> usize {
        Processes::size(self)
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<(), String> {
        Processes::sum_numbers(self, numbers)
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        Processes::gather(self, own)
    }

    /// Copies the values and queues one exchange for all of them; this process goes on.
    fn begin_sums(&self, backend: &B, tensors: Vec<Owned<B>>) -> Result<(), String> {
        let (rank, size) = (Processes::rank(self), Processes::size(self));
        let lengths = lengths::<B>(&tensors, size);
        let own = tensors.iter().filter(|(owner, _)| *owner == rank);
        let shapes = own.map(|(_, tensor)| B::shape(tensor).to_vec()).collect();
        // Stable: the tensors of one owner stay in their order.
        let mut sorted: Vec<&Owned<B>> = tensors.iter().collect();
        sorted.sort_by_key(|(owner, _)| *owner);
        let read = backend.read_many(&sorted.iter().map(|(_, tensor)| tensor).collect::<Vec<_>>());
        let values = read.concat();
        self.traffic().add(Kind::Sums, 4 * (values.len() - lengths[rank]));
        let values = self.queue(move |collectives| collectives.reduce_scatter(values, &lengths));
        self.begun().push_back(Begun { shapes, values });
        Ok(())
    }

    fn finish_sums(&self, backend: &B) -> Result<Vec<B::Tensor>, String> {
        let begun = std::mem::take(&mut *self.begun());
        let mut sums = Vec::new();
        for Begun { shapes, values } in begun {
            let values = self.wait(values)?;
            let mut rest = &values[..];
            for shape in shapes {
                sums.push(take(backend, &mut rest, &shape)?);
            }
        }
        Ok(sums)
    }

    fn share(&self, backend: &B, tensors: Vec<Owned<B>>) -> Result<Vec<B::Tensor>, String> {
        let (rank, size) = (Processes::rank(self), Processes::size(self));
        let lengths = lengths::<B>(&tensors, size);
        let own: Vec<&B::Tensor> =
            tensors.iter().filter(|(owner, _)| *owner == rank).map(|(_, tensor)| tensor).collect();
        let own = backend.read_many(&own).concat();
        self.traffic().add(Kind::Shares, 4 * own.len() * (size - 1));
        let parts = lengths.clone();
        let all = self.wait(self.queue(move |collectives| collectives.all_gather(own, &parts)))?;
        let mut rest: Vec<&[f32]> = Vec::with_capacity(size);
        let mut values = &all[..];
        for length in lengths {
            let (part, others) = values.split_at_checked(length).ok_or("values are missing in a share")?;
            rest.push(part);
            values = others;
        }
        let shared = |(owner, tensor): Owned<B>| {
            // What this process owns it has already.
            if owner == rank { Ok(tensor) } else { take(backend, &mut rest[owner], B::shape(&tensor)) }
        };
        tensors.into_iter().map(shared).collect()
    }
}

/// Values that each process owns.
fn lengths<B: Backend>(tensors: &[Owned<B>], size: usize) -> Vec<usize> {
    let mut lengths = vec![0; size];
    for (owner, tensor) in tensors {
        lengths[*owner] += B::shape(tensor).iter().product::<usize>();
    }
    lengths
}

/// The next tensor of a row of values.
fn take<B: Backend>(backend: &B, values: &mut &[f32], shape: &[usize]) -> Result<B::Tensor, String> {
    let length = shape.iter().product();
    let (own, rest) = values.split_at_checked(length).ok_or("values are missing in a sum")?;
    *values = rest;
    Ok(backend.tensor(shape, own))
}
