//! `fairhuman quickstart`, and the built-in model elsewhere, at a size that takes moments.

use crate::world::World;

const SMALL: [&str; 7] = ["quickstart", "--people", "16", "--steps", "2", "--sampling-steps", "2"];

#[test]
fn quickstart_tells_the_story_from_its_own_figures() {
    let world = World::empty();
    let said = world.ok(&SMALL);
    let page = String::from_utf8(world.bytes("quickstart/report.html")).unwrap();
    assert!(said.contains("report.html") && said.contains("fairhuman annotate"), "{said}");

    // The table has the held-out losses of the two runs, which began at the same place.
    let (plain, mpd) = (world.validations("quickstart/plain"), world.validations("quickstart/mpd"));
    assert_eq!(plain[0], mpd[0], "base: same pictures, noise and time steps");
    let last = [plain.last().unwrap(), mpd.last().unwrap()];
    assert_eq!(last[0].step, 2);
    assert_ne!(last[0].losses, last[1].losses);
    for (k, name) in ["global", "face", "hand"].into_iter().enumerate() {
        let line = said.lines().find(|line| line.starts_with(name)).unwrap();
        for value in [plain[0].losses[k], last[0].losses[k], last[1].losses[k]] {
            assert!(line.contains(&format!("{value:.5}")), "{line}: {value}");
        }
    }
    // Who won is said on the page in the same words as on the screen.
    let verdict = said.lines().find(|line| line.contains("the plain loss") && line.ends_with('.')).unwrap();
    assert!(page.contains(verdict), "{verdict}");

    // Same pictures in the same order: the recipes differ in the weighting alone.
    let samples = |run: &str| world.steps(run).into_iter().map(|step| (step.samples, step.timesteps));
    assert!(samples("quickstart/plain").eq(samples("quickstart/mpd")));
    assert_eq!(world.steps("quickstart/plain")[0].weights, [1.0, 0.0, 0.0]);

    // Pictures of prompts by base, plain and MPD, and of held-out people.
    assert!(page.contains("id=\"pictures-1\"") && page.contains("id=\"pictures-2\""));
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
