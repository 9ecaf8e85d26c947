//! Texts about the program: the schema of recipes, shell completions, man pages, help.

use serde_json::Value;

use crate::world::World;

#[test]
fn the_schema_is_json_with_every_table() {
    let world = World::empty();
    let schema: Value = serde_json::from_str(&world.ok(&["schema"])).unwrap();
    for table in ["model", "dataset", "lora", "controlnet", "optimizer", "objective", "validation", "samples"]
    {
        assert!(schema["properties"][table]["description"].is_string(), "{table}");
    }
    assert_eq!(schema["additionalProperties"], false);
    assert!(!schema.to_string().contains("\"null\""));
}

#[test]
fn every_shell_has_a_script_that_knows_the_commands() {
    let world = World::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = world.ok(&["completions", shell]);
        assert!(script.contains("quickstart") && script.contains("--dry-run") || shell == "fish", "{shell}");
    }
}

#[test]
fn there_is_a_man_page_for_every_command() {
    let world = World::empty();
    world.ok(&["man", "--out", "man"]);
    let pages = world.files("man");
    for page in ["fairhuman.1", "fairhuman-train.1", "fairhuman-models-get.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} is not among {pages:?}");
    }
    let page = String::from_utf8(world.bytes("man/fairhuman-train.1")).unwrap();
    assert!(page.contains("dry\\-run"), "{page}");
}

#[test]
fn help_has_help() {
    let world = World::empty();
    assert_eq!(world.ok(&["help", "--help"]), world.ok(&["help"]));
}
