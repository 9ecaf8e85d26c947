//! Groups by NCCL with a stand-in for it (`examples/fake_nccl.rs`), for ranks that are threads: what is
//! summed, where, and how it ends when a rank is lost. Where no libtorch is found these tests say that they
//! were left out, unless `FAIRHUMAN_LIBTORCH` names one, which must be there.

use std::path::PathBuf;
use std::sync::LazyLock;

use fairhuman_engine::Backend;
use fairhuman_processes::{Cards, Processes};
use fairhuman_torch::{Device, Library, Nccl, Places, Precision, Torch, find};
use fairhuman_train::group::{Group, Owned};

use crate::together;

/// libtorch on the CPU, if there is one.
fn torch() -> Option<&'static Torch> {
    static FOUND: LazyLock<Option<Torch>> = LazyLock::new(|| {
        let named = std::env::var_os("FAIRHUMAN_LIBTORCH");
        let required = named.is_some();
        let named = named.map(|folder| ("FAIRHUMAN_LIBTORCH".to_owned(), folder.into()));
        match find(&Places { named, virtual_env: None, python: Some("python3".into()) }) {
            Ok(folder) => {
                let library = Library::open(&folder).expect("a libtorch that opens");
                Some(Torch::new(library, Device::Cpu, Precision::F32).expect("the CPU"))
            }
            Err(error) if required => panic!("{error}"),
            Err(error) => {
                eprintln!("left out: {error}");
                None
            }
        }
    });
    FOUND.as_ref()
}

/// The stand-in, which cargo builds with this crate's tests.
fn fake() -> Nccl {
    let test = std::env::current_exe().expect("this test");
    let built: PathBuf = test.ancestors().nth(2).expect("its profile's folder").join("examples");
    let name = format!("{}fake_nccl{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    Nccl::open(&built.join(name)).expect("the stand-in (cargo build --examples -p fairhuman-processes)")
}

/// Runs ranks as threads, each with a group by the stand-in.
fn run<T: Send>(size: usize, work: impl Fn(&Cards<'_>, &Torch) -> T + Sync) -> Vec<T> {
    let torch = torch().expect("looked for before");
    together::run(size, |processes: Processes| {
        let cards = Cards::join(&processes, fake(), Device::Cpu).expect("all ranks join");
        let result = work(&cards, torch);
        drop(cards);
        processes.end().expect("all ranks end");
        result
    })
}

/// A tensor of a rank: its values tell the tensors apart, and the ranks.
fn tensor(torch: &Torch, rank: usize, i: usize) -> fairhuman_torch::Tensor {
    let values: Vec<f32> =
        (0..=i).map(|k| (10_usize.pow(rank as u32) * (i + 1)) as f32 + k as f32 / 8.0).collect();
    torch.tensor(&[1, i + 1], &values)
}

#[test]
fn every_owner_gets_the_sums_of_its_own_tensors_in_their_order() {
    if torch().is_none() {
        return;
    }
    for size in [2, 4] {
        let owner = |i: usize| i * 3 % size;
        let found = run(size, |cards, torch| {
            let rank = Group::<Torch>::rank(cards);
            let tensors: Vec<Owned<Torch>> = (0..7).map(|i| (owner(i), tensor(torch, rank, i))).collect();
            let kept: Vec<_> = tensors.iter().map(|(_, tensor)| tensor.clone()).collect();
            let (first, second) = tensors.split_at(3);
            cards.begin_sums(torch, first.to_vec()).unwrap();
            cards.begin_sums(torch, second.to_vec()).unwrap();
            let sums = cards.finish_sums(torch).unwrap();
            for (i, kept) in kept.iter().enumerate() {
                assert_eq!(
                    torch.read(kept),
                    torch.read(&tensor(torch, rank, i)),
                    "a tensor that others share"
                );
            }
            assert!(cards.finish_sums(torch).unwrap().is_empty(), "sums are taken once");
            sums.iter().map(|sum| torch.read(sum)).collect::<Vec<_>>()
        });
        let torch = torch().unwrap();
        for (rank, sums) in found.into_iter().enumerate() {
            let expected = (0..7).filter(|&i| owner(i) == rank).map(|i| {
                let all = (0..size).map(|rank| torch.read(&tensor(torch, rank, i)));
                all.reduce(|sum, part| sum.iter().zip(part).map(|(a, b)| a + b).collect()).unwrap()
            });
            assert_eq!(sums, expected.collect::<Vec<_>>(), "rank {rank} of {size}");
        }
    }
}

#[test]
fn tensors_that_nobody_else_has_are_summed_in_place() {
    if torch().is_none() {
        return;
    }
    run(2, |cards, torch| {
        let large = torch.tensor(&[1 << 20], &vec![1.0; 1 << 20]);
        cards.begin_sums(torch, vec![(0, large)]).unwrap();
        let sums = cards.finish_sums(torch).unwrap();
        let expected = if Group::<Torch>::rank(cards) == 0 { 1 } else { 0 };
        assert_eq!(sums.len(), expected);
        assert!(sums.iter().all(|sum| torch.read(sum).iter().all(|&value| value == 2.0)));
    });
}

#[test]
fn what_owners_share_is_theirs_everywhere_also_in_thousands() {
    if torch().is_none() {
        return;
    }
    for (size, count) in [(2, 2500), (4, 9)] {
        let found = run(size, |cards, torch| {
            let rank = Group::<Torch>::rank(cards);
            let tensors = (0..count).map(|i| (i % size, tensor(torch, rank, i % 5))).collect();
            let shared = cards.share(torch, tensors).unwrap();
            shared.iter().map(|tensor| torch.read(tensor)).collect::<Vec<_>>()
        });
        let torch = torch().unwrap();
        let expected: Vec<_> = (0..count).map(|i| torch.read(&tensor(torch, i % size, i % 5))).collect();
        assert!(found.iter().all(|shared| *shared == expected));
    }
}

#[test]
fn an_error_of_nccl_names_rank_function_and_reason() {
    if torch().is_none() {
        return;
    }
    // The stand-in notices that the ranks do not mean the same tensor.
    let errors = run(2, |cards, torch| {
        let rank = Group::<Torch>::rank(cards);
        cards.begin_sums(torch, vec![(0, torch.zeros(&[rank + 1]))]).unwrap_err()
    });
    for (rank, error) in errors.iter().enumerate() {
        assert!(error.starts_with(&format!("rank {rank}: NCCL: ncclGroupEnd: invalid argument")), "{error}");
    }
}

#[test]
fn a_rank_that_is_lost_ends_the_others_with_its_name() {
    let Some(torch) = torch() else { return };
    let ends = together::run(3, |processes: Processes| {
        let cards = Cards::join(&processes, fake(), Device::Cpu).expect("all ranks join");
        if processes.rank() == 1 {
            drop(cards);
            return drop(processes);
        }
        let problem = cards.begin_sums(torch, vec![(0, torch.zeros(&[4]))]).unwrap_err();
        assert!(problem.starts_with("rank 1 (") && problem.ends_with("is gone"), "{problem}");
        let again = cards.share(torch, vec![(0, torch.zeros(&[4]))]).map(drop).unwrap_err();
        assert_eq!(again, problem, "it stays lost");
    });
    assert_eq!(ends.len(), 3);
}

#[test]
fn a_rank_that_never_comes_to_nccl_ends_the_others_with_its_name() {
    if torch().is_none() {
        return;
    }
    together::run(2, |processes: Processes| {
        if processes.rank() == 1 {
            // It has the version that rank 0 asks for and leaves before the communicator is whole.
            processes.gather(&22_809_i32.to_le_bytes()).unwrap();
            processes.gather(&[]).unwrap();
            return drop(processes);
        }
        let problem = Cards::join(&processes, fake(), Device::Cpu).map(drop).unwrap_err();
        assert!(problem.starts_with("rank 1 ("), "{problem}");
    });
}

#[test]
fn other_versions_of_nccl_are_refused_by_rank() {
    if torch().is_none() {
        return;
    }
    together::run(2, |processes: Processes| {
        let problem = match processes.rank() {
            0 => Cards::join(&processes, fake(), Device::Cpu).map(drop).unwrap_err(),
            _ => return drop(processes.gather(&22_703_i32.to_le_bytes())),
        };
        assert!(problem.contains("rank 1 has NCCL 2.27.3, and rank 0 has 2.28.9"), "{problem}");
    });
}

/// The library itself, where torch has CUDA: that it opens, has all functions and says its version. Whether
/// they do as they should only cards can tell.
#[test]
fn nccl_is_found_beside_libtorch() {
    let Some(torch) = torch() else { return };
    match Nccl::of(torch.libtorch()) {
        Ok(nccl) => assert!(nccl.version().unwrap() >= 22_000),
        Err(reason) => eprintln!("left out: {reason}"),
    }
}
