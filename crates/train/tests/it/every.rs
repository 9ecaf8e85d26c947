//! Theorems about steps that make the gradient of a weighted sum alone, and about when that is done.

use fairhuman_engine::{Backend, Cpu, Reference};
use fairhuman_fairness::{self as fairness, Gram, Observation, RunningGram, State, weigh};
use fairhuman_train::aggregate::{Direction, GradDrop, Position, Weighting};
use fairhuman_train::batch::Batch;
use fairhuman_train::denoising::{Denoising, DenoisingInputs};
use fairhuman_train::gradient::Gradients;
use fairhuman_train::group::{ShardedGroup, share};
use fairhuman_train::module::PassContext;
use fairhuman_train::objective::Normalisation;
use fairhuman_train::recipe::GradientUse;
use fairhuman_train::step::{Plan, step_direction};
use fairhuman_train::step_error::StepError;

use crate::threads;
use crate::toy::{Toy, batch, objectives};

type Found<B> = (Gradients<B>, Direction<B>);

/// Weightings that need no inner products, with steps between that make one gradient; and those that do.
const WITHOUT: [&str; 9] = [
    "kind = 'linear'",
    "kind = 'fixed', weights = [1, 0.5, 7]",
    "kind = 'alpha-fair', alpha = 0, priority = [1, 2, 3]",
    "kind = 'rlw'",
    "kind = 'log'",
    "kind = 'uncertainty'",
    "kind = 'dwa', window = 1",
    "kind = 'famo-ema'",
    "kind = 'stch', warmup = 1",
];
const WITH: [&str; 4] =
    ["kind = 'alpha-fair'", "kind = 'pcgrad'", "kind = 'aligned-mtl'", "kind = 'gradnorm', warmup = 1"];

fn weighting(text: &str) -> Weighting {
    #[derive(serde::Deserialize)]
    struct Recipe {
        weighting: Weighting,
    }
    toml::from_str::<Recipe>(&format!("weighting = {{ {text} }}")).unwrap().weighting
}

fn step<B: Backend>(
    backend: &B,
    processes: &ShardedGroup<'_, B>,
    weighting: &Weighting,
    batches: &[Batch<DenoisingInputs>],
    (step, state): (u64, &State),
) -> Result<Found<B>, StepError> {
    let toy = Toy::new(backend, 3);
    let context =
        PassContext { backend, checkpointing: false, clock: &|| 0.0, observer: None, watcher: None };
    let own = share(processes.group(), batches.len());
    let first = batches[..own.start].iter().map(|batch| batch.targets.size).sum();
    let objectives = objectives(Normalisation::Image);
    let plan = Plan { objectives: &objectives, weighting, gradients: GradientUse::Kept };
    let (module, position) = (Denoising(&toy), Position { seed: 7, step, state });
    step_direction(&context, processes, (&module, &toy.params), plan, (&batches[own], first), position)
}

/// Steps one after the other, of the same network.
fn steps<B: Backend>(
    backend: &B,
    weighting: &Weighting,
    batches: &[Vec<Batch<DenoisingInputs>>],
) -> Vec<Found<B>> {
    let mut state = State::default();
    let take = |(number, batches): (u64, &Vec<_>)| {
        let found = step(backend, &ShardedGroup::single(), weighting, batches, (number, &state)).unwrap();
        state = found.1.state.clone();
        found
    };
    (1..).zip(batches).map(take).collect()
}

fn flat<B: Backend>(backend: &B, direction: &Direction<B>) -> Vec<f32> {
    direction.combined.iter().flatten().flat_map(|g| backend.read(g)).collect()
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance * size, "{what}: {a} {b} (largest {size})");
    }
}

/// With regions everywhere, in some samples only, and absent; in one batch and accumulated.
fn batches() -> Vec<Vec<Batch<DenoisingInputs>>> {
    let all: &[usize] = &[0, 1, 2, 3];
    let whole = [[all, &[0, 3], &[1]], [all, &[2], &[]], [all, all, &[0, 1]], [all, &[], &[3]]];
    let whole: Vec<_> = whole.iter().map(|present| batch(4, present)).collect();
    let parts = whole.iter().map(|batch| batch.split(2)).collect::<Vec<_>>();
    whole.into_iter().map(|batch| vec![batch]).chain(parts).collect()
}

#[test]
fn the_gradient_of_a_sum_is_the_combined_gradient_and_weights_that_need_no_products_are_the_same() {
    let backend = Cpu::new(1).unwrap();
    for kind in WITHOUT {
        let exact = weighting(&format!("{kind}, every = 1"));
        let summed = weighting(&format!("{kind}, every = 100"));
        let pairs = steps(&backend, &exact, &batches()).into_iter().zip(steps(&backend, &summed, &batches()));
        for (number, ((_, expected), (_, found))) in (1..).zip(pairs) {
            let what = format!("{kind}, step {number}");
            assert_eq!(found.gram.is_empty(), number > 1, "{what}");
            assert_eq!(found.weights_of, None, "{what}: they are this step's");
            let weights = |of: &Direction<Cpu>| of.solution.as_ref().unwrap().combination();
            for (a, b) in weights(&found).iter().zip(weights(&expected)) {
                assert!((a - b).abs() <= 1e-6 * b.abs(), "{what}: {a} {b}");
            }
            assert_close(&flat(&backend, &found), &flat(&backend, &expected), 1e-5, &what);
            assert!((found.norm / expected.norm - 1.0).abs() < 1e-5, "{what}");
        }
    }
}

#[test]
fn steps_between_have_the_weights_of_the_averaged_gram_matrix_and_its_combined_gradient() {
    let backend = Cpu::new(1).unwrap();
    for kind in WITH {
        let every = weighting(&format!("{kind}, every = 5, average = 3"));
        let found = steps(&backend, &every, &batches());
        let kinds: Vec<bool> = found.iter().map(|(_, direction)| !direction.gram.is_empty()).collect();
        assert_eq!(kinds, [true, true, false, true, false, true, false, false], "{kind}");
        let of: Vec<_> = found.iter().map(|(_, direction)| direction.weights_of).collect();
        assert_eq!(of, [None, None, Some(2), None, Some(4), None, Some(6), Some(6)], "{kind}");

        // The average by hand, and the weights that are solved for it with the step's own absences.
        let (mut state, mut average) = (State::default(), RunningGram::read(&State::default(), 3).unwrap());
        for (number, (batches, (gradients, direction))) in (1..).zip(batches().iter().zip(&found)) {
            let absent: Vec<bool> = gradients.present.iter().map(|&lanes| lanes == 0).collect();
            if !direction.gram.is_empty() {
                let names = ["global", "face", "hand"];
                let gram = Gram::new(names, direction.gram.clone()).unwrap().with_absent(&absent).unwrap();
                average.add(&gram, number, 3);
            }
            let gram = average.gram(["global", "face", "hand"], &absent).unwrap();
            let seen = Observation { gram: &gram, losses: &gradients.losses, seed: 7, step: number };
            let rule: fairness::Weighting =
                serde_json::from_value(serde_json::to_value(&every.rule).unwrap()).unwrap();
            let expected = weigh(&rule, &seen, &mut state).unwrap();
            let solution = direction.solution.as_ref().unwrap();
            let what = format!("{kind}, step {number}");
            for (a, b) in solution.weights.iter().zip(&expected.weights) {
                assert!((a - b).abs() <= 1e-6 * b.abs(), "{what}: {a} {b}");
            }
            let fixed = solution.combination().iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
            if solution.weights.iter().all(|&w| w >= 0.0) {
                let fixed = weighting(&format!("kind = 'fixed', weights = [{fixed}], every = 1"));
                let (_, exact) =
                    step(&backend, &ShardedGroup::single(), &fixed, batches, (1, &State::default())).unwrap();
                assert_close(&flat(&backend, direction), &flat(&backend, &exact), 1e-5, &what);
            }
        }
    }
}

#[test]
fn a_state_that_was_written_and_read_gives_the_same_bits() {
    let backend = Cpu::new(1).unwrap();
    for kind in WITHOUT.iter().chain(&WITH) {
        let every = weighting(&format!("{kind}, every = 3"));
        let expected = steps(&backend, &every, &batches());
        let mut state = State::default();
        for (number, (batches, (_, expected))) in (1..).zip(batches().iter().zip(&expected)) {
            let (_, found) =
                step(&backend, &ShardedGroup::single(), &every, batches, (number, &state)).unwrap();
            assert_eq!(flat(&backend, &found), flat(&backend, expected), "{kind}, step {number}");
            assert_eq!(found.solution, expected.solution, "{kind}, step {number}");
            state = serde_json::from_str(&serde_json::to_string(&found.state).unwrap()).unwrap();
        }
    }
}

#[test]
fn two_ranks_take_the_steps_of_accumulation_of_both_kinds() {
    for kind in ["kind = 'alpha-fair', every = 3", "kind = 'log', every = 2", "kind = 'linear', every = 2"] {
        let (kind, all) = (weighting(kind), batches());
        // The second half is accumulated.
        let run = |processes: &ShardedGroup<'_, Reference>| -> Vec<Vec<Option<Vec<f32>>>> {
            let mut state = State::default();
            let take = |(number, batches): (u64, &Vec<_>)| {
                let (_, found) = step(&Reference, processes, &kind, batches, (number, &state)).unwrap();
                state = found.state.clone();
                found.combined.iter().map(|grad| grad.as_ref().map(|grad| Reference.read(grad))).collect()
            };
            (1..).zip(&all[4..]).map(take).collect()
        };
        let alone = run(&ShardedGroup::single());
        let params = Toy::new(&Reference, 3).params;
        let ranks = threads::run(2, |rank| run(&ShardedGroup::new(rank, &params, 3)));
        for (number, expected) in alone.iter().enumerate() {
            for (id, expected) in expected.iter().enumerate() {
                let mut found = ranks.iter().filter_map(|steps| steps[number][id].as_ref());
                let (found, expected) = (found.next().unwrap(), expected.as_ref().unwrap());
                let largest = expected.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() <= 2e-6 * largest, "{kind:?}, step {number}: {a} {b}");
                }
            }
        }
    }
}

#[test]
fn an_objective_that_the_average_does_not_know_makes_a_step_exact() {
    let all: &[usize] = &[0, 1];
    let (without, with) = (batch(2, &[all, all, &[]]), batch(2, &[all, all, all]));
    let order = [&without, &without, &without, &without, &without, &with, &with, &without];
    let order: Vec<_> = order.into_iter().map(|batch| vec![batch.clone()]).collect();
    let found = steps(&Reference, &weighting("kind = 'alpha-fair', every = 100"), &order);
    let exact: Vec<bool> = found.iter().map(|(_, direction)| !direction.gram.is_empty()).collect();
    // 1, 2, 4 and 8 as there is little to go by; 6 because hands are new.
    assert_eq!(exact, [true, true, false, true, false, true, false, true]);
}

#[test]
fn absent_regions_and_numbers_that_are_not_finite_are_met_as_in_exact_steps() {
    let backend = Reference;
    // The sum's cotangent is beyond f32 where a target is huge.
    let steep = "kind = 'fixed', weights = [1e6, 1e6, 1e6], every = 9";
    for kind in [steep, "kind = 'log', every = 9"] {
        let weighting = weighting(kind);
        let first =
            step(&backend, &ShardedGroup::single(), &weighting, &batches()[0], (1, &State::default()))
                .unwrap()
                .1
                .state;
        let refused = |change: &dyn Fn(&mut Batch<DenoisingInputs>), size: usize| {
            let mut bad = batch(4, &[&[0, 1, 2, 3], &[2], &[]]);
            change(&mut bad);
            step(&backend, &ShardedGroup::single(), &weighting, &bad.split(size), (2, &first)).err()
        };
        for size in [2, 4] {
            let found = refused(&|bad| *bad.targets.values.last_mut().unwrap() = f32::NAN, size);
            assert_eq!(found, Some(StepError::Input { what: "target", samples: vec![3] }));
            let huge = |bad: &mut Batch<DenoisingInputs>| bad.targets.values.fill(f32::MAX);
            let found = refused(&huge, size);
            assert_eq!(matches!(found, Some(StepError::Gradient { .. })), kind == steep, "{found:?}");
        }
        let empty = batch(4, &[&[0, 1, 2, 3], &[], &[]]);
        let (found, direction) =
            step(&backend, &ShardedGroup::single(), &weighting, &[empty], (2, &first)).unwrap();
        assert_eq!((found.present, direction.gram.len()), (vec![4, 0, 0], 0), "only the picture is there");
    }
    let graddrop = Weighting::from(GradDrop {});
    let found =
        step(&backend, &ShardedGroup::single(), &graddrop, &batches()[0], (2, &State::default())).unwrap().1;
    assert!(!found.gram.is_empty(), "it needs the gradients themselves in every step");
}

/// Neither the scale of a loss nor the area of its region changes the direction of unit gradients, whether
/// weights are solved for the step's gradients or for an average.
#[test]
fn scale_and_area_drop_out_of_directions_of_unit_gradients() {
    let backend = Reference;
    let toy = Toy::new(&backend, 3);
    let context = PassContext {
        backend: &backend,
        checkpointing: false,
        clock: &|| 0.0,
        observer: None,
        watcher: None,
    };
    let direction = |weighting: &str, scales: [f64; 3], normalisation| {
        let mut objectives = objectives(normalisation);
        objectives.iter_mut().zip(scales).for_each(|(objective, scale)| objective.scale = scale);
        let weighting = self::weighting(weighting);
        let plan = Plan { objectives: &objectives, weighting: &weighting, gradients: GradientUse::Kept };
        let mut state = State::default();
        let mut last = Vec::new();
        for (number, batches) in (1..).zip(&batches()[..3]) {
            let position = Position { seed: 7, step: number, state: &state };
            let network = (&Denoising(&toy), &toy.params);
            let (_, found) =
                step_direction(&context, &ShardedGroup::single(), network, plan, (batches, 0), position)
                    .unwrap();
            last = flat(&backend, &found);
            // A direction: its length follows that of the gradients.
            last.iter_mut().for_each(|value| *value /= found.norm as f32);
            state = found.state;
        }
        last
    };
    for kind in ["alpha = 2, priority = [1, 1, 3]", "alpha = 1", "alpha = inf"] {
        for every in ["", ", average = 3", ", every = 5"] {
            let unit = format!("kind = 'alpha-fair', {kind}, normalise = 'gradient'{every}");
            let expected = direction(&unit, [1.0, 5.0, 5.0], Normalisation::Image);
            for (scales, normalisation) in [
                ([1.0, 1.0, 20.0], Normalisation::Image),
                ([1.0, 5.0, 5.0], Normalisation::Region),
                ([3.0, 0.1, 2.0], Normalisation::Region),
            ] {
                // The area of a region varies from step to step, and an average sees that.
                if every.is_empty() || normalisation == Normalisation::Image {
                    let found = direction(&unit, scales, normalisation);
                    assert_close(&found, &expected, 1e-4, &format!("{unit}, {scales:?}"));
                }
            }
        }
    }
    // The paper's form does depend on the scale.
    let plain = |scale| direction("kind = 'alpha-fair'", [1.0, 5.0, scale], Normalisation::Image);
    let difference = plain(5.0).iter().zip(plain(20.0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference > 1e-3, "{difference}");
}

/// An average knows the area of a region only in the mean; a rule whose weights are the step's own has the
/// priorities in its rates.
#[test]
fn an_objective_with_more_priority_falls_faster() {
    let backend = Reference;
    let rate = |priority: f64| {
        let weighting = weighting(&format!("kind = 'alpha-fair', priority = [1, 1, {priority}]"));
        let found =
            step(&backend, &ShardedGroup::single(), &weighting, &batches()[0], (1, &State::default()))
                .unwrap()
                .1;
        found.solution.unwrap().rates[2] / found.norm
    };
    assert!(rate(1.0) < rate(2.0) && rate(2.0) < rate(8.0), "{} {} {}", rate(1.0), rate(2.0), rate(8.0));
}
