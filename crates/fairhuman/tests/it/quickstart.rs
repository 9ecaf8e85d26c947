//! `fairhuman quickstart`, and the built-in model elsewhere, at a size that takes moments.

use serde_json::Value;

use crate::world::World;

const SMALL: [&str; 7] = ["quickstart", "--people", "16", "--steps", "2", "--sampling-steps", "2"];

#[test]
fn quickstart_tells_the_story_from_its_own_figures() {
    let world = World::empty();
    let said = world.ok(&SMALL);
    let page = String::from_utf8(world.bytes("quickstart/report.html")).unwrap();
    assert!(said.contains("report.html") && said.contains("fairhuman annotate"), "{said}");

    // The table has the held-out losses of the runs, which began at the same place.
    let runs = ["plain", "sum", "mpd"].map(|way| world.validations(&format!("quickstart/{way}")));
    assert!(runs.iter().all(|run| run[0] == runs[0][0]), "base: same pictures, noise and time steps");
    let last = runs.each_ref().map(|run| run.last().unwrap());
    assert_eq!(last[0].step, 2);
    assert_ne!(last[0].losses, last[1].losses);
    for (k, name) in ["global", "face", "hand"].into_iter().enumerate() {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        for value in [runs[0][0].losses[k]].into_iter().chain(last.map(|look| look.losses[k])) {
            assert!(line.contains(&format!("{value:.5}")), "{line}: {value}");
        }
    }
    // What the numbers say is on the page in the same words as on the screen.
    let verdict = said.lines().find(|line| line.starts_with("The loss that gained least")).unwrap();
    assert!(page.contains(verdict), "{verdict}");

    // Same pictures in the same order: the recipes differ in the weighting alone.
    let samples = |run: &str| world.steps(run).into_iter().map(|step| (step.samples, step.timesteps));
    assert!(samples("quickstart/plain").eq(samples("quickstart/mpd")));
    assert_eq!(world.steps("quickstart/plain")[0].weights, [1.0, 0.0, 0.0]);

    // Pictures of held-out people and of prompts by base, plain, sum and MPD, and of the same poses.
    assert!((1..=3).all(|i| page.contains(&format!("id=\"pictures-{i}\""))));
    // Done is done: nothing is trained again, and the figures stay.
    let again = world.ok(&SMALL);
    let table = |text: &str| -> Vec<String> { text.lines().take(4).map(str::to_owned).collect() };
    assert_eq!(table(&said), table(&again));
    // Other steps are another quickstart: refused before anything is written.
    let before = world.files("quickstart").into_iter().map(|f| world.bytes(&format!("quickstart/{f}")));
    let before: Vec<_> = before.collect();
    let error = world.fails(&["quickstart", "--people", "16", "--steps", "3"]);
    assert!(error.contains("quickstart holds a quickstart with --steps 2"), "{error}");
    let after = world.files("quickstart").into_iter().map(|f| world.bytes(&format!("quickstart/{f}")));
    assert!(after.eq(before));
    // The recipes that were written can be run by hand.
    world.ok(&["train", "quickstart/mpd.toml", "--out", "by-hand", "--steps", "1"]);
    assert_eq!(world.steps("by-hand")[0], world.steps("quickstart/mpd")[0]);
    for file in ["quickstart/mpd.toml", "quickstart/mpd/recipe.toml", "by-hand/recipe.toml"] {
        let recipe = String::from_utf8(world.bytes(file)).unwrap();
        assert!(recipe.contains("path = \"builtin\"") && !recipe.contains("user-cache"), "{file}: {recipe}");
    }
}

#[test]
fn a_page_of_somebody_else_is_left_alone() {
    let world = World::empty();
    std::fs::create_dir(world.path("quickstart")).unwrap();
    std::fs::write(world.path("quickstart/report.html"), "mine").unwrap();
    let error = world.fails(&SMALL);
    assert!(error.contains("report.html is there already"), "{error}");
    assert_eq!(world.files("quickstart"), ["report.html"], "nothing was begun");
    assert_eq!(world.bytes("quickstart/report.html"), b"mine");
}

#[test]
fn the_builtin_model_is_what_sample_uses_without_a_model() {
    let world = World::empty();
    let folder = world.ok(&["models", "builtin"]);
    let prompt = ["sample", "--prompt", "a man", "--steps", "2", "--out"];
    world.ok(&[&prompt[..], &["a"]].concat());
    world.ok(&[&prompt[..], &["b", "--model", folder.trim()]].concat());
    let pixels = |file: &str| image::open(world.path(file)).unwrap().to_rgb8();
    assert_eq!(pixels("a/0000.png"), pixels("b/0000.png"));
    assert_eq!(pixels("a/0000.png").dimensions(), (96, 96));
}

#[test]
fn the_builtin_control_network_draws_hands_where_the_skeleton_has_them() {
    let world = World::empty();
    let people =
        ["people", "--count", "12", "--size", "96", "--figures", "1", "--near", "90", "--seed", "990"];
    world.ok(&[&people[..], &["--out", "drawn"]].concat());
    world.ok(&["control", "drawn"]);
    let list = std::fs::read_to_string(world.path("drawn/metadata.jsonl")).unwrap();
    let lines: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let prompts = lines.iter().map(|line| format!("{}\n", line["text"].as_str().unwrap()));
    std::fs::write(world.path("prompts.txt"), prompts.collect::<String>()).unwrap();
    let rgb = |file: String| image::open(world.path(file)).unwrap().to_rgb8();
    // How far pictures are from the drawings of the same people where these have hands.
    let distance = |extra: &[&str], out: &str| {
        let args = ["sample", "--prompts", "prompts.txt", "--steps", "8", "--seed", "1", "--out", out];
        world.ok(&[&args[..], extra].concat());
        let (mut sum, mut count) = (0.0, 0.0);
        for (i, line) in lines.iter().enumerate() {
            let Some(mask) = line["mask_hand"].as_str() else { continue };
            let mask = image::open(world.path(format!("drawn/{mask}"))).unwrap().to_luma8();
            let (drawn, made) = (rgb(format!("drawn/images/{i:05}.png")), rgb(format!("{out}/{i:04}.png")));
            for (x, y, _) in mask.enumerate_pixels().filter(|pixel| pixel.2.0[0] > 127) {
                let [a, b] = [&drawn, &made].map(|picture| picture.get_pixel(x, y).0.map(f64::from));
                sum += (0..3).map(|c| (a[c] - b[c]).abs()).sum::<f64>() / 3.0;
                count += 1.0;
            }
        }
        sum / count
    };
    let base = distance(&[], "base");
    let followed = distance(&["--control", "builtin", "--control-image", "drawn/conditioning"], "followed");
    assert!(followed < 0.75 * base, "{followed} of 255 with the skeletons, {base} without");
}
