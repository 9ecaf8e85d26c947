//! Control networks from the command line: control images, training, what is left, replay.

use fairhuman_train::recorded::read_tensors;

use crate::world::World;

/// The recipe's lines that a control network replaces.
const LORA: &str = "lora = { rank = 2, targets = [\"attention\", \"conv\"] }";
const FLIP: &str = "flip = 0.5 }";
const DATASET: &str = "dataset.path = \"people\"";

/// People with skeletons, and a recipe that trains a network of `method` with them.
fn world(method: &str) -> World {
    let world = World::new(&[]);
    world.ok(&["control", "people"]);
    recipe(&world, method, "");
    world
}

fn recipe(world: &World, method: &str, table: &str) {
    recipe_with(world, method, table, "");
}

/// The same with further lines.
fn recipe_with(world: &World, method: &str, table: &str, more: &str) {
    let table = format!("method = \"{method}\"\n{more}\n{method} = {{ {table} }}");
    let dataset = format!("{DATASET}\ndataset.conditioning = \"conditioning_image\"");
    world.recipe("recipe.toml", &[(LORA, &table), (FLIP, "flip = 0.0 }"), (DATASET, &dataset)]);
}

#[test]
fn skeletons_of_drawn_people_become_a_column_of_their_list() {
    let world = World::new(&[]);
    let said = world.ok(&["control", "people"]);
    assert!(said.starts_with("10 control images"), "{said}");
    let list = String::from_utf8(world.bytes("people/metadata.jsonl")).unwrap();
    assert_eq!(list.matches("\"conditioning_image\":\"conditioning/0000").count(), 10);
    let bright = |file: &str| {
        let picture = image::open(world.path(file)).unwrap().to_rgb8();
        assert_eq!(picture.dimensions(), (64, 64));
        picture.pixels().filter(|p| p.0 != [0; 3]).count()
    };
    assert!((20..2000).contains(&bright("people/conditioning/00000.png")));
    assert!(world.path("people/control-sheet.png").is_file());

    world.ok(&["control", "people/images", "--kind", "canny", "--out", "edges"]);
    assert!(bright("edges/00003.png") > 20);
    let error = world.fails(&["control", "people/images"]);
    assert!(error.contains("--out"), "{error}");
}

#[test]
fn lists_as_other_programs_write_them_get_control_images_as_training_reads_them() {
    let world = World::empty();
    std::fs::create_dir_all(world.path("d/images")).unwrap();
    for name in ["a.png", "b.png"] {
        let picture = image::RgbImage::from_fn(32, 32, |x, _| image::Rgb([if x < 16 { 0 } else { 200 }; 3]));
        picture.save(world.path("d/images").join(name)).unwrap();
    }
    let list = "\u{feff}{\"image\":\"./images/a.png\",\"text\":\"x\"}\n{\"image\":\"images\\\\b.png\",\"text\":\"y\"}\n";
    std::fs::write(world.path("d/metadata.jsonl"), list).unwrap();
    let said = world.ok(&["control", "d", "--kind", "canny"]);
    assert!(said.starts_with("2 control images") && said.contains("0 pictures skipped"), "{said}");
    let list = String::from_utf8(world.bytes("d/metadata.jsonl")).unwrap();
    for name in ["a.png", "b.png"] {
        assert!(world.path("d/conditioning").join(name).is_file(), "{name}");
        assert!(list.contains(&format!("\"conditioning_image\":\"conditioning/{name}\"")), "{list}");
    }
}

#[test]
fn control_images_that_are_all_alike_are_told_by_check_and_when_training_starts() {
    let world = world("controlnet");
    let words = "all 10 are of one and the same colour";
    assert!(!world.ok(&["check", "recipe.toml"]).contains(words));
    for i in 0..10 {
        image::GrayImage::new(64, 64).save(world.path(format!("people/conditioning/{i:05}.png"))).unwrap();
    }
    assert!(world.ok(&["check", "recipe.toml"]).contains(words));
    let output = world.run(&["train", "recipe.toml", "--steps", "1"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains(words), "{said}");
}

#[test]
fn pictures_of_one_name_get_control_images_of_their_own() {
    let world = World::empty();
    std::fs::create_dir(world.path("pictures")).unwrap();
    for (name, light) in [("a.png", 40), ("a.jpg", 200), ("b.png", 90)] {
        let picture =
            image::RgbImage::from_fn(32, 32, |x, _| image::Rgb([if x < 16 { 0 } else { light }; 3]));
        picture.save(world.path("pictures").join(name)).unwrap();
    }
    let said = world.ok(&["control", "pictures", "--kind", "canny", "--out", "edges"]);
    assert!(said.starts_with("3 control images"), "{said}");
    assert_eq!(world.files("edges"), ["a.jpg.png", "a.png.png", "b.png", "control-sheet.png"]);
    let said = world.ok(&["control", "pictures/b.png", "--kind", "canny", "--out", "one"]);
    assert_eq!((said.trim(), world.files("one")), ("one/b.png", vec!["b.png".to_owned()]));
    assert_eq!(world.bytes("one/b.png"), world.bytes("edges/b.png"));
    let error = world.fails(&["control", "/dev/null", "--kind", "canny", "--out", "none"]);
    assert!(error.contains("/dev/null"), "{error}");
}

#[test]
fn both_kinds_train_say_whether_control_is_used_and_go_on_bit_for_bit() {
    for method in ["controlnet", "t2i-adapter"] {
        let world = world(method);
        world.ok(&["train", "recipe.toml", "--out", "whole"]);
        for file in ["config.json", "diffusion_pytorch_model.safetensors"] {
            assert!(world.path(format!("whole/{method}/{file}")).is_file(), "{method}: no {file}");
        }
        let last = world.validations("whole").pop().unwrap();
        let names: Vec<&str> = last.variants.iter().map(|variant| variant.name.as_str()).collect();
        assert_eq!(names, ["shuffled control", "no control"]);
        assert_eq!(last.control_gain().unwrap().len(), 3);
        assert_ne!(last.losses, last.variants[0].losses, "{method}: other control images change nothing");

        world.ok(&["train", "recipe.toml", "--out", "parts", "--steps", "3"]);
        world.ok(&["train", "recipe.toml", "--out", "parts"]);
        let file = |run: &str| read_tensors(&world.path(run).join(format!("{method}.safetensors"))).unwrap();
        assert_eq!(file("whole").tensors, file("parts").tensors, "{method}");
        assert_eq!(world.steps("whole"), world.steps("parts"));
    }
}

/// Nothing is learnt before the zero convolutions have a value; then their norm grows, and the base model's
/// losses are those without control.
#[test]
fn a_controlnet_begins_as_its_base() {
    let world = world("controlnet");
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    let validations = world.validations("run");
    let (first, last) = (&validations[0], &validations[validations.len() - 1]);
    let none = |v: &fairhuman_train::events::Validation| v.variants[1].losses.clone();
    assert_eq!(first.step, 0);
    assert_eq!(first.losses, none(first));
    assert_eq!(none(first), none(last));
    let norm = |v: &fairhuman_train::events::Validation| v.measures["norm of the zero convolutions"];
    assert_eq!(norm(first), 0.0);
    assert!(norm(last) > 0.0);
}

#[test]
fn samples_are_drawn_by_the_control_network_in_training() {
    for method in ["controlnet", "t2i-adapter"] {
        let world = world(method);
        let with_samples = |more: &str| {
            let samples = format!(
                "samples = {{ prompts = [\"a woman waves\", \"a man\"], every = 4, steps = 2, guidance = 3.0, \
                 seed = 5{more} }}"
            );
            recipe_with(&world, method, "", &samples);
        };
        with_samples("");
        let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
        assert!(error.contains("samples.control_images: expected the control images"), "{error}");
        with_samples(", control_images = [\"a.png\", \"b.png\", \"c.png\"]");
        let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
        assert!(error.contains("samples.control_images: expected 1, or 2 as there are prompts"), "{error}");
        with_samples(", control_images = [\"people/conditioning/none.png\"]");
        let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
        assert!(error.contains("samples.control_images") && error.contains("none.png"), "{error}");

        let images = ["people/conditioning/00001.png", "people/conditioning/00002.png"];
        with_samples(&format!(", control_images = {images:?}"));
        world.ok(&["train", "recipe.toml", "--out", "run"]);
        let sample = |prompt: &str, image: &str, out: &str, seed_index: &str| {
            let control = format!("run/{method}");
            world.ok(&[
                "sample",
                "--model",
                "tiny",
                "--control",
                &control,
                "--control-image",
                image,
                "--steps",
                "2",
                "--guidance",
                "3",
                "--seed",
                "5",
                "--index",
                seed_index,
                "--width",
                "64",
                "--height",
                "64",
                "--prompt",
                prompt,
                "--out",
                out,
            ]);
        };
        let pixels = |file: &str| image::open(world.path(file)).unwrap().to_rgb8().into_raw();
        for (i, prompt) in ["a woman waves", "a man"].into_iter().enumerate() {
            let index = i.to_string();
            sample(prompt, images[i], &format!("pictures-{i}"), &index);
            let now = pixels(&format!("run/samples/step-00000006/{i}.png"));
            assert_eq!(now, pixels(&format!("pictures-{i}/000{i}.png")), "{method}");
            assert_ne!(now, pixels(&format!("run/samples/step-00000000/{i}.png")), "{method}: it has learnt");
        }
    }
}

#[test]
fn control_images_of_samples_are_for_control_networks() {
    let world = World::new(&[(
        "lora = {",
        "samples = { prompts = [\"a man\"], control_images = [\"a.png\"] }\nlora = {",
    )]);
    let error = world.fails(&["train", "recipe.toml", "--out", "run"]);
    assert!(error.contains("samples.control_images: expected none for lora"), "{error}");
}

#[test]
fn a_recorded_step_of_a_control_network_replays() {
    for method in ["controlnet", "t2i-adapter"] {
        let world = world(method);
        world.ok(&["train", "recipe.toml", "--out", "run", "--record", "3"]);
        let step = "run/record/step-00000003";
        let inputs = format!("{step}/inputs.safetensors");
        let control = format!("{step}/control");
        let replay = ["replay", "--model", "tiny", "--inputs", &inputs, "--outputs", "out.safetensors"];
        world.ok(&[&replay[..], &["--control", &control]].concat());
        let read = |file: &str| read_tensors(&world.path(file)).unwrap().tensors;
        assert_eq!(read("out.safetensors"), read(&format!("{step}/expected.safetensors")), "{method}");
        let checkpointed = [&replay[..], &["--control", &control, "--checkpointing"]].concat();
        world.ok(&checkpointed);
        assert_eq!(read("out.safetensors"), read(&format!("{step}/expected.safetensors")), "{method}");
        let error = world.fails(&replay);
        assert!(error.contains("control network"), "{error}");
    }
}

#[test]
fn what_cannot_be_trained_is_refused_by_key() {
    let world = World::new(&[]);
    world.ok(&["control", "people"]);
    let refused = |replace: &[(&str, &str)]| {
        world.recipe("recipe.toml", replace);
        world.fails(&["train", "recipe.toml", "--out", "run"])
    };
    let method = (LORA, "method = \"controlnet\"");
    let dataset = format!("{DATASET}\ndataset.conditioning = \"conditioning_image\"");
    let error = refused(&[method, (DATASET, &dataset)]);
    assert!(error.contains("geometry.flip") && error.contains("sided"), "{error}");
    let error = refused(&[method, (FLIP, "flip = 0.0 }")]);
    assert!(error.contains("dataset.conditioning"), "{error}");
    let table = (
        LORA,
        "method = \"controlnet\"\nmin_snr_gamma = 5.0\ncontrolnet = { clean_weight = 1.0, dropout = 1.0 }",
    );
    let error = refused(&[table, (FLIP, "flip = 0.0 }"), (DATASET, &dataset)]);
    for part in ["min_snr_gamma", "controlnet.dropout"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // A picture without a control image is told by its line.
    let list = world.path("people/metadata.jsonl");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replace("\"conditioning/00004.png\"", "null")).unwrap();
    let error = refused(&[method, (FLIP, "flip = 0.0 }"), (DATASET, &dataset)]);
    assert!(error.contains("line 5") && error.contains("conditioning_image"), "{error}");
}

#[test]
fn training_goes_on_from_a_network_that_exists() {
    let world = world("controlnet");
    world.ok(&["train", "recipe.toml", "--out", "first"]);
    recipe(&world, "controlnet", "path = \"first/controlnet\"");
    world.ok(&["train", "recipe.toml", "--out", "second"]);
    let file = |run: &str| read_tensors(&world.path(run).join("controlnet.safetensors")).unwrap().tensors;
    assert_ne!(file("first"), file("second"));
    let before = world.validations("first").pop().unwrap();
    assert_eq!(before.losses, world.validations("second")[0].losses);
    recipe(&world, "controlnet", "path = \"first/controlnet.safetensors\"");
    world.ok(&["train", "recipe.toml", "--out", "third"]);
    assert_eq!(file("second"), file("third"));
    let error = {
        recipe(&world, "controlnet", "path = \"third/controlnet\"");
        world.fails(&["train", "recipe.toml", "--out", "third/controlnet"])
    };
    assert!(error.contains("controlnet.path"), "{error}");
}
