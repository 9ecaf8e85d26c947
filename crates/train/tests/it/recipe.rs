//! Recipes: unknown keys are refused by name, values are checked together, a resolved recipe is a recipe.

use std::path::Path;

use fairhuman_fairness::{self as fairness, weighting::AlphaFair};
use fairhuman_train::method::MethodSettings;
use fairhuman_train::recipe::{Recipe, RecipeError, differences};

const SMALL: &str = r#"
steps = 10
model.path = "../models/m"
dataset.path = "../data/people"
objective = [{ name = "global" }, { name = "face", mask = "mask_face" }]
"#;

fn parse(text: &str) -> Result<Recipe, RecipeError> {
    Recipe::parse(Path::new("recipes/small.toml"), text)
}

fn problems(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn defaults_are_the_papers_but_for_a_loras_rank_and_rate() {
    let r = parse(SMALL).unwrap();
    assert_eq!((r.seed, r.batch, r.accumulation, r.max_grad_norm), (0, 1, 1, 1.0));
    assert_eq!((r.objective[0].scale, r.objective[1].scale), (1.0, 5.0));
    let MethodSettings::Lora(lora) = &r.method else {
        panic!("a LoRA is trained by default: {:?}", r.method)
    };
    assert_eq!((lora.rank, lora.alpha), (32, 32.0));
    assert_eq!(lora.targets, ["attention"]);
    let o = r.optimizer;
    assert_eq!((o.learning_rate, o.beta1, o.beta2, o.eps, o.weight_decay), (1e-4, 0.9, 0.999, 1e-8, 1e-2));
    assert_eq!((r.geometry.width, r.geometry.height), (1024, 1024));
    assert_eq!(r.weighting, fairness::Weighting::from(AlphaFair::new(2.0)).into());
}

/// recipes/reference.toml as a recipe of a method, with the keys marked `#?` or without.
fn reference(method: &str, optional: bool) -> Recipe {
    let text = include_str!("../../../../recipes/reference.toml");
    let (before, lora) = text.split_once("[lora]").unwrap();
    let (lora, after) = lora.split_once("\n\n").unwrap();
    let lora = if method == "lora" { format!("[lora]{lora}") } else { String::new() };
    let mut text = format!("{before}{lora}\n{after}").replace("\"lora\"  ", &format!("\"{method}\"  "));
    text = text.replace(&format!("#{method}? "), "");
    if method != "lora" {
        text = text.replace("learning_rate = 1e-4", "learning_rate = 1e-5");
    }
    if optional {
        text = text.replace("#? ", "");
    }
    if optional && method == "vae" {
        text = text.replace("min_snr_gamma", "# min_snr_gamma").split("[samples]").next().unwrap().into();
    }
    Recipe::parse(Path::new("recipes/reference.toml"), &text).unwrap()
}

fn keys(prefix: &str, value: &toml::Value, into: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => {
            table.iter().for_each(|(key, value)| keys(&format!("{prefix}.{key}"), value, into))
        }
        toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
            list.iter().for_each(|value| keys(prefix, value, into));
        }
        _ => into.push(prefix.to_owned()),
    }
}

#[test]
fn the_reference_recipe_has_every_key_and_its_default() {
    let least = |method: &str| {
        let text = format!(
            r#"
steps = 2000
method = "{method}"
out = "../runs/reference"
model.path = "../models/sdxl"
dataset.path = "../data/people"
objective = [
    {{ name = "global" }}, {{ name = "face", mask = "mask_face" }}, {{ name = "hand", mask = "mask_hand" }},
]"#
        );
        Recipe::parse(Path::new("recipes/reference.toml"), &text).unwrap()
    };
    let written: toml::Table = include_str!("../../../../recipes/reference.toml")
        .replace("#? ", "")
        .replace("#full? ", "")
        .replace("#vae? ", "")
        .parse()
        .unwrap();
    let mut there = Vec::new();
    keys("", &toml::Value::Table(written), &mut there);
    for method in ["lora", "full", "vae"] {
        assert_eq!(reference(method, false), least(method), "{method}: a default is another one");
        let full: toml::Table = reference(method, true).to_toml().parse().unwrap();
        let mut all = Vec::new();
        keys("", &toml::Value::Table(full), &mut all);
        for key in all {
            assert!(there.contains(&key), "recipes/reference.toml lacks {key}");
        }
    }
}

#[test]
fn paths_are_relative_to_the_recipes_folder_and_runs_to_the_current_one() {
    let r = parse(SMALL).unwrap();
    assert_eq!(r.model.path, Path::new("recipes/../models/m"));
    assert_eq!(r.dataset.path, Path::new("recipes/../data/people"));
    assert_eq!(r.out, Path::new("runs/small"));
    assert_eq!(r.cache, Path::new("runs/small/cache"));
}

#[test]
fn unknown_keys_are_refused_by_name_in_every_table() {
    for (extra, key) in [
        ("stepz = 1", "stepz"),
        ("[lora]\nranks = 4", "ranks"),
        ("[optimizer]\nlr = 4", "lr"),
        ("[schedule]\nwarm_up = 4", "warm_up"),
        ("[checkpoints]\nevry = 4", "evry"),
        ("[validation]\nshared = 4", "shared"),
        ("[geometry]\nresolution = 4", "resolution"),
    ] {
        // Top-level keys must come before tables.
        let text =
            if extra.starts_with('[') { format!("{SMALL}\n{extra}") } else { format!("{extra}\n{SMALL}") };
        let message = problems(&text);
        assert!(message.contains(key) && message.contains("small.toml"), "{message}");
    }
    let objective = SMALL.replace("mask = ", "masks = ");
    assert!(problems(&objective).contains("masks"));
    assert!(problems(&SMALL.replace("dataset.path", "dataset.paths")).contains("paths"));
}

#[test]
fn wrong_values_are_reported_all_at_once_with_key_expectation_and_finding() {
    let text = r#"
steps = 0
batch = 0
max_grad_norm = -1.0
model.path = "m"
dataset.path = "d"
objective = [{ name = "a b" }, { name = "x", scale = 0.0 }, { name = "x" }]
weighting = { kind = "fixed", weights = [1.0] }
lora = { rank = 0, formats = [] }
optimizer = { beta1 = 1.0, eps = 0.0 }
validation = { share = 1.5 }
"#;
    let message = problems(text);
    for part in [
        "steps: expected at least 1, found 0",
        "batch:",
        "max_grad_norm:",
        "objective 1 (\"a b\").name:",
        "objective 2 (\"x\").scale:",
        "objective 3 (\"x\").name: expected a name of its own",
        "weighting: 1 fixed weights for 3 objectives",
        "lora.rank:",
        "lora.formats:",
        "optimizer.beta1: expected a number in [0, 1), found 1",
        "optimizer.eps:",
        "validation.share:",
    ] {
        assert!(message.contains(part), "{part:?} is not in:\n{message}");
    }
    for (key, values) in [
        ("max_grad_norm", &["1e-300"][..]),
        ("min_snr_gamma", &["1e-300", "1e300"]),
        ("lora.alpha", &["1e-300", "1e300"]),
        ("optimizer.eps", &["1e-300", "1e30"]),
        (
            "weighting",
            &["{ kind = \"fixed\", weights = [1e-300, 1e-300] }", "{ kind = \"nash\", max_norm = 1e-300 }"],
        ),
    ] {
        for value in values {
            let message = problems(&format!("{SMALL}\n{key} = {value}"));
            assert!(message.contains(key) && message.len() < 300, "{key} = {value}: {message}");
        }
    }
    let scale = SMALL.replace("\"global\"", "\"global\", scale = 1e-300");
    assert!(problems(&scale).contains("scale: expected at least 1e-9, found 1e-300"));
    let slip = format!("{SMALL}\nlora.rank = 100000000");
    assert!(problems(&slip).contains("lora.rank: expected 1 to 8192, found 100000000"));
}

#[test]
fn how_often_gradients_are_made_is_a_key_of_the_weighting() {
    let with = |weighting: &str| parse(&format!("{SMALL}\nweighting = {{ {weighting} }}")).unwrap().weighting;
    for (weighting, every, average) in [
        ("kind = \"alpha-fair\"", 1, 1),
        ("kind = \"alpha-fair\", every = 10", 10, 10),
        ("kind = \"alpha-fair\", every = 10, average = 3", 10, 3),
        ("kind = \"mgda\", average = 3", 1, 3),
        // These need no gradients of single objectives: they are made for the log.
        ("kind = \"linear\"", 10, 1),
        ("kind = \"alpha-fair\", alpha = 0", 10, 1),
        ("kind = \"log\"", 10, 1),
        ("kind = \"log\", every = 1", 1, 1),
        ("kind = \"graddrop\"", 1, 1),
    ] {
        let found = with(weighting);
        assert_eq!((found.every, found.average), (every, average), "{weighting}");
    }
    let refused = |weighting: &str| problems(&format!("{SMALL}\nweighting = {{ {weighting} }}"));
    assert!(refused("kind = \"linear\", every = 0").contains("weighting.every: expected a whole number"));
    assert!(refused("kind = \"mgda\", average = 1.5").contains("weighting.average"));
    assert!(refused("kind = \"graddrop\", every = 10").contains("the gradients themselves"));
    assert!(refused("kind = \"mgda\", evry = 10").contains("evry"));
}

#[test]
fn priorities_may_be_named_and_what_they_do_not_fit_is_refused() {
    let with = |weighting: &str| format!("{SMALL}\nweighting = {{ kind = {weighting} }}");
    let recipe = parse(&with("\"alpha-fair\", priority = { face = 2.5 }, every = 10")).unwrap();
    let list = parse(&with("\"alpha-fair\", priority = [1, 2.5], every = 10")).unwrap();
    assert_eq!(recipe.weighting, list.weighting);
    assert!(recipe.to_toml().contains("priority = [1.0, 2.5]"), "{}", recipe.to_toml());
    let error = problems(&with("\"alpha-fair\", priority = { hand = 2.5 }"));
    assert!(error.contains("weighting.priority: no objective is called \"hand\""), "{error}");
    for (unread, kind) in [
        ("kind = \"mgda\", priority = { face = 2.5 }", "\"mgda\" does not read it"),
        ("kind = \"linear\", priority = [1, 2]", "\"linear\" does not read it"),
        ("kind = \"graddrop\", normalise = \"gradient\"", "\"graddrop\" does not read it"),
        ("priority = { face = 2.5 }", "there is no kind"),
        ("normalise = \"gradient\"", "there is no kind"),
    ] {
        let key = if unread.contains("priority") { "weighting.priority" } else { "weighting.normalise" };
        let error = problems(&format!("{SMALL}\nweighting = {{ {unread} }}"));
        assert!(error.contains(key) && error.contains(kind), "{unread}: {error}");
    }
    assert!(problems(&with("\"alpha-fair\", priority = { face = -1 }")).contains("priority"));
}

#[test]
fn a_scale_that_alpha_fair_weights_turn_around_is_noted() {
    let with = |scale: &str, weighting: &str| {
        let text = SMALL.replace("mask = \"mask_face\"", &format!("mask = \"mask_face\"{scale}"));
        parse(&format!("{text}\nweighting = {{ kind = {weighting} }}")).unwrap().notes()
    };
    assert_eq!(with("", "\"alpha-fair\""), [""; 0]);
    assert_eq!(with(", scale = 5.0", "\"alpha-fair\""), [""; 0]);
    let notes = with(", scale = 10.0", "\"alpha-fair\"");
    assert!(notes[0].contains("\"face\"") && notes[0].contains("less"), "{notes:?}");
    assert!(with(", scale = 1.0", "\"alpha-fair\", alpha = inf")[0].contains("more"));
    assert_eq!(with(", scale = 10.0", "\"alpha-fair\", alpha = 0.5"), [""; 0]);
    assert_eq!(with(", scale = 10.0", "\"alpha-fair\", normalise = \"gradient\""), [""; 0]);
    assert_eq!(with(", scale = 10.0", "\"linear\""), [""; 0]);
}

#[test]
fn a_recipe_without_objectives_says_what_to_write() {
    let text = SMALL.lines().filter(|l| !l.starts_with("objective")).collect::<Vec<_>>().join("\n");
    assert!(problems(&text).contains("[[objective]]"));
}

#[test]
fn the_resolved_recipe_is_a_recipe_that_resolves_to_itself() {
    for extra in [
        "",
        "min_snr_gamma = 5.0\nmax_grad_norm = inf\nweighting = { kind = \"alpha-fair\", alpha = inf }",
        "schedule = { decay = \"cosine\", warmup = 2 }\nvalidation = { samples = [\"images/1.png\"] }\nseed = 7",
        "weighting = { kind = \"alpha-fair\", every = 10, average = 5, priority = [1, 2] }",
        "weighting = { kind = \"fixed\", weights = [1, 2.5] }\nout = \"/tmp/run\"\ncache = \"/tmp/cache\"",
    ] {
        let mut first = parse(&format!("{SMALL}\n{extra}")).unwrap();
        // Saved recipes are read from wherever they are: relative paths are only right where they were
        // resolved.
        first.model.path = "/m".into();
        first.dataset.path = "/d".into();
        first.out = "/r".into();
        first.cache = "/r/cache".into();
        let again = Recipe::parse(Path::new("/r/recipe.toml"), &first.to_toml()).unwrap();
        assert_eq!(first, again);
    }
}

#[test]
fn a_recipe_may_grow_in_steps_and_differ_in_nothing_that_is_learnt() {
    let with = |extra: &str| parse(&format!("{SMALL}\n{extra}")).unwrap().to_toml();
    let before = with("");
    let longer = with("threads = 3\ncheckpoints.every = 7").replace("steps = 10", "steps = 20");
    assert_eq!(differences(&before, &longer).unwrap(), []);

    // Held-out losses at other noise are other numbers.
    let drawn = |draws: u64| with(&format!("validation = {{ share = 0.1, draws = {draws} }}"));
    let found: Vec<String> =
        differences(&drawn(4), &drawn(1)).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found, ["validation.draws: 4 -> 1"]);

    let other =
        with("optimizer.learning_rate = 0.5\nmin_snr_gamma = 5.0").replace("scale = 5.0", "scale = 4.0");
    let found: Vec<String> = differences(&before, &other).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "min_snr_gamma: (not set) -> 5.0",
            "objective[1].scale: 5.0 -> 4.0",
            "optimizer.learning_rate: 0.0001 -> 0.5",
        ]
    );
}

#[test]
fn a_decay_that_follows_the_steps_is_named_when_they_grow() {
    let linear = |steps: u64| {
        let text = SMALL.replace("steps = 10", &format!("steps = {steps}"));
        parse(&format!("{text}\nschedule.decay = \"linear\"")).unwrap().to_toml()
    };
    let found: Vec<String> =
        differences(&linear(10), &linear(20)).unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(found, ["schedule.decay_steps: 10 -> 20"]);
}

#[test]
fn paths_that_would_be_another_folder_are_refused() {
    for (key, path, words) in [
        ("out", "", "out: expected a path, found an empty text"),
        ("cache", "", "cache: expected a path, found an empty text"),
        ("out", "~/runs/first", "out: expected a path without `~`"),
        ("model.path", "~/models/sdxl", "model.path: expected a path without `~`"),
        ("dataset.path", "~", "dataset.path: expected a path without `~`"),
    ] {
        let others: String =
            SMALL.lines().filter(|line| !line.starts_with(key)).map(|l| format!("{l}\n")).collect();
        let error = problems(&format!("{key} = {path:?}\n{others}"));
        assert!(error.contains(words) && error.lines().count() == 2, "{error}");
    }
    assert!(parse(&SMALL.replace("../data/people", "../data/~people")).is_ok());
}

#[test]
fn words_for_a_number_are_no_types_of_rust() {
    assert!(problems(&format!("{SMALL}validation.share = \"10 %\"")).contains("expected a number"));
}

/// Its paths were found from the folder that the training ran in, not from the run folder.
#[test]
fn a_runs_own_recipe_has_its_paths_as_they_are() {
    let text = parse(SMALL).unwrap().to_toml();
    let of_run = format!("# The resolved recipe of this run: and more.\n\n{text}");
    let again = Recipe::parse(Path::new("runs/small/recipe.toml"), &of_run).unwrap();
    assert_eq!(again, parse(SMALL).unwrap());
    let other = Recipe::parse(Path::new("runs/small/recipe.toml"), &text).unwrap();
    assert_eq!(other.out, Path::new("runs/small/runs/small"));
}
