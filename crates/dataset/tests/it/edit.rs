//! Captions and masks changed by hand: only what was changed is written, readers see it, originals stay, and
//! nothing outside of the dataset is touched.

use std::path::Path;

use fairhuman_dataset::edit::{Change, EditError, Editor, Stroke, regions as regions_of};
use fairhuman_dataset::{Dataset, DatasetSpec, Region};
use tempfile::TempDir;

use crate::common::{plain, put, spec, write, write_all};

fn regions() -> [Region; 2] {
    [Region::new("face", "mask_face"), Region::new("hand", "mask_hand")]
}

fn open(dir: &TempDir, spec: &DatasetSpec) -> Editor {
    Editor::open(dir.path(), spec, &regions()).unwrap()
}

/// Saves a change of what is there now.
fn save(
    editor: &mut Editor,
    index: usize,
    caption: Option<&str>,
    strokes: &[(usize, Stroke)],
) -> Result<(), EditError> {
    let version = editor.entry(index)?.version;
    let caption = caption.map(str::to_owned);
    let mut change = Change { version, caption, ..Change::default() };
    for (region, stroke) in strokes {
        change.strokes.entry(*region).or_default().push(stroke.clone());
    }
    editor.save(index, &change)
}

fn filled(paint: bool, corners: [[f32; 2]; 2]) -> Stroke {
    Stroke::Box { paint, corners }
}

/// Number of white pixels of a mask, and of all that are not black.
fn white(dir: &TempDir, name: &str) -> (usize, usize) {
    let mask = image::open(dir.path().join(name)).unwrap().into_luma8();
    assert_eq!(mask.dimensions(), (16, 16));
    let count = |least: u8| mask.pixels().filter(|p| p.0[0] >= least).count();
    (count(255), count(1))
}

fn text(dir: &TempDir, name: &str) -> String {
    std::fs::read_to_string(dir.path().join(name)).unwrap()
}

const LIST: &str = concat!(
    "{\"image\":\"images/a.png\",\"text\":\"old a\",\"mask_face\":\"f/a.png\",\"mask_hand\":\"\",\"n\":1.50}\r\n",
    "\r\n",
    "{\"image\":\"images/b.png\",\"text\":\"old b\",\"mask_face\":\"none.png\",\"mask_hand\":\"none.png\"}\r\n",
);

fn listed() -> TempDir {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["people/images/a.png", "people/images/b.png"]);
    write(&dir.path().join("people/none.png"), &plain(16, 16, 0), None);
    let mut soft = plain(16, 16, 0);
    soft.put_pixel(0, 0, image::Luma([128]));
    write(&dir.path().join("people/f/a.png"), &soft, None);
    put(&dir, "people/metadata.jsonl", LIST);
    dir
}

#[test]
fn a_caption_is_written_into_its_line_and_nothing_else_changes() {
    let dir = listed();
    let mut editor = open(&dir, &DatasetSpec::new("people"));
    assert_eq!(editor.len(), 2);
    let entry = editor.entry(1).unwrap();
    assert_eq!(
        (entry.name.as_str(), entry.caption.as_str(), entry.size),
        ("images/b.png", "old b", (16, 16))
    );
    assert_eq!((entry.fixed, entry.masks[0].fixed.clone()), (None, None));
    save(&mut editor, 1, Some(" a \"new\"\n caption "), &[]).unwrap();
    let expected = LIST.replace("\"old b\"", "\"a \\\"new\\\" caption\"");
    assert_eq!(text(&dir, "people/metadata.jsonl"), expected);
    assert_eq!(text(&dir, "people/.before/metadata.jsonl"), LIST);
    assert_eq!(editor.title(1).unwrap().1, "a \"new\" caption");
    save(&mut editor, 1, Some("again"), &[]).unwrap();
    assert_eq!(text(&dir, "people/.before/metadata.jsonl"), LIST, "the first state stays");
    let data = Dataset::open(dir.path(), &DatasetSpec::new("people"), &regions()).unwrap();
    assert_eq!(data.item(1).caption, "again");
    assert!(!dir.path().join("people/.lock").exists());
}

#[test]
fn a_mask_is_painted_on_and_one_that_is_new_is_listed() {
    let dir = listed();
    let mut editor = open(&dir, &DatasetSpec::new("people"));
    let before = std::fs::read(dir.path().join("people/f/a.png")).unwrap();
    let square = filled(true, [[4.0, 4.0], [8.0, 8.0]]);
    save(&mut editor, 0, None, &[(0, square.clone()), (1, square.clone())]).unwrap();
    assert_eq!(white(&dir, "people/f/a.png"), (16, 17), "the soft pixel stays");
    assert_eq!(std::fs::read(dir.path().join("people/.before/f/a.png")).unwrap(), before);
    assert_eq!(white(&dir, "people/masks/hand/a.png.png"), (16, 16));
    let expected = LIST.replacen("\"mask_hand\":\"\"", "\"mask_hand\":\"masks/hand/a.png.png\"", 1);
    assert_eq!(text(&dir, "people/metadata.jsonl"), expected);

    // What is wholly erased is a region that the picture has not.
    save(&mut editor, 0, None, &[(0, Stroke::All { paint: false })]).unwrap();
    assert!(!dir.path().join("people/f/a.png").exists());
    assert!(text(&dir, "people/metadata.jsonl").contains("\"mask_face\":null"));
    assert!(!editor.entry(0).unwrap().masks[0].is_there);
    let data = Dataset::open(dir.path(), &DatasetSpec::new("people"), &regions()).unwrap();
    assert!(data.item(0).masks[0].is_none() && data.item(0).masks[1].is_some());
}

#[test]
fn a_mask_that_serves_for_several_is_left_to_the_others() {
    let dir = listed();
    let mut editor = open(&dir, &DatasetSpec::new("people"));
    save(&mut editor, 1, None, &[(0, filled(true, [[0.0, 0.0], [2.0, 2.0]]))]).unwrap();
    assert_eq!(white(&dir, "people/none.png"), (0, 0));
    assert_eq!(white(&dir, "people/masks/face/b.png.png"), (4, 4));
    let line = text(&dir, "people/metadata.jsonl");
    assert!(line.contains("\"mask_face\":\"masks/face/b.png.png\",\"mask_hand\":\"none.png\""), "{line}");
}

#[test]
fn what_has_changed_since_it_was_shown_is_not_written_over() {
    let dir = listed();
    let mut editor = open(&dir, &DatasetSpec::new("people"));
    let version = editor.entry(0).unwrap().version;
    put(&dir, "people/metadata.jsonl", LIST.replace("old a", "theirs"));
    let change = Change { version, caption: Some("mine".into()), ..Change::default() };
    assert_eq!(editor.save(0, &change), Err(EditError::Stale));
    assert!(text(&dir, "people/metadata.jsonl").contains("theirs"));
    // So it is with a mask, and with a list whose lines have moved.
    let version = editor.entry(0).unwrap().version;
    write(&dir.path().join("people/f/a.png"), &plain(16, 16, 255), None);
    let change = Change { version, ..change };
    assert_eq!(editor.save(0, &change), Err(EditError::Stale));
    let change = Change { version: editor.entry(0).unwrap().version, ..change };
    let second = LIST.lines().nth(2).unwrap();
    put(&dir, "people/metadata.jsonl", format!("{second}\n{LIST}"));
    assert_eq!(editor.save(0, &change), Err(EditError::Stale));
    assert_eq!(editor.save(7, &change), Err(EditError::Absent));
}

#[test]
fn a_region_that_no_picture_has_can_be_painted() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["people/images/a.png"]);
    put(
        &dir,
        "people/metadata.jsonl",
        "{\"image\":\"images/a.png\",\"text\":\"x\",\"mask_face\":null,\"mask_hand\":null}\n",
    );
    let spec = DatasetSpec::new("people");
    let regions = regions_of(dir.path(), &spec);
    assert_eq!(regions, [Region::new("face", "mask_face"), Region::new("hand", "mask_hand")]);
    let mut editor = Editor::open(dir.path(), &spec, &regions).unwrap();
    save(&mut editor, 0, None, &[(1, filled(true, [[4.0, 4.0], [8.0, 8.0]]))]).unwrap();
    assert_eq!(white(&dir, "people/masks/hand/a.png.png"), (16, 16));
    assert!(
        text(&dir, "people/metadata.jsonl")
            .ends_with("\"mask_face\":null,\"mask_hand\":\"masks/hand/a.png.png\"}\n")
    );
}

#[test]
fn captions_that_no_reader_takes_are_refused() {
    let dir = listed();
    let mut editor = open(&dir, &DatasetSpec::new("people"));
    let mut refused = |text: &str| save(&mut editor, 0, Some(text), &[]).unwrap_err().to_string();
    assert!(refused("  \u{200b} ").contains("empty"));
    assert!(refused("a\u{1b}[31m").contains("U+001B"));
    assert!(refused("a\0b").contains("U+0000"));
    assert!(refused(&"x".repeat(20_001)).contains("20001 letters"));
    assert_eq!(text(&dir, "people/metadata.jsonl"), LIST);
    assert!(!dir.path().join("people/.before").exists());
}

#[test]
fn files_beside_the_picture_are_written_and_missing_ones_are_made() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["people/a.1.png", "people/b.png", "people/masks/face/b.png"]);
    put(&dir, "people/a.1.txt", "\u{feff}\r\nold\r\nmore\r\n");
    let regions = [Region::new("face", "masks/face"), Region::new("hand", "-hand.png")];
    let spec = DatasetSpec::new("people");
    Dataset::open(dir.path(), &spec, &regions).unwrap_err();
    let mut editor = Editor::open(dir.path(), &spec, &regions).unwrap();
    for (i, caption) in ["first", "second"].into_iter().enumerate() {
        save(
            &mut editor,
            i,
            Some(caption),
            &[(0, filled(false, [[0.0; 2]; 2])), (1, Stroke::All { paint: false })],
        )
        .unwrap();
    }
    assert_eq!(text(&dir, "people/a.1.txt"), "\u{feff}\r\nfirst\r\nmore\r\n");
    assert_eq!(text(&dir, "people/b.txt"), "second\n");
    assert_eq!(white(&dir, "people/masks/face/a.1.png"), (0, 0));
    assert_eq!(white(&dir, "people/b-hand.png"), (0, 0));
    let data = Dataset::open(dir.path(), &spec, &regions).unwrap();
    let captions: Vec<&str> = data.items().iter().map(|item| item.caption.as_str()).collect();
    assert_eq!(captions, ["first", "second"]);
}

#[test]
fn what_is_no_file_of_its_own_says_why_it_cannot_be_changed() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["csv/a.png", "alpha/a.png"]);
    put(&dir, "csv/metadata.csv", "file_name,text,mask_face,mask_hand\na.png,old,,\n");
    put(&dir, "alpha/a.txt", "old");
    let mut editor = open(&dir, &DatasetSpec::new("csv"));
    let entry = editor.entry(0).unwrap();
    assert!(entry.fixed.unwrap().contains("metadata.csv"));
    assert!(entry.masks[0].fixed.as_ref().unwrap().contains("metadata.csv"));
    let refused = save(&mut editor, 0, Some("new"), &[]).unwrap_err();
    assert!(matches!(&refused, EditError::Refused(text) if text.contains("metadata.csv")), "{refused}");
    let regions = [Region::new("face", "alpha")];
    let alpha =
        Editor::open(dir.path(), &spec("path = \"alpha\"\nmissing_mask = \"absent\""), &regions).unwrap();
    assert!(alpha.entry(0).unwrap().masks[0].fixed.as_ref().unwrap().contains("transparency"));
}

#[test]
#[cfg(unix)]
fn nothing_outside_of_the_dataset_is_written() {
    let dir = listed();
    write(&dir.path().join("other.png"), &plain(16, 16, 255), None);
    std::fs::create_dir_all(dir.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("people/masks")).unwrap();
    put(&dir, "people/metadata.jsonl", LIST.replace("f/a.png", "../other.png"));
    let mut editor = open(&dir, &DatasetSpec::new("people"));
    let before = std::fs::read(dir.path().join("other.png")).unwrap();
    let problem = editor.entry(0).unwrap().masks[0].problem.clone().unwrap();
    assert!(problem.contains("leads out"), "{problem}");
    for region in 0..2 {
        let refused =
            save(&mut editor, 0, None, &[(region, filled(true, [[0.0; 2], [9.0; 2]]))]).unwrap_err();
        assert!(refused.to_string().contains("leads out"), "{refused}");
    }
    assert_eq!(std::fs::read(dir.path().join("other.png")).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path().join("elsewhere")).unwrap().count(), 0);
    // Nor do originals go there.
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), dir.path().join("people/.before")).unwrap();
    let refused = save(&mut editor, 0, Some("new"), &[]).unwrap_err();
    assert!(refused.to_string().contains("leads out"), "{refused}");
    assert_eq!(std::fs::read_dir(dir.path().join("elsewhere")).unwrap().count(), 0);
}

#[test]
fn pictures_and_masks_are_shown_no_larger_than_asked() {
    let dir = listed();
    let editor = open(&dir, &DatasetSpec::new("people"));
    let size = |bytes: Vec<u8>| {
        let picture = image::load_from_memory(&bytes).unwrap();
        (picture.width(), picture.height())
    };
    assert_eq!(size(editor.picture(0, 8, true).unwrap()), (8, 8));
    assert_eq!(size(editor.picture(0, 1600, false).unwrap()), (16, 16));
    for region in 0..2 {
        assert_eq!(size(editor.mask(0, region, 8).unwrap()), (8, 8));
        assert_eq!(size(editor.mask(0, region, 1600).unwrap()), (16, 16));
    }
    // Of one shape, whether the mask is there or not.
    write(&dir.path().join("people/images/a.png"), &plain(64, 16, 255), None);
    assert_eq!(size(editor.picture(0, 32, false).unwrap()), (32, 8));
    assert_eq!(size(editor.mask(0, 1, 32).unwrap()), (32, 8));
    assert_eq!(editor.mask(0, 2, 8), Err(EditError::Absent));
    std::fs::remove_file(dir.path().join("people/images/a.png")).unwrap();
    for error in [
        editor.entry(0).unwrap_err(),
        editor.picture(0, 8, true).unwrap_err(),
        editor.mask(0, 0, 8).unwrap_err(),
    ] {
        assert!(error.to_string().contains("picture images/a.png: there is no such file"), "{error}");
    }
    assert_eq!(editor.picture(9, 8, true), Err(EditError::Absent));
    assert!(Editor::open(Path::new(""), &DatasetSpec::new("nowhere"), &regions()).is_err());
}
