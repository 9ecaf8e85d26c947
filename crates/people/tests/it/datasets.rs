//! Theorems about written dataset folders.

use std::fs;
use std::path::Path;

use fairhuman_people::{Options, PeopleError, Style, draw, write_dataset};

fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.join("metadata.jsonl")).expect("metadata is written");
    text.lines().map(|l| serde_json::from_str(l).expect("each line is an object")).collect()
}

#[test]
fn a_folder_holds_what_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { count: 24, size: 64, seed: 3, ..Options::default() };
    let mut calls = Vec::new();
    let summary = write_dataset(options, folder.path(), &mut |n| calls.push(n)).expect("written");
    assert_eq!(calls, (1..=24).collect::<Vec<_>>());
    assert_eq!((summary.pictures, summary.drawn), (24, 24));
    let (mut faces, mut hands) = (0, 0);
    for (index, line) in lines(folder.path()).iter().enumerate() {
        let picture = draw(64, 3, index as u64);
        let open = |column: &str| {
            line[column].as_str().map(|f| image::open(folder.path().join(f)).expect("a picture"))
        };
        assert_eq!(line["image"], format!("images/{index:05}.png"));
        assert_eq!(open("image").expect("an image").into_rgb8(), picture.image);
        assert_eq!(line["text"], picture.caption);
        for (column, mask, count) in
            [("mask_face", &picture.face_mask, &mut faces), ("mask_hand", &picture.hand_mask, &mut hands)]
        {
            match open(column) {
                Some(read) => {
                    *count += 1;
                    assert_eq!(&read.into_luma8(), mask);
                }
                None => assert!(line[column].is_null() && mask.pixels().all(|p| p.0[0] == 0)),
            }
        }
        let file =
            fs::read(folder.path().join(line["keypoints"].as_str().expect("key points"))).expect("a file");
        let points: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
        assert_eq!(points["figures"].as_array().expect("figures").len(), picture.figures.len());
        assert_eq!(points["figures"][0]["left_hand"]["points"].as_array().expect("points").len(), 21);
    }
    assert_eq!((summary.with_face, summary.with_hand), (faces, hands));
}

#[test]
fn a_picture_does_not_depend_on_how_many_there_are() {
    let (few, many) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    write_dataset(Options { count: 3, size: 48, seed: 9, ..Options::default() }, few.path(), &mut |_| {})
        .expect("written");
    write_dataset(Options { count: 7, size: 48, seed: 9, ..Options::default() }, many.path(), &mut |_| {})
        .expect("written");
    assert_eq!(lines(few.path())[..], lines(many.path())[..3]);
    for index in 0..3 {
        let file = format!("images/{index:05}.png");
        assert_eq!(fs::read(few.path().join(&file)).ok(), fs::read(many.path().join(&file)).ok());
    }
}

#[test]
fn the_same_call_again_completes_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { count: 6, size: 48, seed: 1, ..Options::default() };
    write_dataset(options, folder.path(), &mut |_| {}).expect("written");
    let before = fs::read(folder.path().join("metadata.jsonl")).expect("metadata");
    fs::remove_file(folder.path().join("images/00004.png")).expect("removed");
    fs::remove_file(folder.path().join("metadata.jsonl")).expect("removed");
    let summary = write_dataset(options, folder.path(), &mut |_| {}).expect("continued");
    assert_eq!((summary.pictures, summary.drawn), (6, 1));
    assert!(folder.path().join("images/00004.png").is_file());
    assert_eq!(fs::read(folder.path().join("metadata.jsonl")).expect("metadata"), before);
}

#[test]
fn other_folders_are_left_alone_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { count: 2, size: 48, seed: 1, ..Options::default() };
    write_dataset(options, folder.path(), &mut |_| {}).expect("written");
    let error =
        write_dataset(Options { seed: 2, ..options }, folder.path(), &mut |_| {}).expect_err("other options");
    assert!(matches!(error, PeopleError::Occupied { .. }));
    assert!(error.to_string().contains("2 pictures of size 48 and seed 1"), "{error}");
    let theirs = tempfile::tempdir().expect("a folder");
    fs::write(theirs.path().join("thesis.txt"), "precious").expect("written");
    let error = write_dataset(options, theirs.path(), &mut |_| {}).expect_err("not ours");
    assert!(error.to_string().contains("choose another folder"), "{error}");
    assert_eq!(fs::read_dir(theirs.path()).expect("listed").count(), 1);
}

#[test]
fn options_without_meaning_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for (options, name) in [
        (Options { count: 1, size: 64, seed: 0, figures: 0, ..Options::default() }, "figures"),
        (Options { count: 1, size: 64, seed: 0, figures: 4, ..Options::default() }, "figures"),
        (Options { near: 101, ..Options::default() }, "near"),
        (Options { count: 0, size: 64, seed: 0, ..Options::default() }, "count"),
        (Options { count: 1, size: 3, seed: 0, ..Options::default() }, "size"),
        (Options { count: 1, size: 1 << 20, seed: 0, ..Options::default() }, "size"),
    ] {
        let error = write_dataset(options, folder.path(), &mut |_| {}).expect_err("refused");
        assert!(error.to_string().starts_with(name), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
}

#[test]
fn a_dataset_of_single_people_has_one_in_every_picture() {
    let folder = tempfile::tempdir().expect("a folder");
    write_dataset(
        Options { count: 20, size: 48, seed: 5, figures: 1, ..Options::default() },
        folder.path(),
        &mut |_| {},
    )
    .expect("written");
    for index in 0..20 {
        let file =
            std::fs::read(folder.path().join(format!("keypoints/{index:05}.json"))).expect("key points");
        let value: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
        assert_eq!(value["figures"].as_array().map(Vec::len), Some(1), "picture {index}");
    }
}

#[test]
fn near_decides_how_many_are_seen_from_near() {
    let captions = |near| {
        let folder = tempfile::tempdir().expect("a folder");
        let of = Options { count: 20, size: 48, seed: 5, figures: 1, near, ..Options::default() };
        write_dataset(of, folder.path(), &mut |_| {}).expect("written");
        fs::read_to_string(folder.path().join("metadata.jsonl")).expect("metadata")
    };
    let near = |text: &str| {
        text.lines().filter(|l| l.contains("a close view of") || l.contains("a portrait of")).count()
    };
    assert_eq!((near(&captions(0)), near(&captions(100))), (0, 20));
}

#[test]
fn a_folder_in_another_style_is_another_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let ink = Options { count: 2, size: 48, style: Style::Ink, ..Options::default() };
    write_dataset(ink, folder.path(), &mut |_| {}).expect("written");
    assert_eq!(write_dataset(ink, folder.path(), &mut |_| {}).expect("there already").drawn, 0);
    let soft = Options { style: Style::Soft, ..ink };
    let error = write_dataset(soft, folder.path(), &mut |_| {}).expect_err("another style").to_string();
    assert!(error.contains("in the style ink"), "{error}");
}
