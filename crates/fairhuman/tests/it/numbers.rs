//! Every number of a recipe, of the command line and of a model's configurations is tried with values that
//! nobody means: each is accepted, or refused by the name of its key, within seconds and 4 GiB of memory.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use fairhuman_train::recipe::Recipe;
use serde_json::Value;

use crate::world::World;

const WHOLE: [&str; 4] = ["0", "-1", "2147483648", "9223372036854775807"];
const REAL: [&str; 6] = ["0.0", "-1.0", "2147483648.0", "9223372036854775807.0", "1e308", "nan"];

/// Address space of a command, in KiB.
const MOST: u32 = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs a command within the limits; its exit code and what it said on stderr.
fn run(world: &World, arguments: &[&str]) -> (i32, String) {
    let program = assert_cmd::cargo::cargo_bin("fairhuman");
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -v {MOST}; exec \"$0\" \"$@\"")]).arg(program).args(arguments);
    command.current_dir(world.path("")).env("XDG_CACHE_HOME", world.path("user-cache")).timeout(PATIENCE);
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code();
    let died = || format!("{arguments:?}: signal {:?}, or too slow\n{error}", output.status.signal());
    (code.unwrap_or_else(|| panic!("{}", died())), error)
}

/// Asserts that a command succeeds, or fails by the name of `key`.
fn assert_told(world: &World, arguments: &[&str], key: &str, what: &str) {
    let (code, error) = run(world, arguments);
    assert!([0, 1, 2].contains(&code), "{what}: exit code {code}\n{error}");
    assert!(code == 0 || error.contains(key), "{what}: {key} is not in\n{error}");
}

/// Lines of a recipe; `{}` is the number.
const KEYS: [(&str, &[&str], &str); 48] = [
    ("steps", &WHOLE, "steps = {}"),
    ("seed", &WHOLE, "seed = {}"),
    ("batch", &WHOLE, "batch = {}"),
    ("accumulation", &WHOLE, "accumulation = {}"),
    ("max_grad_norm", &REAL, "max_grad_norm = {}"),
    ("min_snr_gamma", &REAL, "min_snr_gamma = {}"),
    ("stop_after_bad_steps", &WHOLE, "stop_after_bad_steps = {}"),
    ("threads", &WHOLE, "threads = {}"),
    ("ema", &REAL, "ema = {}"),
    ("clip_skip", &WHOLE, "model.clip_skip = {}"),
    ("mask_threshold", &REAL, "dataset.mask_threshold = {}"),
    ("max_pixels", &WHOLE, "dataset.max_pixels = {}"),
    ("dilate", &REAL, "dataset.coco.dilate = {}"),
    ("keep", &WHOLE, "dataset.captions.keep = {}"),
    ("dropout", &REAL, "dataset.captions.dropout = {}"),
    ("tag_dropout", &REAL, "dataset.captions.tag_dropout = {}"),
    ("repeats", &WHOLE, "dataset.folders = [{ path = \"images\", repeats = {} }]"),
    ("weight", &REAL, "dataset.folders = [{ path = \"images\", weight = {} }]"),
    ("width", &WHOLE, "geometry.width = {}"),
    ("height", &WHOLE, "geometry.height = {}"),
    ("flip", &REAL, "geometry.flip = {}"),
    ("step", &WHOLE, "geometry.buckets.step = {}"),
    ("min_side", &WHOLE, "geometry.buckets.min_side = {}"),
    ("max_side", &WHOLE, "geometry.buckets.max_side = {}"),
    ("scale", &REAL, "objective = [{ name = \"global\", scale = {} }]"),
    ("weight", &REAL, "weighting = { kind = \"fixed\", weights = [{}, 1.0] }"),
    ("alpha", &REAL, "weighting = { kind = \"alpha-fair\", alpha = {} }"),
    ("every", &WHOLE, "weighting = { kind = \"alpha-fair\", every = {} }"),
    ("average", &WHOLE, "weighting = { kind = \"alpha-fair\", average = {} }"),
    ("rank", &WHOLE, "lora.rank = {}"),
    ("alpha", &REAL, "lora.alpha = {}"),
    ("learning_rate", &REAL, "optimizer.learning_rate = {}"),
    ("beta1", &REAL, "optimizer.beta1 = {}"),
    ("beta2", &REAL, "optimizer.beta2 = {}"),
    ("eps", &REAL, "optimizer.eps = {}"),
    ("weight_decay", &REAL, "optimizer.weight_decay = {}"),
    ("warmup", &WHOLE, "schedule.warmup = {}"),
    ("decay_steps", &WHOLE, "schedule = { decay = \"cosine\", decay_steps = {} }"),
    ("every", &WHOLE, "checkpoints.every = {}"),
    ("keep", &WHOLE, "checkpoints.keep = {}"),
    ("every", &WHOLE, "validation.every = {}"),
    ("share", &REAL, "validation.share = {}"),
    ("draws", &WHOLE, "validation = { share = 0.2, draws = {} }"),
    ("seed", &WHOLE, "validation = { share = 0.2, seed = {} }"),
    ("kl", &REAL, "method = \"vae\"\nvae.kl = {}"),
    ("edges", &REAL, "method = \"vae\"\nvae.edges = {}"),
    ("every", &WHOLE, "samples.every = {}"),
    ("seed", &WHOLE, "samples.seed = {}"),
];
/// Numbers of `[samples]` that decide how much work there is.
const SAMPLES: [(&str, &[&str]); 5] = [
    ("steps", &WHOLE),
    ("guidance", &REAL),
    ("guidance_rescale", &REAL),
    ("width", &WHOLE),
    ("height", &WHOLE),
];

/// A recipe that trains in a moment, with one line replaced or added.
fn recipe(line: &str) -> String {
    let mut lines = vec![
        "steps = 1".to_owned(),
        "batch = 1".into(),
        "model.path = \"tiny\"".into(),
        "dataset.path = \"people\"".into(),
        "geometry.width = 64".into(),
        "geometry.height = 64".into(),
        "objective = [{ name = \"global\" }, { name = \"face\", mask = \"mask_face\" }]".into(),
        "lora.rank = 2".into(),
    ];
    if line.starts_with("method") {
        lines.retain(|own| !own.starts_with("lora"));
    }
    if line.starts_with("samples") {
        lines.push("samples.prompts = [\"a man\"]\nsamples.sampler = \"euler\"".into());
        if !line.starts_with("samples.steps") {
            lines.push("samples.steps = 1".into());
        }
    }
    let key = |line: &str| line.split(" = ").next().map(str::to_owned);
    lines.retain(|own| key(own) != key(line));
    let (top, tables): (Vec<String>, Vec<String>) =
        lines.into_iter().chain([line.to_owned()]).partition(|line| !line.contains('.'));
    [top, tables].concat().join("\n")
}

/// The numbers of a recipe's text, by their keys.
fn numbers(prefix: &str, value: &toml::Value, into: &mut Vec<String>) {
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(key, value)| {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            numbers(&key, value, into);
        }),
        toml::Value::Array(list) => list.iter().for_each(|value| numbers(prefix, value, into)),
        toml::Value::Integer(_) | toml::Value::Float(_) => into.push(prefix.to_owned()),
        _ => {}
    }
}

#[test]
fn every_number_of_a_recipe_is_tried() {
    let reference = include_str!("../../../../recipes/reference.toml");
    let reference =
        ["#? ", "#full? ", "#vae? "].iter().fold(reference.to_owned(), |t, mark| t.replace(mark, ""));
    let mut known = Vec::new();
    numbers("", &reference.parse::<toml::Table>().unwrap().into(), &mut known);
    let samples = SAMPLES.iter().map(|(key, _)| format!("samples.{key} = {{}}"));
    let tried: Vec<String> = KEYS.iter().map(|(.., line)| (*line).to_owned()).chain(samples).collect();
    for key in known {
        let (table, name) = key.rsplit_once('.').unwrap_or(("", &key));
        let has = |line: &String| line.contains(table) && line.contains(&format!("{name} = {{}}"));
        assert!(tried.iter().any(has), "{key} is in recipes/reference.toml, and not tried here");
    }
}

#[test]
fn numbers_of_recipes_are_accepted_or_refused_by_their_key() {
    let world = World::new(&[]);
    let samples: Vec<(&str, &[&str], String)> =
        SAMPLES.iter().map(|(key, values)| (*key, *values, format!("samples.{key} = {{}}"))).collect();
    let keys = KEYS.iter().map(|(key, values, line)| (*key, *values, (*line).to_owned())).chain(samples);
    for (i, (key, values, line)) in keys.enumerate() {
        for (j, value) in values.iter().enumerate() {
            let line = line.replace("{}", value);
            let text = recipe(&line);
            if let Err(error) = Recipe::parse(Path::new("r.toml"), &text) {
                assert!(error.to_string().contains(key), "{line}: {error}");
                continue;
            }
            std::fs::write(world.path("r.toml"), &text).unwrap();
            let out = format!("run-{i}-{j}");
            assert_told(&world, &["train", "r.toml", "--steps", "1", "--out", &out], key, &line);
            let _ = std::fs::remove_dir_all(world.path(&out));
        }
    }
}

/// Commands, and their options that take a number; `!` marks those that take a number with a point.
const OPTIONS: [(&str, &[&str]); 8] = [
    ("quickstart --out file/x", &["people", "steps", "sampling-steps", "threads"]),
    ("train r.toml --out run --steps 1", &["steps", "record", "threads"]),
    (
        "sample --model tiny --prompt x --out p --width 64 --height 64 --steps 1",
        &[
            "!guidance",
            "!guidance-rescale",
            "steps",
            "width",
            "height",
            "seed",
            "index",
            "count",
            "batch",
            "threads",
        ],
    ),
    ("sample --model tiny --prompt x --out p --lora file", &["!lora-weight"]),
    ("replay --model tiny --inputs file --outputs o", &["repeat", "threads"]),
    ("people --out people2 --count 1 --size 32", &["count", "size", "seed", "figures", "near"]),
    ("check people --size 64", &["pictures", "size"]),
    ("report run0 --out report.html", &["pictures"]),
];

#[test]
fn numbers_of_the_command_line_are_accepted_or_refused_by_their_option() {
    let world = World::new(&[]);
    std::fs::write(world.path("file"), "").unwrap();
    std::fs::write(world.path("r.toml"), recipe("seed = 1")).unwrap();
    world.ok(&["train", "r.toml", "--out", "run0"]);
    for (command, options) in OPTIONS {
        for option in options {
            let (name, values) = match option.strip_prefix('!') {
                Some(name) => (name, &REAL[..]),
                None => (*option, &WHOLE[..]),
            };
            for value in values {
                let given = format!("--{name}={value}");
                let mut words: Vec<&str> = command.split(' ').collect();
                if let Some(at) = words.iter().position(|word| *word == format!("--{name}")) {
                    words.drain(at..at + 2);
                }
                words.push(&given);
                let (code, error) = run(&world, &words);
                assert!([0, 1, 2].contains(&code), "{words:?}: exit code {code}\n{error}");
                // A command that cannot succeed has come as far as its file.
                let told = error.contains(name) || error.contains("file");
                assert!(code == 0 || told, "{words:?}: {name} is not in\n{error}");
                for left in ["run", "p", "people2"] {
                    let _ = std::fs::remove_dir_all(world.path(left));
                }
            }
        }
    }
}

/// Every number in a JSON value replaced by `value`, one at a time, with the key that it belongs to.
fn replaced(json: &Value, value: &Value) -> Vec<(String, Value)> {
    match json {
        Value::Object(map) => {
            let each = |(key, inner): (&String, &Value)| {
                let whole = |(of, inner): (String, Value)| {
                    let mut map = map.clone();
                    map.insert(key.clone(), inner);
                    (if of.is_empty() { key.clone() } else { of }, Value::Object(map))
                };
                replaced(inner, value).into_iter().map(whole).collect::<Vec<_>>()
            };
            map.iter().flat_map(each).collect()
        }
        // The entries of a list are alike.
        Value::Array(list) if !list.is_empty() => {
            let whole = |(of, inner): (String, Value)| {
                let mut list = list.clone();
                list[0] = inner;
                (of, Value::Array(list))
            };
            replaced(&list[0], value).into_iter().map(whole).collect()
        }
        Value::Number(_) => vec![(String::new(), value.clone())],
        _ => Vec::new(),
    }
}

#[test]
fn numbers_of_a_models_configurations_are_accepted_or_refused_by_their_key() {
    let world = World::new(&[]);
    let values: Vec<Value> = ["0", "-1", "2147483648", "9223372036854775807", "1e308"]
        .map(|value| serde_json::from_str(value).unwrap())
        .into();
    for file in [
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "text_encoder_2/config.json",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
    ] {
        let whole = world.bytes(&format!("tiny/{file}"));
        let json: Value = serde_json::from_slice(&whole).unwrap();
        for (key, text) in values.iter().flat_map(|value| replaced(&json, value)) {
            std::fs::write(world.path(format!("tiny/{file}")), text.to_string()).unwrap();
            let sizes = ["--width", "64", "--height", "64", "--steps", "1"];
            let command = ["sample", "--model", "tiny", "--prompt", "x", "--out", "p"];
            let (code, error) = run(&world, &[&command[..], &sizes].concat());
            assert!([0, 1].contains(&code), "{file} {key}: exit code {code}\n{error}\n{text}");
            // A number that is possible, but not the weights', is told by the tensor that does not fit.
            let told = error.contains(&key) || error.contains("tensor") || error.contains("config");
            assert!(code == 0 || told, "{file}: {key} is not in\n{error}");
        }
        std::fs::write(world.path(format!("tiny/{file}")), whole).unwrap();
    }
}
