//! A check tells which pictures' masks are at fault, and which regions nothing can be learnt of.

use std::path::Path;

use crate::check::{blobs, boxed, options, run};
use crate::common::{put, spec, write};
use fairhuman_dataset::check::{self, Options, check};
use fairhuman_dataset::{GeometrySpec, Kind, Region, Severity};
use tempfile::TempDir;

#[test]
fn missing_and_ambiguous_masks_belong_to_their_pictures() {
    let dir = TempDir::new().unwrap();
    for i in 0..4 {
        blobs(i, 24, 24).save(dir.path().join(format!("{i}.png"))).unwrap();
        put(&dir, &format!("{i}.txt"), "a");
    }
    for mask in ["m/0.png", "m/2.png", "m/3.png", "m/3.jpg"] {
        write(&dir.path().join(mask), &boxed(24, 24, (4, 4, 14, 13)), None);
    }
    let report = run(dir.path(), "path = \".\"", &[Region::new("face", "m")]);
    let errors =
        report.diagnostics.iter().filter(|f| f.severity == Severity::Error).map(|f| (f.item, f.kind));
    assert_eq!(errors.collect::<Vec<_>>(), [(Some(1), Kind::MaskMissing), (Some(3), Kind::Ambiguous)]);
    let page = check::html(&report, 1);
    assert!(page.contains("3 pictures left out, 1 of them with errors, 0 with warnings."), "{page}");
    assert!(check::html(&report, 2).contains("2 pictures left out, without errors or warnings."));
}

#[test]
fn a_region_that_no_picture_has_is_an_error_and_its_masks_are_unused() {
    let dir = TempDir::new().unwrap();
    for i in 0..5 {
        blobs(i, 24, 24).save(dir.path().join(format!("{i}.png"))).unwrap();
        write(&dir.path().join(format!("{i}-masklabel.png")), &boxed(24, 24, (4, 4, 14, 13)), None);
        write(&dir.path().join(format!("black/{i}.png")), &boxed(24, 24, (0, 0, 0, 0)), None);
        put(&dir, &format!("{i}.txt"), "a");
    }
    let absent = "path = \".\"\nmissing_mask = \"absent\"";
    let report = run(dir.path(), absent, &[Region::new("face", "-masklable.png")]);
    let found: Vec<_> = report
        .diagnostics
        .iter()
        .filter(|f| f.file != Path::new("black"))
        .map(|f| (f.kind, f.severity))
        .collect();
    assert_eq!(found, [(Kind::RegionEmpty, Severity::Error), (Kind::UnusedMask, Severity::Warning)]);
    // Masks that are all black are no error, but nothing can be learnt from them.
    let report = run(dir.path(), absent, &[Region::new("face", "black")]);
    let worst: Vec<_> =
        report.diagnostics.iter().filter(|f| f.severity != Severity::Note).map(|f| f.kind).collect();
    assert_eq!(worst, [Kind::RegionEmpty], "{}", check::text(&report));
}

#[test]
fn a_misspelt_column_is_told_with_the_one_that_is_meant_and_hides_no_other_region() {
    let dir = TempDir::new().unwrap();
    let mut list = String::new();
    for i in 0..4 {
        blobs(i, 24, 24).save(dir.path().join(format!("{i}.png"))).unwrap();
        list += &format!(
            "{{\"image\":\"{i}.png\",\"text\":\"a\",\"mask_face\":\"m.png\",\"mask_hand\":\"m.png\"}}\n"
        );
    }
    write(&dir.path().join("m.png"), &boxed(24, 24, (4, 4, 14, 13)), None);
    put(&dir, "metadata.jsonl", &list);
    let region = |name: &str| Region::new(name, format!("mask_{name}"));
    let report = run(dir.path(), "path = \".\"", &[region("face"), region("hnad")]);
    let text = check::text(&report);
    assert!(text.contains("(did you mean \"mask_hand\"?)"), "{text}");
    assert_eq!(
        (report.regions[0].pictures, report.regions[1].pictures, report.counts.errors),
        (4, 0, 1),
        "{text}"
    );
    // The other way round: one line of the list has the slip, and nobody said which regions there are.
    put(&dir, "metadata.jsonl", list.replacen("mask_hand", "mask_hnad", 1));
    let spec = spec("path = \".\"");
    let regions = check::infer_regions(dir.path(), &spec);
    assert_eq!(regions, [region("face"), region("hand")]);
    let report = run(dir.path(), "path = \".\"", &regions);
    let text = check::text(&report);
    assert!(text.contains("line 1: ") && text.contains("is \"mask_hnad\" a misspelling"), "{text}");
    assert_eq!((report.regions[0].pictures, report.regions[1].pictures), (3, 3), "{text}");
    // A column that most lines leave out is no slip: they are told to say that there is none.
    let (first, rest) = list.split_once('\n').unwrap();
    let rest = rest.replace(",\"mask_hand\":\"m.png\"", "");
    put(&dir, "metadata.jsonl", format!("{first}\n{rest}"));
    assert_eq!(check::infer_regions(dir.path(), &spec), [region("face"), region("hand")]);
}

#[test]
fn a_size_below_a_latent_cell_is_an_error_and_no_panic() {
    let dir = TempDir::new().unwrap();
    blobs(0, 24, 24).save(dir.path().join("a.png")).unwrap();
    write(&dir.path().join("m/a.png"), &boxed(24, 24, (4, 4, 14, 13)), None);
    put(&dir, "a.txt", "a");
    for size in [0, 4] {
        let geometry = GeometrySpec { width: size, height: size, ..GeometrySpec::default() };
        let options = Options { geometry, ..options() };
        let report =
            check(dir.path(), &spec("path = \".\""), &[Region::new("face", "m")], &options, &|_, _| ());
        assert_eq!(report.diagnostics.iter().map(|f| f.kind).collect::<Vec<_>>(), [Kind::Recipe]);
    }
}

#[test]
fn masks_of_an_autoencoder_are_counted_in_pixels() {
    let folder = TempDir::new().unwrap();
    blobs(0, 24, 24).save(folder.path().join("a.png")).unwrap();
    write(&folder.path().join("m/a.png"), &boxed(24, 24, (4, 4, 14, 13)), None);
    put(&folder, "a.txt", "a");
    let options = Options { mask_cell: 1, ..options() };
    let report =
        check(folder.path(), &spec("path = \".\""), &[Region::new("face", "m")], &options, &|_, _| ());
    assert_eq!(report.regions[0].cells, Some([90, 90, 90]));
    assert!(check::text(&report).contains("What the objectives see, in pixels of the training size:"));
}
