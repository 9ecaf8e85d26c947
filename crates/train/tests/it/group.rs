//! Several processes that take one step together, here as threads: they get the bits of a single process that
//! accumulates, because sums are added in the order of the ranks.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_engine::{Backend, Cpu, DType, Reference};
use fairhuman_fairness::State;
use fairhuman_people::{Options, write_dataset};
use fairhuman_train::aggregate::{Direction, Position, Weighting, fair_direction};
use fairhuman_train::batch::Batch;
use fairhuman_train::denoising::{Denoising, DenoisingInputs};
use fairhuman_train::error::TrainError;
use fairhuman_train::events::{self, Event, Step};
use fairhuman_train::gradient::{Gradients, Share, objective_gradients};
use fairhuman_train::group::{Group, ShardedGroup, Single, share};
use fairhuman_train::module::{PassContext, Wants};
use fairhuman_train::objective::Normalisation;
use fairhuman_train::recipe::Recipe;
use fairhuman_train::recorded::{Tensor, Values, read_tensors};
use fairhuman_train::step_error::StepError;
use fairhuman_train::train::{Environment, Reporter, Summary, train};

use crate::threads::{self, Rank};
use crate::toy::{Toy, batch, objectives};

type StepResult = Result<(Gradients<Reference>, Direction<Reference>), StepError>;

fn step(group: &dyn Group<Reference>, batches: &[Batch<DenoisingInputs>]) -> StepResult {
    let (backend, toy) = (Reference, Toy::new(&Reference, 3));
    let processes = ShardedGroup::new(group, &toy.params, 3);
    let context = PassContext {
        backend: &backend,
        checkpointing: false,
        clock: &|| 0.0,
        observer: None,
        watcher: None,
    };
    let objectives = objectives(Normalisation::Region);
    let own = share(group, batches.len());
    let first = batches[..own.start].iter().map(|batch| batch.targets.size).sum();
    let batches = (&batches[own], first);
    let share = Share::count(&processes, objectives.len(), batches)?;
    let (module, wants) = (Denoising(&toy), Wants::Gradients);
    let gradients =
        objective_gradients(&context, &processes, &module, &toy.params, &objectives, &share, wants)?;
    let weighting = Weighting::default();
    let position = Position { seed: 0, step: 1, state: &State::default() };
    let direction =
        fair_direction(&context, &processes, (&objectives, &weighting), &gradients, position, None)?;
    Ok((gradients, direction))
}

#[test]
fn two_ranks_with_a_micro_batch_each_take_the_step_of_accumulation() {
    // The face is in the first rank's samples only, the hand in the second's.
    let batches = batch(4, &[&[0, 1, 2, 3], &[0], &[3]]).split(2);
    let (alone, expected) = step(&Single, &batches).unwrap();
    let ranks: Vec<_> =
        threads::run(2, |rank| step(rank, &batches)).into_iter().map(Result::unwrap).collect();
    let close = |a: f64, b: f64| assert!((a - b).abs() <= 1e-6 * b.abs(), "{a} {b}");
    for (gradients, direction) in &ranks {
        assert_eq!(gradients.losses, alone.losses);
        assert_eq!(gradients.present, alone.present);
        assert_eq!(gradients.area, alone.area);
        direction.gram.iter().zip(&expected.gram).for_each(|(a, b)| close(*a, *b));
        assert_eq!(direction.gram, ranks[0].1.gram, "the same bits in all ranks");
        assert_eq!(direction.solution, ranks[0].1.solution);
        assert_eq!(direction.norm, ranks[0].1.norm);
        close(direction.norm, expected.norm);
    }
    for (id, expected) in expected.combined.iter().enumerate() {
        let owners: Vec<_> =
            ranks.iter().filter_map(|(_, direction)| direction.combined[id].as_ref()).collect();
        assert_eq!(owners.len(), 1, "every parameter has one owner");
        let expected = Reference.read(expected.as_ref().unwrap());
        let largest = expected.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
        for (a, b) in Reference.read(owners[0]).iter().zip(&expected) {
            assert!((a - b).abs() <= 2e-6 * largest, "{a} {b}");
        }
    }
}

#[test]
fn a_step_that_one_rank_refuses_is_refused_by_all() {
    let mut batches = batch(4, &[&[0, 1, 2, 3], &[0], &[3]]).split(2);
    batches[1].targets.values[0] = f32::NAN;
    let mut refused =
        threads::run(2, |rank| step(rank, &batches)).into_iter().map(|step| step.err().unwrap());
    assert_eq!(refused.next(), Some(StepError::Elsewhere));
    assert_eq!(refused.next(), Some(StepError::Input { what: "target", samples: vec![2] }));
}

/// The clock counts the buckets that have left, so that the seconds of a backward pass are those that left
/// during it.
#[test]
fn gradients_leave_while_the_backward_pass_goes_on() {
    let whole = batch(4, &[&[0, 1, 2, 3], &[0], &[3]]);
    let mut damaged = whole.clone();
    // In the last sample: rank 1 refuses, when rank 0 has begun to send.
    *damaged.targets.values.last_mut().unwrap() = f32::INFINITY;
    threads::run(2, |rank| {
        let toy = Toy::new(&Reference, 3);
        let processes = ShardedGroup::new(rank, &toy.params, 3);
        let clock = || rank.begun() as f64;
        let context = PassContext {
            backend: &Reference,
            checkpointing: false,
            clock: &clock,
            observer: None,
            watcher: None,
        };
        let step = |batch: &Batch<DenoisingInputs>| {
            let batches = batch.split(2);
            let (number, objectives) = (Group::rank(rank), objectives(Normalisation::Region));
            let own = (&batches[number..=number], 2 * number);
            let (module, wants) = (Denoising(&toy), Wants::Gradients);
            let own = Share::count(&processes, objectives.len(), own)?;
            objective_gradients(&context, &processes, &module, &toy.params, &objectives, &own, wants)
        };
        let owned = |gradients: &Gradients<Reference>| -> Vec<Option<Vec<f32>>> {
            gradients.grads.iter().map(|grads| grads.map(|grads| Reference.read(grads))).collect()
        };
        let first = step(&whole).unwrap();
        assert_eq!(first.backward, 0.0, "nobody knows yet when a gradient is whole");
        let second = step(&whole).unwrap();
        assert_eq!(second.backward, 1.0);
        assert!(step(&damaged).is_err());
        let last = step(&whole).unwrap();
        assert_eq!((owned(&second), owned(&last)), (owned(&first), owned(&first)));
    });
}

#[test]
fn every_micro_batch_falls_to_one_rank_in_the_order_of_the_ranks() {
    for size in 1..5 {
        for count in 0..9 {
            let dealt = threads::run(size, |rank: &Rank<'_, Reference>| share(rank, count));
            assert_eq!(dealt.into_iter().flatten().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
    }
}

/// Four steps of two micro-batches, on a tiny model and drawn people in `folder`.
fn recipe(folder: &Path, out: &str, accumulation: usize) -> Recipe {
    let text = format!(
        r#"
steps = 4
out = "{out}"
cache = "cache"
batch = 2
accumulation = {accumulation}
model.path = "tiny"
dataset.path = "people"
geometry = {{ width = 64, height = 64 }}
objective = [{{ name = "global" }}, {{ name = "hand", mask = "mask_hand", normalisation = "region" }}]
lora.rank = 2
optimizer.learning_rate = 1e-4
checkpoints.every = 2
validation = {{ share = 0.2, draws = 1, every = 2 }}
"#
    );
    Recipe::parse(&folder.join("recipe.toml"), &text).unwrap()
}

struct Silent;

impl Reporter for Silent {
    fn event(&mut self, _: &Event) {}
    fn preparing(&mut self, _: &str, _: usize, _: usize) {}
}

fn run(recipe: &Recipe, until: u64, group: &dyn Group<Cpu>) -> Result<Summary, Box<TrainError>> {
    let environment = Environment {
        clock: &|| 0.0,
        peak_memory: &|| None,
        machine: "a test",
        stop: &AtomicBool::new(false),
        reporter: &mut Silent,
        observer: None,
        group,
        until: Some(until),
        record: None,
    };
    train(&Cpu::new(1).unwrap(), recipe, environment).map_err(Box::new)
}

/// The steps of a run's log, without what only its writer sees: time steps of its own samples.
fn steps(folder: &Path, run: &str) -> Vec<Step> {
    let step = |event| match event {
        Event::Step(step) => Some(Step { timesteps: Vec::new(), ..*step }),
        _ => None,
    };
    let events = events::read(&folder.join(run).join("events.jsonl")).unwrap();
    events.into_iter().filter_map(step).collect()
}

fn validations(folder: &Path, run: &str) -> Vec<Vec<f64>> {
    let losses = |event| match event {
        Event::Validation(validation) => Some(validation.losses),
        _ => None,
    };
    let events = events::read(&folder.join(run).join("events.jsonl")).unwrap();
    events.into_iter().filter_map(losses).collect()
}

fn all_close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() <= 1e-3 * largest, "{a} {b}"));
}

fn floats(tensor: &Tensor) -> Vec<f64> {
    match &tensor.values {
        Values::F32(values) => values.iter().map(|&value| f64::from(value)).collect(),
        other => panic!("{other:?}"),
    }
}

fn prepared() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let people = Options { count: 10, size: 64, seed: 1, figures: 1, ..Options::default() };
    write_dataset(people, &folder.path().join("people"), &mut |_| {}).unwrap();
    init_model(&Cpu::new(1).unwrap(), Preset::Tiny, DType::F32, 1, &folder.path().join("tiny")).unwrap();
    folder
}

#[test]
fn runs_of_several_ranks_leave_the_files_of_one_and_resume_with_any_number() {
    let folder = prepared();
    let folder = folder.path();
    run(&recipe(folder, "one", 2), 4, &Single).unwrap();
    // Four ranks have half a micro-batch each; the last run goes on with another number of ranks.
    for (out, numbers) in [("two", [2, 2]), ("four", [4, 4]), ("other", [2, 1])] {
        let recipe = recipe(folder, out, 2);
        for (until, ranks) in [2, 4].into_iter().zip(numbers) {
            let ends = threads::run(ranks, |rank| run(&recipe, until, rank).unwrap());
            assert!(ends[1..].iter().all(|end| end.files.is_empty()), "rank 0 alone writes");
        }
        for file in ["lora.safetensors", "checkpoints/step-00000004.safetensors"] {
            let tensors = |run: &str| read_tensors(&folder.join(run).join(file)).unwrap().tensors;
            let (found, expected) = (tensors(out), tensors("one"));
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            for (name, tensor) in &expected {
                let (found, expected) = (floats(&found[name]), floats(tensor));
                if name.starts_with("adamw.") {
                    all_close(&found, &expected);
                } else {
                    found.iter().zip(&expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
                }
            }
        }
        for (a, b) in steps(folder, out).iter().zip(steps(folder, "one")) {
            assert_eq!((a.step, &a.samples, &a.present), (b.step, &b.samples, &b.present));
            all_close(&a.losses, &b.losses);
            all_close(&a.weights, &b.weights);
        }
        for (a, b) in validations(folder, out).iter().zip(validations(folder, "one")) {
            all_close(a, &b);
        }
        assert_eq!(validations(folder, out).len(), 3);
    }
    let few = threads::run(5, |rank| run(&recipe(folder, "few", 2), 4, rank).unwrap_err().to_string());
    assert!(
        few[0].contains("a step has 4 samples (batch x accumulation), too few for 5 processes"),
        "{}",
        few[0]
    );
}

#[test]
fn ranks_with_another_recipe_or_dataset_are_refused() {
    let folder = prepared();
    let folder = folder.path();
    let people = Options { count: 10, size: 64, seed: 2, figures: 1, ..Options::default() };
    write_dataset(people, &folder.join("others"), &mut |_| {}).unwrap();
    let plain = recipe(folder, "plain", 2);
    let mut rate = plain.clone();
    rate.optimizer.learning_rate = 2e-3;
    let mut others = plain.clone();
    others.dataset.path = folder.join("others");
    for (other, text) in [(rate, "learning_rate"), (others, "dataset")] {
        let errors = threads::run(3, |rank| {
            let recipe = if Group::<Cpu>::rank(rank) == 2 { &other } else { &plain };
            run(recipe, 4, rank).unwrap_err().to_string()
        });
        for error in errors {
            assert!(error.contains("rank 2") && error.contains(text), "{error}");
        }
    }
}
