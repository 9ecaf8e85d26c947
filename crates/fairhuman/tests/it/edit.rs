//! `fairhuman edit` by plain sockets: masks and captions change in the dataset's files, for the browser that
//! was given the address, and for nobody else.

use std::io::Read;
use std::time::{Duration, Instant};

use fairhuman_files::FolderLock;
use serde_json::{Value, json};

use crate::watch::{Page, is, start};
use crate::world::World;

/// People, a model and the recipe, with the dataset's page.
fn people() -> (World, Page) {
    let world = World::new(&[("steps = 6", "steps = 2")]);
    let page = Page::of(&world, &["edit", "people", "--port", "0"]);
    (world, page)
}

/// The content of an answer.
fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap_or_default().1
}

fn item(page: &Page, index: usize) -> Value {
    let answer = page.known(&format!("GET /data/0/item/{index}"), &[]);
    assert!(is(&answer, "200") && answer.contains("application/json"), "{answer}");
    serde_json::from_str(body(&answer)).unwrap()
}

/// A body, as the last header of a request: the ends of lines that follow it are part of it, and are nothing
/// in JSON.
fn with_body(text: &str) -> String {
    format!("Content-Length: {}\r\n\r\n{text}", text.len() + 4)
}

/// Sends a change; the answer.
fn post(page: &Page, path: &str, change: &Value, more: &[&str]) -> String {
    let text = change.to_string();
    let (host, cookie) = (page.host(), page.cookie());
    let token = format!("X-Fairhuman-Token: {}", page.token);
    let length = with_body(&text);
    let headers = [&[host.as_str(), &cookie, &token], more, &[length.as_str()]].concat();
    page.ask(&format!("POST {path}"), &headers)
}

fn white(world: &World, name: &str) -> usize {
    let mask = image::open(world.path(name)).unwrap().into_luma8();
    mask.pixels().filter(|pixel| pixel.0[0] == 255).count()
}

#[test]
fn masks_and_captions_change_in_the_datasets_files() {
    let (world, page) = people();
    let answer = page.known("GET /data/0", &[]);
    assert!(is(&answer, "200") && answer.contains("images/00009.png"), "{answer}");
    assert!(answer.contains("img-src 'self' data:") && !answer.contains("<script>"), "{answer}");
    for path in ["/data.js", "/data.css"] {
        assert!(is(&page.known(&format!("GET {path}"), &[]), "200"), "{path}");
    }
    let entry = item(&page, 3);
    assert_eq!((&entry["name"], &entry["width"]), (&json!("images/00003.png"), &json!(64)));
    assert_eq!(entry["masks"][0]["region"], "face");
    assert_eq!((&entry["fixed"], &entry["masks"][0]["fixed"]), (&Value::Null, &Value::Null));

    let strokes = json!({
        "0": [{ "kind": "all", "paint": false },
              { "kind": "box", "paint": true, "corners": [[8, 8], [24.5, 24]] },
              { "kind": "brush", "paint": false, "radius": 2.5, "points": [[16, 0], [16.5, 64]] }],
        "1": [{ "kind": "all", "paint": false }],
    });
    let change =
        json!({ "version": entry["version"], "caption": "a \"new\" caption, né", "strokes": strokes });
    let answer = post(&page, "/data/0/item/3", &change, &[]);
    assert!(is(&answer, "200"), "{answer}");
    let fresh: Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(fresh["caption"], "a \"new\" caption, né");
    assert_ne!(fresh["version"], entry["version"]);
    assert_eq!(fresh, item(&page, 3));
    let rows: Vec<Value> = String::from_utf8(world.bytes("people/metadata.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!((rows.len(), &rows[3]["text"], &rows[3]["mask_hand"]), (10, &fresh["caption"], &Value::Null));
    let mask = world.path("people").join(rows[3]["mask_face"].as_str().unwrap());
    assert!(world.path("people/.before/metadata.jsonl").is_file());
    let painted = white(&world, &mask.display().to_string());
    assert!((16 * 16 - 6 * 16..=16 * 16 - 5 * 16 + 16).contains(&painted), "{painted}");
    // Readers see it, and find nothing wrong.
    let report = world.ok(&["check", "people", "--json"]);
    assert!(report.contains("a \\\"new\\\" caption"), "{report}");

    // The same change again is of what is no longer there.
    let answer = post(&page, "/data/0/item/3", &change, &[]);
    assert!(is(&answer, "409") && answer.contains("have changed since"), "{answer}");
    // Pictures are those of the item.
    for (path, kind) in [("small/3", "image/jpeg"), ("picture/3", "image/jpeg"), ("mask/3/0", "image/png")] {
        let mut bytes = Vec::new();
        let (host, cookie) = (page.host(), page.cookie());
        page.send(&format!("GET /data/0/{path}"), &[&host, &cookie]).read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        assert!(is(&head, "200") && head.contains(&format!("Content-Type: {kind}\r\n")), "{head}");
        let picture = image::load_from_memory(&bytes[end..]).unwrap();
        assert_eq!((picture.width(), picture.height()), (64, 64), "{path}");
    }
}

#[test]
fn nothing_is_changed_without_the_token_or_by_numbers_that_no_hand_makes() {
    let (world, page) = people();
    let before = world.bytes("people/metadata.jsonl");
    let change = json!({ "version": item(&page, 0)["version"], "caption": "theirs" });
    let text = change.to_string();
    let length = with_body(&text);
    let (host, cookie) = (page.host(), page.cookie());
    let token = format!("X-Fairhuman-Token: {}", page.token);
    let line = "POST /data/0/item/0";
    assert!(is(&page.ask(line, &[&host, &cookie, &length]), "403"), "the token");
    assert!(is(&page.ask(line, &[&host, &token, &length]), "403"), "the cookie");
    assert!(is(&page.ask(line, &["Host: evil.example", &cookie, &token, &length]), "421"));
    assert!(is(&post(&page, "/data/0/item/0", &change, &["Origin: http://evil.example"]), "403"));
    assert!(is(&post(&page, "/data/0/item/0", &change, &["Sec-Fetch-Site: cross-site"]), "403"));
    for path in ["/data/0", "/data/0/item/0", "/data/0/picture/0", "/data.js"] {
        assert!(is(&page.ask(&format!("GET {path}"), &[&host]), "403"), "{path}");
    }
    // Addresses hold numbers, and nothing else.
    for path in [
        "/data/1",
        "/data/0/item/10",
        "/data/0/item/-1",
        "/data/0/item/0/0",
        "/data/0/mask/0/2",
        "/data/0/mask/0",
        "/data/0/picture/..%2f..%2fx",
        "/data/0/../../etc/passwd",
        "/data/",
        "/data/0/item/99999999999999999999999",
    ] {
        assert!(is(&page.known(&format!("GET {path}"), &[]), "404"), "{path}");
    }
    for path in ["/data/0", "/data/0/item/10", "/data/0/item/x", "/data/0/picture/0", "/data/1/item/0"] {
        assert!(is(&post(&page, path, &change, &[]), "404"), "{path}");
    }
    assert!(is(&page.known("DELETE /data/0/item/0", &[]), "405"));

    let version = &change["version"];
    let refused = |change: Value, status: &str, words: &str| {
        let answer = post(&page, "/data/0/item/0", &change, &[]);
        assert!(is(&answer, status) && answer.contains(words), "{change}: {answer}");
    };
    let stroke = |stroke: Value| json!({ "version": version, "strokes": { "0": [stroke] } });
    refused(json!({ "version": version, "caption": "" }), "400", "empty");
    refused(json!({ "version": version, "caption": "\u{1b}[2J" }), "400", "U+001B");
    refused(json!({ "version": version, "file": "/etc/passwd" }), "400", "unknown field");
    refused(json!([1]), "400", "no change");
    refused(json!({ "version": "0", "caption": "x" }), "409", "changed since");
    refused(json!({ "version": version, "strokes": { "7": [] } }), "404", "no such");
    refused(
        stroke(json!({ "kind": "brush", "paint": true, "radius": 1e300, "points": [[1, 1]] })),
        "400",
        "",
    );
    refused(
        stroke(json!({ "kind": "brush", "paint": true, "radius": 1e9, "points": [[1, 1]] })),
        "400",
        "radius",
    );
    refused(
        stroke(json!({ "kind": "brush", "paint": true, "radius": -1, "points": [[1, 1]] })),
        "400",
        "radius",
    );
    refused(
        stroke(json!({ "kind": "brush", "paint": true, "radius": 5, "points": [[1e30, 1]] })),
        "400",
        "point",
    );
    refused(stroke(json!({ "kind": "spray", "paint": true })), "400", "unknown variant");
    let many: Vec<_> = (0..200_001).map(|_| [1, 1]).collect();
    refused(
        stroke(json!({ "kind": "brush", "paint": true, "radius": 5, "points": many })),
        "400",
        "points at once",
    );

    // Bodies that are none, too long, or not sent.
    assert!(is(&page.known(line, &[&token]), "411"));
    assert!(is(&page.known(line, &[&token, "Content-Length: 99999999999"]), "413"));
    assert!(is(&page.known(line, &[&token, "Transfer-Encoding: chunked", "Content-Length: 5"]), "411"));
    assert_eq!(world.bytes("people/metadata.jsonl"), before);
    assert!(!world.path("people/.before").exists());
}

#[test]
fn while_a_run_trains_on_the_dataset_saving_asks_first() {
    let world = World::new(&[("steps = 6", "steps = 100000"), ("every = 2, keep = 2", "every = 50000")]);
    let mut run = start(&world, &["train", "recipe.toml"]);
    let begin = Instant::now();
    let log = world.path("runs/recipe/events.jsonl");
    while !std::fs::read_to_string(&log).is_ok_and(|log| log.contains("\"step\",")) {
        assert!(begin.elapsed() < Duration::from_secs(240));
        std::thread::sleep(Duration::from_millis(50));
    }
    // By the recipe, by the dataset with the run in ./runs, and by the page of the run.
    for arguments in [&["edit", "recipe.toml"], &["edit", "people"], &["watch", "runs/recipe"]] {
        let page = Page::of(&world, &[&arguments[..], &["--port", "0"]].concat());
        assert!(page.known("GET /data/0", &[]).contains("trains on this dataset now"), "{arguments:?}");
        let entry = item(&page, 1);
        let caption = format!("{} twice", arguments.join(" "));
        let mut change = json!({ "version": entry["version"], "caption": caption });
        let answer = post(&page, "/data/0/item/1", &change, &[]);
        assert!(is(&answer, "428") && answer.contains("runs/recipe trains on"), "{answer}");
        assert_eq!(item(&page, 1)["caption"], entry["caption"]);
        change["anyway"] = true.into();
        assert!(is(&post(&page, "/data/0/item/1", &change, &[]), "200"));
        assert_eq!(item(&page, 1)["caption"], caption);
    }
    let page = Page::of(&world, &["watch", "runs/recipe", "--port", "0"]);
    assert!(page.known("GET /", &[]).contains("href=\"/data/0\""));
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(!page.known("GET /data/0", &[]).contains("trains on this dataset now"));
}

#[test]
fn a_save_waits_a_moment_for_another_one() {
    let (world, page) = people();
    let save = |index: usize| {
        let change = json!({ "version": item(&page, index)["version"], "caption": format!("new {index}") });
        post(&page, &format!("/data/0/item/{index}"), &change, &[])
    };
    let lock = FolderLock::take_for_a_while(&world.path("people")).unwrap();
    let answer = save(0);
    assert!(is(&answer, "409") && answer.contains("in use"), "{answer}");
    std::thread::scope(|scope| {
        let saving: Vec<_> = (0..4).map(|index| scope.spawn(move || save(index))).collect();
        std::thread::sleep(Duration::from_millis(300));
        drop(lock);
        for saved in saving {
            let answer = saved.join().unwrap();
            assert!(is(&answer, "200"), "{answer}");
        }
    });
    (0..4).for_each(|index| assert_eq!(item(&page, index)["caption"], format!("new {index}")));
}

#[test]
fn what_is_no_dataset_is_told_before_a_page_is_served() {
    let world = World::empty();
    assert!(world.fails(&["edit", "nowhere"]).contains("nowhere"));
    std::fs::create_dir(world.path("empty")).unwrap();
    assert!(world.fails(&["edit", "empty"]).contains("nor pictures"));
    assert!(world.fails(&["edit", "nowhere.toml"]).contains("nowhere.toml"));
}
