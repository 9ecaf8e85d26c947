//! One backward pass with lanes is the separate backward passes of the objectives.

use crate::common::{CPUS, Exact, assert_close, noise};
use crate::net::{IMAGE, Memory, Outcome, build, pass};
use fairhuman_engine::{Lanes, Reference};

const SAMPLES: usize = 4;

fn lanes() -> Lanes {
    Lanes::new(SAMPLES, &[vec![0, 1, 2, 3], vec![1, 3], vec![], vec![2]])
}

fn size() -> usize {
    IMAGE.iter().product()
}

fn shape(lanes: &Lanes) -> [usize; 4] {
    [lanes.len(), IMAGE[0], IMAGE[1], IMAGE[2]]
}

/// The sum over objectives of `weights[k]` times the cotangents, as one cotangent per sample.
fn spread(lanes: &Lanes, cotangent: &[f32], weights: &[f32]) -> Vec<f32> {
    let mut values = vec![0.0; SAMPLES * size()];
    for (k, weight) in weights.iter().enumerate() {
        for lane in lanes.of_objective(k) {
            let to = &mut values[lanes.sample(lane) * size()..][..size()];
            for (to, value) in to.iter_mut().zip(&cotangent[lane * size()..]) {
                *to += weight * value;
            }
        }
    }
    values
}

fn run<B: Exact>(backend: &B, lanes: &Lanes, cotangent: &[f32]) -> Outcome {
    let (net, params) = build(backend);
    let cotangent = backend.tensor(&shape(lanes), cotangent);
    pass(backend, (&net, &params), lanes, &cotangent, Memory::Keep, None).0
}

fn one_objective_pass<B: Exact>(backend: &B, cotangent: &[f32]) -> Outcome {
    run(backend, &Lanes::single(SAMPLES), cotangent)
}

fn one_pass_is_the_separate_passes<B: Exact>(backend: &B, tolerance: f64) {
    let lanes = lanes();
    let cotangent = noise(7, lanes.len() * size());
    let (net, params) = build(backend);
    let given = backend.tensor(&shape(&lanes), &cotangent);
    let (together, _) = pass(backend, (&net, &params), &lanes, &given, Memory::Keep, None);

    let objectives = lanes.objectives();
    let mut gram = vec![0.0; objectives * objectives];
    let alone: Vec<_> = (0..objectives)
        .map(|k| {
            let mut weights = vec![0.0; objectives];
            weights[k] = 1.0;
            one_objective_pass(backend, &spread(&lanes, &cotangent, &weights))
        })
        .collect();
    for (k, outcome) in alone.iter().enumerate() {
        assert_eq!(outcome.output, together.output, "the forward pass knows nothing of lanes");
        for lane in lanes.of_objective(k) {
            let of = |image: &[f64], index: usize| image[index * size()..(index + 1) * size()].to_vec();
            let expected = of(&outcome.image, lanes.sample(lane));
            assert_close(&format!("image of lane {lane}"), &of(&together.image, lane), &expected, tolerance);
        }
        for (id, (found, expected)) in together.params.iter().zip(&outcome.params).enumerate() {
            let found = &found[k * expected.len()..(k + 1) * expected.len()];
            assert_close(&format!("objective {k}, parameter {id}"), found, expected, tolerance);
        }
    }
    for i in 0..objectives {
        for j in 0..objectives {
            let pairs = alone[i].params.iter().flatten().zip(alone[j].params.iter().flatten());
            gram[i * objectives + j] = pairs.map(|(a, b)| a * b).sum();
        }
    }
    assert_close("Gram matrix", &together.gram, &gram, tolerance);
    assert_eq!(together.gram[2 * objectives + 2], 0.0, "an absent objective has no gradient");
    assert!(together.params[net.unused.0].is_empty(), "what is not used has no gradient");
}

fn combined_cotangent_is_combined_gradient<B: Exact>(backend: &B, tolerance: f64) {
    let lanes = lanes();
    let weights = [0.5, 2.0, 7.0, -0.25];
    let cotangent = noise(8, lanes.len() * size());
    let (net, params) = build(backend);
    let given = backend.tensor(&shape(&lanes), &cotangent);
    let (_, grads) = pass(backend, (&net, &params), &lanes, &given, Memory::Keep, None);
    let combined = grads.combine(backend, &weights.map(f64::from));
    let single = one_objective_pass(backend, &spread(&lanes, &cotangent, &weights));
    for (id, (found, expected)) in combined.iter().zip(&single.params).enumerate() {
        let found = found.as_ref().map_or(Vec::new(), |g| backend.values(g));
        assert_close(&format!("parameter {id}"), &found, expected, tolerance);
    }
}

fn micro_batches_add_up<B: Exact>(backend: &B, tolerance: f64) {
    let lanes = lanes();
    let (net, params) = build(backend);
    let run = |seed| {
        let cotangent = backend.tensor(&shape(&lanes), &noise(seed, lanes.len() * size()));
        pass(backend, (&net, &params), &lanes, &cotangent, Memory::Keep, None)
    };
    let ((first, mut sum), (second, other)) = (run(1), run(2));
    sum.add_all(backend, other);
    for id in params.ids().filter(|&id| id != net.unused) {
        let expected: Vec<_> =
            first.params[id.0].iter().zip(&second.params[id.0]).map(|(a, b)| a + b).collect();
        let found = backend.values(sum.get(id).expect("a gradient"));
        assert_close("sum of two micro-batches", &found, &expected, tolerance);
    }
}

#[test]
fn one_pass_is_the_separate_passes_on_reference() {
    one_pass_is_the_separate_passes(&Reference, 1e-12);
}

#[test]
fn combined_cotangent_is_combined_gradient_on_reference() {
    // The combined cotangent is rounded to f32 on its way in.
    combined_cotangent_is_combined_gradient(&Reference, 1e-6);
}

#[test]
fn micro_batches_add_up_on_reference() {
    micro_batches_add_up(&Reference, 1e-12);
}

#[test]
fn one_pass_is_the_separate_passes_on_cpu() {
    one_pass_is_the_separate_passes(&CPUS[1], 1e-5);
}

#[test]
fn combined_cotangent_is_combined_gradient_on_cpu() {
    combined_cotangent_is_combined_gradient(&CPUS[1], 1e-5);
}

#[test]
fn micro_batches_add_up_on_cpu() {
    micro_batches_add_up(&CPUS[1], 1e-6);
}

/// The whole network, forwards and backwards, as the oracle has it; and the same bits however often and on
/// however many threads.
#[test]
fn a_network_on_cpu_is_the_oracles() {
    let lanes = lanes();
    let cotangent = noise(9, lanes.len() * size());
    let oracle = run(&Reference, &lanes, &cotangent);
    let first = run(&CPUS[1], &lanes, &cotangent);
    assert_close("output", &first.output, &oracle.output, 1e-5);
    assert_close("image", &first.image, &oracle.image, 1e-5);
    assert_close("Gram matrix", &first.gram, &oracle.gram, 1e-5);
    for (id, (found, expected)) in first.params.iter().zip(&oracle.params).enumerate() {
        assert_close(&format!("parameter {id}"), found, expected, 1e-5);
    }
    assert!(first == run(&CPUS[1], &lanes, &cotangent), "two runs differ");
    assert!(first == run(&CPUS[0], &lanes, &cotangent), "one thread and three differ");
}
