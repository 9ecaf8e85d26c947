//! Several processes that take one step together, here as threads: they get the bits of a single process that
//! accumulates, because sums are added in the order of the ranks.

use std::sync::{Barrier, Mutex};

use fairhuman_engine::{Backend, ParamGrads, Reference};
use fairhuman_fairness::State;
use fairhuman_train::aggregate::{Direction, Position, Weighting, fair_direction};
use fairhuman_train::batch::Batch;
use fairhuman_train::denoising::{Denoising, DenoisingInputs};
use fairhuman_train::gradient::{Gradients, objective_gradients};
use fairhuman_train::group::{Group, Single, share};
use fairhuman_train::module::PassContext;
use fairhuman_train::objective::Normalisation;
use fairhuman_train::step_error::StepError;

use crate::toy::{Toy, batch, objectives};

type Step = Result<(Gradients<Reference>, Direction<Reference>), StepError>;

/// Where the threads of a group meet.
struct Meeting {
    barrier: Barrier,
    numbers: Mutex<Vec<Vec<f64>>>,
    grads: Mutex<Vec<Option<ParamGrads<Reference>>>>,
}

impl Meeting {
    fn new(size: usize) -> Self {
        let grads = (0..size).map(|_| None).collect();
        Self {
            barrier: Barrier::new(size),
            numbers: Mutex::new(vec![Vec::new(); size]),
            grads: Mutex::new(grads),
        }
    }
}

struct Rank<'a> {
    rank: usize,
    size: usize,
    meeting: &'a Meeting,
}

impl Group<Reference> for Rank<'_> {
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

    fn sum_gradients(
        &self,
        backend: &Reference,
        grads: ParamGrads<Reference>,
    ) -> Result<ParamGrads<Reference>, String> {
        self.meeting.grads.lock().unwrap()[self.rank] = Some(grads);
        self.meeting.barrier.wait();
        let sum = {
            let all = self.meeting.grads.lock().unwrap();
            let mut ranks = all.iter().map(|grads| grads.as_ref().unwrap().clone());
            let mut sum = ranks.next().unwrap();
            ranks.for_each(|grads| sum.add_all(backend, grads));
            sum
        };
        self.meeting.barrier.wait();
        Ok(sum)
    }
}

fn step(group: &dyn Group<Reference>, batches: &[Batch<DenoisingInputs>]) -> Step {
    let (backend, toy) = (Reference, Toy::new(&Reference, 3));
    let context = PassContext { backend: &backend, checkpointing: false, clock: &|| 0.0, observer: None };
    let objectives = objectives(Normalisation::Region);
    let own = share(group, batches.len());
    let first = batches[..own.start].iter().map(|batch| batch.targets.size).sum();
    let batches = (&batches[own], first);
    let gradients =
        objective_gradients(&context, group, &Denoising(&toy), &toy.params, &objectives, batches)?;
    let weighting = Weighting::default();
    let position = Position { seed: 0, step: 1, state: &State::default() };
    let direction = fair_direction(&context, &objectives, &weighting, &gradients, position)?;
    Ok((gradients, direction))
}

/// The same step by `size` threads, in the order of the ranks.
fn together(size: usize, batches: &[Batch<DenoisingInputs>]) -> Vec<Step> {
    let meeting = Meeting::new(size);
    std::thread::scope(|scope| {
        let meeting = &meeting;
        let ranks: Vec<_> =
            (0..size).map(|rank| scope.spawn(move || step(&Rank { rank, size, meeting }, batches))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

fn combined(direction: &Direction<Reference>) -> Vec<f32> {
    direction.combined.iter().flatten().flat_map(|g| Reference.read(g)).collect()
}

#[test]
fn two_ranks_with_a_micro_batch_each_have_the_bits_of_accumulation() {
    // The face is in the first rank's samples only, the hand in the second's.
    let batches = batch(4, &[&[0, 1, 2, 3], &[0], &[3]]).split(2);
    let (alone, expected) = step(&Single, &batches).unwrap();
    for found in together(2, &batches) {
        let (gradients, direction) = found.unwrap();
        assert_eq!(gradients.losses, alone.losses);
        assert_eq!(gradients.present, alone.present);
        assert_eq!(gradients.area, alone.area);
        assert_eq!(direction.gram, expected.gram);
        assert_eq!(direction.solution, expected.solution);
        assert_eq!(combined(&direction), combined(&expected));
        assert_eq!(direction.norm, expected.norm);
    }
}

#[test]
fn a_step_that_one_rank_refuses_is_refused_by_all() {
    let mut batches = batch(4, &[&[0, 1, 2, 3], &[0], &[3]]).split(2);
    batches[1].targets.values[0] = f32::NAN;
    let mut refused = together(2, &batches).into_iter().map(|step| step.err().unwrap());
    assert_eq!(refused.next(), Some(StepError::Elsewhere));
    assert_eq!(refused.next(), Some(StepError::Input { what: "target", samples: vec![2] }));
}

#[test]
fn every_micro_batch_falls_to_one_rank_in_the_order_of_the_ranks() {
    for size in 1..5 {
        let meeting = Meeting::new(size);
        for count in 0..9 {
            let ranks = (0..size).map(|rank| Rank { rank, size, meeting: &meeting });
            let dealt: Vec<usize> = ranks.flat_map(|rank| share(&rank, count)).collect();
            assert_eq!(dealt, (0..count).collect::<Vec<_>>());
        }
    }
}
