//! Run folders: reading them, and the notes on what is missing.

use std::path::Path;

use fairhuman_people::{Options, write_dataset};
use fairhuman_report::{ReadError, Run};
use fairhuman_train::events::{Event, EventLog, Start};

fn start(held_out: Vec<String>) -> Event {
    Event::Start(Start {
        step: 0,
        until: 5,
        objectives: vec!["global".into(), "hand".into()],
        training_samples: 3,
        held_out,
        trained_values: 1,
        truncated_captions: 0,
        notes: Vec::new(),
        version: "0.1.0".into(),
        first_losses: None,
        machine: String::new(),
    })
}

fn write_run(folder: &Path, events: &[Event], recipe: &str) {
    let (mut log, _) = EventLog::resume(&folder.join("events.jsonl"), 0).unwrap();
    events.iter().for_each(|event| log.write(event).unwrap());
    std::fs::write(folder.join("recipe.toml"), recipe).unwrap();
}

#[test]
fn what_is_no_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("nowhere"), folder.path().to_path_buf()] {
        let error = Run::read(&path).unwrap_err();
        assert!(matches!(&error, ReadError::NoRun { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    std::fs::write(folder.path().join("events.jsonl"), "{\"event\":\"walk\",\"step\":1}\n").unwrap();
    let error = Run::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.matches("events.jsonl").count() == 1, "{error}");
    // Not a file: the system's own words, with the name.
    std::fs::remove_file(folder.path().join("events.jsonl")).unwrap();
    std::fs::create_dir(folder.path().join("events.jsonl")).unwrap();
    let error = Run::read(folder.path()).unwrap_err().to_string();
    assert!(error.contains("events.jsonl: "), "{error}");
}

#[test]
fn a_run_that_was_cut_off_is_read_up_to_there() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("first");
    std::fs::create_dir(&run).unwrap();
    write_run(&run, &[start(Vec::new())], "steps = 5\n");
    let mut text = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.push_str("{\"event\":\"step\",\"st");
    std::fs::write(run.join("events.jsonl"), text).unwrap();
    let read = Run::read(&run).unwrap();
    assert_eq!((read.name.as_str(), read.events.len()), ("first", 1));
    assert_eq!(read.recipe, "steps = 5\n");

    std::fs::write(run.join("events.jsonl"), "").unwrap();
    assert_eq!(Run::read(&run).unwrap().events, []);
}

#[test]
fn pictures_come_with_their_masks_and_a_dataset_that_is_gone_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("people");
    write_dataset(Options { count: 8, size: 64, seed: 3, ..Options::default() }, &data, &mut |_| {}).unwrap();
    let recipe = format!(
        "steps = 5\n[model]\npath = \"nowhere\"\n[dataset]\npath = {data:?}\n[geometry]\nwidth = 48\nheight = 48\n\
         [[objective]]\nname = \"global\"\n[[objective]]\nname = \"hand\"\nmask = \"mask_hand\"\n"
    );
    write_run(folder.path(), &[start(vec!["images/00005.png".into()])], &recipe);
    let mut run = Run::read(folder.path()).unwrap();
    run.add_pictures(4);
    assert_eq!((run.pictures.len(), run.notes.as_slice()), (4, &[][..]));
    let first = &run.pictures[0];
    assert!(first.held_out && first.name == "images/00005.png", "held-out pictures first: {}", first.name);
    let hands = run.pictures.iter().flat_map(|picture| &picture.regions);
    let mut shown = 0;
    for region in hands {
        assert_eq!((region.name.as_str(), region.mask.dimensions()), ("hand", (48, 48)));
        let inside = region.mask.pixels().filter(|p| p.0[0] > 127).count();
        assert!((1..48 * 48 / 2).contains(&inside), "a hand of {inside} pixels");
        shown += 1;
    }
    assert!(shown > 0);

    std::fs::remove_dir_all(&data).unwrap();
    let mut run = Run::read(folder.path()).unwrap();
    run.add_pictures(4);
    assert!(run.pictures.is_empty());
    assert!(run.notes[0].contains(&data.display().to_string()), "{:?}", run.notes);
}
