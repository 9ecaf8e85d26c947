//! Files are told by their content, and one that is no picture here is called what it is.

use fairhuman_pictures::names::disguised;

use crate::{data, read};

#[test]
fn contents_under_other_names_are_named() {
    let text = |bytes: &[u8]| read(bytes).expect_err("not read").text;
    assert!(text(&data("other.avif")).starts_with("its content is Avif, which is not read here: convert"));
    assert!(text(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").starts_with("its content is Heic,"));
    assert!(text(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic").starts_with("its content is Heic,"));
    assert!(text(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif").starts_with("its content is Avif,"));
    assert!(text(b"GIF89a\x01\0\x01\0\0\0\0;").starts_with("its content is Gif,"));
    assert!(text(b"\xff\x0aaaaa").starts_with("its content is JPEG XL,"));
    assert!(text(b"nothing known").starts_with("its content is no picture"));
}

#[test]
fn a_picture_without_a_pictures_extension_is_named() {
    let folder = std::env::temp_dir().join(format!("fairhuman-pictures-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let told = |name: &str, bytes: &[u8]| {
        let file = folder.join(name);
        std::fs::write(&file, bytes).expect("a file");
        disguised(&file)
    };
    let jpeg = data("half.jpg");
    let text = told("IMG_1", &jpeg).expect("told");
    assert_eq!(text, "has no extension, but its content is Jpeg: it is not read; call it .jpg, or remove it");
    assert!(told("a.jpg_large", &jpeg).expect("told").starts_with("is called .jpg_large, but"));
    assert!(told("b.bin", &data("other.avif")).expect("told").contains("its content is Avif"));
    for (name, bytes) in [("c.jfif", &jpeg[..]), ("d.txt", &jpeg), ("e", b"P1 is a text"), ("f.db", b"")] {
        assert_eq!(told(name, bytes), None, "{name}");
    }
    std::fs::remove_dir_all(&folder).expect("the folder");
}
