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
use fairhuman_train::gradient::{Gradients, objective_gradients};
use fairhuman_train::group::{Group, Single, share};
use fairhuman_train::module::{PassContext, Wants};
use fairhuman_train::objective::Normalisation;
use fairhuman_train::recipe::Recipe;
use fairhuman_train::recorded::read_tensors;
use fairhuman_train::step_error::StepError;
use fairhuman_train::train::{Environment, Reporter, Summary, train};

use crate::threads::{self, Rank};
use crate::toy::{Toy, batch, objectives};

type StepResult = Result<(Gradients<Reference>, Direction<Reference>), StepError>;

fn step(group: &dyn Group<Reference>, batches: &[Batch<DenoisingInputs>]) -> StepResult {
    let (backend, toy) = (Reference, Toy::new(&Reference, 3));
    let context = PassContext { backend: &backend, checkpointing: false, clock: &|| 0.0, observer: None };
    let objectives = objectives(Normalisation::Region);
    let own = share(group, batches.len());
    let first = batches[..own.start].iter().map(|batch| batch.targets.size).sum();
    let batches = (&batches[own], first);
    let gradients = objective_gradients(
        &context,
        group,
        &Denoising(&toy),
        &toy.params,
        &objectives,
        batches,
        Wants::Gradients,
    )?;
    let weighting = Weighting::default();
    let position = Position { seed: 0, step: 1, state: &State::default() };
    let direction = fair_direction(&context, &objectives, &weighting, &gradients, position, None)?;
    Ok((gradients, direction))
}

fn combined(direction: &Direction<Reference>) -> Vec<f32> {
    direction.combined.iter().flatten().flat_map(|g| Reference.read(g)).collect()
}

#[test]
fn two_ranks_with_a_micro_batch_each_have_the_bits_of_accumulation() {
    // The face is in the first rank's samples only, the hand in the second's.
    let batches = batch(4, &[&[0, 1, 2, 3], &[0], &[3]]).split(2);
    let (alone, expected) = step(&Single, &batches).unwrap();
    for found in threads::run(2, |rank| step(rank, &batches)) {
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
    let mut refused =
        threads::run(2, |rank| step(rank, &batches)).into_iter().map(|step| step.err().unwrap());
    assert_eq!(refused.next(), Some(StepError::Elsewhere));
    assert_eq!(refused.next(), Some(StepError::Input { what: "target", samples: vec![2] }));
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
accumulation = {accumulation}
model.path = "tiny"
dataset.path = "people"
geometry = {{ width = 64, height = 64 }}
objective = [{{ name = "global" }}, {{ name = "hand", mask = "mask_hand", normalisation = "region" }}]
lora.rank = 2
optimizer.learning_rate = 1e-3
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

#[test]
fn a_run_of_two_ranks_leaves_the_files_of_one_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let people = Options { count: 10, size: 64, seed: 1, figures: 1, ..Options::default() };
    write_dataset(people, &folder.join("people"), &mut |_| {}).unwrap();
    init_model(&Cpu::new(1).unwrap(), Preset::Tiny, DType::F32, 1, &folder.join("tiny")).unwrap();

    run(&recipe(folder, "one", 2), 4, &Single).unwrap();
    let two = recipe(folder, "two", 2);
    for until in [2, 4] {
        let ends = threads::run(2, |rank| run(&two, until, rank).unwrap());
        assert!(ends[1].files.is_empty(), "rank 0 alone writes: {:?}", ends[1].files);
    }
    for file in ["lora.safetensors", "checkpoints/step-00000004.safetensors"] {
        let tensors = |run: &str| read_tensors(&folder.join(run).join(file)).unwrap().tensors;
        assert_eq!(tensors("one"), tensors("two"), "{file}");
    }
    let steps = |run: &str| {
        let events = events::read(&folder.join(run).join("events.jsonl")).unwrap();
        let step = |event| match event {
            // The time steps in the log are those of the process that writes it.
            Event::Step(step) => Some(Step { timesteps: Vec::new(), ..*step }),
            _ => None,
        };
        events.into_iter().filter_map(step).collect::<Vec<_>>()
    };
    assert_eq!(steps("one"), steps("two"));

    let odd = threads::run(2, |rank| run(&recipe(folder, "odd", 3), 4, rank).unwrap_err().to_string());
    assert!(odd[0].contains("accumulation = 3 cannot be dealt to 2 processes"), "{}", odd[0]);
}
