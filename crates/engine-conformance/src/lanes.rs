//! One backward pass with lanes is the separate backward passes of the objectives.

use crate::net::{IMAGE, Memory, Outcome, build, pass};
use crate::numbers::{assert_close, noise};
use crate::{Instance, Subject};
use fairhuman_engine::{Backend, Lanes};

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

/// A pass over the network with lanes that have gaps and a cotangent of noise.
pub(crate) fn a_pass<B: Backend>(on: Instance<'_, B>) -> Outcome {
    let lanes = lanes();
    run(on, &lanes, &noise(9, lanes.len() * size()))
}

fn run<B: Backend>(on: Instance<'_, B>, lanes: &Lanes, cotangent: &[f32]) -> Outcome {
    let (net, params) = build(on);
    let cotangent = on.given(&shape(lanes), cotangent);
    pass(on, (&net, &params), lanes, &cotangent, Memory::Keep, None).0
}

fn one_objective_pass<B: Backend>(on: Instance<'_, B>, cotangent: &[f32]) -> Outcome {
    run(on, &Lanes::single(SAMPLES), cotangent)
}

/// A pass with lanes gives what a pass for each objective gives.
pub fn one_pass_is_the_separate_passes<B: Backend>(subject: &Subject<B>) {
    let tolerance = subject.tolerances.networks;
    for on in subject.instances() {
        one_pass_is_the_separate_passes_on(subject, on, tolerance);
    }
}

fn one_pass_is_the_separate_passes_on<B: Backend>(subject: &Subject<B>, on: Instance<'_, B>, tolerance: f64) {
    let backend = on.backend;
    let lanes = lanes();
    let cotangent = noise(7, lanes.len() * size());
    let (net, params) = build(on);
    let given = backend.tensor(&shape(&lanes), &cotangent);
    let (together, _) = pass(on, (&net, &params), &lanes, &given, Memory::Keep, None);

    let objectives = lanes.objectives();
    let mut gram = vec![0.0; objectives * objectives];
    let alone: Vec<_> = (0..objectives)
        .map(|k| {
            let mut weights = vec![0.0; objectives];
            weights[k] = 1.0;
            one_objective_pass(on, &spread(&lanes, &cotangent, &weights))
        })
        .collect();
    for (k, outcome) in alone.iter().enumerate() {
        subject.assert_same("the output, of which lanes are no part", &outcome.output, &together.output);
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

/// The combined gradient is that of the combined cotangent.
pub fn combined_cotangent_is_combined_gradient<B: Backend>(subject: &Subject<B>) {
    // The combined cotangent is rounded to f32 on its way in.
    let tolerance = subject.tolerances.networks.max(1e-6);
    for on in subject.instances() {
        combined_cotangent_is_combined_gradient_on(on, tolerance);
    }
}

fn combined_cotangent_is_combined_gradient_on<B: Backend>(on: Instance<'_, B>, tolerance: f64) {
    let backend = on.backend;
    let lanes = lanes();
    let weights = [0.5, 2.0, 7.0, -0.25];
    let cotangent = noise(8, lanes.len() * size());
    let (net, params) = build(on);
    let given = backend.tensor(&shape(&lanes), &cotangent);
    let (_, grads) = pass(on, (&net, &params), &lanes, &given, Memory::Keep, None);
    let combined = grads.combine(backend, &weights.map(f64::from));
    let single = one_objective_pass(on, &spread(&lanes, &cotangent, &weights));
    for (id, (found, expected)) in combined.iter().zip(&single.params).enumerate() {
        let found = found.as_ref().map_or(Vec::new(), |g| on.values(g));
        assert_close(&format!("parameter {id}"), &found, expected, tolerance);
    }
}

/// Gradients of two passes add up.
pub fn micro_batches_add_up<B: Backend>(subject: &Subject<B>) {
    let tolerance = subject.tolerances.sums;
    for on in subject.instances() {
        micro_batches_add_up_on(on, tolerance);
    }
}

fn micro_batches_add_up_on<B: Backend>(on: Instance<'_, B>, tolerance: f64) {
    let backend = on.backend;
    let lanes = lanes();
    let (net, params) = build(on);
    let run = |seed| {
        let cotangent = backend.tensor(&shape(&lanes), &noise(seed, lanes.len() * size()));
        pass(on, (&net, &params), &lanes, &cotangent, Memory::Keep, None)
    };
    let ((first, mut sum), (second, other)) = (run(1), run(2));
    sum.add_all(backend, other);
    for id in params.ids().filter(|&id| id != net.unused) {
        let expected: Vec<_> =
            first.params[id.0].iter().zip(&second.params[id.0]).map(|(a, b)| a + b).collect();
        let found = on.values(sum.get(id).expect("a gradient"));
        assert_close("sum of two micro-batches", &found, &expected, tolerance);
    }
}
