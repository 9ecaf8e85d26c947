//! Weights are prepared when they are first used, by all threads: jobs that meet the same new weight do not
//! wait for each other, whoever interrupts whom.

use fairhuman_engine::{
    Backend, ConvParams, Cpu, CpuTensor, CpuWeight, DType, WeightBytes, WeightData, WeightLayout, WeightRef,
};
use fairhuman_engine_conformance::numbers::{noise, tensor};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Bytes whose reader turns to any other job that waits, as a worker does while others prepare their part.
struct Interrupted(Vec<u8>);

impl WeightBytes for Interrupted {
    fn bytes(&self) -> &[u8] {
        rayon::yield_now();
        &self.0
    }
}

fn weight(cpu: &Cpu, shape: &[usize], layout: WeightLayout) -> CpuWeight {
    let bytes: Vec<u8> = noise(3, shape.iter().product()).into_iter().flat_map(f32::to_le_bytes).collect();
    let range = 0..bytes.len();
    cpu.weight(&WeightData::new(DType::F32, shape.to_vec(), Arc::new(Interrupted(bytes)), range), layout)
}

/// Gradients by two jobs of one thread, the second of which begins while the first prepares the weight.
fn both(cpu: &Cpu, gradient: impl Fn() -> CpuTensor + Sync) -> [Vec<f32>; 2] {
    let mut results = [const { Vec::new() }; 2];
    cpu.scope(|| {
        rayon::scope(|scope| {
            for result in &mut results {
                scope.spawn(|_| *result = cpu.read(&gradient()));
            }
        });
    });
    results
}

/// Fails if `work` takes for ever.
fn assert_ends(work: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        done.send(()).expect("somebody waits");
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("the jobs end, without a panic");
}

#[test]
fn a_job_that_interrupts_the_preparation_of_a_matrix_may_use_it() {
    assert_ends(|| {
        let cpu = Cpu::new(1).expect("a thread");
        let weight = weight(&cpu, &[20, 30], WeightLayout::Matrix);
        let g = tensor(&cpu, 1, &[1, 7, 20]);
        let gradient = || cpu.linear_vjp(&g, WeightRef::Frozen(&weight), None, None);
        let [first, second] = both(&cpu, gradient);
        assert_eq!(first, second);
        assert_eq!(first, cpu.read(&gradient()));
    });
}

/// The filter that is not kept leaves its room to others.
#[test]
fn a_job_that_interrupts_the_preparation_of_a_filter_may_use_it() {
    assert_ends(|| {
        let bytes = |interrupted| {
            let cpu = Cpu::new(1).expect("a thread").with_filter_cache(2 * 4 * 36 * 16 * 20);
            let weights = [(); 2].map(|()| weight(&cpu, &[16, 20, 3, 3], WeightLayout::Filter));
            let g = tensor(&cpu, 1, &[1, 24, 24, 16]);
            let [first, second] = [0, 1].map(|i| {
                let geometry = ConvParams::square(3, 1, 1);
                let gradient =
                    || cpu.conv2d_vjp(&g, WeightRef::Frozen(&weights[i]), geometry, (24, 24), None);
                if interrupted {
                    let [first, second] = both(&cpu, gradient);
                    assert_eq!(first, second);
                }
                cpu.read(&gradient())
            });
            assert_eq!(first, second, "weights of the same values");
            cpu.bytes_in_use()
        };
        assert_eq!(bytes(true), bytes(false), "bytes of filters that are kept");
    });
}
