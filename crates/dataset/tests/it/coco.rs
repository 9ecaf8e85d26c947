//! COCO and COCO-WholeBody annotations become masks of the right pixels.

use crate::common::{messages, put, spec, write_all_sized};
use fairhuman_dataset::check::infer_regions;
use fairhuman_dataset::{Dataset, GeometrySpec, Layout, MaskSource, Region, Shape, Wanted, draw};
use tempfile::TempDir;

const ANNOTATIONS: &str = r#"{
  "images": [
    {"id": 7, "file_name": "a.png", "width": 64, "height": 32, "caption": "two people"},
    {"id": 8, "file_name": "b.png", "width": 64, "height": 32, "caption": "nobody"}
  ],
  "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "glove"}],
  "annotations": [
    {"image_id": 7, "category_id": 1, "bbox": [0, 0, 30, 32],
     "face_valid": true, "face_box": [8, 4, 8, 8], "face_kpts": [9, 5, 1, 15, 5, 1, 12, 11, 1, 40, 30, 0],
     "lefthand_valid": false, "lefthand_box": [0, 0, 0, 0],
     "righthand_valid": true, "righthand_box": [24.5, 16, 3, 3]},
    {"image_id": 7, "category_id": 1, "bbox": [40, 0, 20, 32],
     "keypoints": [48,5,2, 46,4,2, 50,4,2, 43,5,2, 53,5,2, 0,0,0, 0,0,0, 0,0,0, 44,10,2, 0,0,0, 44,18,2]},
    {"image_id": 7, "category_id": 3, "bbox": [56, 24, 8, 8],
     "segmentation": [[56, 24, 64, 24, 64, 32]]}
  ]
}"#;

/// The pixels of region 0 of the first picture.
fn mask(text: &str, region: &str) -> Vec<(usize, usize)> {
    let dir = dataset();
    let text = format!("path = \"annotations/people_val2017.json\"\n{text}");
    let data = Dataset::open(dir.path(), &spec(&text), &[Region::new("r", region)]).unwrap();
    assert_eq!((data.layout(), data.len()), (Layout::Coco, 2));
    assert!(data.item(1).masks[0].is_none());
    let geometry = GeometrySpec { width: 64, height: 32, ..GeometrySpec::default() };
    let sample = data.load(0, &draw(&geometry, (64, 32), 0, 0, 0), 1, Wanted::ALL).unwrap();
    let cells = &sample.masks[0].as_ref().unwrap().cells;
    (0..64 * 32).filter(|i| cells[*i] == 1.0).map(|i| (i % 64, i / 64)).collect()
}

fn dataset() -> TempDir {
    let dir = TempDir::new().unwrap();
    write_all_sized(&dir, &["val2017/a.png", "val2017/b.png"], 64, 32);
    put(&dir, "annotations/people_val2017.json", ANNOTATIONS);
    dir
}

fn filled(boxes: &[(usize, usize, usize, usize)]) -> Vec<(usize, usize)> {
    let inside = |x, y| boxes.iter().any(|&(l, t, r, b)| x >= l && x < r && y >= t && y < b);
    (0..32).flat_map(|y| (0..64).map(move |x| (x, y))).filter(|&(x, y)| inside(x, y)).collect()
}

#[test]
fn whole_body_boxes_are_filled_and_body_points_stand_in_where_there_are_none() {
    // The first person has a face box; the second only points: ears 10 apart, so 12 wide around (48, 4.6).
    assert_eq!(mask("coco.dilate = 0", "face"), filled(&[(8, 4, 16, 12), (42, 0, 54, 11)]));
    // A right hand's box, widened to whole pixels, and one beyond a wrist 8 below its elbow.
    assert_eq!(mask("coco.dilate = 0", "hand"), filled(&[(24, 16, 28, 19), (41, 17, 47, 24)]));
    assert_eq!(mask("coco.dilate = 0", "righthand"), mask("coco.dilate = 0", "hand"));
}

#[test]
fn boxes_grow_with_the_size_of_the_picture() {
    // 16 pixels at 1024 are one pixel at 64.
    assert_eq!(mask("", "glove"), filled(&[(55, 23, 64, 32)]));
    assert_eq!(mask("coco.dilate = 32", "glove"), filled(&[(54, 22, 64, 32)]));
}

#[test]
fn categories_and_parts_may_be_joined_and_drawn_as_polygons() {
    assert_eq!(
        mask("coco.dilate = 0", "glove + person"),
        filled(&[(0, 0, 30, 32), (40, 0, 60, 32), (56, 24, 64, 32)])
    );
    let triangle = mask("coco.dilate = 0\ncoco.shape = \"points\"", "glove");
    assert_eq!(triangle.len(), 36, "half of 64 and half of the diagonal: {triangle:?}");
    assert!(triangle.contains(&(63, 24)) && !triangle.contains(&(56, 31)));
    let face = mask("coco.dilate = 0\ncoco.shape = \"points\"", "face");
    let first: Vec<_> = face.iter().filter(|p| p.0 < 30).collect();
    assert!(first.contains(&&(12, 7)) && !first.contains(&&(9, 10)), "{first:?}");
    assert!(!first.iter().any(|p| p.1 > 11), "points that are not seen count for nothing");
}

#[test]
fn coco_faults_are_named() {
    let dir = dataset();
    let open = |text: &str, region: &str| {
        let text = format!("path = \".\"\n{text}");
        Dataset::open(dir.path(), &spec(&text), &[Region::new("r", region)]).unwrap_err().to_string()
    };
    let list = "coco.annotations = \"annotations/people_val2017.json\"";
    let error = open(list, "nose");
    assert!(error.contains("names \"nose\"; the annotations have face, glove, hand"), "{error}");
    put(&dir, "broken.json", "{\"images\": 3}");
    assert!(open("coco.annotations = \"broken.json\"", "face").contains("is not a COCO annotation file"));
    assert!(open("layout = \"coco\"", "face").contains("set `coco.annotations`"));
    for (key, more) in [("annotations", ""), ("captions", list), ("images", list)] {
        let error = open(&format!("{more}\ncoco.{key} = \"gone\""), "face");
        assert!(error.contains(&format!("set `coco.{key}`")) && error.contains("gone"), "{error}");
    }
    write_all_sized(&dir, &["val2017/a.png"], 32, 32);
    let error = open(list, "face");
    assert!(error.contains("people_val2017.json: is 64 x 32 pixels, but 32 x 32 are needed"), "{error}");
    put(&dir, "annotations/people_val2017.json", ANNOTATIONS.replace("\"caption\": \"nobody\"", "\"x\": 0"));
    assert!(open(list, "face").contains("b.png: the picture has no caption"), "{}", open(list, "face"));
}

#[test]
fn captions_come_from_their_own_file() {
    let dir = dataset();
    put(
        &dir,
        "annotations/c.json",
        r#"{"annotations": [{"image_id": 8, "id": 1, "caption": " B "}, {"image_id": 8, "id": 2, "caption": "C"}]}"#,
    );
    let text = "path = \"annotations/people_val2017.json\"\ncoco.captions = \"annotations/c.json\"";
    let data = Dataset::open(dir.path(), &spec(text), &[]).unwrap();
    let found: Vec<_> = data.items().iter().map(|i| i.caption.as_str()).collect();
    assert_eq!(found, ["two people", "B"]);
    let data = Dataset::open(dir.path(), &spec(&format!("{text}\ncoco.annotated_only = true")), &[]).unwrap();
    assert_eq!(data.len(), 1);
}

#[test]
fn a_file_without_people_has_no_faces_to_train_on() {
    let dir = dataset();
    let instances = r#"{
      "images": [{"id": 7, "file_name": "val2017/a.png", "width": 64, "height": 32, "caption": "x"}],
      "categories": [{"id": 3, "name": "glove"}],
      "annotations": [
        {"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "segmentation": {"size": [32, 64], "counts": [1]}}
      ]
    }"#;
    put(&dir, "instances.json", instances);
    let open = |region: &str| {
        Dataset::open(dir.path(), &spec("path = \"instances.json\""), &[Region::new("r", region)])
    };
    let error = open("face").unwrap_err();
    assert_eq!(error.errors.len(), 1, "{error}");
    assert!(error.to_string().contains("no annotation of this file has keypoints"), "{error}");
    assert!(open("glove").is_ok());
    assert_eq!(infer_regions(dir.path(), &spec("path = \"instances.json\"")), []);
    assert_eq!(infer_regions(dir.path(), &spec("path = \"annotations/people_val2017.json\"")).len(), 2);
}

#[test]
fn annotations_may_hold_pythons_nan_where_it_is_not_read() {
    let dir = dataset();
    let instances = r#"{
      "images": [{"id": 7, "file_name": "val2017/a.png", "width": 64, "height": 32, "caption": "x"}],
      "categories": [{"id": 3, "name": "glove"}],
      "annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 4], "area": NaN, "score": -Infinity}]
    }"#;
    put(&dir, "instances.json", instances);
    let data =
        Dataset::open(dir.path(), &spec("path = \"instances.json\""), &[Region::new("glove", "glove")]);
    assert!(data.unwrap().item(0).masks[0].is_some());
}

/// The annotations `list` of `a.png`, 64 x 32 with the id 7, and what they give for the category `glove`:
/// errors, or the warnings and the mask's shapes.
fn gloves(list: &str, spec_text: &str) -> Result<(Vec<String>, Vec<Shape>), String> {
    let dir = dataset();
    let file = format!(
        r#"{{"images": [{{"id": 7, "file_name": "val2017/a.png", "width": 64, "height": 32, "caption": "x"}}],
            "categories": [{{"id": 3, "name": "glove"}}], "annotations": [{list}]}}"#
    );
    put(&dir, "instances.json", file);
    let text = format!("path = \"instances.json\"\ncoco.dilate = 0\n{spec_text}");
    let data = Dataset::open(dir.path(), &spec(&text), &[Region::new("glove", "glove")]);
    let data = data.map_err(|e| e.to_string())?;
    let shapes = match &data.item(0).masks[0] {
        Some(MaskSource::Shapes(shapes)) => shapes.shapes.clone(),
        _ => Vec::new(),
    };
    Ok((messages(&data), shapes))
}

const BOX: [Shape; 1] = [Shape::Box([8.0, 4.0, 16.0, 12.0])];

#[test]
fn an_outline_that_cannot_be_drawn_leaves_the_box() {
    for outline in ["[]", "[[1, 2, 3, 4]]", "null", "[[]]", "{\"size\": [32, 64], \"counts\": [1, 2]}", "3"] {
        let list = format!(
            r#"{{"id": 5, "image_id": 7, "category_id": 3, "bbox": [8, 4, 8, 8], "segmentation": {outline}}}"#
        );
        for shape in ["box", "points"] {
            let (warnings, shapes) = gloves(&list, &format!("coco.shape = \"{shape}\"")).unwrap();
            assert_eq!(shapes, BOX, "{outline} {shape}");
            assert!(warnings.iter().all(|w| w.contains("annotation 5: its segmentation")), "{warnings:?}");
        }
    }
}

#[test]
fn boxes_that_are_no_boxes_are_told_by_their_annotation() {
    for (bbox, told) in [
        ("[1, NaN, 3, 4]", "annotation 5: its bbox [1.0, NaN, 3.0, 4.0] must be four finite numbers"),
        ("[1, null, 3, 4]", "must be four finite numbers"),
        ("[1, 2, 3]", "annotation 5: its bbox [1.0, 2.0, 3.0] must be four"),
        ("\"1 2 3 4\"", "must be four finite numbers"),
        ("[1e300, 2, 3, 4]", "must be four finite numbers"),
        ("[0.125, 0.25, 0.5, 0.5]", "annotation 5: its bbox [0.125, 0.25, 0.5, 0.5] seems to be in shares"),
    ] {
        let list = format!(r#"{{"id": 5, "image_id": 7, "category_id": 3, "bbox": {bbox}}}"#);
        let error = gloves(&list, "").unwrap_err();
        assert!(error.contains(told), "{bbox}: {error}");
        // What no region asks for does not matter.
        assert!(gloves(&list.replace("\"category_id\": 3", "\"category_id\": 4"), "").is_ok(), "{bbox}");
    }
    for (bbox, told) in [
        ("null", "annotation 5: it has no bbox"),
        ("[1, 2, 0, 4]", "annotation 5: its bbox [1.0, 2.0, 0.0, 4.0] is empty"),
        (
            "[90, 2, 3, 4]",
            "annotation 5: its bbox [90.0, 2.0, 3.0, 4.0] lies outside of its picture, 64 x 32",
        ),
        ("[0, 0, 0.5, 0.5]", "annotation 5: its bbox [0.0, 0.0, 0.5, 0.5] seems to be in shares"),
    ] {
        let list = format!(
            r#"{{"id": 5, "image_id": 7, "category_id": 3, "bbox": {bbox}}},
               {{"id": 6, "image_id": 7, "category_id": 3, "bbox": [8, 4, 8, 8]}}"#
        );
        let (warnings, shapes) = gloves(&list, "").unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(told), "{bbox}: {warnings:?}");
        assert!(shapes.contains(&BOX[0]), "{shapes:?}");
    }
}

#[test]
fn ids_and_sizes_may_be_written_as_text_or_with_a_point() {
    for (id, size) in [("\"7\"", "\"64\""), ("7.0", "64.0"), ("\"a7\"", "64")] {
        let dir = dataset();
        let file = format!(
            r#"{{"images": [{{"id": {id}, "file_name": "val2017/a.png", "width": {size}, "height": 32, "caption": "x"}}],
            "categories": [{{"id": {id}, "name": "glove"}}],
            "annotations": [{{"id": {id}, "image_id": {id}, "category_id": {id}, "bbox": [8.0, "4", 8, 8]}}]}}"#
        );
        put(&dir, "instances.json", file);
        let regions = [Region::new("glove", "glove")];
        let data = Dataset::open(dir.path(), &spec("path = \"instances.json\""), &regions).unwrap();
        assert!(data.item(0).masks[0].is_some(), "{id}");
        assert!(messages(&data).is_empty(), "{:?}", messages(&data));
    }
}

#[test]
fn records_that_belong_to_nothing_are_told() {
    let one = |id: u32, image: &str| {
        format!(r#"{{"id": {id}, "image_id": {image}, "category_id": 3, "bbox": [8, 4, 8, 8]}}"#)
    };
    let list: Vec<String> = (1..=12).map(|id| one(id, "99")).chain([one(13, "7")]).collect();
    let (warnings, shapes) = gloves(&list.join(","), "").unwrap();
    assert_eq!(shapes, BOX);
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("annotation 1: its image_id 99 is no picture of this file; likewise"));
    assert!(warnings[0].ends_with("annotations 2, 3, 4, 5, 6, 7, 8 and 4 more"), "{warnings:?}");
    let other_size = r#"{"id": 5, "image_id": 7, "category_id": 3, "bbox": [8, 4, 8, 8],
        "segmentation": {"size": [64, 128], "counts": "abc"}}"#;
    let error = gloves(other_size, "").unwrap_err();
    assert!(error.contains("annotation 5: its segmentation is of a picture of 128 x 64 pixels"), "{error}");
}

#[test]
fn pictures_without_a_size_or_of_the_same_id_are_errors() {
    let open = |pictures: &str| {
        let dir = dataset();
        let file = format!(
            r#"{{"images": [{pictures}], "categories": [{{"id": 3, "name": "glove"}}],
                "annotations": [{{"id": 5, "image_id": 7, "category_id": 3, "bbox": [8, 4, 8, 8]}}]}}"#
        );
        put(&dir, "instances.json", file);
        let regions = [Region::new("glove", "glove")];
        Dataset::open(dir.path(), &spec("path = \"instances.json\""), &regions).unwrap_err().to_string()
    };
    let picture = |rest: &str| format!(r#"{{"file_name": "val2017/a.png", "caption": "x", {rest}}}"#);
    let error = open(&picture(r#""id": 7, "width": null, "height": 32.5"#));
    assert!(
        error.contains("picture 7: its width and height, NaN and 32.5, must be whole numbers"),
        "{error}"
    );
    let good = picture(r#""id": 7, "width": 64, "height": 32"#);
    let error = open(&format!("{good}, {good}"));
    assert!(error.contains("picture 7: another picture has the same id"), "{error}");
    let error = open(&format!("{good}, {}", picture(r#""width": 64, "height": 32"#)));
    assert!(error.contains("picture number 2 of the list: it has no id"), "{error}");
    let error = open(&format!("{good}, {{\"id\": 9, \"width\": 1, \"height\": 1}}"));
    assert!(error.contains("picture 9: it has no file_name"), "{error}");
}

#[test]
fn run_lengths_are_drawn_and_an_outline_without_a_box_is_one() {
    let with = |outline: &str, more: &str| {
        format!(r#"{{"id": 5, "image_id": 7, "category_id": 3, "segmentation": {outline}{more}}}"#)
    };
    let runs = |counts: &str, more: &str| with(&format!(r#"{{"size": [32, 64], "counts": {counts}}}"#), more);
    // The pixels of `BOX`, as a list and as pycocotools packs it.
    let list = format!("[260, {} 8, 1556]", "8, 24, ".repeat(7));
    for counts in [list.as_str(), "\"T88h00000000000000l_1\""] {
        for shape in ["box", "points"] {
            let found = gloves(&runs(counts, ""), &format!("coco.shape = \"{shape}\"")).unwrap();
            assert_eq!(found, (Vec::new(), BOX.to_vec()), "{counts} {shape}");
        }
    }
    let polygon = with("[[8, 4, 16, 4, 16, 12, 8, 12]]", "");
    assert_eq!(gloves(&polygon, "").unwrap(), (Vec::new(), BOX.to_vec()));
    let points = "coco.shape = \"points\"";
    let (_, shapes) = gloves(&runs("\"T88h00000000000000`h0JfWO1[e0\"", ""), points).unwrap();
    let two = [Shape::Box([40.0, 20.0, 41.0, 22.0]), Shape::Box([41.0, 20.0, 42.0, 23.0])];
    assert_eq!(shapes, [&BOX[..], &two[..]].concat());
    let (_, whole) = gloves(&runs("[3, 2045]", ""), points).unwrap();
    assert_eq!(whole, [Shape::Box([0.0, 3.0, 1.0, 32.0]), Shape::Box([1.0, 0.0, 64.0, 32.0])]);
    let line = r#"{"size": [1, 4294967295], "counts": [0, 4294967295]}"#;
    let error = gloves(&with(line, ""), points).unwrap_err();
    assert!(error.contains("4294967295 x 1 pixels"), "{error}");
    // What does not fill the picture, or is no such text.
    for counts in ["\"T8\"", "[260, -1]", "[260, 1788.5]", "\"~\"", "\"P\"", "\"PPPPPPPPPPPPPPP0\"", "7"] {
        let (warnings, shapes) = gloves(&runs(counts, r#", "bbox": [8, 4, 8, 8]"#), points).unwrap();
        assert_eq!(shapes, BOX, "{counts}");
        assert!(warnings[0].contains("annotation 5: its segmentation has neither a polygon"), "{warnings:?}");
    }
}

#[test]
fn run_lengths_that_are_widened_become_one_convex_shape() {
    let list = ANNOTATIONS
        .replace("[[56, 24, 64, 24, 64, 32]]", r#"{"size": [32, 64], "counts": "T88h00000000000000l_1"}"#);
    let dir = dataset();
    put(&dir, "annotations/people_val2017.json", list);
    let text = "path = \"annotations/people_val2017.json\"\ncoco.shape = \"points\"";
    let data = Dataset::open(dir.path(), &spec(text), &[Region::new("r", "glove")]).unwrap();
    let geometry = GeometrySpec { width: 64, height: 32, ..GeometrySpec::default() };
    let sample = data.load(0, &draw(&geometry, (64, 32), 0, 0, 0), 1, Wanted::ALL).unwrap();
    let cells = &sample.masks[0].as_ref().unwrap().cells;
    let found: Vec<_> = (0..64 * 32).filter(|i| cells[*i] == 1.0).map(|i| (i % 64, i / 64)).collect();
    assert_eq!(found, filled(&[(7, 3, 17, 13)]));
}

#[test]
fn key_points_are_taken_by_their_names_and_those_of_no_body_are_none() {
    let open = |names: &str, points: &str| {
        let dir = dataset();
        let file = format!(
            r#"{{"images": [{{"id": 7, "file_name": "val2017/a.png", "width": 64, "height": 32, "caption": "x"}}],
                "categories": [{{"id": 1, "name": "person"{names}}}],
                "annotations": [{{"id": 5, "image_id": 7, "category_id": 1, "keypoints": [{points}]}}]}}"#
        );
        put(&dir, "instances.json", file);
        let text = "path = \"instances.json\"\ncoco.dilate = 0";
        let data = Dataset::open(dir.path(), &spec(text), &[Region::new("hand", "hand")]);
        data.map(|data| data.item(0).masks[0].clone()).map_err(|e| e.to_string())
    };
    // A forearm of 8 pixels from (44, 10) down: COCO's points 8 and 10 where they have no names.
    let unnamed = format!("{}44, 10, 2, 0, 0, 0, 44, 18, 2", "0, 0, 0, ".repeat(8));
    let expected = open("", &unnamed).unwrap();
    assert!(
        matches!(&expected, Some(MaskSource::Shapes(shapes)) if shapes.shapes.len() == 1),
        "{expected:?}"
    );
    let named = r#", "keypoints": ["right_wrist", "Right Elbow", "head"]"#;
    assert_eq!(open(named, "44, 18, 2, 44, 10, 2, 1, 1, 2"), Ok(expected.clone()));
    assert_eq!(open(named, "44, 18, 2, 44, 10, 2, 1, 1, 2, 5, 5, 2"), Ok(expected.clone()), "one more");
    // Names that say nothing, and Halpe's points, which begin with COCO's.
    let followed = |more: usize| format!("{unnamed}{}", ", 9, 9, 2".repeat(more));
    let numbers = format!(r#", "keypoints": {:?}"#, (1..=17).map(|i| i.to_string()).collect::<Vec<_>>());
    assert_eq!(open(&numbers, &followed(6)), Ok(expected.clone()));
    assert_eq!(open("", &followed(15)), Ok(expected));
    assert!(open(named, "").unwrap_err().contains("no annotation of this file has keypoints of a body"));
    let error = open(named, "44, 18, 44, 10, 1, 1").unwrap_err();
    assert!(error.contains("annotation 5: its keypoints must be finite numbers, three for each"), "{error}");
    // A hand's points; and more than a body has.
    let finger = r#", "keypoints": ["wrist", "thumb1", "thumb2"]"#;
    for (names, points) in [(finger, "44, 18, 2, 44, 10, 2, 1, 1, 2"), ("", &["3, 3, 2"; 21].join(", "))] {
        let error = open(names, points).unwrap_err();
        assert!(error.contains("no annotation of this file has keypoints of a body"), "{error}");
        assert!(error.contains("its categories are person"), "{error}");
    }
}

#[test]
fn pictures_are_found_where_other_programs_put_them() {
    let list = ANNOTATIONS.replace("\"width\": 64, \"height\": 32", "\"width\": 16, \"height\": 16");
    for (file, folder) in [
        ("annotations/instances_default.json", "images/default"),
        ("annotations/instances_train2017.json", "images/train2017"),
        ("labels.json", "data"),
        ("train/_annotations.coco.json", "train"),
    ] {
        let dir = TempDir::new().unwrap();
        write_all_sized(&dir, &[&format!("{folder}/a.png"), &format!("{folder}/b.png")], 16, 16);
        put(&dir, file, &list);
        let data = Dataset::open(dir.path(), &spec(&format!("path = \"{file}\"")), &[]).unwrap();
        assert_eq!(data.len(), 2, "{file}");
    }
    let dir = TempDir::new().unwrap();
    write_all_sized(&dir, &["elsewhere/a.png", "elsewhere/b.png"], 16, 16);
    put(&dir, "labels.json", &list);
    let open = |more: &str| Dataset::open(dir.path(), &spec(&format!("path = \"labels.json\"{more}")), &[]);
    let error = open("").unwrap_err().to_string();
    assert!(
        error.contains("such as a.png") && error.contains("set `coco.images` to their folder"),
        "{error}"
    );
    assert!(open("\ncoco.images = \"elsewhere\"").is_ok());
}
