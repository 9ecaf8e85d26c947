//! sd-scripts' folders and TOML configs give the same items as the plain layouts, with repeats and captions.

use std::path::Path;

use crate::common::{messages, put, spec, write_all};
use fairhuman_dataset::{CaptionSpec, Dataset, GeometrySpec, Layout, MaskSource, Region, Wanted, draw};
use image::{Rgba, RgbaImage};
use tempfile::TempDir;

fn open(dir: &TempDir, text: &str, regions: &[Region]) -> Dataset {
    Dataset::open(dir.path(), &spec(text), regions).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn numbered_folders_are_found_with_repeats_and_their_words_as_captions() {
    let dir = TempDir::new().unwrap();
    write_all(
        &dir,
        &[
            "10_waving_person/a.png",
            "10_waving_person/a-masklabel.png",
            "2_cat/b.jpg",
            "2_cat/b-masklabel.png",
        ],
    );
    put(&dir, "2_cat/b.txt", "a cat");
    put(&dir, "readme.md", "not a picture");
    let data = open(&dir, "path = \".\"", &[Region::new("face", "-masklabel.png")]);
    assert_eq!(data.layout(), Layout::Kohya);
    let found: Vec<_> =
        data.items().iter().map(|i| (i.image.to_str().unwrap(), i.caption.as_str(), i.repeats)).collect();
    assert_eq!(found, [("10_waving_person/a.png", "waving person", 10), ("2_cat/b.jpg", "a cat", 2)]);
    assert_eq!(data.epoch(), [vec![0; 10], vec![1; 2]].concat());
    let mask = data.item(1).masks[0].as_ref().unwrap();
    assert_eq!(mask.path(), Some(Path::new("2_cat/b-masklabel.png")));
}

const CONFIG: &str = r#"
[general]
shuffle_caption = true
keep_tokens = 1
caption_extension = ".caption"

[[datasets]]
resolution = 1024
batch_size = 4
  [[datasets.subsets]]
  image_dir = "photos"
  conditioning_data_dir = "photo_masks"
  num_repeats = 3
  [[datasets.subsets]]
  image_dir = "more"
  conditioning_data_dir = "more_masks"
  class_tokens = "someone"
  shuffle_caption = false
  keep_tokens = 0
"#;

#[test]
fn a_dataset_config_says_folders_masks_repeats_and_captions() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["photos/1.png", "photo_masks/1.png", "more/1.png", "more_masks/1.png"]);
    put(&dir, "photos/1.caption", "a, b, c");
    put(&dir, "dataset.toml", CONFIG);
    let regions = [Region::new("hand", "conditioning")];
    let data = open(&dir, "path = \"dataset.toml\"", &regions);
    assert_eq!(data.layout(), Layout::Kohya);
    let item = data.item(0);
    assert_eq!((item.caption.as_str(), item.repeats), ("a, b, c", 3));
    assert_eq!(item.masks[0].as_ref().unwrap().path(), Some(Path::new("photo_masks/1.png")));
    assert_eq!(*item.captions, CaptionSpec { shuffle: true, keep: 1, ..CaptionSpec::default() });
    let other = data.item(1);
    assert_eq!((other.caption.as_str(), other.repeats), ("someone", 1));
    assert_eq!(*other.captions, CaptionSpec::default());
    let notes = messages(&data);
    let ignored = |n: &String| n.contains("not heeded") && n.contains("batch_size, resolution");
    assert!(notes.iter().any(ignored), "{notes:?}");
    // The same with absolute paths, which are common in these files.
    let root = dir.path().canonicalize().unwrap();
    let text = CONFIG.replace("\"photos\"", &format!("\"{}\"", root.join("photos").display()));
    put(&dir, "dataset.toml", text);
    let again = open(&dir, "path = \".\"\nlayout = \"kohya\"", &regions);
    assert_eq!(again.items(), data.items());
}

#[test]
fn a_config_that_leaves_its_folder_or_names_nothing_is_refused() {
    let dir = TempDir::new().unwrap();
    for (config, part) in [
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"../x\"", "`..` leads out"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"/etc\"", "put the config above all its folders"),
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"gone\"", "there is no such file"),
        ("[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 1", "no image_dir"),
        (
            "[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"i\"\nnum_repeats = 0",
            "num_repeats is 0: expected a whole number from 1",
        ),
        ("[general]\n", "holds no pictures"),
        ("[[datasets", "is not a dataset config"),
    ] {
        put(&dir, "d.toml", config);
        let error = Dataset::open(dir.path(), &spec("path = \"d.toml\""), &[]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn values_of_the_wrong_type_are_named_all_at_once() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["i/a.png"]);
    let subset = "image_dir = \"i\"\nnum_repeats = \"10\"\nshuffle_caption = \"true\"\nkeep_tokens = -3\n\
                  caption_dropout_rate = \"0.5\"\nclass_tokens = 3";
    put(&dir, "d.toml", format!("[[datasets]]\n[[datasets.subsets]]\n{subset}"));
    let error = Dataset::open(dir.path(), &spec("path = \"d.toml\""), &[]).unwrap_err();
    let found: Vec<String> = error.errors.iter().map(ToString::to_string).collect();
    let expected = [
        "class_tokens is 3: expected a text",
        "num_repeats is \"10\": expected a whole number from 1 to 1000000",
        "shuffle_caption is \"true\": expected true or false",
        "keep_tokens is -3: expected a whole number from 0 to 1000000",
        "caption_dropout_rate is \"0.5\": expected a number from 0 to 1",
    ];
    assert_eq!(found, expected.map(|text| format!("d.toml: subset 1 of dataset 1: {text}")));
}

#[test]
fn a_subset_changes_only_the_caption_keys_that_it_has() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a/1.png", "b/1.png"]);
    let subset = |folder: &str, more: &str| {
        format!("[[datasets.subsets]]\nimage_dir = \"{folder}\"\nclass_tokens = \"x\"\n{more}\n")
    };
    let config = [subset("a", "keep_tokens = 2"), subset("b", "shuffle_caption = false")].concat();
    put(&dir, "d.toml", format!("[[datasets]]\n{config}"));
    let data = open(&dir, "path = \"d.toml\"\n[captions]\nshuffle = true\ndropout = 0.1", &[]);
    let recipe = CaptionSpec { shuffle: true, dropout: 0.1, ..CaptionSpec::default() };
    assert_eq!(*data.item(0).captions, CaptionSpec { keep: 2, ..recipe.clone() });
    assert_eq!(*data.item(1).captions, CaptionSpec { shuffle: false, ..recipe });
}

#[test]
fn captions_that_stand_in_and_numbers_that_are_hardly_repeats_are_told() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["2_person/a.png", "2_person/b.png", "2_person/c.png", "1024_size/a.png"]);
    put(&dir, "2_person/a.txt", "a person");
    put(&dir, "2_person/b.caption", "a person");
    put(&dir, "1024_size/a.txt", "large");
    let data = open(&dir, "path = \".\"", &[]);
    assert_eq!(
        messages(&data),
        [
            "1024_size: each of its pictures comes 1024 times in an epoch",
            "2_person: 2 of 3 pictures have no .txt: they are captioned \"person\"; there are .caption files: for \
             them set `caption_extension = \"caption\"`",
        ]
    );
    let data = open(&dir, "path = \".\"\ndefault_caption = \"someone\"", &[]);
    assert_eq!(messages(&data).len(), 1, "the recipe's own is meant: {:?}", messages(&data));
    // A weight leaves the repeats as they are.
    let folder = "[[folders]]\npath = \"2_person\"\nweight = 0.5";
    let data = open(&dir, &format!("path = \".\"\nlayout = \"kohya\"\n{folder}"), &[]);
    assert_eq!((data.item(1).repeats, data.item(1).weight), (2, 0.5));
    let data = open(&dir, &format!("path = \".\"\nlayout = \"kohya\"\n{folder}\nrepeats = 1"), &[]);
    assert_eq!(data.item(1).repeats, 1);

    write_all(&dir, &["20240115_photos/a.png"]);
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err().to_string();
    assert!(
        error.contains("20240115_photos: its name says 20240115 repeats: expected 1 to 1000000"),
        "{error}"
    );
}

#[test]
fn the_alpha_channel_is_a_mask_and_not_transparency() {
    let dir = TempDir::new().unwrap();
    let picture = RgbaImage::from_fn(32, 32, |x, _| Rgba([200, 10, 90, if x < 16 { 255 } else { 0 }]));
    picture.save(dir.path().join("a.png")).unwrap();
    put(&dir, "a.txt", "x");
    let data = open(&dir, "path = \".\"", &[Region::new("face", "alpha")]);
    assert_eq!(data.item(0).masks, [Some(MaskSource::Alpha)]);
    let geometry = GeometrySpec { width: 32, height: 32, ..GeometrySpec::default() };
    let sample = data.load(0, &draw(&geometry, (32, 32), 0, 0, 0), 8, Wanted::ALL).unwrap();
    let mask = sample.masks[0].as_ref().unwrap();
    assert_eq!(mask.cells[..4], [1.0, 1.0, 0.0, 0.0]);
    let pixel = |x: usize| &sample.image[3 * x..3 * x + 3];
    assert_eq!(pixel(2), pixel(30), "colours under transparent parts are kept");
    assert!((pixel(30)[0] - (200.0 / 127.5 - 1.0)).abs() < 1e-5);
    let plain = open(&dir, "path = \".\"", &[]);
    assert_ne!(data.image_hash(0).unwrap(), plain.image_hash(0).unwrap(), "other pixels, another key");

    write_all(&dir, &["b.png"]);
    put(&dir, "b.txt", "x");
    let regions = [Region::new("face", "alpha")];
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &regions).unwrap_err().to_string();
    assert!(error.contains("mask of `face` b.png: has no alpha channel"), "{error}");
    let data = open(&dir, "path = \".\"\nmissing_mask = \"absent\"", &regions);
    let geometry = GeometrySpec { width: 16, height: 16, ..GeometrySpec::default() };
    assert!(data.load(1, &draw(&geometry, (16, 16), 0, 0, 0), 8, Wanted::ALL).unwrap().masks[0].is_none());
}

#[test]
fn folders_give_repeats_and_weights_and_masks_divided_alike() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["near/a.png", "far/a.png", "near/m/a.png", "m/far/a.png"]);
    put(&dir, "near/a.txt", "near");
    put(&dir, "far/a.txt", "far");
    let text = "path = \".\"\n[[folders]]\npath = \"near\"\nrepeats = 2\n[[folders]]\npath = \"./far\"\nweight = 0.5";
    let data = open(&dir, text, &[Region::new("face", "m")]);
    let found: Vec<_> = data
        .items()
        .iter()
        .map(|i| (i.caption.as_str(), i.repeats, i.weight, i.masks[0].as_ref().unwrap().path().unwrap()))
        .collect();
    assert_eq!(
        found,
        [("near", 2, 1.0, Path::new("near/m/a.png")), ("far", 1, 0.5, Path::new("m/far/a.png"))]
    );
    let unknown = spec(&text.replace("\"near\"", "\"neer\""));
    let error = Dataset::open(dir.path(), &unknown, &[]).unwrap_err().to_string();
    assert!(error.contains("neer: there is no such file"), "{error}");
}

#[test]
fn every_key_of_a_config_is_applied_or_named() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["photos/1.png", "photos/2.png"]);
    put(&dir, "photos/1.txt", "a hand");
    let config = |line: &str| {
        put(
            &dir,
            "dataset.toml",
            format!("[[datasets]]\n{line}\n[[datasets.subsets]]\nimage_dir = \"photos\"\n"),
        );
        Dataset::open(dir.path(), &spec("path = \"dataset.toml\"\ndefault_caption = \"someone\""), &[])
    };
    let data = config("caption_prefix = \"photo of\"\ncaption_suffix = \", outdoors\"").unwrap();
    let captions: Vec<_> = data.items().iter().map(|i| i.caption.as_str()).collect();
    assert_eq!(
        captions,
        ["photo of a hand , outdoors", "photo of someone , outdoors"],
        "as sd-scripts joins them"
    );
    for line in [
        "keep_tokens_separator = \"|||\"",
        "enable_wildcard = true",
        "metadata_file = \"meta.json\"",
        "color_aug = true",
        "random_crop = true",
        "flip_aug = true",
        "caption_dropout_every_n_epochs = 2",
        "caption_droput_rate = 0.1",
    ] {
        let error = config(line).unwrap_err().to_string();
        let key = line.split(' ').next().unwrap();
        assert!(error.contains("dataset.toml: subset 1 of dataset 1:") && error.contains(key), "{error}");
        assert!(error.contains("misspelt") == (key == "caption_droput_rate"), "{error}");
    }
    let data = config("color_aug = false\nrandom_crop = false\nenable_wildcard = false").unwrap();
    assert!(messages(&data)[0].contains("color_aug, enable_wildcard, random_crop"), "{:?}", messages(&data));
    put(&dir, "dataset.toml", "[generl]\n[[datasets]]\n[[datasets.subsets]]\nimage_dir = \"photos\"\n");
    let error = Dataset::open(dir.path(), &spec("path = \"dataset.toml\""), &[]).unwrap_err().to_string();
    assert!(error.contains("unknown field `generl`"), "{error}");
}
