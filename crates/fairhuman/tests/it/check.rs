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
    assert_eq!(report["diagnostics"][0]["kind"], "not-a-picture");
    assert_eq!(report["diagnostics"][0]["file"], picture);
    assert_eq!(report["captions"]["estimated"], false);
}

#[test]
#[cfg(unix)]
fn a_contact_sheet_gets_its_folder_and_replaces_the_old_one_at_once() {
    let world = World::new(&[]);
    world.ok(&["check", "people", "--size", "64", "--html", "new/sheet.html"]);
    let old = world.bytes("new/sheet.html");
    // Who has the old page open keeps it whole: the new one is another file.
    std::fs::hard_link(world.path("new/sheet.html"), world.path("open.html")).unwrap();
    world.ok(&["check", "people", "--size", "64", "--html", "new/sheet.html", "--pictures", "1"]);
    assert!(world.bytes("new/sheet.html").len() < old.len());
    assert_eq!(world.bytes("open.html"), old);
    // A place that cannot be is told before anything is read.
    let error = world.fails(&["check", "people", "--html", "open.html/sheet.html"]);
    assert!(error.contains("open.html") && !error.contains("pictures"), "{error}");
    for size in ["7", "16385"] {
        assert_eq!(world.run(&["check", "people", "--size", size]).status.code(), Some(2));
    }
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
    let error = world.fails(&["check", "nowhere"]);
    assert!(error.contains("nowhere: there is no such dataset or recipe"), "{error}");
}

#[test]
fn a_model_is_no_dataset() {
    let world = World::new(&[]);
    for model in ["tiny", "tiny/unet/diffusion_pytorch_model.safetensors"] {
        let error = world.fails(&["check", model]);
        assert!(error.contains("this is a model") && error.lines().count() == 1, "{error}");
    }
}
