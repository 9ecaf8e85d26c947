//! A group of threads: the reference implementation of [`Group`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};

use fairhuman_engine::Backend;
use fairhuman_train::group::{Group, Owned};

/// Where the threads of a group meet.
pub struct Meeting<B: Backend> {
    barrier: Barrier,
    bytes: Mutex<Vec<Vec<u8>>>,
    tensors: Mutex<Vec<Vec<Owned<B>>>>,
}

/// One thread of a group.
pub struct Rank<'a, B: Backend> {
    rank: usize,
    size: usize,
    meeting: &'a Meeting<B>,
    /// Sums of this rank's tensors.
    sums: Mutex<Vec<B::Tensor>>,
    /// Times that sums were begun.
    begun: AtomicUsize,
}

/// Runs `work` once for each rank, a thread each; the results in the order of the ranks.
pub fn run<B: Backend, T: Send>(size: usize, work: impl Fn(&Rank<'_, B>) -> T + Sync) -> Vec<T> {
    let meeting = Meeting {
        barrier: Barrier::new(size),
        bytes: Mutex::new(vec![Vec::new(); size]),
        tensors: Mutex::new((0..size).map(|_| Vec::new()).collect()),
    };
    let rank =
        |rank| Rank { rank, size, meeting: &meeting, sums: Mutex::default(), begun: AtomicUsize::new(0) };
    std::thread::scope(|scope| {
        let (rank, work) = (&rank, &work);
        let ranks: Vec<_> = (0..size).map(|number| scope.spawn(move || work(&rank(number)))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

impl<B: Backend> Rank<'_, B> {
    /// Times that sums were begun so far.
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    /// The parts of all ranks, in their order.
    fn exchange<T: Clone>(&self, table: &Mutex<Vec<T>>, own: T) -> Vec<T> {
        table.lock().unwrap()[self.rank] = own;
        self.meeting.barrier.wait();
        let all = table.lock().unwrap().clone();
        self.meeting.barrier.wait();
        all
    }
}

impl<B: Backend> Group<B> for Rank<'_, B> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<(), String> {
        let all = self.gather(bytemuck::cast_slice(numbers))?;
        let all: Vec<Vec<f64>> = all.iter().map(|bytes| bytemuck::pod_collect_to_vec(bytes)).collect();
        for (i, number) in numbers.iter_mut().enumerate() {
            *number = all.iter().map(|one| one[i]).sum();
        }
        Ok(())
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        Ok(self.exchange(&self.meeting.bytes, own.to_vec()))
    }

    fn begin_sums(&self, backend: &B, tensors: Vec<Owned<B>>) -> Result<(), String> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let all = self.exchange(&self.meeting.tensors, tensors);
        for i in 0..all[0].len() {
            let owner = all[0][i].0;
            assert!(all.iter().all(|one| one[i].0 == owner && B::shape(&one[i].1) == B::shape(&all[0][i].1)));
            if owner == self.rank {
                let mut ranks = all.iter().map(|one| &one[i].1);
                let first = backend.scale(ranks.next().unwrap(), 1.0);
                self.sums.lock().unwrap().push(ranks.fold(first, |sum, next| backend.accumulate(sum, next)));
            }
        }
        Ok(())
    }

    fn finish_sums(&self, _: &B) -> Result<Vec<B::Tensor>, String> {
        Ok(std::mem::take(&mut *self.sums.lock().unwrap()))
    }

    fn share(&self, _: &B, tensors: Vec<Owned<B>>) -> Result<Vec<B::Tensor>, String> {
        let all = self.exchange(&self.meeting.tensors, tensors);
        Ok((0..all[0].len()).map(|i| all[all[0][i].0][i].1.clone()).collect())
    }
}
