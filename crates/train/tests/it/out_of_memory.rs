//! A run that cannot have its memory ends with an error that says where and what to do. The steps before are
//! saved, and the run that goes on later gives the bits of one that was never interrupted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use fairhuman_diffusion::init::{Preset, init_model};
use fairhuman_engine::{Cpu, DType};
use fairhuman_people::{Options, write_dataset};
use fairhuman_train::error::TrainError;
use fairhuman_train::events::{self, Event};
use fairhuman_train::folder;
use fairhuman_train::group::Single;
use fairhuman_train::recipe::Recipe;
use fairhuman_train::train::{Environment, Reporter, Summary, train};

const RECIPE: &str = r#"
steps = 4
batch = 2
ema = 0.9
model.path = "tiny"
dataset.path = "people"
geometry = { width = 64, height = 64 }
objective = [{ name = "global" }, { name = "face", mask = "mask_face" }]
lora = { rank = 2 }
checkpoints = { every = 100 }
validation = { share = 0.2, every = 3, draws = 1 }
"#;

/// Takes the memory away when an event comes.
struct Limit<'a> {
    cpu: &'a Cpu,
    when: fn(&Event) -> bool,
}

impl Reporter for Limit<'_> {
    fn event(&mut self, event: &Event) {
        if (self.when)(event) {
            self.cpu.limit_memory(0);
        }
    }

    fn preparing(&mut self, _: &str, _: usize, _: usize) {}
}

fn run(recipe: &Path, out: &Path, when: fn(&Event) -> bool) -> Result<Summary, Box<TrainError>> {
    let mut recipe = Recipe::read(recipe).unwrap();
    recipe.move_to(out).unwrap();
    let cpu = Cpu::new(2).unwrap();
    let environment = Environment {
        clock: &|| 0.0,
        peak_memory: &|| None,
        machine: "a test",
        stop: &AtomicBool::new(false),
        reporter: &mut Limit { cpu: &cpu, when },
        observer: None,
        group: &Single,
        until: None,
        record: None,
    };
    train(&cpu, &recipe, environment).map_err(Box::new)
}

fn world() -> (tempfile::TempDir, PathBuf) {
    let world = tempfile::tempdir().unwrap();
    init_model(&Cpu::new(1).unwrap(), Preset::Tiny, DType::F32, 0, &world.path().join("tiny")).unwrap();
    let people = Options { count: 6, size: 64, ..Options::default() };
    write_dataset(people, &world.path().join("people"), &mut |_| ()).unwrap();
    let recipe = world.path().join("recipe.toml");
    std::fs::write(&recipe, RECIPE).unwrap();
    (world, recipe)
}

/// Everything that a run has learnt and remembers.
fn last_checkpoint(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let file = std::fs::read_dir(folder::checkpoints(run)).unwrap().map(|e| e.unwrap().path()).max();
    let bytes = std::fs::read(file.unwrap()).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect()
}

#[test]
fn a_run_out_of_memory_saves_its_steps_and_goes_on_later_with_the_same_bits() {
    let (world, recipe) = world();
    let whole = world.path().join("whole");
    assert_eq!(run(&recipe, &whole, |_| false).unwrap().step, 4);

    let out = world.path().join("broken");
    let second = |event: &Event| matches!(event, Event::Step(step) if step.step == 2);
    let error = run(&recipe, &out, second).unwrap_err();
    assert!(matches!(&*error, TrainError::Memory { during, .. } if during == "step 3"), "{error}");
    let message = error.to_string();
    assert!(message.starts_with("step 3: out of memory: ") && message.contains("batch"), "{message}");
    let events = events::read(&out.join("events.jsonl")).unwrap();
    assert!(matches!(events.last(), Some(Event::Checkpoint { step: 2, .. })), "{events:?}");

    assert_eq!(run(&recipe, &out, |_| false).unwrap().step, 4);
    assert!(last_checkpoint(&out) == last_checkpoint(&whole), "other bits");
}

#[test]
fn validation_and_opening_without_memory_are_errors_too() {
    let (world, recipe) = world();
    let out = world.path().join("run");
    let third = |event: &Event| matches!(event, Event::Step(step) if step.step == 3);
    let error = run(&recipe, &out, third).unwrap_err().to_string();
    assert!(error.starts_with("validation after step 3: out of memory"), "{error}");
    let error = run(&recipe, &world.path().join("other"), |event| matches!(event, Event::Start(_)));
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("validation after step 0: out of memory"), "{error}");
}
