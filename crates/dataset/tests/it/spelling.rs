//! Names that are spelt otherwise than on the disk find their files, where one file is meant.

use crate::common::{messages, put, spec, write_all};
use fairhuman_dataset::{Dataset, Region};
use tempfile::TempDir;

const NFC: &str = "caf\u{e9}";
const NFD: &str = "cafe\u{301}";

#[test]
fn lists_may_have_backslashes_and_other_unicode_forms() {
    let line = |image: &str| format!("{{\"file_name\":\"{image}\",\"text\":\"x\",\"m\":\"{image}\"}}\n");
    for (there, listed) in [
        ("images/a.png".to_owned(), "images\\\\a.png".to_owned()),
        (format!("{NFC}.png"), format!("{NFD}.png")),
        (format!("{NFD}/{NFC}.png"), format!("{NFC}\\\\{NFD}.png")),
        ("Images/A.PNG".to_owned(), "./images/a.png".to_owned()),
    ] {
        let dir = TempDir::new().unwrap();
        write_all(&dir, &["x.png"]);
        std::fs::create_dir_all(dir.path().join(&there).parent().unwrap()).unwrap();
        std::fs::rename(dir.path().join("x.png"), dir.path().join(&there)).unwrap();
        put(&dir, "metadata.jsonl", line(&listed));
        let data = Dataset::open(dir.path(), &spec("path = \".\""), &[Region::new("r", "m")]).unwrap();
        assert_eq!(data.item(0).image.to_str(), Some(&*there));
        let told = messages(&data);
        assert!(told.len() == 1 && told[0].contains("is the picture itself"), "{told:?}");
    }
}

#[test]
fn captions_and_masks_are_found_beside_names_in_other_letters() {
    for (picture, caption, mask) in [
        ("X.PNG".to_owned(), "X.TXT".to_owned(), "X-MaskLabel.PNG".to_owned()),
        (format!("{NFC}.png"), format!("{NFD}.txt"), format!("{NFD}-masklabel.png")),
        (format!("{NFD}.png"), format!("{NFC}.txt"), format!("m/{NFC}.png")),
    ] {
        let dir = TempDir::new().unwrap();
        for name in [&picture, &mask] {
            write_all(&dir, &["x.png"]);
            std::fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
            std::fs::rename(dir.path().join("x.png"), dir.path().join(name)).unwrap();
        }
        put(&dir, &caption, "words");
        let region = Region::new("r", if mask.starts_with("m/") { "m" } else { "-masklabel.png" });
        let data = Dataset::open(dir.path(), &spec("path = \".\""), &[region]).unwrap();
        assert_eq!((data.len(), &*data.item(0).caption), (1, "words"));
        assert!(data.item(0).masks[0].is_some());
    }
}

#[test]
fn two_files_of_one_look_are_not_taken_for_each_other() {
    let dir = TempDir::new().unwrap();
    write_all(&dir, &["a.png", "A.png"]);
    put(&dir, "a.txt", "small");
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err().to_string();
    assert!(error.contains("caption A.txt: there is no such file"), "{error}");
    put(&dir, "metadata.jsonl", "{\"file_name\":\"\\u0061.PNG\",\"text\":\"x\"}");
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err().to_string();
    assert!(error.contains("picture a.PNG: there is no such file"), "{error}");
}

#[test]
fn paths_of_windows_are_told_for_what_they_are() {
    let dir = TempDir::new().unwrap();
    put(&dir, "metadata.jsonl", "{\"file_name\":\"C:\\\\data\\\\a.png\",\"text\":\"x\"}");
    let error = Dataset::open(dir.path(), &spec("path = \".\""), &[]).unwrap_err().to_string();
    assert!(error.contains("the path is absolute"), "{error}");
    let error = Dataset::open(dir.path(), &spec("path = 'data\\people'"), &[]).unwrap_err().to_string();
    assert!(error.contains("with / between folders instead of \\"), "{error}");
    write_all(&dir, &["pictures/cats/a.png"]);
    put(&dir, "pictures/cats/a.txt", "x");
    put(&dir, "set.toml", "[[datasets]]\n[[datasets.subsets]]\nimage_dir = 'pictures\\cats'");
    assert_eq!(Dataset::open(dir.path(), &spec("path = \"set.toml\""), &[]).unwrap().len(), 1);
}
