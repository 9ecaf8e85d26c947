//! `imagefolder` lists and Parquet tables as `datasets` writes them (reference/dataset/parquet_fixture.py).

use std::path::Path;

use crate::common::{messages, put, spec, write_all};
use fairhuman_dataset::{Dataset, DatasetError, GeometrySpec, ImageSource, Layout, Region, Wanted, draw};
use tempfile::TempDir;

fn face() -> [Region; 1] {
    [Region::new("face", "mask_face")]
}

fn images(data: &Dataset) -> Vec<&str> {
    data.items().iter().map(|i| i.image.to_str().unwrap()).collect()
}

#[test]
fn file_names_are_read_from_json_lines_and_csv_per_split() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["train/a.png", "train/m/a.png", "val/b.png", "val/c.png"]);
    put(&dir, "train/metadata.csv", "file_name,text,mask_face\na.png,\"a \"\"face\"\", seen\",m/a.png\n");
    put(
        &dir,
        "val/metadata.jsonl",
        "{\"file_name\":\"b.png\",\"text\":\"b\",\"mask_face\":null}\n\
         {\"file_name\":\"c.png\",\"text\":\"c\",\"mask_face\":\"c.png\"}",
    );
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &face()).unwrap();
    assert_eq!((data.layout(), images(&data)), (Layout::ImageFolder, vec!["train/a.png"]));
    assert_eq!(data.item(0).caption, "a \"face\", seen");
    assert_eq!(data.item(0).masks[0].as_ref().unwrap().path(), Some(Path::new("train/m/a.png")));
    assert_eq!(data.item(0).origin.as_ref().unwrap().to_string(), "train/metadata.csv line 2");
    let data = Dataset::open(dir.path(), &spec("path = \".\"\nsplit = \"validation\""), &face()).unwrap();
    assert_eq!((images(&data), data.item(0).masks[0].is_none()), (vec!["val/b.png", "val/c.png"], true));
    let error =
        Dataset::open(dir.path(), &spec("path = \".\"\nlayout = \"imagefolder\"\nsplit = \"test\""), &[]);
    assert!(error.unwrap_err().to_string().contains("nor one in a folder `test`"));
}

#[test]
fn one_list_above_the_splits_names_further_pictures_by_their_long_names() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["train/a.png", "test/b.png", "m.png"]);
    put(
        &dir,
        "metadata.jsonl",
        "{\"file_name\":\"train/a.png\",\"text\":\"a\",\"mask_face_file_name\":\"m.png\"}\n\
         {\"file_name\":\"test/b.png\",\"text\":\"b\",\"mask_face_file_name\":\"m.png\"}\n",
    );
    for (split, expected) in [("", "train/a.png"), ("split = \"test\"", "test/b.png")] {
        let data = Dataset::open(dir.path(), &spec(&format!("path = \".\"\n{split}")), &face()).unwrap();
        assert_eq!((data.layout(), images(&data)), (Layout::ImageFolder, vec![expected]));
    }
}

#[test]
fn csv_faults_are_named_by_line() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png"]);
    put(&dir, "metadata.csv", b"file_name,text\na.png\na.png,\xff\na.png,\n../a.png,x\n");
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err();
    let lines: Vec<String> = error.errors.iter().map(ToString::to_string).collect();
    let expected = [
        "metadata.csv line 2: has 1 fields, but the head line has 2",
        "metadata.csv line 3: is not UTF-8 text",
        "metadata.csv line 4: caption: is empty",
        "metadata.csv line 5: picture ../a.png: `..` leads out",
    ];
    assert_eq!(lines.len(), expected.len(), "{error}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
}

#[test]
fn a_folder_that_fits_two_layouts_is_not_guessed() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["5_cat/a.png", "b.png"]);
    put(&dir, "b.txt", "b");
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err().to_string();
    assert!(error.contains("looks like the layout `kohya` and like `files`: set `layout`"), "{error}");
    let data = Dataset::open(dir.path(), &spec("path = \".\"\nlayout = \"onetrainer\""), &[]).unwrap();
    assert_eq!((data.layout(), images(&data)), (Layout::Files, vec!["b.png"]));
}

fn tables() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"))
}

/// The red of the first pixel, 0 to 255, and how many columns of 16 the mask covers.
fn look(data: &Dataset, i: usize) -> Result<(f32, usize), DatasetError> {
    let geometry = GeometrySpec { width: 16, height: 12, ..GeometrySpec::default() };
    let sample = data.load(i, &draw(&geometry, data.item(i).size, 0, 0, 0), 1, Wanted::ALL)?;
    let covered = sample.masks[0].as_ref().map_or(0, |m| m.cells[..16].iter().filter(|c| **c > 0.0).count());
    Ok(((sample.image[0] + 1.0) * 127.5, covered))
}

#[test]
fn parquet_files_of_datasets_hold_pictures_masks_and_captions() {
    let data = Dataset::open(tables(), &spec("path = \"people.parquet\""), &face()).unwrap();
    assert_eq!((data.layout(), data.len()), (Layout::Parquet, 5));
    data.verify().unwrap();
    for i in 0..5 {
        let item = data.item(i);
        assert_eq!((item.caption.clone(), item.size), (format!("picture {i}"), (16, 12)));
        assert_eq!(item.image, Path::new(&format!("people.parquet#{i}")));
        assert!(matches!(item.source, ImageSource::Cell(_)));
        assert_eq!(item.masks[0].is_some(), i % 3 != 0);
        let (red, covered) = look(&data, i).unwrap();
        assert!((red - 10.0 * i as f32).abs() < 1e-3, "{red}");
        assert_eq!(covered, if i % 3 == 0 { 0 } else { i });
    }
    assert_ne!(data.image_hash(0).unwrap(), data.image_hash(1).unwrap());
}

#[test]
fn any_row_of_any_row_group_and_page_is_found() {
    let data = Dataset::open(tables(), &spec("path = \"pages.parquet\""), &face()).unwrap();
    assert_eq!(data.len(), 20);
    for i in [19, 0, 13, 6, 7, 8, 14] {
        let (red, covered) = look(&data, i).unwrap();
        assert!((red - 10.0 * i as f32).abs() < 1e-3, "row {i}: {red}");
        assert_eq!(covered, (i % 16).max(1));
    }
}

#[test]
fn splits_and_faults_of_parquet_files_are_named() {
    let dir = TempDir::new().unwrap();
    std::fs::create_dir(dir.path().join("data")).unwrap();
    for name in ["train-00000-of-00001", "test-00000-of-00001"] {
        let to = dir.path().join(format!("data/{name}.parquet"));
        std::fs::copy(tables().join("people.parquet"), to).unwrap();
    }
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap();
    assert_eq!((data.len(), images(&data)[0]), (5, "data/train-00000-of-00001.parquet#0"));
    let open = |text: &str, regions: &[Region]| {
        Dataset::open(dir.path(), &spec(text), regions).unwrap_err().to_string()
    };
    let error = open("path = \".\"", &[Region::new("hand", "mask_hand")]);
    assert!(
        error.contains("no line has the column \"mask_hand\"; the columns are image, mask_face, text"),
        "{error}"
    );
    let error = open("path = \".\"\nimage_column = \"text\"\ntext_column = \"image\"", &[]);
    assert!(error.contains("the column \"image\" does not hold texts"), "{error}");
    let error = open("path = \".\"\nsplit = \"validation\"", &[]);
    assert!(error.contains("no Parquet file of the split \"validation\""), "{error}");
    let path = dir.path().join("data/train-00000-of-00001.parquet");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let error = open("path = \".\"", &[]);
    assert!(error.contains("train-00000-of-00001.parquet: cannot be read"), "{error}");
}

#[test]
fn a_split_of_a_dataset_that_has_none_is_refused() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["plain/a.png"]);
    put(&dir, "plain/a.txt", "x");
    std::fs::copy(tables().join("people.parquet"), dir.path().join("people.parquet")).unwrap();
    for path in ["plain", "people.parquet"] {
        let open =
            |split: &str| Dataset::open(dir.path(), &spec(&format!("path = \"{path}\"\n{split}")), &[]);
        assert!(open("").is_ok());
        let error = open("split = \"test\"").unwrap_err().to_string();
        assert!(error.contains("`split`") && error.contains("no splits"), "{path}: {error}");
    }
}

#[test]
fn captions_of_parquet_files_that_are_not_utf_8_are_errors() {
    let dir = TempDir::new().unwrap();
    let mut bytes = std::fs::read(tables().join("people.parquet")).unwrap();
    let text = bytes.windows(9).position(|w| w == b"picture 0").unwrap();
    bytes[text] = 0xff;
    put(&dir, "people.parquet", bytes);
    let error = Dataset::open(dir.path(), &spec("path = \"people.parquet\""), &[]).unwrap_err().to_string();
    assert!(error.contains("people.parquet line 1: caption: is not UTF-8 text (byte 1)"), "{error}");
}

#[test]
fn pictures_in_no_line_are_counted() {
    let dir = TempDir::new().unwrap();
    write_all(
        &dir,
        &["train/a.png", "train/more/b.png", "train/C.png", "val/d.png", "train/a-masklabel.png"],
    );
    put(&dir, "train/metadata.jsonl", "{\"file_name\":\"a.png\",\"text\":\"a\"}");
    put(&dir, "train/rest.zip", "PK\x03\x04");
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap();
    let told = messages(&data);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("train: 2 pictures of its folder are in no line, and not used, such as train/C.png")
    );
    assert!(told[1].contains("train/rest.zip: is an archive, which is not read: unpack it"), "{told:?}");
    // A list of some of the pictures, under a name of its own, is meant so.
    std::fs::rename(dir.path().join("train/metadata.jsonl"), dir.path().join("train/some.jsonl")).unwrap();
    let data = Dataset::open(dir.path(), &spec("path = \"train/some.jsonl\""), &[]).unwrap();
    assert!(messages(&data).is_empty(), "{:?}", messages(&data));
}

#[test]
fn parts_of_tables_that_are_missing_are_told() {
    let dir = TempDir::new().unwrap();
    let copy = |name: &str| {
        std::fs::create_dir_all(dir.path().join("data")).unwrap();
        std::fs::copy(tables().join("people.parquet"), dir.path().join("data").join(name)).unwrap();
    };
    copy("train-00000-of-00002.parquet");
    for path in [".", "data/train-00000-of-00002.parquet"] {
        let data = Dataset::open(dir.path(), &spec(&format!("path = \"{path}\"")), &[]).unwrap();
        let told = messages(&data);
        assert_eq!(told.len(), 1, "{told:?}");
        let text =
            "is one of 2 parts of a table, and only 1 of them are read: missing train-00001-of-00002.parquet";
        assert!(told[0].contains(text), "{told:?}");
    }
    copy("train-00001-of-00002.parquet");
    let data = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap();
    assert_eq!((data.len(), messages(&data).len()), (10, 0));
}

#[test]
fn files_are_named_for_what_they_are() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    let open = |files: &[(&str, &str)], text: &str| {
        let dir = TempDir::new().unwrap();
        write_all(&dir, &["a.png"]);
        files.iter().for_each(|(name, bytes)| put(&dir, name, bytes));
        Dataset::open(dir.path(), &spec(text), &[]).map(|data| messages(&data)).map_err(|e| e.to_string())
    };
    let here = "path = \".\"";
    let lfs = "is a pointer of Git LFS, not the file itself: run `git lfs pull`";
    let line = "{\"file_name\":\"a.png\",\"text\":\"a\"}";
    for (files, text, told) in [
        (&[("a.png", POINTER), ("a.txt", "x")][..], here, lfs),
        (&[("a.txt", POINTER)], here, lfs),
        (&[("metadata.jsonl", POINTER)], here, lfs),
        (&[("metadata.csv", POINTER)], here, lfs),
        (&[("t/train.parquet", POINTER)], "path = \"t\"", lfs),
        (&[("coco.json", POINTER)], "path = \"coco.json\"", lfs),
        (&[("a.zip", "PK\x03\x04..")], "path = \"a.zip\"", "a.zip: is a zip archive: unpack it"),
        (
            &[("t/a.zip", "PK\x03\x04..")],
            "path = \"t\"",
            "; a.zip is an archive, which is not read: unpack it",
        ),
        (
            &[("metadata1000.jsonl", line)],
            here,
            "; metadata1000.jsonl is a list, but is not read under this name",
        ),
        (&[("t/metadata1000.jsonl", line)], "path = \"t\"", "; metadata1000.jsonl is a list"),
        (&[("metadata.json", "[]")], here, "metadata.json is not read: a list has one JSON object per line"),
        (
            &[("metadata.json", "[]")],
            "path = \"metadata.json\"",
            "(a list of pictures has one JSON object per line",
        ),
        (
            &[("a.caption", "x")],
            here,
            "there are .caption files: for them set `caption_extension = \"caption\"`",
        ),
        (&[("t/data.arrow", "ARROW1")], "path = \"t\"", "; data.arrow is an Arrow file"),
        (&[("a.png", "<!DOCTYPE html>"), ("a.txt", "x")], here, "a.png: is a web page"),
    ] {
        let error = open(files, text).unwrap_err();
        assert!(error.contains(told), "{files:?}: {error}");
    }
    // Where there are captions, what is not read is a warning.
    let files = [("a.txt", "x"), ("metadata1000.jsonl", line), ("more.zip", "PK")];
    let told = open(&files, here).unwrap();
    assert!(told.len() == 2 && told[0].contains("metadata1000.jsonl: is a list"), "{told:?}");
    assert!(told[1].contains("more.zip: is an archive"), "{told:?}");
}

#[test]
fn lists_in_another_encoding_or_with_other_separators_are_told() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png"]);
    let utf16 = |text: &str| -> Vec<u8> {
        ["\u{feff}", text].concat().encode_utf16().flat_map(u16::to_le_bytes).collect()
    };
    for (name, bytes, told) in [
        ("metadata.csv", b"file_name;text\na.png;x\n".to_vec(), "separates its columns by ';'"),
        ("metadata.csv", b"file_name\ttext\na.png\tx\n".to_vec(), "separates its columns by '\\t'"),
        ("metadata.csv", utf16("file_name,text\na.png,x\n"), "is UTF-16 text: save it as UTF-8"),
        ("some.jsonl", utf16("{\"image\":\"a.png\",\"text\":\"x\"}\n"), "is UTF-16 text"),
    ] {
        put(&dir, name, bytes);
        let error = Dataset::open(dir.path(), &spec(&format!("path = \"{name}\"")), &[]).unwrap_err();
        assert_eq!(error.errors.len(), 1, "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[test]
fn splits_that_are_read_in_place_of_train_are_named() {
    let dir = TempDir::new().unwrap();
    let copy = |name: &str| {
        std::fs::copy(tables().join("people.parquet"), dir.path().join(name)).unwrap();
        messages(&Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap())
    };
    assert!(copy("validation-00000-of-00001.parquet").is_empty());
    let told = copy("test-00000-of-00001.parquet");
    assert!(told.len() == 1 && told[0].contains("those of validation and test are read"), "{told:?}");
    assert!(copy("train-00000-of-00001.parquet").is_empty());
}
