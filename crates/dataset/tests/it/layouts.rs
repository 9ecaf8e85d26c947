//! Both layouts give the same items; the published column names, editors' habits and awkward names are read.

use crate::common::{Scene, messages, plain, write, write_all};
use std::path::Path;

use fairhuman_dataset::{
    Dataset, DatasetSpec, GeometrySpec, Item, Layout, MaskSource, MissingMask, Region, Wanted, draw,
};
use tempfile::TempDir;

fn regions() -> [Region; 2] {
    [Region::new("hand", "mask_hand"), Region::new("face", "mask_face")]
}

fn spec(text: &str) -> DatasetSpec {
    toml::from_str(text).unwrap_or_else(|e| panic!("{e}"))
}

fn mask_path(item: &Item, region: usize) -> Option<&Path> {
    item.masks[region].as_ref()?.path()
}

fn small(dir: &TempDir, names: &[&str]) {
    for name in names {
        write(&dir.path().join(name), &plain(16, 16, 255), None);
    }
}

fn put(dir: &TempDir, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(dir.path().join(name), text).unwrap();
}

#[test]
fn published_column_names_are_read() {
    let dir = TempDir::new().unwrap();
    small(&dir, &["people/i/1.jpg", "people/h/1.png", "people/f/1.png", "people/pose/1.png"]);
    put(
        &dir,
        "people/metadata.jsonl",
        concat!(
            r#"{"image": "i/1.jpg", "text_english": " a woman ", "text_chinese": "x", "mask_hand": "h/1.png", "#,
            r#""mask_face": "f/1.png", "conditioning_image": "pose/1.png", "score": 3}"#,
        ),
    );
    let spec =
        spec("path = \"people\"\ntext_column = \"text_english\"\nconditioning = \"conditioning_image\"");
    let data = Dataset::open(dir.path(), &spec, &regions()).unwrap();
    let item = data.item(0);
    assert_eq!((data.len(), item.caption.as_str(), item.size), (1, "a woman", (16, 16)));
    assert_eq!(mask_path(item, 0), Some("h/1.png".as_ref()));
    assert_eq!(mask_path(item, 1), Some("f/1.png".as_ref()));
    assert_eq!(item.conditioning, Some("pose/1.png".into()));
    let d = draw(&GeometrySpec { width: 16, height: 16, ..Default::default() }, (16, 16), 0, 0, 0);
    let s = data.load(0, &d, 8, Wanted::ALL).unwrap();
    assert_eq!((s.caption.as_str(), s.masks.len()), ("a woman", 2));
    assert!(s.image.iter().all(|&v| v > 0.97) && s.conditioning.unwrap().iter().all(|&v| v == 1.0));
}

#[test]
fn empty_and_null_masks_say_that_the_region_is_absent() {
    let dir = TempDir::new().unwrap();
    small(&dir, &["1.png", "m.png"]);
    put(
        &dir,
        "metadata.jsonl",
        "{\"image\":\"1.png\",\"text\":\"a\",\"mask_hand\":\"\",\"mask_face\":\"m.png\"}\n\
         {\"image\":\"1.png\",\"text\":\"b\",\"mask_hand\":\"m.png\",\"mask_face\":null}\n",
    );
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &regions()).unwrap();
    let present: Vec<Vec<bool>> =
        data.items().iter().map(|i| i.masks.iter().map(Option::is_some).collect()).collect();
    assert_eq!(present, [[false, true], [true, false]]);
    let d = draw(&GeometrySpec { width: 16, height: 16, ..Default::default() }, (16, 16), 0, 0, 0);
    let s = data.load(0, &d, 8, Wanted::ALL).unwrap();
    assert!(s.masks[0].is_none() && s.masks[1].is_some());
}

#[test]
fn editors_habits_are_tolerated() {
    let dir = TempDir::new().unwrap();
    small(&dir, &["1.png"]);
    put(
        &dir,
        "metadata.jsonl",
        "\u{feff}{\"image\":\"1.png\",\"text\":\"a\"}\r\n\r\n   \n{\"text\":\"Ünï 🙂\",\"image\":\"./1.png\"}",
    );
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap();
    let found: Vec<_> =
        data.items().iter().map(|i| (i.caption.as_str(), i.origin.as_ref().unwrap().line)).collect();
    assert_eq!(found, [("a", 1), ("Ünï 🙂", 4)]);
}

#[test]
fn the_path_may_name_a_list_so_that_one_folder_serves_two_splits() {
    let dir = TempDir::new().unwrap();
    small(&dir, &["d/1.png"]);
    put(&dir, "d/val.jsonl", "{\"image\":\"1.png\",\"text\":\"v\"}");
    let data = Dataset::open(dir.path(), &spec("path = \"d/val.jsonl\""), &[]).unwrap();
    assert_eq!(data.item(0).caption, "v");
    assert_eq!(data.root(), dir.path().join("d").canonicalize().unwrap());
    assert_eq!(data.item(0).origin.as_ref().unwrap().to_string(), "val.jsonl line 1");
}

#[test]
fn masks_beside_pictures_and_in_folders_are_found() {
    let dir = TempDir::new().unwrap();
    let scene = Scene::lopsided(32, 16).shown();
    for name in ["a", "b.c"] {
        write(&dir.path().join(format!("{name}.jpg")), &scene, None);
        write(&dir.path().join(format!("{name}-masklabel.png")), &scene, None);
        write(&dir.path().join(format!("masks/face/{name}.webp")), &scene, None);
        write(&dir.path().join(format!("pose/{name}.png")), &scene, None);
        put(&dir, &format!("{name}.txt"), format!("\u{feff}caption of {name}\r\n"));
    }
    put(&dir, "notes.md", "not a picture");
    put(&dir, ".hidden.png", "not a picture");
    let regions = [Region::new("hand", "-masklabel.png"), Region::new("face", "masks/face")];
    let spec = spec("path = \".\"\nconditioning = \"pose\"");
    let data = Dataset::open(dir.path(), &spec, &regions).unwrap();
    let found: Vec<_> = data
        .items()
        .iter()
        .map(|i| (i.image.to_str().unwrap(), i.caption.as_str(), i.masks.clone()))
        .collect();
    let masks = |n: &str| {
        [format!("{n}-masklabel.png"), format!("masks/face/{n}.webp")]
            .map(|path| Some(MaskSource::Picture(path.into())))
            .to_vec()
    };
    assert_eq!(found, [("a.jpg", "caption of a", masks("a")), ("b.c.jpg", "caption of b.c", masks("b.c"))]);
    assert_eq!(data.item(1).conditioning, Some("pose/b.c.png".into()));
    let d = draw(&GeometrySpec { width: 32, height: 16, ..Default::default() }, (32, 16), 0, 0, 0);
    let s = data.load(0, &d, 8, Wanted::ALL).unwrap();
    assert_eq!(s.masks[0], s.masks[1]);
    assert!(s.masks[0].is_some() && s.conditioning.is_some());
}

#[test]
fn names_with_several_dots_do_not_collide() {
    let dir = TempDir::new().unwrap();
    small(&dir, &["photo.1.png", "photo.2.png", "photo.png"]);
    for (n, v) in [("photo.1", 255), ("photo.2", 0), ("photo", 255)] {
        write(&dir.path().join(format!("m/{n}.png")), &plain(16, 16, v), None);
        put(&dir, &format!("{n}.txt"), n);
    }
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[Region::new("r", "m")]).unwrap();
    let d = draw(&GeometrySpec { width: 16, height: 16, ..Default::default() }, (16, 16), 0, 0, 0);
    for (i, (n, present)) in [("photo", true), ("photo.1", true), ("photo.2", false)].into_iter().enumerate()
    {
        let s = data.load(i, &d, 8, Wanted::ALL).unwrap();
        assert_eq!((s.caption.as_str(), s.masks[0].is_some()), (n, present));
    }
}

#[test]
fn a_missing_mask_is_absence_only_when_the_recipe_says_so() {
    let dir = TempDir::new().unwrap();
    small(&dir, &["a.png", "b.png", "m/a.png"]);
    put(&dir, "a.txt", "a");
    put(&dir, "b.txt", "b");
    let regions = [Region::new("r", "m")];
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &regions).unwrap_err().to_string();
    assert!(error.contains("mask of `r` m/b.png: there is no such file"), "{error}");
    assert!(error.contains("missing_mask = \"absent\""), "{error}");
    let spec = spec("path = \".\"\nmissing_mask = \"absent\"");
    let data = Dataset::open(dir.path(), &spec, &regions).unwrap();
    assert!(data.item(0).masks[0].is_some() && data.item(1).masks[0].is_none());
}

#[test]
fn recipes_refuse_unknown_keys_and_survive_a_round_trip() {
    for bad in ["path = \"x\"\nmask_treshold = 0.1", "layout = \"auto\"", "path = \"x\"\nlayout = \"cocoa\""]
    {
        assert!(toml::from_str::<DatasetSpec>(bad).is_err(), "{bad}");
    }
    let minimal = spec("path = \"x\"");
    assert_eq!(minimal, DatasetSpec::new("x"));
    assert_eq!((minimal.layout, minimal.missing_mask), (Layout::Auto, MissingMask::Error));
    let resolved = toml::to_string(&minimal).unwrap();
    assert!(resolved.contains("max_pixels = 100000000"), "{resolved}");
    assert_eq!(spec(&resolved), minimal);
}

#[test]
fn the_hash_is_of_the_bytes_orientation_included() {
    let dir = TempDir::new().unwrap();
    let scene = Scene::lopsided(16, 16).shown();
    for (name, tag) in [("a.png", None), ("b.png", None), ("c.png", Some(3))] {
        write(&dir.path().join(name), &scene, tag);
        put(&dir, &name.replace("png", "txt"), "x");
    }
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap();
    let hash = |i| data.image_hash(i).unwrap();
    assert_eq!(hash(0), hash(1));
    assert_ne!(hash(0), hash(2));
    std::fs::remove_file(dir.path().join("a.png")).unwrap();
    assert!(data.image_hash(0).unwrap_err().to_string().contains("a.png"));
    assert!(data.image_hash(3).is_err());
}

#[test]
fn nan_and_infinity_of_pythons_json_matter_only_where_they_are_read() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png", "b.png"]);
    let open = |a: &str, b: &str| {
        put(
            &dir,
            "metadata.jsonl",
            format!("{{\"image\": \"a.png\", {a}}}\n{{\"image\": \"b.png\", {b}}}\n"),
        );
        Dataset::open(dir.path(), &DatasetSpec::new("."), &[Region::new("face", "m")])
    };
    let data = open(
        "\"text\": \"NaN\", \"m\": \"a.png\", \"score\": NaN",
        "\"text\": \"x\", \"m\": null, \"box\": [NaN, -Infinity, Infinity]",
    );
    assert_eq!(data.unwrap().item(0).caption, "NaN");
    for (b, column) in [("\"text\": NaN, \"m\": \"\"", "text"), ("\"text\": \"x\", \"m\": -Infinity", "m")] {
        let error = open("\"text\": \"x\", \"m\": \"a.png\"", b).unwrap_err().to_string();
        assert!(error.contains("metadata.jsonl line 2"), "{error}");
        assert!(error.contains(&format!("the column {column:?} must be text, but holds ")), "{error}");
        assert!(error.contains("NaN") || error.contains("-Infinity"), "{error}");
    }
}

#[test]
fn pictures_in_folders_below_are_told_and_no_masks_among_them() {
    let dir = TempDir::new().unwrap();
    small(&dir, &["d/a.png", "d/sub/b.png", "d/sub/c.png", "d/masks/face/a.png", "d/masks/face/gone.png"]);
    put(&dir, "d/a.txt", "x");
    let open = |text: &str, regions: &[Region]| Dataset::open(dir.path(), &spec(text), regions);
    let face = [Region::new("face", "masks/face")];
    let told = messages(&open("path = \"d\"", &face).unwrap());
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("2 pictures are not read, in sub: name the folders in `folders`"), "{told:?}");
    std::fs::remove_file(dir.path().join("d/a.png")).unwrap();
    std::fs::remove_dir_all(dir.path().join("d/masks")).unwrap();
    let error = open("path = \"d\"", &[]).unwrap_err().to_string();
    assert!(error.contains("; there are some in sub: set `path` to it"), "{error}");
    // As kohya's programs lay out a training.
    small(&dir, &["k/img/10_a man/1.png", "k/img/2_b/1.png"]);
    let error = open("path = \"k\"", &[]).unwrap_err().to_string();
    assert!(error.contains("; there are some in img: set `path` to it"), "{error}");
}
