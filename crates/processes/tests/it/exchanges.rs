//! Exchanges of a group: what a group of one would find, had it everything.

use fairhuman_engine::{Backend, Reference};
use fairhuman_processes::{Kind, Processes};
use fairhuman_train::group::{Group, Owned};

use crate::together::run;

/// Tensors with owners in no order: rank `rank`'s values, the same shapes everywhere. The last process owns
/// nothing where there are more than three.
fn tensors(backend: &Reference, rank: usize, size: usize) -> Vec<Owned<Reference>> {
    let shapes: [&[usize]; 5] = [&[2, 3], &[], &[4], &[0, 7], &[3, 1, 2]];
    let value = |tensor: usize, i: usize| (100 * rank + 10 * tensor + i) as f32 + 0.25;
    let tensor = |(t, shape): (usize, &&[usize])| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| value(t, i)).collect();
        ((7 * t + 1) % size.min(3), backend.tensor(shape, &values))
    };
    shapes.iter().enumerate().map(tensor).collect()
}

/// The exchanges of one process of a group, compared with what they must give.
pub fn check(group: &Processes) {
    let backend = Reference;
    let (rank, size) = (group.rank(), group.size());
    let own = tensors(&backend, rank, size);
    let of_all: Vec<Vec<Owned<Reference>>> = (0..size).map(|rank| tensors(&backend, rank, size)).collect();
    let read = |tensor: &_| (Reference::shape(tensor).to_vec(), backend.read(tensor));

    // Sums begun in two parts, before any is taken.
    group.begin_sums(&backend, own[..2].to_vec()).unwrap();
    group.begin_sums(&backend, own[2..].to_vec()).unwrap();
    group.begin_sums(&backend, Vec::new()).unwrap();
    let sums = group.finish_sums(&backend).unwrap();
    let mine: Vec<usize> = (0..own.len()).filter(|&t| own[t].0 == rank).collect();
    assert_eq!(sums.len(), mine.len());
    for (sum, &t) in sums.iter().zip(&mine) {
        let mut expected = backend.read(&of_all[0][t].1);
        for other in &of_all[1..] {
            expected.iter_mut().zip(backend.read(&other[t].1)).for_each(|(sum, value)| *sum += value);
        }
        assert_eq!(read(sum), (Reference::shape(&own[t].1).to_vec(), expected));
    }
    assert!(group.finish_sums(&backend).unwrap().is_empty());

    let shared = group.share(&backend, own.clone()).unwrap();
    for (t, tensor) in shared.iter().enumerate() {
        assert_eq!(read(tensor), read(&of_all[own[t].0][t].1), "tensor {t}");
    }
    assert!(group.share(&backend, Vec::<Owned<Reference>>::new()).unwrap().is_empty());

    let mut numbers = [1e-300 * (rank as f64 + 1.0), -0.0, rank as f64];
    group.sum_numbers(&mut numbers).unwrap();
    let total: f64 = (0..size).map(|rank| 1e-300 * (rank as f64 + 1.0)).sum();
    assert_eq!(numbers.map(f64::to_bits), [total, -0.0, (0..size).sum::<usize>() as f64].map(f64::to_bits));
    group.sum_numbers(&mut []).unwrap();

    let all = group.gather(&vec![rank as u8; 3 * rank]).unwrap();
    assert_eq!(all, (0..size).map(|rank| vec![rank as u8; 3 * rank]).collect::<Vec<_>>());
    assert!(group.gather(&[]).unwrap().iter().all(Vec::is_empty));
    assert!(group.traffic().sent(Kind::Sums) > 0 && group.traffic().sent(Kind::Numbers) > 0);
}

#[test]
fn sums_shares_numbers_and_bytes_are_those_of_all_processes() {
    for size in [2, 3, 4] {
        run(size, |group| {
            check(&group);
            group.end().unwrap();
        });
    }
}

#[test]
fn a_longer_exchange_than_a_socket_holds_passes() {
    let backend = Reference;
    let values = 3_000_000;
    let sums = run(3, |group| {
        let tensor = |owner| (owner, backend.tensor(&[values], &vec![group.rank() as f32 + 1.0; values]));
        group.begin_sums(&backend, vec![tensor(2), tensor(1)]).unwrap();
        let sums = group.finish_sums(&backend).unwrap();
        assert_eq!(group.share(&backend, vec![tensor(1)]).unwrap().len(), 1);
        group.end().unwrap();
        sums.iter().map(|sum| backend.read(sum)[values - 1]).collect::<Vec<_>>()
    });
    assert_eq!(sums, [vec![], vec![6.0], vec![6.0]]);
}

#[test]
fn processes_that_do_different_things_are_told_so() {
    let errors = run(2, |group| match group.rank() {
        0 => group.sum_numbers(&mut [1.0, 2.0]).unwrap_err(),
        _ => group.sum_numbers(&mut [1.0]).unwrap_err(),
    });
    assert!(errors[0].contains("rank 1 sent 1 numbers, expected 2"), "{errors:?}");

    let backend = Reference;
    let errors = run(2, |group| match group.rank() {
        0 => group.gather(&[]).map(drop).unwrap_err(),
        _ => group.share(&backend, vec![(0, backend.zeros(&[3]))]).map(drop).unwrap_err(),
    });
    assert!(errors[0].contains("rank 1 (here") && errors[0].contains("same command"), "{errors:?}");
}

#[test]
fn local_ranks_count_the_processes_of_a_machine() {
    let ranks = run(3, |group| {
        let found = (group.local_rank(), group.same_machine().to_vec());
        group.end().unwrap();
        found
    });
    assert_eq!(ranks, [0, 1, 2].map(|rank| (rank, vec![0, 1, 2])));
}
