//! Theorems about one training step, on a network of two layers: accumulation, absence, refusal, adapters.

use fairhuman_engine::{Backend, Cpu, ParamGrads, Reference};
use fairhuman_fairness::State;
use fairhuman_train::aggregate::{Direction, GradDrop, Position, Weighting, fair_direction};
use fairhuman_train::batch::Batch;
use fairhuman_train::denoising::{Denoising, DenoisingInputs};
use fairhuman_train::gradient::{Gradients, Share, clip_factor, combined_gradient, objective_gradients};
use fairhuman_train::group::ShardedGroup;
use fairhuman_train::module::{PassContext, Wants};
use fairhuman_train::objective::{Normalisation, Objective};
use fairhuman_train::optimizer::{Moments, update};
use fairhuman_train::recipe::Optimizer;
use fairhuman_train::step_error::StepError;

use crate::toy::{Toy, batch, objectives};

fn silent() -> f64 {
    0.0
}

fn context<B: Backend>(backend: &B) -> PassContext<'_, B> {
    PassContext { backend, checkpointing: false, clock: &silent, observer: None, watcher: None }
}

fn step<B: Backend>(
    backend: &B,
    toy: &Toy<B>,
    objectives: &[Objective],
    batches: &[Batch<DenoisingInputs>],
) -> Result<(Gradients<B>, Direction<B>), StepError> {
    weighted_step(backend, toy, objectives, batches, &Weighting::default())
}

fn weighted_step<B: Backend>(
    backend: &B,
    toy: &Toy<B>,
    objectives: &[Objective],
    batches: &[Batch<DenoisingInputs>],
    weighting: &Weighting,
) -> Result<(Gradients<B>, Direction<B>), StepError> {
    let context = context(backend);
    let module = Denoising(toy);
    let single = ShardedGroup::single();
    let share = Share::count(&single, objectives.len(), (batches, 0))?;
    let wants = Wants::Gradients;
    let gradients = objective_gradients(&context, &single, &module, &toy.params, objectives, &share, wants)?;
    let position = Position { seed: 0, step: 1, state: &State::default() };
    let direction = fair_direction(
        &context,
        &ShardedGroup::single(),
        (objectives, weighting),
        &gradients,
        position,
        None,
    )?;
    Ok((gradients, direction))
}

fn flat<B: Backend>(backend: &B, direction: &Direction<B>) -> Vec<f32> {
    direction.combined.iter().flatten().flat_map(|g| backend.read(g)).collect()
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance * size, "{i}: {a} {b} (largest {size})");
    }
}

#[test]
fn two_micro_batches_of_two_are_one_batch_of_four() {
    let backend = Reference;
    let toy = Toy::new(&backend, 3);
    for normalisation in [Normalisation::Image, Normalisation::Region] {
        let objectives = objectives(normalisation);
        let whole = batch(4, &[&[0, 1, 2, 3], &[0, 3], &[1]]);
        let (a, at_once) = step(&backend, &toy, &objectives, std::slice::from_ref(&whole)).unwrap();
        let (b, in_parts) = step(&backend, &toy, &objectives, &whole.split(2)).unwrap();
        assert_eq!(a.present, b.present);
        for (x, y) in a.losses.iter().zip(&b.losses) {
            assert!((x - y).abs() <= 1e-12 * x.abs(), "{x} {y}");
        }
        assert_close(&flat(&backend, &in_parts), &flat(&backend, &at_once), 1e-6);
        assert_eq!(a.prediction, b.prediction);
    }
}

#[test]
fn every_micro_batch_counts_and_not_only_the_last() {
    let backend = Reference;
    let toy = Toy::new(&backend, 3);
    let objectives = objectives(Normalisation::Image);
    let parts = batch(4, &[&[0, 1, 2, 3], &[0], &[3]]).split(2);
    let (all, _) = step(&backend, &toy, &objectives, &parts).unwrap();
    let (last, _) = step(&backend, &toy, &objectives, &parts[1..]).unwrap();
    assert!(all.losses[1] > 0.0, "the face is in the first micro-batch");
    assert_eq!(last.losses[1], 0.0);
    let norms = |g: &Gradients<Reference>| g.grads.gram(&backend);
    assert!(norms(&all)[4] > 0.0 && norms(&last)[4] == 0.0);
}

#[test]
fn an_absent_objective_has_weight_0_and_no_lanes_and_leaves_the_others_fair() {
    let backend = Reference;
    let toy = Toy::new(&backend, 5);
    let objectives = objectives(Normalisation::Image);
    let with = batch(2, &[&[0, 1], &[0], &[]]);
    let (gradients, direction) = step(&backend, &toy, &objectives, &[with]).unwrap();
    assert_eq!(gradients.present, [2, 1, 0]);
    let solution = direction.solution.as_ref().expect("weights");
    assert_eq!(solution.absent, [false, false, true]);
    assert_eq!(solution.weights[2], 0.0);
    let w = &solution.weights;
    // (A w)_i = w_i^(-1/2) among the present ones.
    for i in 0..2 {
        let rate: f64 = (0..2).map(|j| direction.gram[3 * i + j] * w[j]).sum();
        assert!((rate * w[i].sqrt() - 1.0).abs() < 1e-9, "{rate} {w:?}");
    }
    // K counts all objectives.
    let sum: Vec<f32> = {
        let combined = gradients.grads.combine(&backend, &[3.0 * w[0], 3.0 * w[1], 0.0]);
        combined.iter().flatten().flat_map(|g| backend.read(g)).collect()
    };
    assert_eq!(flat(&backend, &direction), sum);
}

#[test]
fn a_step_without_any_pixels_has_nothing_to_combine() {
    let backend = Reference;
    let toy = Toy::new(&backend, 5);
    let objectives = &objectives(Normalisation::Image)[1..];
    let mut empty = batch(2, &[&[0, 1], &[], &[]]);
    empty.targets.masks.remove(0);
    let (gradients, direction) = step(&backend, &toy, objectives, &[empty]).unwrap();
    assert_eq!(gradients.present, [0, 0]);
    assert_eq!(direction.norm, 0.0);
}

#[test]
fn a_number_that_is_not_finite_refuses_the_step_with_objective_and_sample() {
    let backend = Reference;
    let toy = Toy::new(&backend, 7);
    let objectives = objectives(Normalisation::Image);
    let fine = batch(4, &[&[0, 1, 2, 3], &[2], &[]]);

    let mut bad = fine.clone();
    let last = 3 * bad.targets.values.len() / 4;
    bad.targets.values[last] = f32::NAN;
    let refused = step(&backend, &toy, &objectives, &bad.split(2)).err().unwrap();
    assert_eq!(refused, StepError::Input { what: "target", samples: vec![3] });
    let names: Vec<String> = ["a.png", "b.png", "c.png", "d.png"].map(String::from).to_vec();
    assert_eq!(refused.named(&names), "the target of d.png is not finite");

    // Finite inputs and, in f64, a finite loss, but a cotangent beyond f32.
    let mut steep = objectives.clone();
    steep[1].scale = 1e6;
    let mut huge = fine.clone();
    let quarter = huge.targets.values.len() / 4;
    huge.targets.values[2 * quarter..3 * quarter].fill(f32::MAX);
    let refused = step(&backend, &toy, &steep, &huge.split(2)).err().unwrap();
    assert!(matches!(refused, StepError::Gradient { .. }), "{refused:?}");
    let message = refused.named(&names);
    assert!(message.contains("\"face\"") && message.contains("c.png"), "{message}");

    let mut toy = toy;
    toy.poison();
    let refused = step(&backend, &toy, &objectives, &[fine]).err().unwrap();
    assert_eq!(refused, StepError::Loss { objective: "global".into(), samples: vec![0, 1, 2, 3] });
}

#[test]
fn min_snr_weighs_all_objectives_alike() {
    let backend = Reference;
    let toy = Toy::new(&backend, 9);
    let objectives = objectives(Normalisation::Image);
    let plain = batch(2, &[&[0, 1], &[0, 1], &[0, 1]]);
    let mut halved = plain.clone();
    halved.targets.weights = vec![0.5, 0.5];
    let (a, _) = step(&backend, &toy, &objectives, &[plain]).unwrap();
    let (b, _) = step(&backend, &toy, &objectives, &[halved]).unwrap();
    for (x, y) in a.losses.iter().zip(&b.losses) {
        assert!((0.5 * x - y).abs() < 1e-12, "{x} {y}");
    }
    for (x, y) in a.grads.gram(&backend).iter().zip(b.grads.gram(&backend)) {
        assert!((0.25 * x - y).abs() <= 1e-6 * x.abs().max(1e-12), "{x} {y}");
    }
}

#[test]
fn scaled_losses_would_change_the_step_so_none_are_scaled() {
    // The fair weights are not linear in the gradients: a loss scale S would leave S^(-1/3) in the step.
    let backend = Reference;
    let toy = Toy::new(&backend, 9);
    let objectives = objectives(Normalisation::Image);
    let plain = batch(2, &[&[0, 1], &[0], &[1]]);
    let mut scaled = plain.clone();
    scaled.targets.weights = vec![1024.0; 2];
    let (_, a) = step(&backend, &toy, &objectives, &[plain]).unwrap();
    let (_, b) = step(&backend, &toy, &objectives, &[scaled]).unwrap();
    let expected = 1024f64.powf(-1.0 / 3.0);
    assert!((b.norm / a.norm / expected - 1.0).abs() < 1e-5, "{} {}", b.norm / a.norm, expected);
}

#[test]
fn cpu_and_reference_take_the_same_step() {
    let (cpu, reference) = (Cpu::new(2).unwrap(), Reference);
    let objectives = objectives(Normalisation::Image);
    let batches = batch(4, &[&[0, 1, 2, 3], &[0, 3], &[1]]).split(2);
    let (_, fast) = step(&cpu, &Toy::new(&cpu, 3), &objectives, &batches).unwrap();
    let (_, exact) = step(&reference, &Toy::new(&reference, 3), &objectives, &batches).unwrap();
    assert_close(&flat(&cpu, &fast), &flat(&reference, &exact), 1e-4);
}

#[test]
fn the_update_is_pytorchs_adamw_after_clipping() {
    let backend = Reference;
    let mut toy = Toy::new(&backend, 3);
    let objectives = objectives(Normalisation::Image);
    let before: Vec<f32> = toy.params.iter().flat_map(|p| backend.read(&p.value)).collect();
    let (_, direction) = step(&backend, &toy, &objectives, &[batch(2, &[&[0, 1], &[0], &[1]])]).unwrap();
    let grads = flat(&backend, &direction);
    let o = Optimizer { learning_rate: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.1 };
    let clip = clip_factor(direction.norm, 0.5 * direction.norm);
    assert!((clip - 0.5).abs() < 1e-5);
    let mut moments = Moments::new(&backend, &toy.params, &ShardedGroup::single());
    update(&backend, &mut toy.params, &mut moments, &direction.combined, clip, &o, o.learning_rate);
    let after: Vec<f32> = toy.params.iter().flat_map(|p| backend.read(&p.value)).collect();
    for ((&p, &g), &found) in before.iter().zip(&grads).zip(&after) {
        let g = clip * f64::from(g);
        // First step: both moments' bias corrections cancel their decays.
        let expected = f64::from(p) * (1.0 - 0.01 * 0.1) - 0.01 * g / (g.abs() + 1e-8);
        assert!((f64::from(found) - expected).abs() < 1e-6, "{found} {expected}");
    }
    assert_eq!(moments.updates, 1);
}

#[test]
fn gradients_are_kept_per_objective_until_the_one_solve() {
    let backend = Reference;
    let toy = Toy::new(&backend, 3);
    let objectives = objectives(Normalisation::Image);
    let parts = batch(4, &[&[0, 1, 2, 3], &[0, 3], &[1]]).split(1);
    let (gradients, direction) = step(&backend, &toy, &objectives, &parts).unwrap();
    let grads: &ParamGrads<Reference> = &gradients.grads;
    assert_eq!(grads.objectives(), 3);
    for (x, y) in grads.gram(&backend).iter().zip(&direction.gram) {
        assert!((x - y).abs() <= 1e-12 * x.abs());
    }
}

#[test]
fn a_method_that_works_element_by_element_has_a_direction_but_no_weights() {
    let backend = Reference;
    let toy = Toy::new(&backend, 3);
    let objectives = objectives(Normalisation::Image);
    let batches = batch(4, &[&[0, 1, 2, 3], &[0, 3], &[1]]).split(2);
    let weighting = Weighting::from(GradDrop {});
    let (gradients, direction) = weighted_step(&backend, &toy, &objectives, &batches, &weighting).unwrap();
    assert_eq!(direction.solution, None);
    let (_, again) = weighted_step(&backend, &toy, &objectives, &batches, &weighting).unwrap();
    assert_eq!(flat(&backend, &direction), flat(&backend, &again), "a function of seed and step");
    // Every element is the sum of the objectives' parts of one sign.
    for (id, combined) in toy.params.ids().zip(&direction.combined) {
        let grads = backend.read(gradients.grads.get(id).unwrap());
        let combined = backend.read(combined.as_ref().unwrap());
        for (p, found) in combined.iter().enumerate() {
            let parts = || grads[p..].iter().step_by(combined.len());
            let positive: f32 = parts().filter(|g| **g > 0.0).sum();
            let negative: f32 = parts().filter(|g| **g < 0.0).sum();
            let close = |sign: f32| (found - sign).abs() <= 1e-6 * sign.abs();
            assert!(close(positive) || close(negative), "{found}: {positive} or {negative}");
        }
    }
}

/// Products as they come and a second pass give what kept gradients give, but for rounding; with an objective
/// in some samples only, and with one that is absent.
#[test]
fn gradients_that_are_not_kept_give_the_same_direction() {
    for present in [[&[0, 1][..], &[0, 1], &[1]], [&[0, 1], &[0], &[]]] {
        let backend = Cpu::new(1).unwrap();
        let (toy, objectives) = (Toy::new(&backend, 3), objectives(Normalisation::Image));
        let batches = [batch(2, &present)];
        let (kept, expected) = step(&backend, &toy, &objectives, &batches).unwrap();

        let context = context(&backend);
        let single = ShardedGroup::single();
        let all = &Share::count(&single, objectives.len(), (&batches[..], 0)).unwrap();
        let params = &toy.params;
        let found = objective_gradients(
            &context,
            &single,
            &Denoising(&toy),
            params,
            &objectives,
            all,
            Wants::Products,
        )
        .unwrap();
        assert!(params.ids().all(|id| found.grads.get(id).is_none()), "nothing is kept");
        let second = |coefficients: &[f64]| {
            Ok(combined_gradient(&context, &Denoising(&toy), params, &objectives, all, coefficients)?
                .gradient)
        };
        let position = Position { seed: 0, step: 1, state: &State::default() };
        let weighting = Weighting::default();
        let direction = fair_direction(
            &context,
            &ShardedGroup::single(),
            (&objectives, &weighting),
            &found,
            position,
            Some(&second),
        )
        .unwrap();
        assert_eq!(found.losses, kept.losses);
        for (a, b) in direction.gram.iter().zip(&expected.gram) {
            assert!((a - b).abs() <= 1e-6 * expected.gram[0], "{a} {b}");
        }
        assert_close(&flat(&backend, &direction), &flat(&backend, &expected), 1e-5);
    }
}
