//! `fairhuman annotate` and `fairhuman models`: from photographs to a dataset that trains.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::World;

/// A file of the detectors' tests; the photograph is NASA's and in the public domain.
pub fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vision/tests").join(path)
}

/// The folder with MediaPipe's networks: `FAIRHUMAN_MODELS`, or one below `target` that the program fills by
/// a download. `None` without network on a developer's machine; a build server must have it.
pub fn networks() -> Option<String> {
    let given = std::env::var_os("FAIRHUMAN_MODELS").map(PathBuf::from);
    let folder = given.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("mediapipe"));
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock();
    let folder = folder.display().to_string();
    let output = World::empty().run(&["models", "get", "--models", &folder]);
    if output.status.success() {
        return Some(folder);
    }
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(std::env::var_os("CI").is_none(), "{error}");
    eprintln!("not tested, the networks are not there: {error}");
    None
}

/// Two photographs, one of them with a caption, one that is cut off and one of a format that cannot be read.
fn photos(world: &World) {
    let bytes = std::fs::read(shipped("photos/astronaut.png")).unwrap();
    std::fs::create_dir(world.path("photos")).unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(world.path("photos").join(name), bytes).unwrap();
    write("a.png", &bytes);
    write("a.txt", b"an astronaut\n");
    write("b.png", &bytes);
    write("cut.png", &bytes[..bytes.len() / 2]);
    write("phone.heic", b"\0\0\0\x18ftypheic");
}

fn annotate(world: &World, models: &str, more: &[&str]) -> std::process::Output {
    world.run(&[&["annotate", "photos", "--out", "data", "--models", models], more].concat())
}

#[test]
fn photographs_become_a_dataset_that_passes_the_check_and_trains() {
    let Some(models) = networks() else { return };
    let world = World::new(&[
        ("dataset.path = \"people\"", "dataset.path = \"data\""),
        ("steps = 6", "steps = 1"),
        ("validation = { share = 0.2, every = 3, draws = 2 }", ""),
    ]);
    photos(&world);
    let output = annotate(&world, &models, &[]);
    let (text, notes) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{notes}");
    assert!(text.contains("2 photographs in data: 2 with a face") && text.contains("2 skipped"), "{text}");
    assert!(text.contains("photographs per second") && text.contains("index.html"), "{text}");
    assert!(notes.contains("skipped cut.png") && notes.contains("skipped phone.heic"), "{notes}");
    let list = std::fs::read_to_string(world.path("data/metadata.jsonl")).unwrap();
    assert!(list.contains("\"an astronaut\"") && list.contains("\"a photo of one person\""), "{list}");

    let report = world.ok(&["check", "recipe.toml", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    // The same photograph twice is what this test planted, and it shows no hand; masks, control images and
    // sheets are used.
    let kinds: Vec<&str> =
        report["diagnostics"].as_array().unwrap().iter().filter_map(|f| f["kind"].as_str()).collect();
    assert_eq!(kinds, ["region-empty", "duplicate"]);
    assert_eq!(report["regions"][0]["pictures"], 2);
    world.ok(&["train", "recipe.toml", "--out", "run"]);
    assert_eq!(world.steps("run").len(), 1);
    assert!(world.steps("run")[0].losses[1] > 0.0, "the face objective saw a face");

    // Outlines are tighter than boxes, and other options look again.
    let white = |file: &str| {
        let mask = image::open(world.path(file)).unwrap().into_luma8();
        mask.pixels().filter(|p| p.0[0] == 255).count()
    };
    let boxes = white("data/masks/face/a.png.png");
    let output = annotate(&world, &models, &["--shape", "outline", "--caption", "{name} with {people}"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("2 looked at now, 0 kept"), "{text}");
    assert!(white("data/masks/face/a.png.png") < boxes);
    assert!(
        std::fs::read_to_string(world.path("data/metadata.jsonl")).unwrap().contains("\"b with one person\"")
    );
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_leaves_with_130_and_the_same_command_continues() {
    use std::io::{BufRead, BufReader};
    let Some(models) = networks() else { return };
    let world = World::empty();
    std::fs::create_dir(world.path("photos")).unwrap();
    let photo = image::open(shipped("photos/astronaut.png")).unwrap();
    for i in 0..16 {
        photo.crop_imm(i, 0, 280, 300).save(world.path(format!("photos/{i}.png"))).unwrap();
    }
    let arguments =
        ["annotate", "photos", "--out", "data", "--models", &models, "--threads", "1", "--no-zoom"];
    let mut running = std::process::Command::new(assert_cmd::cargo::cargo_bin("fairhuman"))
        .current_dir(world.path(""))
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Files under their own names; the last one may be that of the photograph in progress.
    let annotations = || {
        let entries = std::fs::read_dir(world.path("data/annotations")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|e| e == "json")).count()
    };
    while annotations() < 3 {
        assert!(running.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = std::process::Command::new("kill").args(["-INT", &running.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let lines: Vec<String> =
        BufReader::new(running.stdout.take().unwrap()).lines().map_while(Result::ok).collect();
    assert_eq!(running.wait().unwrap().code(), Some(130));
    assert!(lines.iter().any(|line| line.contains("the same command again continues")), "{lines:?}");
    assert!(!world.path("data/metadata.jsonl").exists());
    let before = annotations();
    assert!((2..16).contains(&before), "{before}");
    let text = world.ok(&arguments);
    assert!(text.contains(&format!("{} looked at now, {before} kept", 16 - before)), "{text}");
    assert_eq!(std::fs::read_to_string(world.path("data/metadata.jsonl")).unwrap().lines().count(), 16);
}

#[test]
fn a_yolo_network_takes_the_place_of_mediapipes_hands() {
    let Some(models) = networks() else { return };
    let world = World::empty();
    photos(&world);
    let network = shipped("models/yolo11-random.onnx").display().to_string();
    let error = annotate(&world, &models, &["--hands", &network]);
    let error = String::from_utf8_lossy(&error.stderr).into_owned();
    assert!(error.contains("--hand-class") && error.contains("its 2 classes"), "{error}");
    let ours = ["--hands", &network, "--hand-class", "0,1", "--no-zoom"];
    let output = annotate(&world, &models, &ours);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let annotation =
        || -> Value { serde_json::from_slice(&world.bytes("data/annotations/a.png.json")).unwrap() };
    let hands = annotation()["hands"].as_array().unwrap().clone();
    assert!(hands.len() > 3 && hands.iter().all(|hand| hand["source"] == "network"));
    assert_eq!(annotation()["faces"][0]["source"], "whole");
    // Surer boxes only: another threshold looks again.
    let output = annotate(&world, &models, &[&ours[..], &["--threshold", "0.9"]].concat());
    assert!(String::from_utf8(output.stdout).unwrap().contains("2 looked at now"));
    let surer = hands.iter().filter(|hand| hand["score"].as_f64() > Some(0.9)).count();
    assert!(surer < hands.len());
    assert_eq!(annotation()["hands"].as_array().unwrap().len(), surer);
    let error =
        world.fails(&["annotate", "photos", "--out", "data", "--models", &models, "--faces", "photos/a.png"]);
    assert!(error.contains("photos/a.png: cannot be loaded as ONNX"), "{error}");
}

#[test]
fn drawn_people_tell_what_is_found() {
    let Some(models) = networks() else { return };
    let world = World::empty();
    world.ok(&["people", "--count", "2", "--size", "256", "--out", "people"]);
    let text = world.ok(&["annotate", "people", "--evaluate", "people", "--models", &models]);
    let rows: Vec<&str> =
        text.lines().filter(|line| line.contains("faces") || line.contains("hands")).collect();
    assert!(
        text.starts_with("2 photographs") && rows.len() == 4 && rows.iter().all(|r| r.contains('%')),
        "{text}"
    );
}

#[test]
fn what_cannot_be_done_is_told_with_what_to_do() {
    let world = World::empty();
    std::fs::create_dir(world.path("photos")).unwrap();
    let error = world.fails(&["annotate", "photos", "--out", "data", "--models", "nowhere"]);
    assert!(error.contains("nowhere") && error.contains("fairhuman models get"), "{error}");
    assert!(!world.path("data").exists());
    assert_eq!(world.run(&["annotate", "photos"]).status.code(), Some(2));
    assert_eq!(
        world.run(&["annotate", "photos", "--out", "data", "--threshold", "7"]).status.code(),
        Some(2)
    );
    let Some(models) = networks() else { return };
    let error = world.fails(&["annotate", "photos", "--out", "data", "--models", &models]);
    assert!(error.contains("photos") && error.contains("no photographs"), "{error}");
    std::fs::write(world.path("photos/a.jpg"), "no picture").unwrap();
    let error = world.fails(&["annotate", "photos", "--out", "photos", "--models", &models]);
    assert!(error.contains("another"), "{error}");
    let error = world.fails(&["annotate", "photos", "--out", "data", "--models", &models]);
    assert!(error.contains("skipped a.jpg"), "{error}");
    assert!(!world.path("data").exists(), "an empty dataset is none");
}

/// A wheel with the networks of a folder, the first one changed by `change`.
fn wheel(world: &World, models: &str, change: impl Fn(&mut Vec<u8>)) {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::fs::File::create(world.path("a.whl")).unwrap());
    for (i, model) in fairhuman_vision::models::MODELS.iter().enumerate() {
        let mut bytes = std::fs::read(Path::new(models).join(model.name())).unwrap();
        if i == 0 {
            change(&mut bytes);
        }
        zip.start_file(model.path, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn networks_come_from_a_wheel_into_the_cache_folder_and_wrong_ones_do_not() {
    let Some(models) = networks() else { return };
    let world = World::empty();
    let get = || {
        let mut command = world.command(&["models", "get", "--wheel", "a.whl"]);
        let home = world.path("home");
        // Where cache folders are on Linux, macOS and Windows.
        command.env("XDG_CACHE_HOME", home.join("cache")).env("HOME", &home).env("LOCALAPPDATA", &home);
        command.env_remove("FAIRHUMAN_MODELS").output().unwrap()
    };
    wheel(&world, &models, |bytes| bytes[100] ^= 1);
    let output = get();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("face_detection_short_range.tflite: expected SHA-256 bbff11ce"), "{error}");
    assert!(!world.files("").iter().any(|file| file.ends_with(".tflite")));
    wheel(&world, &models, |_| {});
    let output = get();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8(output.stdout).unwrap().contains("7 networks stored"));
    let stored = world.files("").into_iter().filter(|file| file.ends_with(".tflite"));
    assert_eq!(
        stored.filter(|file| file.contains("fairhuman") && file.contains("mediapipe-0.10.21")).count(),
        7
    );
    std::fs::remove_file(world.path("a.whl")).unwrap();
    assert!(String::from_utf8(get().stdout).unwrap().contains("already in"));
}

#[test]
fn a_dataset_of_another_kind_is_not_annotated_over_and_one_inside_is_no_photographs() {
    let Some(models) = networks() else { return };
    let world = World::new(&[]);
    let list = world.bytes("people/metadata.jsonl");
    photos(&world);
    let error = world.fails(&["annotate", "photos", "--out", "people", "--models", &models]);
    assert!(error.contains("did not make"), "{error}");
    assert!(world.bytes("people/metadata.jsonl") == list);
    for out in ["photos/x", "photos/y"] {
        world.ok(&["annotate", "photos", "--out", out, "--models", &models]);
    }
    let lines =
        |out: &str| world.bytes(&format!("{out}/metadata.jsonl")).iter().filter(|b| **b == b'\n').count();
    assert_eq!((lines("photos/x"), lines("photos/y")), (2, 2));
}
