//! `weighting.every`: both kinds of steps, by all methods, resumed, recorded and replayed.

use fairhuman_train::recorded::read_tensors;

use crate::replay::assert_agrees;
use crate::world::World;

const LORA: &str = "lora = { rank = 2, targets = [\"attention\", \"conv\"] }";
const STEPS: &str = "steps = 6";

/// The kind of every step: true where the gradients of all objectives were made.
fn kinds(world: &World, run: &str) -> Vec<bool> {
    world.steps(run).iter().map(|step| !step.gram.is_empty()).collect()
}

/// People, and a recipe whose steps 1, 2, 4 and 5 are exact.
fn world(method: &str) -> World {
    let weighting = "steps = 6\nweighting = { kind = \"alpha-fair\", every = 4, average = 3 }";
    let table = match method {
        "lora" => LORA.to_owned(),
        "vae" | "full" => format!("method = \"{method}\""),
        other => {
            format!(
                "method = \"{other}\"\ndataset.conditioning = \"conditioning_image\"\ngradients = \"twice\""
            )
        }
    };
    let world = World::new(&[(STEPS, weighting), (LORA, &table), ("flip = 0.5 }", "flip = 0.0 }")]);
    if table.contains("conditioning") {
        world.ok(&["control", "people"]);
    }
    world
}

#[test]
fn runs_of_all_methods_go_on_bit_for_bit_and_say_of_which_step_the_weights_are() {
    for method in ["lora", "full", "vae", "controlnet", "t2i-adapter"] {
        let world = world(method);
        world.ok(&["train", "recipe.toml", "--out", "whole"]);
        assert_eq!(kinds(&world, "whole"), [true, true, false, true, true, false], "{method}");
        let of: Vec<_> = world.steps("whole").iter().map(|step| step.weights_of).collect();
        assert_eq!(of, [None, None, Some(2), None, None, Some(5)], "{method}");
        for until in ["2", "3", "5", "6"] {
            world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", until]);
        }
        assert_eq!(world.steps("whole"), world.steps("parts"), "{method}");
        let last = |run: &str| {
            let file = world.path(run).join("checkpoints/step-00000006.safetensors");
            read_tensors(&file).unwrap().tensors
        };
        assert_eq!(last("whole"), last("parts"), "{method}");
    }
}

#[test]
fn both_kinds_of_steps_are_recorded_and_replay() {
    for method in ["lora", "t2i-adapter"] {
        let world = world(method);
        for (step, kind) in [("5", true), ("6", false)] {
            world.ok(&["train", "recipe.toml", "--out", step, "--record", step]);
            let folder = format!("{step}/record/step-0000000{step}");
            let (inputs, expected) =
                (format!("{folder}/inputs.safetensors"), format!("{folder}/expected.safetensors"));
            let control = format!("{folder}/control");
            let mut replay = vec!["replay", "--model", "tiny", "--inputs", &inputs, "--outputs", "out"];
            if method == "t2i-adapter" {
                replay.extend(["--two-passes", "--control", &control]);
            }
            world.ok(&replay);
            assert_agrees(&world.path("out"), &world.path(&expected), 1e-6);
            let made = read_tensors(&world.path("out")).unwrap().tensors;
            assert_eq!(made.contains_key("gram"), kind, "{method}, step {step}");
        }
    }
}

/// The weights of a method with a memory are those of the run, not those of a first step.
#[test]
fn a_recorded_step_has_the_weightings_memory() {
    let weighting = "steps = 6\nweighting = { kind = \"dwa\", window = 1, every = 2 }";
    let world = World::new(&[(STEPS, weighting)]);
    for step in ["5", "6"] {
        world.ok(&["train", "recipe.toml", "--out", step, "--record", step]);
        let folder = format!("{step}/record/step-0000000{step}");
        let inputs = format!("{folder}/inputs.safetensors");
        world.ok(&["replay", "--model", "tiny", "--inputs", &inputs, "--outputs", "out"]);
        assert_agrees(&world.path("out"), &world.path(format!("{folder}/expected.safetensors")), 1e-6);
        assert!(
            read_tensors(&world.path("out")).unwrap().tensors["weights"].to_f32().iter().all(|w| *w != 1.0)
        );
    }
}

/// GradDrop draws signs in the order of the parameters, which a replay has in the network's order, too.
#[test]
fn a_recorded_step_of_graddrop_draws_the_same_signs_again() {
    let world = World::new(&[(STEPS, "steps = 3\nweighting = { kind = \"graddrop\" }")]);
    world.ok(&["train", "recipe.toml", "--out", "run", "--record", "3"]);
    let folder = "run/record/step-00000003";
    let inputs = format!("{folder}/inputs.safetensors");
    world.ok(&["replay", "--model", "tiny", "--inputs", &inputs, "--outputs", "out"]);
    assert_agrees(&world.path("out"), &world.path(format!("{folder}/expected.safetensors")), 1e-6);
}

#[test]
fn a_weighting_that_needs_no_products_makes_them_for_the_log_alone() {
    let world = World::new(&[(STEPS, "steps = 12\nweighting = { kind = \"linear\" }")]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let made: Vec<u64> =
        world.steps("run").iter().filter(|step| !step.gram.is_empty()).map(|step| step.step).collect();
    assert_eq!(made, [1, 11]);
    for step in world.steps("run") {
        assert_eq!((step.weights.as_slice(), step.weights_of), (&[1.0; 3][..], None));
        assert_eq!(step.rates.is_empty(), step.gram.is_empty());
    }
}

/// The coefficients of every step: the weights times their factor.
fn coefficients(world: &World, run: &str) -> Vec<Vec<f64>> {
    let of = |step: &fairhuman_train::events::Step| {
        step.weights.iter().map(|w| w * step.factor.unwrap()).collect::<Vec<_>>()
    };
    world.steps(run).iter().map(of).collect()
}

#[test]
fn another_runs_weights_are_replayed_in_order_or_shuffled() {
    let weighting = |text: &str| format!("steps = 6\nweighting = {{ {text} }}");
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "mpd"]);
    for (name, shuffle) in [("same", ""), ("shuffled", ", shuffle = true")] {
        let text = weighting(&format!("kind = \"replay\", run = \"mpd\", every = 1{shuffle}"));
        world.recipe("recipe.toml", &[(STEPS, &text)]);
        world.ok(&["train", "recipe.toml", "--out", name]);
        world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "4"]);
        world.ok(&["train", "recipe.toml", "--out", "parts"]);
        assert_eq!(world.steps(name), world.steps("parts"), "{name}");
        std::fs::remove_dir_all(world.path("parts")).unwrap();
    }
    let original = coefficients(&world, "mpd");
    for (again, before) in coefficients(&world, "same").iter().flatten().zip(original.iter().flatten()) {
        // A number in a log may come back with another last digit.
        assert!((again - before).abs() <= 1e-14 * before.abs(), "{again} {before}");
    }
    let lora = |run: &str| world.path(run).join("lora.safetensors");
    assert_agrees(&lora("same"), &lora("mpd"), 1e-5);
    let shuffled = coefficients(&world, "shuffled");
    assert_ne!(shuffled, original);
    for (row, step) in shuffled.iter().zip(world.steps("shuffled")) {
        // Those of some step, but for objectives that are absent here.
        let of = |other: &Vec<f64>| {
            (0..3).all(|k| step.present[k] == 0 || (row[k] / other[k] - 1.0).abs() < 1e-12)
        };
        assert!(original.iter().any(of), "{row:?}");
    }

    // The other run may move, but weights that are not those of the beginning are noticed.
    std::fs::rename(world.path("mpd"), world.path("moved")).unwrap();
    let moved = weighting("kind = \"replay\", run = \"moved\", every = 1, shuffle = true");
    world.recipe("recipe.toml", &[(STEPS, &moved)]);
    world.ok(&["train", "recipe.toml", "--out", "shuffled"]);
    let log = String::from_utf8(world.bytes("moved/events.jsonl")).unwrap();
    let shorter: String =
        log.lines().filter(|line| !line.contains("\"step\":6,")).map(|l| format!("{l}\n")).collect();
    std::fs::write(world.path("moved/events.jsonl"), shorter).unwrap();
    let error = world.fails(&["train", "recipe.toml", "--out", "shuffled"]);
    assert!(error.contains("weighting.digest") && error.contains("log of weighting.run"), "{error}");
    std::fs::write(world.path("moved/events.jsonl"), log).unwrap();
    std::fs::rename(world.path("moved"), world.path("mpd")).unwrap();

    let refused = |text: &str| {
        world.recipe("recipe.toml", &[(STEPS, &weighting(text))]);
        world.fails(&["train", "recipe.toml", "--out", "refused"])
    };
    assert!(refused("kind = \"replay\", run = \"nowhere\"").contains("nowhere"));
    let two = "weighting = { kind = \"replay\", run = \"mpd\" }";
    let hand = "    { name = \"hand\", mask = \"mask_hand\" },\n";
    world.recipe("recipe.toml", &[(STEPS, &format!("steps = 6\n{two}")), (hand, "")]);
    let error = world.fails(&["train", "recipe.toml", "--out", "refused"]);
    assert!(error.contains("global, face, hand; expected global, face"), "{error}");
}

/// FAMO looks at each batch again after the step: its weights depend on that, and a resumed run has them.
#[test]
fn famo_sees_every_batch_again_and_goes_on_bit_for_bit() {
    for accumulation in ["", "\naccumulation = 2"] {
        let famo = "steps = 6\nweighting = { kind = \"famo\", learning_rate = 0.5, every = 2 }";
        let world = World::new(&[(STEPS, &format!("{famo}{accumulation}"))]);
        world.ok(&["train", "recipe.toml", "--out", "whole"]);
        for until in ["3", "4", "6"] {
            world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", until]);
        }
        assert_eq!(world.steps("whole"), world.steps("parts"));
        let steps = world.steps("whole");
        // p / l over its sum: p = w l over its sum are the shares, which are equal in step 1 and then move.
        let shares = |step: &fairhuman_train::events::Step| {
            let products: Vec<f64> = step.weights.iter().zip(&step.losses).map(|(w, l)| w * l).collect();
            let total: f64 = products.iter().sum();
            products.into_iter().map(|p| p / total).collect::<Vec<_>>()
        };
        let present = steps[0].present.iter().filter(|&&lanes| lanes > 0).count() as f64;
        assert!(shares(&steps[0]).iter().all(|&p| p == 0.0 || (p - 1.0 / present).abs() < 1e-4));
        let last = shares(&steps[5]);
        let moved = (0..3).any(|k| last[k] > 0.0 && (last[k] - 1.0 / 3.0).abs() > 0.05);
        assert!(moved, "{last:?}");
    }
}
