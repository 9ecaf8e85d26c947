//! Every error of a dataset is reported in one pass, by line and file; bad files never load as good ones.

use std::path::Path;

use crate::common::{Scene, crc32, plain, write};
use fairhuman_dataset::{
    Dataset, DatasetSpec, GeometrySpec, Kind, Layout, Region, Rejected, Subject, Wanted, draw,
};
use tempfile::TempDir;

fn face() -> [Region; 1] {
    [Region::new("face", "mask_face")]
}

fn rejected(dir: &TempDir, spec: &DatasetSpec, regions: &[Region]) -> Rejected {
    Dataset::open(dir.path(), spec, regions).expect_err("the dataset has errors")
}

fn put(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(dir.path().join(name), bytes).unwrap();
}

fn cut(path: &Path, keep: impl Fn(usize) -> usize) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..keep(bytes.len())]).unwrap();
}

#[test]
fn all_errors_are_reported_at_once_by_line_and_file() {
    let outside = TempDir::new().unwrap();
    write(&outside.path().join("secret.png"), &plain(16, 16, 0), None);
    let dir = TempDir::new().unwrap();
    for good in ["good.png", "mask.png", "cut.png", "cut.jpg", "cut.webp"] {
        write(&dir.path().join(good), &Scene::lopsided(64, 48).shown(), None);
    }
    write(&dir.path().join("other.png"), &plain(48, 64, 0), None);
    write(&dir.path().join("huge.png"), &plain(300, 400, 0), None);
    cut(&dir.path().join("cut.png"), |n| n - 20);
    cut(&dir.path().join("cut.jpg"), |n| n / 2);
    cut(&dir.path().join("cut.webp"), |n| n - 1);
    put(&dir, "text.png", "this is no picture");
    put(&dir, "empty.png", "");
    put(&dir, "film.png", b"GIF89a\x01\0\x01\0\0\0\0;");
    std::fs::create_dir(dir.path().join("folder.png")).unwrap();
    let mut lines: Vec<(String, &str)> = Vec::new();
    let mut with = |image: &str, mask: &str, expected| {
        let line = format!("{{\"image\":\"{image}\",\"text\":\"x\",\"mask_face\":\"{mask}\"}}");
        lines.push((line, expected));
    };
    with("good.png", "mask.png", "");
    with("gone.png", "mask.png", "picture gone.png: there is no such file");
    with("good.png", "gone.png", "mask of `face` gone.png: there is no such file");
    with("good.png", "other.png", "mask of `face` other.png: is 48 x 64 pixels, but 64 x 48 are needed");
    with("../secret.png", "mask.png", "picture ../secret.png: `..` leads out of the dataset");
    with("a/../../secret.png", "mask.png", "`..` leads out of the dataset");
    with("/etc/passwd", "mask.png", "picture /etc/passwd: the path is absolute");
    with("good.png", "cut.png", "mask of `face` cut.png: the file is cut off");
    with("cut.jpg", "mask.png", "picture cut.jpg: the file is cut off");
    with("cut.webp", "mask.png", "picture cut.webp: the file is cut off");
    with("text.png", "mask.png", "picture text.png: its content is no picture");
    with("empty.png", "mask.png", "picture empty.png: the file is cut off (it is empty)");
    with("film.png", "mask.png", "picture film.png: its content is Gif");
    with("folder.png", "mask.png", "picture folder.png: cannot be read: it is not a file");
    with("huge.png", "", "picture huge.png: 300 x 400 pixels are more than the 100000 allowed");
    #[cfg(unix)]
    {
        let target = outside.path().join("secret.png");
        std::os::unix::fs::symlink(target, dir.path().join("link.png")).unwrap();
        std::os::unix::fs::symlink("good.png", dir.path().join("fine.png")).unwrap();
        with("link.png", "mask.png", "picture link.png: a symbolic link leads out of the dataset");
        with("fine.png", "mask.png", "");
    }
    for (line, expected) in [
        (r#"{"image":"good.png","text":"x"}"#, "mask of `face`: the column \"mask_face\" is missing"),
        (r#"{"image":"good.png","text":" ","mask_face":""}"#, "caption: is empty"),
        (r#"{"image":"","text":"x","mask_face":""}"#, "picture: the column \"image\" is empty"),
        (
            r#"{"image":"good.png","text":3,"mask_face":""}"#,
            "caption: the column \"text\" must be text, but holds 3",
        ),
        (r#"{"image":"good.png","text":"x","text":"y","mask_face":""}"#, "the key \"text\" stands twice"),
        (
            r#"{"image":"good.png","text":"x""#,
            "is not a good JSON object: EOF while parsing an object (column 30)",
        ),
        (r#"{"image":"good.png","text":"x","mask_face":""} {}"#, "trailing characters (column 48)"),
        (r#""good.png""#, "expected a JSON object"),
    ] {
        lines.push((line.into(), expected));
    }
    let text: String = lines.iter().map(|(line, _)| format!("{line}\n")).collect();
    let mut bytes = text.into_bytes();
    bytes.extend(b"{\"image\":\"\xff\"}\n");
    put(&dir, "metadata.jsonl", bytes);
    lines.push((String::new(), "is not UTF-8 text (byte 11)"));

    let spec = DatasetSpec { max_pixels: 100_000, ..DatasetSpec::new(".") };
    let found = rejected(&dir, &spec, &face());
    let expected: Vec<(usize, &str)> =
        lines.iter().enumerate().map(|(i, (_, e))| (i + 1, *e)).filter(|(_, e)| !e.is_empty()).collect();
    assert_eq!(found.errors.len(), expected.len(), "{found}");
    for (error, (line, text)) in found.errors.iter().zip(&expected) {
        let shown = error.to_string();
        assert!(shown.starts_with(&format!("metadata.jsonl line {line}: ")), "{shown} at {line}");
        assert!(shown.contains(text), "{shown} does not say {text}");
    }
    assert!(found.to_string().starts_with(&format!("{} problems in the dataset", expected.len())));
}

#[test]
fn a_line_may_have_several_errors() {
    let dir = TempDir::new().unwrap();
    put(&dir, "metadata.jsonl", r#"{"image":"a.png","text":"x","mask_face":"b.png"}"#);
    let subjects: Vec<Subject> =
        rejected(&dir, &DatasetSpec::new("."), &face()).errors.into_iter().map(|p| p.subject).collect();
    assert_eq!(subjects, [Subject::Picture, Subject::Mask("face".into())]);
}

#[test]
fn a_misspelt_column_is_one_error_that_lists_the_columns() {
    let dir = TempDir::new().unwrap();
    let lines = "{\"image\":\"a.png\",\"text_english\":\"x\",\"mask_face\":\"m.png\"}\n".repeat(50);
    put(&dir, "metadata.jsonl", lines);
    let found = rejected(&dir, &DatasetSpec::new("."), &face());
    assert_eq!(found.errors.len(), 1, "{found}");
    let text = found.to_string();
    assert!(
        text.contains("no line has the column \"text\"; the columns are image, mask_face, text_english"),
        "{text}"
    );
    assert!(text.contains("set `text_column`"), "{text}");
}

#[test]
fn whole_datasets_that_cannot_be_read_are_named() {
    let dir = TempDir::new().unwrap();
    let say = |path: &str| rejected(&dir, &DatasetSpec::new(path), &[]).to_string();
    assert!(say("nowhere").contains("nowhere: there is no such file: set `path`"), "{}", say("nowhere"));
    assert!(say(".").contains("neither a metadata.jsonl nor pictures"), "{}", say("."));
    put(&dir, "metadata.jsonl", "\n \n");
    assert!(say(".").contains("metadata.jsonl: lists no picture"), "{}", say("."));
    put(&dir, "metadata.jsonl", " [{\"image\": 1}]");
    assert!(say(".").contains("one object per line"), "{}", say("."));
}

#[test]
fn wrong_recipe_values_are_named_before_any_file_is_read() {
    let dir = TempDir::new().unwrap();
    let spec = DatasetSpec { mask_threshold: 0.0, ..DatasetSpec::new("nowhere") };
    let regions = [Region::new("face", "m"), Region::new("face", "n"), Region::new("hand", "")];
    let found = rejected(&dir, &spec, &regions);
    assert_eq!(found.errors.len(), 3, "{found}");
    let text = found.to_string();
    for part in ["mask_threshold is 0", "two regions are called `face`", "region 3"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn errors_of_the_files_layout_are_all_named() {
    let dir = TempDir::new().unwrap();
    for name in ["a.png", "b.png", "c.png", "c.jpg", "d.png", "m/a.png", "m/d.png", "m/d.jpg"] {
        write(&dir.path().join(name), &plain(16, 16, 255), None);
    }
    put(&dir, "a.txt", "fine");
    put(&dir, "b.txt", b"\xff\xfe");
    put(&dir, "c.txt", "  \n");
    put(&dir, "e.HEIC", "x");
    let found = rejected(&dir, &DatasetSpec::new("."), &[Region::new("face", "m")]);
    let text = found.to_string();
    for part in [
        "picture c.png: its caption and masks have the same names as those of c.jpg",
        "picture e.HEIC: .heic is not read",
        "caption b.txt: is not UTF-8 text",
        "mask of `face` m/b.png: there is no such file",
        "caption c.txt: is empty",
        "mask of `face` m/c.png: there is no such file",
        "caption d.txt: there is no such file",
        "mask of `face` m/d.jpg: m/d.png has the same name",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(found.errors.len(), 8, "{text}");

    for (mask, part) in [
        ("masks/gone", "mask of `face` masks/gone: there is no such file: masks lie in a folder"),
        ("../m", "leads out of the dataset"),
        ("m/x.png", "must be the end of a file name"),
        (".png", "must be the end of a file name"),
    ] {
        let text = rejected(&dir, &DatasetSpec::new("."), &[Region::new("face", mask)]).to_string();
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[test]
fn a_small_file_that_promises_a_huge_picture_is_not_unpacked() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("bomb.png");
    write(&path, &plain(8, 8, 0), None);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]); // 65536 x 65536
    let crc = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    put(&dir, "bomb.txt", "x");
    let found = rejected(&dir, &DatasetSpec::new("."), &[]);
    assert_eq!(found.errors[0].kind, Kind::TooLarge);
    assert!(
        found.to_string().contains("65536 x 65536 pixels are more than the 100000000 allowed"),
        "{found}"
    );
}

#[test]
fn a_picture_cut_anywhere_is_an_error() {
    for extension in ["png", "jpg", "webp"] {
        let dir = TempDir::new().unwrap();
        let name = format!("a.{extension}");
        let path = dir.path().join(&name);
        write(&path, &Scene::lopsided(40, 30).shown(), Some(6));
        put(&dir, "a.txt", "x");
        let whole = std::fs::read(&path).unwrap();
        assert!(Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).is_ok(), "{name}");
        for keep in (0..whole.len()).step_by(3).chain([whole.len() - 2, whole.len() - 1]) {
            std::fs::write(&path, &whole[..keep]).unwrap();
            let result = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]);
            assert!(result.is_err(), "{keep} of {} bytes of {name} pass", whole.len());
        }
    }
}

#[test]
fn jpegs_with_something_appended_are_whole() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.jpg");
    write(&path, &plain(16, 16, 7), None);
    put(&dir, "a.txt", "x");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend(vec![0; 300_000]);
    std::fs::write(&path, bytes).unwrap();
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap();
    data.verify().unwrap();
}

#[test]
fn damage_inside_the_pixels_is_found_by_verify_and_load() {
    let dir = TempDir::new().unwrap();
    for name in ["a.png", "b.png", "m/a.png", "m/b.png"] {
        write(&dir.path().join(name), &Scene::lopsided(64, 64).shown(), None);
    }
    write(&dir.path().join("m/b.png"), &plain(64, 64, 1), None);
    let path = dir.path().join("a.png");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8].fill(0xaa);
    std::fs::write(&path, bytes).unwrap();
    put(&dir, "a.txt", "x");
    put(&dir, "b.txt", "x");
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[Region::new("face", "m")]).unwrap();
    let found = data.verify().unwrap_err();
    let text = found.to_string();
    assert_eq!(found.errors.len(), 2, "{text}");
    assert!(text.contains("picture a.png: cannot be decoded"), "{text}");
    assert!(text.contains("mask of `face` m/b.png: its brightest value is 1"), "{text}");
    let spec = GeometrySpec { width: 64, height: 64, ..GeometrySpec::default() };
    for (i, name) in ["a.png", "m/b.png"].into_iter().enumerate() {
        let d = draw(&spec, (64, 64), 0, 0, 0);
        let error = data.load(i, &d, 8, Wanted::ALL).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn a_file_that_changes_after_opening_is_an_error_not_a_wrong_sample() {
    let dir = TempDir::new().unwrap();
    write(&dir.path().join("a.png"), &plain(32, 32, 9), None);
    put(&dir, "a.txt", "x");
    let data = Dataset::open(dir.path(), &DatasetSpec::new("."), &[]).unwrap();
    write(&dir.path().join("a.png"), &plain(40, 32, 9), None);
    let spec = GeometrySpec { width: 32, height: 32, ..GeometrySpec::default() };
    let error = data.load(0, &draw(&spec, (32, 32), 0, 0, 0), 8, Wanted::ALL).unwrap_err().to_string();
    assert!(error.contains("40 x 32") && error.contains("changed since"), "{error}");
}

#[test]
#[cfg(unix)]
fn a_list_that_is_a_link_out_of_the_dataset_is_refused_and_one_within_is_read() {
    use std::os::unix::fs::symlink;
    let dir = TempDir::new().unwrap();
    let lists = [
        ("metadata.jsonl", "{\"image\":\"a.png\",\"text\":\"x\"}\n"),
        ("metadata.csv", "file_name,text\na.png,x\n"),
        ("dataset.toml", "[[datasets]]\n[[datasets.subsets]]\nimage_dir = \".\"\nclass_tokens = \"x\"\n"),
    ];
    for (name, text) in lists {
        let folder = dir.path().join(name.replace('.', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        write(&folder.join("a.png"), &plain(16, 16, 255), None);
        std::fs::write(dir.path().join("outer"), text).unwrap();
        let list = folder.join(name);
        let layout = if name.ends_with("toml") { Layout::Kohya } else { Layout::Auto };
        let spec = DatasetSpec { layout, ..DatasetSpec::new(&folder) };
        symlink(dir.path().join("outer"), &list).unwrap();
        let error = rejected(&dir, &spec, &[]).to_string();
        assert!(error.contains("a symbolic link leads out of the dataset"), "{name}: {error}");
        assert!(error.contains(name), "{error}");
        std::fs::remove_file(&list).unwrap();
        std::fs::write(folder.join("list"), text).unwrap();
        symlink("list", &list).unwrap();
        Dataset::open(dir.path(), &spec, &[]).unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}
