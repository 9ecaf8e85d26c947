//! Training: what a run leaves behind, what it refuses, what its numbers are functions of.

use fairhuman_train::events::{Event, Reason, StepOutcome};

use crate::world::World;

#[test]
fn a_run_leaves_a_recipe_events_of_everything_checkpoints_and_a_lora_file() {
    let world = World::new(&[]);
    let printed = world.ok(&["train", "recipe.toml", "--out", "run", "--verbose"]);
    let saved = String::from_utf8(world.bytes("run/recipe.toml")).unwrap();
    let resolved = saved.split_once("\n\n").unwrap().1;
    assert!(printed.starts_with(resolved), "the resolved recipe is printed where one asks:\n{printed}");
    assert!(resolved.contains("weight_decay = 0.01"), "with every default:\n{resolved}");

    let files = world.files("run");
    assert!(files.contains(&"lora.safetensors".to_owned()));
    let checkpoints: Vec<_> = files.iter().filter(|f| f.starts_with("checkpoints")).collect();
    assert_eq!(
        checkpoints,
        ["checkpoints/step-00000004.safetensors", "checkpoints/step-00000006.safetensors"]
    );
    assert!(!files.iter().any(|f| f.ends_with(".tmp")), "{files:?}");

    let events = world.events("run");
    let Event::Start(start) = &events[0] else { panic!("{events:?}") };
    assert_eq!(start.objectives, ["global", "face", "hand"]);
    assert_eq!((start.training_samples, start.held_out.len()), (8, 2));
    let steps = world.steps("run");
    assert_eq!(steps.iter().map(|s| s.step).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    for step in &steps {
        assert_eq!(step.outcome, StepOutcome::Updated);
        assert_eq!(
            (step.losses.len(), step.weights.len(), step.gram.len(), step.cosines.len()),
            (3, 3, 9, 9)
        );
        assert_eq!((step.samples.len(), step.timesteps.len()), (2, 2));
        assert!(step.grad_norm.is_some_and(|n| n > 0.0) && step.clip.is_some_and(|c| c > 0.0 && c <= 1.0));
        assert_eq!(step.learning_rate, 1e-3);
        // The weights that were applied are fair: (A w)_i w_i^(1/2) = 1 for every objective that is present.
        for i in (0..3).filter(|&i| step.present[i] > 0) {
            let rate: f64 = (0..3).map(|j| step.gram[3 * i + j] * step.weights[j]).sum();
            assert!((rate * step.weights[i].sqrt() - 1.0).abs() < 1e-9, "step {}: {rate}", step.step);
            assert!((rate / step.rates[i] - 1.0).abs() < 1e-9);
        }
        for i in (0..3).filter(|&i| step.present[i] == 0) {
            assert_eq!((step.weights[i], step.losses[i]), (0.0, 0.0));
        }
    }
    assert_eq!(world.validations("run").iter().map(|v| v.step).collect::<Vec<_>>(), [0, 3, 6]);
    let Event::End { step: 6, reason: Reason::Done, files } = &events[events.len() - 1] else {
        panic!("{events:?}")
    };
    assert_eq!(files.len(), 1);
}

#[test]
fn held_out_pictures_are_never_trained_on() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let events = world.events("run");
    let Event::Start(start) = &events[0] else { panic!("{events:?}") };
    for step in world.steps("run") {
        assert!(step.samples.iter().all(|s| !start.held_out.contains(s)), "{step:?}");
    }
}

#[test]
fn the_same_recipe_gives_the_same_bits_and_another_seed_others() {
    let world = World::new(&[]);
    world.recipe("seed.toml", &[("steps = 6", "steps = 6\nseed = 1")]);
    world.ok(&["train", "recipe.toml", "--out", "a"]);
    // The second run shares nothing with the first; the third finds everything in the cache.
    world.ok(&["train", "recipe.toml", "--out", "b"]);
    std::fs::create_dir(world.path("again")).unwrap();
    std::fs::rename(world.path("b/cache"), world.path("again/cache")).unwrap();
    std::fs::remove_dir_all(world.path("b")).unwrap();
    std::fs::rename(world.path("again"), world.path("b")).unwrap();
    world.ok(&["train", "recipe.toml", "--out", "b"]);
    world.ok(&["train", "seed.toml", "--out", "c"]);
    assert_eq!(world.bytes("a/lora.safetensors").len(), world.bytes("b/lora.safetensors").len());
    assert_eq!(tensors(&world, "a"), tensors(&world, "b"));
    assert_eq!(world.steps("a"), world.steps("b"));
    assert_eq!(world.validations("a"), world.validations("b"));
    assert_ne!(tensors(&world, "a"), tensors(&world, "c"));
}

fn tensors(world: &World, run: &str) -> fairhuman_train::recorded::TensorFile {
    let path = world.path(run).join("lora.safetensors");
    let mut file = fairhuman_train::recorded::read_tensors(&path).unwrap();
    file.metadata.clear();
    file
}

#[test]
fn accumulation_is_the_larger_batch_from_the_command_line_too() {
    let world = World::new(&[("batch = 2", "batch = 4"), ("steps = 6", "steps = 2")]);
    world.recipe("parts.toml", &[("batch = 2", "batch = 2\naccumulation = 2"), ("steps = 6", "steps = 2")]);
    world.ok(&["train", "recipe.toml", "--out", "whole"]);
    world.ok(&["train", "parts.toml", "--out", "parts"]);
    for (a, b) in world.steps("whole").iter().zip(&world.steps("parts")) {
        assert_eq!((&a.samples, &a.timesteps, &a.present), (&b.samples, &b.timesteps, &b.present));
        for (x, y) in a.losses.iter().chain(&a.weights).zip(b.losses.iter().chain(&b.weights)) {
            assert!((x - y).abs() <= 1e-4 * x.abs(), "{x} {y}");
        }
    }
}

#[test]
fn caches_notice_a_changed_picture_caption_and_encoder() {
    let world = World::new(&[("steps = 6", "steps = 2\ncache = \"cache\""), ("flip = 0.5", "flip = 0.0")]);
    let train = |out: &str| {
        world.ok(&["train", "recipe.toml", "--out", out]);
        world.files("cache").len()
    };
    let first = train("a");
    assert_eq!(train("b"), first, "the same inputs need no new entry");

    let list = world.path("people/metadata.jsonl");
    let text = std::fs::read_to_string(&list).unwrap();
    let (line, rest) = text.split_once('\n').unwrap();
    let caption = line.find("\"text\":").unwrap() + "\"text\":".len();
    let quote = caption + line[caption..].find('"').unwrap() + 1;
    std::fs::write(&list, format!("{}new {}\n{rest}", &line[..quote], &line[quote..])).unwrap();
    assert_eq!(train("c"), first + 1, "a new caption is one new embedding");

    // Another picture in the place of a held-out one: held-out pictures are all looked at.
    let events = world.events("c");
    let Event::Start(start) = &events[0] else { panic!("{events:?}") };
    let picture = world.path("people").join(&start.held_out[0]);
    world.ok(&["people", "--count", "1", "--size", "64", "--seed", "99", "--out", "others"]);
    std::fs::copy(world.path("others/images/00000.png"), picture).unwrap();
    assert_eq!(train("d"), first + 2, "a new picture is one new latent");

    std::fs::remove_dir_all(world.path("tiny")).unwrap();
    world.ok(&["init-model", "--preset", "tiny", "--seed", "5", "--out", "tiny"]);
    assert!(train("e") > first + 2 + 10, "new encoders find nothing");
}

#[test]
fn a_run_that_diverged_is_no_success_however_short_it_is() {
    let rate = ("optimizer.learning_rate = 1e-3", "optimizer.learning_rate = 1e30");
    let world = World::new(&[rate, ("validation = { share = 0.2, every = 3, draws = 2 }", "")]);
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("steps in a row were refused"), "{error}");
    world.recipe("one.toml", &[rate, ("steps = 6", "steps = 1")]);
    let error = world.fails(&["train", "one.toml", "--out", "one"]);
    assert!(error.contains("diverged"), "{error}");
    assert!(!world.path("one/lora.safetensors").exists());
}

#[test]
fn a_step_that_is_not_finite_changes_nothing_and_too_many_end_the_run() {
    // The first step makes the weights so large that every later prediction overflows.
    let world = World::new(&[
        ("optimizer.learning_rate = 1e-3", "optimizer.learning_rate = 1e25\nstop_after_bad_steps = 3"),
        ("validation = { share = 0.2, every = 3, draws = 2 }", ""),
    ]);
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("stopped at step") && error.contains("3 steps in a row"), "{error}");
    assert!(error.contains("images/"), "names the pictures: {error}");
    let steps = world.steps("run");
    let refused: Vec<_> = steps.iter().filter(|s| matches!(s.outcome, StepOutcome::Refused(_))).collect();
    assert_eq!(refused.len(), 3);
    for step in &refused {
        let StepOutcome::Refused(why) = &step.outcome else { unreachable!() };
        assert!(step.samples.iter().any(|name| why.contains(name.as_str())), "{why}");
    }
    // What the last good step left is what the run kept.
    let good = steps.len() - 3;
    world.ok(&["train", "recipe.toml", "--out", "good", "--steps", &good.to_string()]);
    let adapter = |run: &str, step: usize| {
        let file = world.path(run).join(format!("checkpoints/step-{step:08}.safetensors"));
        fairhuman_train::recorded::read_tensors(&file).unwrap().tensors
    };
    assert_eq!(adapter("run", good), adapter("good", good));
    let checkpoints =
        world.files("run").into_iter().filter(|f| f.starts_with("checkpoints")).collect::<Vec<_>>();
    assert_eq!(checkpoints.last(), Some(&format!("checkpoints/step-{good:08}.safetensors")));
    // The same command tries the same steps again, and fails again.
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("3 steps in a row"), "{error}");
    assert!(!world.path("run/lora.safetensors").exists());
}

#[test]
fn a_run_that_could_take_none_of_its_steps_fails_however_short() {
    let world = World::new(&[("validation = { share = 0.2, every = 3, draws = 2 }", "")]);
    let weights = world.path("tiny/unet/diffusion_pytorch_model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    // The file's last values become NaN.
    let end = bytes.len();
    bytes[end - 4096..].fill(0xff);
    std::fs::write(&weights, bytes).unwrap();
    let error = world.fails(&["train", "recipe.toml", "--out", "run", "--steps", "2"]);
    assert!(error.contains("stopped at step 2") && error.contains("2 steps in a row"), "{error}");
}

#[test]
fn a_plain_run_can_watch_the_regions_that_it_does_not_weigh() {
    let weighting = "weighting = { kind = \"fixed\", weights = [1, 0, 0] }\nlora = ";
    let world = World::new(&[("lora = ", weighting)]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    for step in world.steps("run") {
        assert_eq!(step.weights, [1.0, 0.0, 0.0]);
        assert!(step.present[1] == 0 || step.losses[1] > 0.0);
    }
}

#[test]
fn mistakes_are_told_with_the_file_and_what_to_do() {
    let world = World::new(&[("optimizer.learning_rate", "optimizer.learning_rat")]);
    let error = world.fails(&["train", "recipe.toml"]);
    assert!(error.contains("recipe.toml") && error.contains("learning_rat"), "{error}");

    world.recipe("recipe.toml", &[("mask_hand", "mask_hnad")]);
    let error = world.fails(&["train", "recipe.toml"]);
    assert!(error.contains("mask_hnad") && error.contains("metadata.jsonl"), "{error}");

    world.recipe("recipe.toml", &[("\"conv\"]", "\"convolution\"]")]);
    let error = world.fails(&["train", "recipe.toml"]);
    assert!(error.contains("convolution"), "{error}");

    world.recipe("recipe.toml", &[("model.path = \"tiny\"", "model.path = \"nowhere\"")]);
    let error = world.fails(&["train", "recipe.toml"]);
    assert!(error.contains("nowhere"), "{error}");

    let error = world.fails(&["train", "absent.toml"]);
    assert!(error.contains("absent.toml"), "{error}");
    assert_eq!(world.run(&["trian"]).status.code(), Some(2));

    world.recipe("recipe.toml", &[]);
    let error = world.fails(&["train", "recipe.toml", "--threads", "513"]);
    assert!(error.contains("513 threads: expected at most 512"), "{error}");

    let error = world.fails(&["init-model", "--out", "tiny"]);
    assert!(error.contains("holds a model already"), "{error}");
}

#[test]
fn held_out_losses_have_a_background_pictures_and_a_seed_of_their_own() {
    let validation = "validation = { share = 0.2, every = 3, draws = 2 }";
    let fixed = "validation = { share = 0.3, every = 3, draws = 2, seed = 9, pictures = true }";
    let world = World::new(&[(validation, fixed)]);
    world.ok(&["train", "recipe.toml", "--out", "first", "--steps", "1"]);
    world.recipe("recipe.toml", &[(validation, fixed), ("steps = 6", "steps = 6\nseed = 4")]);
    world.ok(&["train", "recipe.toml", "--out", "second", "--steps", "1"]);
    let [first, second] = ["first", "second"].map(|run| world.validations(run));
    assert_eq!(first[0], second[0], "the same pictures and noise before training, whatever the seed");
    assert_ne!(first[1].losses, second[1].losses, "another seed trains otherwise");

    let look = &first[0];
    assert_eq!((look.losses.len(), look.pictures.len()), (3, 3));
    // The losses are the pictures' sums, the background being the last.
    let expected: Vec<f64> = look.losses.iter().copied().chain(look.background).collect();
    for (k, expected) in expected.iter().enumerate() {
        let sum = |of: &dyn Fn(&fairhuman_train::events::PictureLosses) -> f64| -> f64 {
            look.pictures.iter().map(of).sum()
        };
        let found = sum(&|picture| picture.squares[k]) / sum(&|picture| picture.elements[k]).max(1.0);
        assert!((found - expected).abs() <= 1e-9 * expected, "{k}: {found} {expected}");
    }
    // Faces and hands have the scale 5 within the square, and share no cell or few.
    let parts = look.background.unwrap() + (look.losses[1] + look.losses[2]) / 25.0;
    assert!(look.losses[0] <= parts * (1.0 + 1e-6) && parts < 1.2 * look.losses[0], "{parts} {look:?}");
    // Without regions there is no background, and pictures are logged only where they are asked for.
    world.recipe(
        "recipe.toml",
        &[
            ("    { name = \"face\", mask = \"mask_face\" },\n", ""),
            ("    { name = \"hand\", mask = \"mask_hand\" },\n", ""),
        ],
    );
    world.ok(&["train", "recipe.toml", "--out", "plain", "--steps", "1"]);
    let look = &world.validations("plain")[0];
    assert_eq!((look.background, look.pictures.len()), (None, 0));
}
