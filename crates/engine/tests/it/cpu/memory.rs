//! An operation that cannot have its memory is an error; the tensors that are there stay as they are, and
//! what comes after it finds the backend whole.

use fairhuman_engine::{
    AdamW, AdamWState, Backend, ConvParams, Cpu, DType, Epilogue, WeightLayout, WeightRef,
};
use fairhuman_engine_conformance::numbers::{noise, stored, tensor};

/// Values of 1 MiB.
const MIB: usize = 1 << 18;

fn cpu() -> Cpu {
    Cpu::new(3).expect("threads")
}

#[test]
fn a_tensor_beyond_the_limit_is_an_error_that_says_how_much_was_missing() {
    let cpu = cpu();
    cpu.limit_memory(3 << 20);
    let x = tensor(&cpu, 1, &[2, MIB / 2]);
    let error = cpu.attempt(|| cpu.zeros(&[3, MIB])).unwrap_err();
    assert_eq!((error.bytes, error.in_use), (3 << 20, 1 << 20));
    assert!(error.to_string().contains("3.0 MiB more were needed, with 1.0 MiB"), "{error}");
    assert_eq!(cpu.read(&x), noise(1, MIB));
    // What was given back, and what waits to be used again, leaves room.
    for _ in 0..3 {
        for size in [MIB / 4, MIB / 3, MIB, 2 * MIB] {
            cpu.attempt(|| cpu.zeros(&[size])).unwrap();
        }
    }
}

#[test]
fn sizes_that_no_machine_has_are_errors_without_a_limit() {
    let cpu = cpu();
    for shape in [[1 << 45, 1], [1 << 31, 1 << 31], [usize::MAX, usize::MAX]] {
        cpu.attempt(|| cpu.zeros(&shape)).unwrap_err();
    }
    assert_eq!(cpu.bytes_in_use(), 0);
}

/// Workers run out of memory in the middle of an operation, in a scope within a scope.
#[test]
fn an_operation_that_fails_gives_back_its_memory_and_the_next_one_works() {
    let cpu = cpu();
    let weight = cpu.weight(&stored(DType::F32, &[32, 32, 3, 3]), WeightLayout::Filter);
    let x = tensor(&cpu, 1, &[2, 40, 40, 32]);
    let conv =
        || cpu.conv2d(&x, WeightRef::Frozen(&weight), ConvParams::square(3, 1, 1), Epilogue::default());
    let expected = cpu.read(&conv());
    let (before, most) = (cpu.bytes_in_use(), 64 << 20);
    let (mut failed, mut worked) = (0, 0);
    for room in (0..most).step_by(128 << 10) {
        cpu.limit_memory(before + room);
        match cpu.attempt(|| cpu.scope(|| cpu.scope(conv))) {
            Ok(y) => {
                worked += 1;
                assert_eq!(cpu.read(&y), expected);
            }
            Err(_) => failed += 1,
        }
        assert_eq!(cpu.bytes_in_use(), before, "with {room} bytes of room");
    }
    assert!(failed > 3 && worked > 3, "{failed} {worked}");
}

/// Room that a filter reserved for itself and could not fill serves later.
#[test]
fn a_filter_that_could_not_be_made_is_kept_the_next_time() {
    let cpu = cpu().with_filter_cache(4 * 36 * 16 * 20);
    let weight = cpu.weight(&stored(DType::F32, &[16, 20, 3, 3]), WeightLayout::Filter);
    let g = tensor(&cpu, 1, &[1, 24, 24, 16]);
    let vjp = || cpu.conv2d_vjp(&g, WeightRef::Frozen(&weight), ConvParams::square(3, 1, 1), (24, 24), None);
    let before = cpu.bytes_in_use();
    let works = |kib: &usize| {
        cpu.limit_memory(before + (kib << 10));
        cpu.attempt(vjp).is_ok()
    };
    assert!((0..1000).find(works).is_some_and(|kib| kib > 3));
    assert!(cpu.bytes_in_use() >= before + 4 * 36 * 16 * 20, "the filter is not kept");
}

/// The copies that shared tensors need are made before anything changes.
#[test]
fn an_update_without_memory_changes_nothing() {
    let cpu = cpu();
    let seeds = [1, 2, 3, 4];
    let mut tensors = seeds.map(|seed| tensor(&cpu, seed, &[MIB]));
    let [grad, other] = [5, 6].map(|seed| tensor(&cpu, seed, &[MIB]));
    let kept = tensors.clone();
    cpu.limit_memory(cpu.bytes_in_use() + (2 << 20));
    let constants = AdamW { lr: 0.1, beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.0, step: 1 };
    let [param, first, second, average] = &mut tensors;
    let step = |param: &mut _, first: &mut _, second: &mut _| {
        let states = &mut [AdamWState { param, first, second, grad: &grad }];
        cpu.attempt(|| cpu.adamw(states, 1.0, &constants))
    };
    step(param, first, second).unwrap_err();
    cpu.attempt(|| cpu.ema(&mut [&mut *average, &mut *first, &mut *second], &[&other; 3], 0.5)).unwrap_err();
    for (tensor, seed) in tensors.iter().zip(seeds) {
        assert_eq!(cpu.read(tensor), noise(seed, MIB));
    }
    // Nothing is copied once nobody shares.
    drop(kept);
    let [param, first, second, average] = &mut tensors;
    step(param, first, second).unwrap();
    cpu.attempt(|| cpu.ema(&mut [average], &[&other], 0.5)).unwrap();
    assert_ne!(cpu.read(param), noise(1, MIB));
}

#[test]
fn other_panics_go_on() {
    let cpu = cpu();
    let work = || cpu.attempt(|| -> usize { std::panic::resume_unwind(Box::new(7)) });
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    assert_eq!(caught.unwrap_err().downcast_ref::<i32>(), Some(&7));
}
