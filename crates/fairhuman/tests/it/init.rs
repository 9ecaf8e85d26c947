//! `fairhuman init`: its recipes pass `check` and train as they are, and fit the model, the dataset and the
//! memory.

use fairhuman_train::method::MethodSettings;
use fairhuman_train::recipe::Recipe;

use crate::world::World;

fn recipe(world: &World, file: &str) -> Recipe {
    Recipe::read(&world.path(file)).unwrap()
}

#[test]
fn a_recipe_is_written_that_check_and_train_take_as_it_is() {
    let world = World::new(&[]);
    let said = world.ok(&["init", "people", "--model", "tiny"]);
    assert!(said.contains("people.toml") && said.contains("global, face, hand"), "{said}");
    let written = recipe(&world, "people.toml");
    let names: Vec<_> = written.objective.iter().map(|objective| objective.name.as_str()).collect();
    assert_eq!(names, ["global", "face", "hand"]);
    // The tiny model's own size.
    assert_eq!((written.geometry.width, written.geometry.height), (256, 256));
    assert!(written.samples.as_ref().is_some_and(|samples| samples.prompts.len() == 2));
    world.ok(&["check", "people.toml"]);
    world.ok(&["train", "people.toml", "--steps", "1"]);
    assert_eq!(world.steps("runs/people").len(), 1);
    // Nothing is written over.
    let again = world.fails(&["init", "people", "--model", "tiny"]);
    assert!(again.contains("people.toml") && again.contains("--recipe"), "{again}");
}

#[test]
fn presets_and_memory_decide_the_recipe() {
    let world = World::new(&[]);
    let init = |name: &str, more: &[&str]| {
        world.ok(&[&["init", "people", "--model", "tiny", "--recipe", name], more].concat());
        recipe(&world, name)
    };
    let portrait = init("a.toml", &[]);
    let hands = init("b.toml", &["--preset", "hands"]);
    let paper = init("c.toml", &["--preset", "paper"]);
    assert_eq!(portrait.optimizer.learning_rate, 1e-4);
    assert_eq!((paper.optimizer.learning_rate, paper.steps), (1e-5, 20_000));
    assert_ne!(hands.weighting, portrait.weighting);
    // In another folder the paths still lead to the dataset and the model.
    std::fs::create_dir(world.path("recipes")).unwrap();
    init("recipes/d.toml", &["--preset", "style"]);
    world.ok(&["check", "recipes/d.toml"]);
    // Less memory: fewer pictures at once, checkpointing, a smaller rank.
    world.ok(&["init-model", "--preset", "mini", "--out", "mini"]);
    let of_mini = |name: &str, gib: &str| {
        let arguments =
            ["init", "people", "--model", "mini", "--preset", "paper", "--recipe", name, "--memory", gib];
        world.ok(&arguments);
        let recipe = recipe(&world, name);
        let MethodSettings::Lora(lora) = &recipe.method else { panic!("{:?}", recipe.method) };
        (recipe.batch, recipe.activation_checkpointing, lora.rank)
    };
    assert_eq!(of_mini("e.toml", "64"), (2, false, 256), "two of ten pictures");
    assert_eq!(of_mini("f.toml", "1"), (1, true, 32));
}

#[test]
fn datasets_and_models_that_cannot_be_used_are_told() {
    let world = World::new(&[]);
    for (arguments, expected) in [
        (&["init", "nowhere"][..], "nowhere"),
        (&["init", "people", "--model", "org/people"], "models get"),
        (&["init", "tiny"], "fairhuman check tiny"),
    ] {
        let said = world.fails(arguments);
        assert!(said.contains(expected), "{said}");
        assert!(!world.path("people.toml").exists());
    }
    std::fs::create_dir_all(world.path("plain")).unwrap();
    for entry in std::fs::read_dir(world.path("people/images")).unwrap() {
        let from = entry.unwrap().path();
        std::fs::copy(&from, world.path("plain").join(from.file_name().unwrap())).unwrap();
        std::fs::write(world.path("plain").join(from.with_extension("txt").file_name().unwrap()), "a person")
            .unwrap();
    }
    let output = world.run(&["init", "plain", "--model", "tiny"]);
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no masks"), "{said}");
    world.ok(&["check", "plain.toml"]);
}
