//! Annotating a folder: a complete dataset, continued after an interruption, with every problem named.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{file, networks};
use fairhuman_vision::annotate::{Options, Outcome, Progress, Summary, annotate, load_detectors};
use fairhuman_vision::detect::{DetectOptions, Instance, Source, detect};
use fairhuman_vision::detectors::Detectors;
use fairhuman_vision::geometry::Box2;
use fairhuman_vision::pipeline::{Pipeline, RegionDetector};
use serde_json::Value;

/// Two good photographs (one with a caption, one in a folder), a truncated one and a file that is no
/// photograph.
fn photos(folder: &Path) -> PathBuf {
    let photos = folder.join("photos");
    fs::create_dir_all(photos.join("more & <less>")).expect("folders");
    fs::copy(file("photos/astronaut.png"), photos.join("a.b.png")).expect("a copy");
    fs::copy(file("photos/astronaut.png"), photos.join("more & <less>/a.png")).expect("a copy");
    fs::write(photos.join("a.b.txt"), "an astronaut\n in orange\n").expect("a caption");
    let bytes = fs::read(file("photos/astronaut.png")).expect("the photograph");
    fs::write(photos.join("cut.png"), &bytes[..bytes.len() / 2]).expect("a cut file");
    fs::write(photos.join("none.jpg"), b"not a picture").expect("a file");
    photos
}

fn quick() -> Options {
    Options { zoom: false, ..Options::default() }
}

fn run(photos: &Path, out: &Path, options: &Options, pipeline: &Pipeline) -> (Summary, Vec<Progress>) {
    let log = Mutex::new(Vec::new());
    let stop = AtomicBool::new(false);
    let record = |p: Progress| log.lock().expect("the log").push(p);
    let summary = annotate(photos, out, options, pipeline, &stop, &record).expect("a dataset");
    (summary, log.into_inner().expect("the log"))
}

fn only(detectors: &Detectors) -> Pipeline<'_> {
    Pipeline { detectors, faces: None, hands: None }
}

fn lines(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("metadata.jsonl")).expect("the metadata");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_folder_becomes_a_dataset_and_faults_are_named() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, out) = (photos(folder.path()), folder.path().join("out"));
    let (summary, log) = run(&photos, &out, &quick(), &only(&detectors));
    assert_eq!((summary.photographs, summary.annotated, summary.with_faces), (2, 2, 2));
    let faulty: Vec<&str> = summary.problems.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(faulty, ["cut.png", "none.jpg"]);
    assert_eq!(log.len(), 4);
    assert!(log.iter().all(|p| p.total == 4));

    let lines = lines(&out);
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["text"], "an astronaut", "the first line");
    assert_eq!(lines[1]["text"], "a photo of one person");
    assert_eq!(lines[0]["mask_hand"], Value::Null);
    for line in &lines {
        for column in ["image", "mask_face", "conditioning_image"] {
            let path = out.join(line[column].as_str().expect("a path"));
            let picture = image::open(&path).expect("a picture");
            assert_eq!((picture.width(), picture.height()), (320, 320), "{}", path.display());
        }
    }
    // The mask is the face's box, widened by 16 pixels at 1024: 5 of these 320.
    let annotation = fs::read(out.join("annotations/a.b.png.json")).expect("the annotation");
    let annotation: Value = serde_json::from_slice(&annotation).expect("JSON");
    let face = &annotation["faces"][0];
    let edge = |name: &str| face["bbox"][name].as_f64().expect("an edge");
    let mask = image::open(out.join("masks/face/a.b.png.png")).expect("the mask").to_luma8();
    let white = |x: f64, y: f64| mask.get_pixel(x as u32, y as u32).0[0] == 255;
    let middle = (edge("y0") + edge("y1")) / 2.0;
    assert!(white(edge("x0") - 4.0, middle) && !white(edge("x0") - 7.0, middle));
    assert_eq!(face["points"].as_array().expect("the landmarks").len(), 468);

    let page = fs::read_to_string(out.join("index.html")).expect("the page");
    assert!(page.contains("more%20%26%20%3Cless%3E/a.png") && page.contains("more &amp; &lt;less&gt;/a.png"));
    assert!(page.contains("2 left out") && page.contains("none.jpg"));
    assert!(image::open(out.join("contact-sheet.png")).expect("the sheet").width() > 320);
}

#[test]
fn the_same_command_continues_and_notices_what_changed() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, out) = (photos(folder.path()), folder.path().join("out"));
    // Interrupted after the first photograph: no metadata yet.
    let stop = AtomicBool::new(false);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let first = pool.install(|| {
        annotate(&photos, &out, &quick(), &only(&detectors), &stop, &|_| stop.store(true, Ordering::Relaxed))
    });
    let first = first.expect("an interrupted run");
    assert!(first.interrupted && first.photographs < 2);
    assert!(!out.join("metadata.jsonl").exists());
    // Continued: finished photographs are kept.
    let (second, log) = run(&photos, &out, &quick(), &only(&detectors));
    assert_eq!(second.photographs, 2);
    assert_eq!(log.iter().filter(|p| p.outcome == Outcome::Kept).count(), first.photographs);
    // A caption added later is used; nothing is annotated again.
    fs::write(photos.join("more & <less>/a.txt"), "later").expect("a caption");
    let (third, _) = run(&photos, &out, &quick(), &only(&detectors));
    assert_eq!(third.annotated, 0);
    assert_eq!(lines(&out)[1]["text"], "later");
    // A missing file, a changed photograph and other settings are annotated again.
    fs::remove_file(out.join("conditioning/a.b.png.png")).expect("a control image");
    assert_eq!(run(&photos, &out, &quick(), &only(&detectors)).0.annotated, 1);
    let half = image::open(file("photos/astronaut.png")).expect("the photograph").crop_imm(0, 0, 200, 200);
    half.save(photos.join("a.b.png")).expect("another photograph");
    assert_eq!(run(&photos, &out, &quick(), &only(&detectors)).0.annotated, 1);
    let outline = Options { shape: fairhuman_vision::masks::Shape::Outline, ..quick() };
    assert_eq!(run(&photos, &out, &outline, &only(&detectors)).0.annotated, 2);
}

#[test]
fn what_a_person_changed_in_a_dataset_stays_whatever_the_options() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, out) = (photos(folder.path()), folder.path().join("out"));
    assert_eq!(run(&photos, &out, &quick(), &only(&detectors)).0.edited, 0);
    // The first photograph's face is painted over and a hand added; the second one's face deleted.
    let mask = |region: &str, photo: &str| out.join(format!("masks/{region}/{photo}.png"));
    let (painted, added, deleted) =
        (mask("face", "a.b.png"), mask("hand", "a.b.png"), mask("face", "more & <less>/a.png"));
    let white = image::GrayImage::from_pixel(320, 320, image::Luma([255]));
    white.save(&painted).expect("a mask");
    fs::create_dir_all(added.parent().expect("a folder")).expect("a folder");
    white.save(&added).expect("a mask");
    fs::remove_file(&deleted).expect("a mask");
    fs::write(out.join("metadata.jsonl"), "mine").expect("a list");
    let outline = Options { shape: fairhuman_vision::masks::Shape::Outline, ..quick() };
    for (options, looked) in [(quick(), 0), (outline.clone(), 2), (outline, 0)] {
        let (summary, _) = run(&photos, &out, &options, &only(&detectors));
        assert_eq!((summary.edited, summary.annotated), (3, looked));
        for path in [&painted, &added] {
            assert_eq!(image::open(path).expect("a mask").into_luma8(), white);
        }
        assert!(!deleted.exists());
        let lines = lines(&out);
        assert_eq!(lines[0]["mask_hand"], "masks/hand/a.b.png.png");
        assert_eq!((&lines[1]["mask_face"], &lines[1]["mask_hand"]), (&Value::Null, &Value::Null));
    }
    assert_eq!(fs::read(out.join("metadata-before.jsonl")).expect("the list of before"), b"mine");
    // A caption that is changed in the list stays, whatever the template; one written anew beside the
    // photograph is newer.
    let list = fs::read_to_string(out.join("metadata.jsonl")).expect("the list");
    fs::write(out.join("metadata.jsonl"), list.replace("a photo of one person", "in orange"))
        .expect("a list");
    for template in ["a photo of {people}", "{people}", "{people}"] {
        let options = Options { caption: template.into(), ..quick() };
        let (summary, _) = run(&photos, &out, &options, &only(&detectors));
        assert_eq!((lines(&out)[1]["text"].as_str(), summary.captions), (Some("in orange"), 1));
    }
    fs::write(photos.join("more & <less>/a.txt"), "later").expect("a caption");
    let (summary, _) = run(&photos, &out, &quick(), &only(&detectors));
    assert_eq!((summary.captions, summary.new_captions), (0, 1));
    assert_eq!(lines(&out)[1]["text"], "later");
    // Without masks and annotation the photograph is annotated afresh.
    fs::remove_file(&painted).expect("a mask");
    fs::remove_file(&added).expect("a mask");
    fs::remove_file(out.join("annotations/a.b.png.json")).expect("an annotation");
    let (summary, _) = run(&photos, &out, &quick(), &only(&detectors));
    assert!(summary.edited == 1 && painted.exists() && !added.exists());
}

#[test]
fn an_interrupted_change_of_options_is_finished_by_either_command() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, out) = (photos(folder.path()), folder.path().join("out"));
    run(&photos, &out, &quick(), &only(&detectors));
    let mask = out.join("masks/face/a.b.png.png");
    let boxes = fs::read(&mask).expect("the mask");
    // The control image cannot be written: the run fails after the masks.
    let control = out.join("conditioning/a.b.png.png");
    fs::remove_file(&control).expect("the control image");
    fs::create_dir_all(control.join("in the way")).expect("a folder");
    let outline = Options { shape: fairhuman_vision::masks::Shape::Outline, ..quick() };
    let stop = AtomicBool::new(false);
    annotate(&photos, &out, &outline, &only(&detectors), &stop, &|_| ()).expect_err("the disk refuses");
    assert_ne!(fs::read(&mask).expect("the mask"), boxes);
    fs::remove_dir_all(&control).expect("the folder");
    let (summary, _) = run(&photos, &out, &quick(), &only(&detectors));
    assert_eq!(summary.edited, 0);
    assert_eq!(fs::read(&mask).expect("the mask"), boxes);
}

#[test]
fn photographs_inside_the_dataset_are_refused_and_stay() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let out = tempfile::tempdir().expect("a folder");
    let photos = out.path().join("images");
    fs::create_dir(&photos).expect("a folder");
    fs::copy(file("photos/astronaut.png"), photos.join("a.png")).expect("a copy");
    let stop = AtomicBool::new(false);
    let error = annotate(&photos, out.path(), &quick(), &only(&detectors), &stop, &|_| ());
    assert!(error.expect_err("refused").to_string().contains("part of the dataset"));
    assert!(photos.join("a.png").exists());
}

#[cfg(unix)]
#[test]
fn a_name_too_long_for_its_masks_is_told_and_the_rest_goes_on() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, out) = (photos(folder.path()), folder.path().join("out"));
    let long = format!("{}.png", "z".repeat(246));
    fs::copy(file("photos/astronaut.png"), photos.join(&long)).expect("a copy");
    let (summary, _) = run(&photos, &out, &quick(), &only(&detectors));
    assert_eq!(summary.photographs, 2);
    let told = summary.problems.iter().find(|(name, _)| *name == long).expect("told");
    assert!(told.1.contains("rename"), "{}", told.1);
}

#[test]
fn a_run_without_a_usable_photograph_leaves_the_dataset_and_a_smaller_one_has_no_old_sheets() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, out) = (photos(folder.path()), folder.path().join("out"));
    fs::create_dir(&out).expect("a folder");
    fs::write(out.join("contact-sheet-2.png"), b"of more photographs").expect("a file");
    fs::write(out.join("contact-sheet-mine.png"), b"no sheet of ours").expect("a file");
    run(&photos, &out, &quick(), &only(&detectors));
    assert!(!out.join("contact-sheet-2.png").exists() && out.join("contact-sheet-mine.png").exists());
    let list = fs::read(out.join("metadata.jsonl")).expect("the list");
    struct Broken;
    impl RegionDetector for Broken {
        fn detect(&self, _: &image::RgbImage) -> Result<Vec<Instance>, String> {
            Err("broken".into())
        }
        fn identity(&self) -> String {
            "broken".into()
        }
    }
    let pipeline = Pipeline { detectors: &detectors, faces: None, hands: Some(&Broken) };
    let (summary, _) = run(&photos, &out, &quick(), &pipeline);
    assert_eq!((summary.photographs, summary.problems.len()), (0, 4));
    assert_eq!(fs::read(out.join("metadata.jsonl")).expect("the list"), list);
}

/// A detector that always returns the same box.
struct Fixed(Box2);

impl Fixed {
    fn corner() -> Self {
        Self(Box2 { x0: 10.0, y0: 10.0, x1: 20.0, y1: 20.0 })
    }
}

impl RegionDetector for Fixed {
    fn detect(&self, _: &image::RgbImage) -> Result<Vec<Instance>, String> {
        Ok(vec![Instance { bbox: self.0, score: 0.9, source: Source::Network, points: vec![] }])
    }

    fn identity(&self) -> String {
        "fixed".into()
    }
}

#[test]
fn a_network_of_the_users_own_takes_the_place_of_mediapipes() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let folder = tempfile::tempdir().expect("a folder");
    let (photos, out) = (photos(folder.path()), folder.path().join("out"));
    let pipeline = Pipeline { detectors: &detectors, faces: None, hands: Some(&Fixed::corner()) };
    let (summary, _) = run(&photos, &out, &quick(), &pipeline);
    assert_eq!((summary.with_faces, summary.with_hands), (2, 2));
    let (again, _) = run(&photos, &out, &quick(), &only(&detectors));
    assert_eq!((again.annotated, again.with_hands), (2, 0));
    assert!(!out.join("masks/hand/a.b.png.png").exists());
}

#[test]
fn boxes_of_another_network_get_landmarks_where_the_networks_agree() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let photo = image::open(file("photos/astronaut.png")).expect("the photograph").to_rgb8();
    let face = detectors.face_full.detect(&photo, 0.5)[0].bbox;
    let points = |bbox: Box2| {
        let pipeline =
            Pipeline { detectors: &detectors, faces: Some(&Fixed(bbox)), hands: Some(&Fixed(bbox)) };
        let found = pipeline.detect(&photo, DetectOptions { zoom: false }).expect("a look");
        assert_eq!((found.faces[0].bbox, found.hands[0].bbox), (bbox, bbox), "the box stays the network's");
        (found.faces[0].points.len(), found.hands[0].points.len())
    };
    assert_eq!(points(face), (468, 0), "a face and no hand");
    assert_eq!(points(Box2 { x0: 10.0, y0: 10.0, x1: 40.0, y1: 40.0 }), (0, 0), "neither");
}

#[test]
fn the_zoom_pass_finds_no_second_body_in_one_person() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let photo = image::open(file("photos/astronaut.png")).expect("the photograph").to_rgb8();
    assert_eq!(detect(&photo, &detectors, DetectOptions { zoom: true }).people.len(), 1);
}

#[test]
fn a_small_face_is_found_by_the_zoom_pass_only() {
    let Some(models) = networks() else { return };
    let detectors = load_detectors(&models).expect("the networks");
    let person = image::open(file("photos/astronaut.png")).expect("the photograph").to_rgb8();
    let small = image::imageops::resize(&person, 110, 110, image::imageops::FilterType::Triangle);
    let mut photo = image::RgbImage::from_pixel(1000, 700, image::Rgb([90, 110, 130]));
    image::imageops::replace(&mut photo, &small, 640, 420);
    // The face in the original, scaled and moved to the small copy.
    let face = &detectors.face_short.detect(&person, 0.5)[0].bbox;
    let place = |v: f32, at: f32| v * 110.0 / 320.0 + at;
    let expected = Box2 {
        x0: place(face.x0, 640.0),
        y0: place(face.y0, 420.0),
        x1: place(face.x1, 640.0),
        y1: place(face.y1, 420.0),
    };
    let hits = |zoom: bool| {
        let found = detect(&photo, &detectors, DetectOptions { zoom });
        (found.faces.iter().filter(|f| f.bbox.iou(&expected) > 0.5).count(), found.faces.len())
    };
    assert_eq!(hits(false), (0, 0));
    assert_eq!(hits(true), (1, 1));
}

#[test]
fn without_networks_the_message_says_how_to_get_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = load_detectors(folder.path()).err().expect("refused").to_string();
    assert!(
        error.contains("fairhuman models get") && error.contains("face_detection_short_range.tflite"),
        "{error}"
    );
}
