//! `fairhuman check`: exit codes, JSON and the contact sheet.

use serde_json::Value;

use crate::world::World;

#[test]
fn a_good_dataset_passes_and_a_damaged_one_fails_by_name() {
    let world = World::new(&[]);
    let output = world.run(&["check", "recipe.toml", "--html", "sheet.html"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("10 pictures") && text.contains("face") && text.contains("0 errors"), "{text}");
    assert!(!text.contains("about"), "tokens are the model's: {text}");
    let page = std::fs::read_to_string(world.path("sheet.html")).unwrap();
    assert_eq!(page.matches("<figure").count(), 10);

    let list = std::fs::read_to_string(world.path("people/metadata.jsonl")).unwrap();
    let first: Value = serde_json::from_str(list.lines().next().unwrap()).unwrap();
    let picture = first["image"].as_str().unwrap();
    std::fs::write(world.path("people").join(picture), "damaged").unwrap();
    let output = world.run(&["check", "recipe.toml", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["counts"]["errors"], 1);
    assert_eq!(report["findings"][0]["kind"], "not-a-picture");
    assert_eq!(report["findings"][0]["file"], picture);
    assert_eq!(report["captions"]["estimated"], false);
}

#[test]
fn a_folder_is_checked_without_a_recipe() {
    let world = World::new(&[]);
    let output = world.run(&["check", "people", "--size", "64"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("about") && text.contains("\n  face ") && text.contains("\n  hand "), "{text}");
    let output = world.run(&["check", "people", "--size", "64", "--region", "foot=mask_foot"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("no line has the column \"mask_foot\""), "{text}");
    let output = world.run(&["check", "nowhere"]);
    assert_eq!(output.status.code(), Some(1));
}
