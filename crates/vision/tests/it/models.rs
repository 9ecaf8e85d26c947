//! Getting the networks from a wheel or an index; wrong files are refused.

use std::io::Write;

use fairhuman_vision::models::{self, MODELS, Source};
use zip::write::SimpleFileOptions;

fn wheel(path: &std::path::Path, entries: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(std::fs::File::create(path).expect("a file"));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).expect("an entry");
        zip.write_all(content).expect("its content");
    }
    zip.finish().expect("the archive");
}

#[test]
fn a_wheel_with_other_networks_is_refused_and_nothing_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.whl");
    wheel(&path, &[(MODELS[0].path, b"not a network")]);
    let out = folder.path().join("models");
    let get = |path: &std::path::Path| {
        let error = models::get(&Source::Wheel(path.into()), &out, &mut |_| {});
        error.expect_err("refused").to_string()
    };
    let error = get(&path);
    assert!(error.contains("face_detection_short_range.tflite: expected SHA-256 bbff11ce"), "{error}");
    assert_eq!(std::fs::read_dir(&out).expect("the folder").count(), 0);
    wheel(&path, &[("other", b"")]);
    assert!(get(&path).contains("a.whl: mediapipe/modules/face_detection"));
    std::fs::write(&path, b"no archive").expect("a file");
    assert!(get(&path).contains("expected a wheel of mediapipe 0.10.21"));
    assert!(get(&folder.path().join("missing.whl")).contains("missing.whl"));
}

#[test]
fn networks_already_there_are_kept_and_checked() {
    let Some(folder) = crate::common::networks() else { return };
    models::check(&folder).expect("all sums fit");
    let nowhere = Source::Wheel("does-not-exist.whl".into());
    let mut calls = 0;
    models::get(&nowhere, &folder, &mut |_| calls += 1).expect("nothing to do");
    assert_eq!(calls, 0);
}

#[test]
fn without_a_network_the_message_offers_the_way_by_path() {
    let folder = tempfile::tempdir().expect("a folder");
    let index = Source::Index("http://127.0.0.1:1/simple/".into());
    let error = models::get(&index, folder.path(), &mut |_| {}).expect_err("nobody listens").to_string();
    assert!(error.contains("its path can be given instead"), "{error}");
}
