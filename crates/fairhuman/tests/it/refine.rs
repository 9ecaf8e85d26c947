//! `fairhuman refine` from outside, with a random model: what changes, what stays, and what is told.

use std::path::Path;

use fairhuman_files::sha256_hex;
use image::{GrayImage, Luma, Rgb, RgbImage};
use serde_json::{Value, json};

use crate::world::World;

/// A small model, and a folder of two pictures, a broken one and one of a format that cannot be read.
fn world() -> World {
    let world = World::empty();
    world.ok(&["init-model", "--preset", "tiny", "--out", "tiny"]);
    std::fs::create_dir(world.path("in")).unwrap();
    noise((120, 90), 1).save(world.path("in/a.png")).unwrap();
    noise((75, 101), 2).save(world.path("in/b.png")).unwrap();
    std::fs::write(world.path("in/b.txt"), "a man waves").unwrap();
    let bytes = std::fs::read(world.path("in/a.png")).unwrap();
    std::fs::write(world.path("in/cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(world.path("in/phone.heic"), b"\0\0\0\x18ftypheic").unwrap();
    let regions = json!({
        "a.png": [
            {"kind": "hand", "box": [70, 50, 90, 66]},
            {"kind": "face", "box": [20, 20, 50, 55], "prompt": "an old face"},
            {"kind": "hand", "box": [100, 10, 104, 14]},
        ],
        "b.png": [{"kind": "hand", "box": [60, 5, 90, 30]}],
    });
    std::fs::write(world.path("regions.json"), regions.to_string()).unwrap();
    world
}

fn noise((width, height): (u32, u32), seed: u32) -> RgbImage {
    let byte = |n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8;
    RgbImage::from_fn(width, height, |x, y| Rgb([0, 1, 2].map(|c| byte(seed + c + 3 * x + 1009 * y))))
}

/// Refining without detectors: the folder for them is empty.
const REFINE: [&str; 13] = [
    "refine",
    "in",
    "--model",
    "tiny",
    "--models",
    "none",
    "--steps",
    "3",
    "--denoising-strength",
    "0.7",
    "--inpaint-width",
    "64",
    "--inpaint-height=64",
];

fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&REFINE[..], more].concat()
}

fn report(world: &World, out: &str) -> Value {
    serde_json::from_slice(&world.bytes(&format!("{out}/report.json"))).unwrap()
}

fn open(world: &World, file: impl AsRef<Path>) -> RgbImage {
    image::open(world.path(file)).unwrap().into_rgb8()
}

#[test]
fn regions_change_all_else_keeps_its_bytes_and_what_is_broken_is_listed() {
    let world = world();
    let said = world.run(&arguments(&[
        "--out",
        "out",
        "--regions",
        "regions.json",
        "--mode=crops",
        "--prompt",
        "a woman",
    ]));
    let notes = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{notes}");
    assert!(notes.contains("skipped cut.png") && notes.contains("skipped phone.heic"), "{notes}");
    assert!(notes.contains("nobody checks"), "{notes}");
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("2 pictures, 3 regions (3 refined, not checked); 2 skipped"), "{text}");

    let (before, after) = (open(&world, "in/a.png"), open(&world, "out/a.png"));
    assert_eq!(before.dimensions(), after.dimensions());
    let mut changed = 0;
    for (x, y, pixel) in after.enumerate_pixels() {
        // Boxes with a quarter of their longer side around, and two pixels.
        let near = |x0: u32, y0: u32, x1: u32, y1: u32| {
            let by = (x1 - x0).max(y1 - y0) / 4 + 3;
            (x0 - by..x1 + by).contains(&x) && (y0 - by..y1 + by).contains(&y)
        };
        let inside = near(70, 50, 90, 66) || near(20, 20, 50, 55);
        assert!(inside || pixel == before.get_pixel(x, y), "{x}, {y}");
        changed += usize::from(pixel != before.get_pixel(x, y));
    }
    assert!(changed > 1200, "{changed}");

    let report = report(&world, "out");
    let a = &report["pictures"][0];
    // In order from the left; the tiny hand is below the least side.
    let kinds: Vec<&str> =
        a["regions"].as_array().unwrap().iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["face", "hand"]);
    assert_eq!(
        (&a["regions"][0]["prompt"], &a["regions"][1]["prompt"]),
        (&json!("an old face"), &json!("a woman"))
    );
    assert_eq!(a["regions"][0]["verdict"], "unchecked");
    assert!(a["regions"][1]["enlarged"].as_f64().unwrap() > 1.1, "{a}");
    assert_eq!(report["regions"]["unchecked"], 3);
    assert_eq!(report["skipped"][0]["picture"], "cut.png");
    let page = String::from_utf8(world.bytes("out/index.html")).unwrap();
    assert!(page.contains("sheet/a.png.jpg") && page.contains("cut.png") && page.contains("an old face"));
    assert!(open(&world, "out/sheet/a.png.jpg").width() > 300);
}

#[test]
fn a_run_goes_on_where_it_was_and_does_again_what_changed() {
    let world = world();
    let run = |more: &[&str]| {
        world.ok(&[&arguments(&["--out", "out", "--regions", "regions.json"])[..], more].concat())
    };
    assert!(run(&[]).contains("2 done now, 0 kept from before"));
    let first = world.bytes("out/a.png");
    assert!(run(&[]).contains("0 done now, 2 kept from before"));
    // A missing result, another picture, another caption.
    std::fs::remove_file(world.path("out/a.png")).unwrap();
    assert!(run(&[]).contains("1 done now, 1 kept from before"));
    assert!(world.bytes("out/a.png") == first, "the same bytes again");
    std::fs::write(world.path("in/b.txt"), "a woman waves").unwrap();
    assert!(run(&[]).contains("1 done now, 1 kept from before"));
    assert_eq!(report(&world, "out")["pictures"][1]["regions"][0]["prompt"], "a woman waves");
    assert!(run(&["--seed", "3"]).contains("2 done now, 0 kept from before"));
    assert!(world.bytes("out/a.png") != first);
}

#[test]
fn what_other_masks_or_another_model_changed_is_refined_again() {
    let world = world();
    let mask = |x: u32| {
        let mask = GrayImage::from_fn(120, 90, |i, j| Luma([255 * u8::from(i.abs_diff(x) + j < 40)]));
        mask.save(world.path("masks/a.png")).unwrap();
    };
    std::fs::create_dir(world.path("masks")).unwrap();
    std::fs::remove_file(world.path("in/b.png")).unwrap();
    mask(30);
    let run = || world.ok(&arguments(&["--out", "out", "--masks", "masks"]));
    assert!(run().contains("1 done now, 0 kept"));
    assert!(run().contains("0 done now, 1 kept"));
    mask(70);
    assert!(run().contains("1 done now, 0 kept"), "another mask of the same name");
    // A model that was trained further lies where the one before it lay.
    let unet = world.path("tiny/unet/diffusion_pytorch_model.safetensors");
    let (bytes, written) = (std::fs::read(&unet).unwrap(), unet.metadata().unwrap().modified().unwrap());
    std::fs::write(&unet, bytes).unwrap();
    let later = written + std::time::Duration::from_secs(1);
    std::fs::File::options().write(true).open(&unet).unwrap().set_modified(later).unwrap();
    assert!(run().contains("1 done now, 0 kept"), "another model of the same name");
    assert!(run().contains("0 done now, 1 kept"));
}

#[test]
fn a_region_does_not_depend_on_other_pictures_regions_of_other_places_or_their_prompts() {
    let world = world();
    let run = |out: &str, more: &[&str]| {
        let all =
            arguments(&["--out", out, "--regions", "regions.json", "--prompt", "a woman", "--mode", "crops"]);
        world.ok(&[&all[..], more].concat());
        open(&world, format!("{out}/a.png"))
    };
    let hand = |picture: &RgbImage| image::imageops::crop_imm(picture, 66, 46, 28, 24).to_image();
    let both = run("both", &[]);
    // The face has another prompt, and the other picture is gone.
    let mut regions: Value = serde_json::from_slice(&world.bytes("regions.json")).unwrap();
    regions["a.png"][1]["prompt"] = "a young face".into();
    std::fs::write(world.path("regions.json"), regions.to_string()).unwrap();
    std::fs::remove_file(world.path("in/b.png")).unwrap();
    let other = run("other", &[]);
    assert_eq!(hand(&both), hand(&other));
    assert_ne!(both, other);
    assert_ne!(hand(&both), hand(&open(&world, "in/a.png")));
}

#[test]
fn a_dry_run_prints_order_and_prompts_and_paints_nothing() {
    let world = world();
    let said = world.run(&arguments(&[
        "--out",
        "out",
        "--regions",
        "regions.json",
        "--dry-run",
        "--hand-prompt",
        "a fist[SEP]an open hand",
        "--min-side",
        "1",
    ]));
    let notes = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.status.success(), "{notes}");
    assert!(notes.contains("1 face at 20,20 30x35") && notes.contains(": an old face"), "{notes}");
    assert!(notes.contains("2 hand at 70,50 20x16") && notes.contains(": a fist"), "{notes}");
    assert!(notes.contains("3 hand at 100,10 4x4") && notes.contains(": an open hand"), "{notes}");
    assert_eq!(world.files("out"), ["index.html", "sheet/a.png.jpg", "sheet/b.png.jpg"]);
}

#[test]
fn prompts_that_are_not_read_as_they_are_meant_are_told_once() {
    let world = world();
    let long = format!("(a man:1.2) {}", "waves, ".repeat(90));
    let said = world.run(&arguments(&["--out", "out", "--regions", "regions.json", "--prompt", &long]));
    let notes = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{notes}");
    assert_eq!(notes.matches("its end is cut off: (a man:1.2) waves").count(), 1, "{notes}");
    assert_eq!(notes.matches("\"(a man:1.2)\" in a prompt is read as words").count(), 1, "{notes}");
}

#[test]
fn masks_say_what_is_refined() {
    let world = world();
    std::fs::create_dir(world.path("masks")).unwrap();
    let white = |x: u32, y: u32| (30..60).contains(&x) && (30..50).contains(&y);
    let mask = |(w, h)| GrayImage::from_fn(w, h, |x, y| Luma([if white(x, y) { 255 } else { 0 }]));
    mask((120, 90)).save(world.path("masks/a.png")).unwrap();
    mask((75, 100)).save(world.path("masks/b.png")).unwrap();
    let said = world.run(&arguments(&["--out", "out", "--masks", "masks", "--prompt", "a cat"]));
    let notes = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        notes.contains("skipped b.png") && notes.contains("b.png has 75x100 pixels, it has 75x101"),
        "{notes}"
    );
    let (before, after) = (open(&world, "in/a.png"), open(&world, "out/a.png"));
    let mut changed = 0;
    for (x, y, pixel) in after.enumerate_pixels() {
        assert!(white(x, y) || pixel == before.get_pixel(x, y), "{x}, {y}");
        changed += usize::from(pixel != before.get_pixel(x, y));
    }
    assert!(changed > 500, "{changed}");
}

#[test]
fn every_mode_keeps_what_is_outside_of_the_masks() {
    let world = world();
    let before = open(&world, "in/a.png");
    for mode in ["whole", "crops", "mosaic"] {
        world.ok(&arguments(&["--out", mode, "--regions", "regions.json", "--mode", mode]));
        let after = open(&world, format!("{mode}/a.png"));
        assert_ne!(after, before, "{mode}");
        for (x, y) in [(0, 0), (119, 89), (60, 80), (119, 0), (5, 70)] {
            assert_eq!(after.get_pixel(x, y), before.get_pixel(x, y), "{mode}");
        }
        assert_eq!(report(&world, mode)["pictures"][0]["mode"], *mode);
    }
}

#[test]
fn control_networks_run_where_there_are_landmarks_and_nowhere_else() {
    let world = world();
    world.ok(&["init-control", "--model", "tiny", "--kind", "controlnet", "--random", "--out", "pose"]);
    let mut regions: Value = serde_json::from_slice(&world.bytes("regions.json")).unwrap();
    let run = |out: &str, more: &[&str]| {
        world
            .ok(&[&arguments(&["--out", out, "--regions", "regions.json", "--mode", "crops"])[..], more]
                .concat());
        (open(&world, format!("{out}/a.png")), report(&world, out)["pictures"][0]["regions"].clone())
    };
    let (plain, _) = run("plain", &[]);
    // Without landmarks the network has no part in it.
    let (without, told) = run("without", &["--control", "pose"]);
    assert!(without == plain && told[1]["control"] == json!(false));
    let points: Vec<[f64; 2]> =
        (0..21).map(|i| [72.0 + f64::from(i % 5) * 4.0, 52.0 + f64::from(i / 5) * 3.0]).collect();
    regions["a.png"][0]["points"] = json!(points);
    // Those of a face bound its mask; nothing of it is drawn.
    regions["a.png"][1]["points"] = json!([[25, 25], [45, 25], [35, 50]]);
    std::fs::write(world.path("regions.json"), regions.to_string()).unwrap();
    let (with, told) = run("with", &["--control", "pose"]);
    assert_eq!((&told[0]["control"], &told[1]["control"]), (&json!(false), &json!(true)));
    let (again, _) = run("again", &[]);
    assert_ne!(with, again, "the control image steers");
    // The picture names the network by the hashes of its files.
    let text = String::from_utf8_lossy(&world.bytes("with/a.png")).into_owned();
    let hash = sha256_hex(&world.bytes("pose/diffusion_pytorch_model.safetensors"));
    assert!(text.contains("\"controls\":[{\"file\":\"pose\"") && text.contains(&hash));
}

#[test]
fn the_built_in_control_network_is_known_by_its_name() {
    let world = world();
    let builtin = ["--models", "none", "--control", "builtin", "--regions", "regions.json", "--steps", "2"];
    world.ok(&[&["refine", "in", "--prompt", "a man", "--out", "out"][..], &builtin].concat());
    assert!(String::from_utf8_lossy(&world.bytes("out/a.png")).contains("\"file\":\"builtin\""));
}

#[test]
fn mistakes_are_answered_with_what_to_do() {
    let world = world();
    std::fs::write(world.path("wrong.json"), r#"{"a.png": [{"kind": "hand", "box": [9, 9, 3, 3]}]}"#)
        .unwrap();
    std::fs::write(world.path("other.json"), r#"{"a.png": [{"kind": "foot", "box": [1, 1, 3, 3]}]}"#)
        .unwrap();
    let twice = r#"{"a.png": [{"kind": "hand", "box": [1, 1, 9, 9]}], "a.png": []}"#;
    std::fs::write(world.path("twice.json"), twice).unwrap();
    std::fs::create_dir(world.path("empty")).unwrap();
    for (more, expected) in [
        (&["--out", "out"][..], "fairhuman models get"),
        (&["--out", "out", "--regions", "wrong.json"], "expected left, top, right and bottom"),
        (&["--out", "out", "--regions", "other.json"], "a.png, region 1: unknown variant `foot`"),
        (&["--out", "out", "--regions", "twice.json"], "twice.json: a.png is named twice"),
        (&["--out", "out", "--regions", "empty"], "neither annotations"),
        (&["--out", "out", "--masks", "nowhere"], "nowhere"),
        (&["--out", "in", "--regions", "regions.json"], "in"),
        (
            &["--out", "out", "--regions", "regions.json", "--lora-weight", "1"],
            "0 --lora and 1 --lora-weight",
        ),
    ] {
        let said = world.fails(&arguments(more));
        assert!(said.contains(expected), "{more:?}: {said}");
    }
    let said =
        world.fails(&["refine", "empty", "--out", "out", "--regions", "regions.json", "--models", "none"]);
    assert!(said.contains("no pictures in it"), "{said}");
}

#[test]
fn the_largest_regions_are_chosen_and_the_order_decides_who_gets_which_prompt() {
    let world = world();
    let listed = |more: &[&str]| {
        let words = ["--out", "out", "--regions", "regions.json", "--dry-run", "--min-side", "1"];
        let said = world.run(&arguments(&[&words[..], more].concat()));
        String::from_utf8_lossy(&said.stderr).into_owned()
    };
    let told = |more: &[&str]| {
        let prompts =
            ["--hand-prompt", "one hand", "--hand-prompt", "[PROMPT], another", "--prompt", "a man"];
        listed(&[&prompts[..], more].concat())
    };
    let left = told(&[]);
    assert!(left.contains("2 hand at 70,50 20x16") && left.contains("3 hand at 100,10 4x4"), "{left}");
    let area = told(&["--order", "area", "--kinds", "hand"]);
    assert!(!area.contains("face at"), "{area}");
    let line =
        |text: &str, what: &str| text.lines().find(|line| line.contains(what)).unwrap_or_default().to_owned();
    assert!(line(&area, "1 hand at 70,50").ends_with("one hand"), "{area}");
    assert!(line(&area, "2 hand at 100,10").ends_with("a man, another"), "{area}");
    let most = told(&["--mask-k", "1"]);
    assert!(most.contains("1 face at 20,20") && !most.contains("hand at 70,50"), "{most}");
    let skipped = listed(&["--hand-prompt", "[SKIP]", "--hand-prompt", "a hand"]);
    assert!(!skipped.contains("hand at 70,50"), "{skipped}");
    assert!(line(&skipped, "hand at 100,10").ends_with("a hand"), "{skipped}");
    let own = listed(&["--face-prompt", "[SKIP]"]);
    assert!(line(&own, "face at 20,20").ends_with("an old face"), "a region's own prompt comes first: {own}");
}

#[test]
fn a_lora_file_has_a_part_in_it_and_is_named_in_the_picture() {
    let world =
        World::new(&[("steps = 6", "steps = 1"), ("validation = { share = 0.2, every = 3, draws = 2 }", "")]);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    std::fs::create_dir(world.path("in")).unwrap();
    noise((120, 90), 1).save(world.path("in/a.png")).unwrap();
    std::fs::write(
        world.path("regions.json"),
        json!({"a.png": [{"kind": "hand", "box": [70, 50, 90, 66]}]}).to_string(),
    )
    .unwrap();
    let run = |out: &str, more: &[&str]| {
        world.ok(&[&arguments(&["--out", out, "--regions", "regions.json"])[..], more].concat());
        open(&world, format!("{out}/a.png"))
    };
    let plain = run("plain", &[]);
    assert_eq!(run("off", &["--lora", "run/lora.safetensors", "--lora-weight", "0"]), plain);
    assert_ne!(run("on", &["--lora", "run/lora.safetensors", "--lora-weight", "60"]), plain);
    let text = String::from_utf8_lossy(&world.bytes("on/a.png")).into_owned();
    assert!(
        text.contains(&sha256_hex(&world.bytes("run/lora.safetensors"))),
        "the file's hash is in the picture"
    );
    // Another weight is another result: nothing is taken from before.
    let said = world.ok(&[
        &arguments(&["--out", "on", "--regions", "regions.json"])[..],
        &["--lora", "run/lora.safetensors"],
    ]
    .concat());
    assert!(said.contains("1 done now, 0 kept from before"), "{said}");
}

#[test]
fn a_damaged_result_is_made_again_and_lists_of_other_pictures_are_told() {
    let world = world();
    let words = arguments(&["--out", "out", "--regions", "regions.json"]);
    world.run(&words);
    let whole = world.bytes("out/a.png");
    std::fs::write(world.path("out/a.png"), &whole[..whole.len() / 2]).unwrap();
    let said = world.run(&words);
    assert!(String::from_utf8_lossy(&said.stdout).contains("1 done now, 1 kept from before"), "{said:?}");
    assert_eq!(world.bytes("out/a.png"), whole);
    let regions = json!({
        "nope.png": [{"kind": "hand", "box": [1, 1, 9, 9]}],
        "b.png": [{"kind": "hand", "box": [200, 5, 230, 30]}],
    });
    std::fs::write(world.path("regions.json"), regions.to_string()).unwrap();
    let said = world.run(&words);
    let said = String::from_utf8_lossy(&said.stderr);
    assert!(said.contains("nope.png") && said.contains("lies beside its 75 x 101 pixels"), "{said}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_keeps_its_pictures_and_leaves_with_130() {
    let world = world();
    std::fs::remove_dir_all(world.path("in")).unwrap();
    std::fs::create_dir(world.path("in")).unwrap();
    let mut regions = serde_json::Map::new();
    for i in 0..12 {
        noise((120, 90), i).save(world.path(format!("in/{i:02}.png"))).unwrap();
        regions.insert(format!("{i:02}.png"), json!([{"kind": "hand", "box": [70, 50, 90, 66]}]));
    }
    std::fs::write(world.path("regions.json"), Value::Object(regions).to_string()).unwrap();
    let words = arguments(&["--out", "out", "--regions", "regions.json", "--threads", "1"]);
    let mut running = std::process::Command::new(assert_cmd::cargo::cargo_bin("fairhuman"))
        .current_dir(world.path(""))
        .args(&words)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let done = || {
        let entries = std::fs::read_dir(world.path("out")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "png")).count()
    };
    while done() < 2 {
        assert!(running.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &running.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
    let kept = done();
    assert!((2..12).contains(&kept), "{kept}");
    let said = world.ok(&words);
    assert!(said.contains(&format!("{} done now, {kept} kept from before", 12 - kept)), "{said}");
    assert_eq!(report(&world, "out")["pictures"].as_array().unwrap().len(), 12);
}
