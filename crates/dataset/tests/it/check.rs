//! A check names exactly the faults that are there, and says what objectives will see.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{crc32, exif, put, spec, write};
use fairhuman_dataset::check::{self, Options, Report, check, infer_regions};
use fairhuman_dataset::{GeometrySpec, Kind, Region, Severity};
use image::codecs::png::PngEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use tempfile::TempDir;

/// A picture of coloured blobs that looks like no other seed's.
pub fn blobs(seed: u64, width: u32, height: u32) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let small = RgbImage::from_fn(6, 6, |_, _| {
        let [r, g, b, _] = rng.next_u32().to_le_bytes();
        Rgb([r, g, b])
    });
    image::imageops::resize(&small, width, height, FilterType::CatmullRom)
}

/// A mask with a white box.
pub fn boxed(width: u32, height: u32, (left, top, right, bottom): (u32, u32, u32, u32)) -> GrayImage {
    let inside = |x, y| x >= left && x < right && y >= top && y < bottom;
    GrayImage::from_fn(width, height, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]))
}

/// 300 pictures with captions and masks of the region `face`, without any fault.
struct Folder {
    dir: TempDir,
    next: u32,
}

impl Folder {
    fn new() -> Folder {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir_all(dir.path().join("masks/face")).unwrap();
        for i in 0..300 {
            blobs(i, 24, 24).save(dir.path().join(format!("{i:03}.png"))).unwrap();
            put(&dir, &format!("{i:03}.txt"), format!("picture number {i}"));
            let mask = boxed(24, 24, (4, 4, 14, 13));
            mask.save(dir.path().join(format!("masks/face/{i:03}.png"))).unwrap();
        }
        Folder { dir, next: 0 }
    }

    /// The name of a picture that has no fault yet.
    fn take(&mut self) -> String {
        self.next += 7;
        format!("{:03}", self.next)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }
}

pub fn options() -> Options<'static> {
    let geometry = GeometrySpec { width: 24, height: 24, ..GeometrySpec::default() };
    Options { geometry, thumbnails: 48, ..Options::default() }
}

pub fn run(dir: &Path, text: &str, regions: &[Region]) -> Report {
    check(dir, &spec(text), regions, &options(), &|_, _| ())
}

fn found(report: &Report) -> BTreeMap<(String, Kind), usize> {
    let mut found = BTreeMap::new();
    for f in &report.diagnostics {
        *found.entry((f.file.display().to_string(), f.kind)).or_insert(0) += 1;
    }
    found
}

#[test]
fn three_hundred_pictures_without_fault_raise_nothing() {
    let folder = Folder::new();
    let report = run(folder.dir.path(), "path = \".\"", &[Region::new("face", "masks/face")]);
    assert_eq!(report.diagnostics, [], "{}", check::text(&report));
    assert!(!report.has_errors());
    assert_eq!((report.pictures, report.epoch, report.items.len()), (300, 300, 300));
    let face = &report.regions[0];
    // 10 x 9 pixels from (4, 4) touch 2 x 2 cells of 8 x 8.
    assert_eq!((face.pictures, face.parts, face.cells), (300, 300, Some([4, 4, 4])));
    assert!((face.share_of_cells - 4.0 / 9.0).abs() < 1e-9 && face.share_of_pictures == 1.0);
    assert_eq!(face.histogram, [0, 300, 0, 0, 0]);
}

#[test]
fn one_fault_of_each_kind_in_three_hundred_pictures_is_found_and_nothing_else() {
    let mut folder = Folder::new();
    let mut expected: BTreeMap<(String, Kind), usize> = BTreeMap::new();
    let mut expect = |file: String, kind| *expected.entry((file, kind)).or_insert(0) += 1;
    let data = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"));

    // Files that training cannot read.
    for (kind, bytes) in [(Kind::NotAPicture, &b"no picture"[..]), (Kind::Truncated, &b""[..])] {
        let name = folder.take();
        put(&folder.dir, &format!("{name}.png"), bytes);
        expect(format!("{name}.png"), kind);
    }
    let name = folder.take();
    let whole = std::fs::read(folder.path(&format!("{name}.png"))).unwrap();
    put(&folder.dir, &format!("{name}.png"), &whole[..whole.len() / 2]);
    expect(format!("{name}.png"), Kind::Truncated);
    let name = folder.take();
    let mut bomb = std::fs::read(folder.path(&format!("{name}.png"))).unwrap();
    bomb[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = crc32(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.to_be_bytes());
    put(&folder.dir, &format!("{name}.png"), bomb);
    expect(format!("{name}.png"), Kind::TooLarge);
    #[cfg(unix)]
    for (target, kind) in [("/gone.png", Kind::Missing), ("/etc/hostname", Kind::Outside)] {
        let name = folder.take();
        let path = folder.path(&format!("{name}.png"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
        expect(format!("{name}.png"), kind);
    }
    let name = folder.take();
    blobs(900, 24, 24).save(folder.path(&format!("{name}.jpg"))).unwrap();
    expect(format!("{name}.png"), Kind::Ambiguous);
    put(&folder.dir, "photo.heic", "x");
    expect("photo.heic".into(), Kind::NotAPicture);

    // Pictures that training changes.
    let name = folder.take();
    let mut jpeg = std::io::Cursor::new(Vec::new());
    blobs(901, 24, 24).write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    put(&folder.dir, &format!("{name}.png"), jpeg.into_inner());
    expect(format!("{name}.png"), Kind::Mislabelled);
    for (file, kind) in
        [("cmyk.jpg", Kind::Cmyk), ("animated.png", Kind::Animated), ("animated.webp", Kind::Animated)]
    {
        let name = folder.take();
        let extension = file.split_once('.').unwrap().1;
        std::fs::remove_file(folder.path(&format!("{name}.png"))).unwrap();
        std::fs::copy(data.join(file), folder.path(&format!("{name}.{extension}"))).unwrap();
        expect(format!("{name}.{extension}"), kind);
    }
    let name = folder.take();
    let mut see_through = DynamicImage::ImageRgb8(blobs(902, 24, 24)).into_rgba8();
    see_through.get_pixel_mut(3, 3).0[3] = 100;
    see_through.save(folder.path(&format!("{name}.png"))).unwrap();
    expect(format!("{name}.png"), Kind::Alpha);
    let name = folder.take();
    DynamicImage::ImageRgb8(blobs(903, 24, 24))
        .into_rgb16()
        .save(folder.path(&format!("{name}.png")))
        .unwrap();
    expect(format!("{name}.png"), Kind::SixteenBit);
    let name = folder.take();
    write(
        &folder.path(&format!("{name}.png")),
        &DynamicImage::ImageRgb8(blobs(904, 24, 24)).into_luma8(),
        None,
    );
    expect(format!("{name}.png"), Kind::Gray);
    let name = folder.take();
    let mut bytes = Vec::new();
    let mut encoder = PngEncoder::new(&mut bytes);
    encoder.set_exif_metadata(exif(6)).unwrap();
    encoder.write_image(&blobs(905, 24, 24), 24, 24, ExtendedColorType::Rgb8).unwrap();
    put(&folder.dir, &format!("{name}.png"), bytes);
    expect(format!("{name}.png"), Kind::Rotated);

    // The same picture twice.
    let name = folder.take();
    std::fs::copy(folder.path("001.png"), folder.path(&format!("{name}.png"))).unwrap();
    expect(format!("{name}.png"), Kind::Duplicate);
    let name = folder.take();
    let darker = DynamicImage::ImageRgb8(blobs(2, 24, 24)).brighten(-3).into_rgb8();
    image::imageops::resize(&darker, 28, 28, FilterType::Triangle)
        .save(folder.path(&format!("{name}.png")))
        .unwrap();
    boxed(28, 28, (5, 5, 16, 15)).save(folder.path(&format!("masks/face/{name}.png"))).unwrap();
    expect(format!("{name}.png"), Kind::NearDuplicate);

    // Captions.
    let name = folder.take();
    std::fs::remove_file(folder.path(&format!("{name}.txt"))).unwrap();
    expect(format!("{name}.txt"), Kind::CaptionMissing);
    let name = folder.take();
    put(&folder.dir, &format!("{name}.txt"), " \n");
    expect(format!("{name}.txt"), Kind::CaptionMissing);
    let name = folder.take();
    put(&folder.dir, &format!("{name}.txt"), b"caf\xe9");
    expect(format!("{name}.txt"), Kind::CaptionEncoding);
    let name = folder.take();
    put(&folder.dir, &format!("{name}.txt"), "long ".repeat(80));
    expect(format!("{name}.png"), Kind::CaptionLong);

    // Masks.
    let mask = |folder: &mut Folder, picture: &GrayImage| {
        let name = format!("masks/face/{}.png", folder.take());
        picture.save(folder.path(&name)).unwrap();
        name
    };
    let soft = GrayImage::from_fn(24, 24, |x, y| {
        let far = (x as f32 - 11.0).hypot(y as f32 - 11.0);
        Luma([(300.0 - 25.0 * far).clamp(0.0, 255.0) as u8])
    });
    for (picture, kind) in [
        (boxed(25, 24, (4, 4, 12, 12)), Kind::Size),
        (GrayImage::from_pixel(24, 24, Luma([0])), Kind::MaskEmpty),
        (GrayImage::from_pixel(24, 24, Luma([255])), Kind::MaskFull),
        (GrayImage::from_pixel(24, 24, Luma([1])), Kind::MaskDark),
        (
            GrayImage::from_fn(24, 24, |x, y| {
                Luma([if x.abs_diff(12) + y.abs_diff(12) < 6 { 0 } else { 255 }])
            }),
            Kind::MaskInverted,
        ),
        (soft, Kind::MaskSoft),
    ] {
        expect(mask(&mut folder, &picture), kind);
    }
    let name = folder.take();
    std::fs::remove_file(folder.path(&format!("masks/face/{name}.png"))).unwrap();
    expect(format!("masks/face/{name}.png"), Kind::MaskMissing);
    let name = folder.take();
    put(&folder.dir, &format!("masks/face/{name}.png"), "no picture");
    expect(format!("masks/face/{name}.png"), Kind::NotAPicture);
    boxed(24, 24, (4, 4, 12, 12)).save(folder.path("masks/face/gone.png")).unwrap();
    expect("masks/face/gone.png".into(), Kind::UnusedMask);

    // A speck in a picture ten times as large as it is trained, and one beside the kept middle.
    for (width, speck, kind) in
        [(240, (100, 100, 102, 102), Kind::Vanishing), (480, (2, 100, 20, 120), Kind::Cropped)]
    {
        let name = folder.take();
        blobs(u64::from(width), width, 240).save(folder.path(&format!("{name}.png"))).unwrap();
        let path = format!("masks/face/{name}.png");
        let mut picture = boxed(width, 240, speck);
        (30..120).for_each(|x| (30..90).for_each(|y| picture.put_pixel(x + width / 4, y, Luma([255]))));
        picture.save(folder.path(&path)).unwrap();
        expect(path, kind);
    }

    // Files that belong to nothing; what programs and people leave beside datasets is passed over.
    put(&folder.dir, "forgotten.txt", "a caption");
    put(&folder.dir, "Thumbs.db", "x");
    blobs(906, 24, 24).save(folder.path("masks/forgotten.png")).unwrap();
    for file in ["forgotten.txt", "Thumbs.db", "masks/forgotten.png"] {
        expect(file.into(), Kind::UnusedFile);
    }
    for file in [".DS_Store", "README.md", "LICENSE", "boxes.json"] {
        put(&folder.dir, file, "x");
    }

    let report = run(folder.dir.path(), "path = \".\"", &[Region::new("face", "masks/face")]);
    let found = found(&report);
    let missed: Vec<_> = expected.iter().filter(|(key, n)| found.get(key) != Some(n)).collect();
    let extra: Vec<_> = found.iter().filter(|(key, n)| expected.get(key) != Some(n)).collect();
    assert!(missed.is_empty() && extra.is_empty(), "missed {missed:?}\nnot planted {extra:?}");
    let count = |severity| report.diagnostics.iter().filter(|f| f.severity == severity).count();
    assert_eq!(report.counts.errors, count(Severity::Error));
    assert!(report.has_errors() && report.pictures == 300);
    // An error of a picture's own files keeps it out of the epoch, and nothing else does. Of two pictures of
    // one name only the second is refused, and that one is no item; nor is a picture of a format that is not
    // read.
    let unusable: Vec<String> =
        report.items.iter().filter(|i| i.repeats == 0).map(|i| i.name.display().to_string()).collect();
    let mut faulty: Vec<String> = expected
        .keys()
        .filter(|(file, kind)| {
            kind.severity() == Severity::Error && *kind != Kind::Ambiguous && file != "photo.heic"
        })
        .map(|(file, _)| format!("{}.png", Path::new(file).file_stem().unwrap().display()))
        .collect();
    faulty.sort();
    assert_eq!(unusable, faulty);
    let face = &report.regions[0];
    assert_eq!((face.vanishing, face.cropped, face.parts), (1, 1, face.histogram.iter().sum::<usize>() + 2));
    let (width, height) = face.visible_at.unwrap();
    assert!(width > 24 && width == height);

    let text = check::text(&report);
    assert!(text.contains("ERROR: files that are cut off (2)"), "{text}");
    assert!(text.contains("training would refuse this dataset"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["counts"]["errors"], report.counts.errors);
    assert_eq!(json["diagnostics"][0]["severity"], "error");
    let page = check::html(&report, 100);
    assert!(page.matches("<figure").count() <= 100 && page.contains("data:image/jpeg;base64,"));
    for part in ["http://", "https://", "src=\"/"] {
        assert!(!page.contains(part), "the page loads {part}");
    }
}

#[test]
fn lists_are_checked_line_by_line() {
    let dir = TempDir::new().unwrap();
    for i in 0..4 {
        blobs(i, 24, 24).save(dir.path().join(format!("{i}.png"))).unwrap();
    }
    put(
        &dir,
        "metadata.jsonl",
        b"{\"image\":\"0.png\",\"text\":\"a\"}\n\
          {\"image\":\"../0.png\",\"text\":\"a\"}\n\
          {\"image\":\"/etc/hostname\",\"text\":\"a\"}\n\
          {\"image\":\"gone.png\",\"text\":\"a\"}\n\
          {\"image\":\"1.png\",\"text\":\"\"}\n\
          {\"image\":\"2.png\",\"text\":\"a\"\n\
          {\"image\":\"0.png\",\"text\":\"b\"}\n",
    );
    let report = run(dir.path(), "path = \".\"", &[]);
    let found: Vec<_> = report
        .diagnostics
        .iter()
        .map(|f| (f.origin.as_ref().map(ToString::to_string), f.file.display().to_string(), f.kind))
        .collect();
    let line = |n: usize| Some(format!("metadata.jsonl line {n}"));
    let mut expected = vec![
        (line(6), String::new(), Kind::List),
        (None, "2.png".into(), Kind::UnusedFile),
        (None, "3.png".into(), Kind::UnusedFile),
        (line(2), "../0.png".into(), Kind::Outside),
        (line(3), "/etc/hostname".into(), Kind::Outside),
        (line(4), "gone.png".into(), Kind::Missing),
        (line(5), String::new(), Kind::CaptionMissing),
        (None, "0.png".into(), Kind::Duplicate),
    ];
    let mut sorted = found.clone();
    sorted.sort();
    expected.sort();
    assert_eq!(sorted, expected);
}

#[test]
fn pictures_of_columns_that_nobody_asks_for_are_not_unused_and_nor_are_contact_sheets() {
    let dir = TempDir::new().unwrap();
    for file in ["a.png", "pose/a.png", "thumbnails/a.png", "contact-sheet-1.png", "pose/b.png"] {
        write(&dir.path().join(file), &boxed(8, 8, (0, 0, 4, 4)), None);
    }
    put(&dir, "metadata.jsonl", "{\"image\": \"a.png\", \"text\": \"a\", \"pose\": \"pose/a.png\"}");
    let report = run(dir.path(), "path = \".\"", &[]);
    let unused = report
        .diagnostics
        .iter()
        .filter(|f| f.kind == Kind::UnusedFile)
        .map(|f| f.file.display().to_string());
    assert_eq!(unused.collect::<Vec<_>>(), ["pose/b.png"]);
}

#[test]
fn the_models_tokenizer_is_asked_and_estimates_are_called_so() {
    let dir = TempDir::new().unwrap();
    blobs(0, 24, 24).save(dir.path().join("a.png")).unwrap();
    put(&dir, "a.txt", "short");
    let report = run(dir.path(), "path = \".\"", &[]);
    assert!(report.captions.estimated && report.captions.longest == 3);
    let count = |_: &str| 78;
    let options = Options { tokens: Some(&count), ..options() };
    let report = check(dir.path(), &spec("path = \".\""), &[], &options, &|_, _| ());
    assert_eq!((report.captions.estimated, report.captions.over), (false, 1));
    assert_eq!(report.diagnostics[0].kind, Kind::CaptionLong);
    assert!(report.diagnostics[0].message.starts_with("has 78 tokens, 1 more"), "{}", report.diagnostics[0]);
}

#[test]
fn a_dataset_that_cannot_be_opened_is_one_error() {
    let dir = TempDir::new().unwrap();
    let report = run(dir.path(), "path = \"nowhere\"", &[]);
    assert_eq!((report.counts.errors, report.pictures), (1, 0));
    assert!(check::text(&report).contains("there is no such file"));
    assert!(check::html(&report, 10).contains("nowhere"));
}

#[test]
fn regions_are_inferred_where_there_is_no_recipe() {
    let dir = TempDir::new().unwrap();
    let infer = |dir: &TempDir| -> Vec<(String, String)> {
        let regions = infer_regions(dir.path(), &spec("path = \".\""));
        regions.into_iter().map(|r| (r.name, r.mask)).collect()
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(infer(&dir), []);
    for name in ["a.png", "a-masklabel.png", "masks/face/a.png", "mask_hand/a.png"] {
        write(&dir.path().join(name), &boxed(8, 8, (0, 0, 4, 4)), None);
    }
    assert_eq!(
        infer(&dir),
        [pair("face", "masks/face"), pair("hand", "mask_hand"), pair("mask", "-masklabel.png")]
    );
    put(
        &dir,
        "metadata.jsonl",
        "{\"image\": \"a.png\", \"text\": \"\", \"mask_face\": \"m.png\", \"hand_mask\": \"m.png\", \"mask_ear\": \"\"}",
    );
    assert_eq!(infer(&dir), [pair("face", "mask_face"), pair("hand", "hand_mask")]);
    // A kohya config says which masks there are.
    let subset =
        "[[datasets]]\n[[datasets.subsets]]\nimage_dir = \".\"\nconditioning_data_dir = \"mask_hand\"\n";
    put(&dir, "dataset.toml", format!("{subset}alpha_mask = true"));
    let regions = infer_regions(dir.path(), &spec("path = \"dataset.toml\""));
    let sources: Vec<_> = regions.iter().map(|r| r.mask.as_str()).collect();
    assert!(sources.contains(&"conditioning") && sources.contains(&"alpha"), "{regions:?}");
    let tables = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"));
    let regions = infer_regions(tables, &spec("path = \"people.parquet\""));
    assert_eq!(regions, [Region::new("face", "mask_face")]);
}

#[test]
fn pictures_in_tables_and_shapes_of_annotations_are_checked_too() {
    let tables = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data"));
    let report = run(tables, "path = \"people.parquet\"", &[Region::new("face", "mask_face")]);
    assert!(!report.has_errors(), "{}", check::text(&report));
    // The masks of rows 1, 2 and 4 are as many columns wide at the left; a square cuts two columns off.
    let face = &report.regions[0];
    assert_eq!((report.pictures, face.parts, face.pictures, face.cropped), (5, 3, 1, 2));
    assert!(report.items.iter().all(|i| i.thumbnail.is_some()));
}
