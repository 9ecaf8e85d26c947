//! A group of threads: the reference implementation of [`Group`].

use std::sync::{Barrier, Mutex};

use fairhuman_engine::{Backend, ParamGrads};
use fairhuman_train::group::Group;

/// Where the threads of a group meet.
pub struct Meeting<B: Backend> {
    barrier: Barrier,
    numbers: Mutex<Vec<Vec<f64>>>,
    grads: Mutex<Vec<Option<ParamGrads<B>>>>,
}

/// One thread of a group.
pub struct Rank<'a, B: Backend> {
    rank: usize,
    size: usize,
    meeting: &'a Meeting<B>,
}

/// Runs `work` once for each rank, a thread each; the results in the order of the ranks.
pub fn run<B: Backend, T: Send>(size: usize, work: impl Fn(&Rank<'_, B>) -> T + Sync) -> Vec<T> {
    let meeting = Meeting {
        barrier: Barrier::new(size),
        numbers: Mutex::new(vec![Vec::new(); size]),
        grads: Mutex::new((0..size).map(|_| None).collect()),
    };
    std::thread::scope(|scope| {
        let (meeting, work) = (&meeting, &work);
        let ranks: Vec<_> =
            (0..size).map(|rank| scope.spawn(move || work(&Rank { rank, size, meeting }))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

impl<B: Backend> Group<B> for Rank<'_, B> {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn sum_numbers(&self, numbers: &mut [f64]) -> Result<(), String> {
        self.meeting.numbers.lock().unwrap()[self.rank] = numbers.to_vec();
        self.meeting.barrier.wait();
        let all = self.meeting.numbers.lock().unwrap().clone();
        for (i, number) in numbers.iter_mut().enumerate() {
            *number = all.iter().map(|one| one[i]).sum();
        }
        self.meeting.barrier.wait();
        Ok(())
    }

    fn sum_gradients(&self, backend: &B, grads: ParamGrads<B>) -> Result<ParamGrads<B>, String> {
        self.meeting.grads.lock().unwrap()[self.rank] = Some(grads);
        self.meeting.barrier.wait();
        let all: Vec<ParamGrads<B>> = self.meeting.grads.lock().unwrap().iter().flatten().cloned().collect();
        let mut ranks = all.into_iter();
        let mut sum = ranks.next().ok_or("no gradients")?;
        ranks.for_each(|grads| sum.add_all(backend, grads));
        self.meeting.barrier.wait();
        Ok(sum)
    }
}
