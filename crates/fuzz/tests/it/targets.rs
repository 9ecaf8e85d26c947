//! No mutated file brings a reader down. A panic fails the test by itself; the number printed before it
//! repeats the input: `cargo run -p fairhuman-fuzz -- TARGET --first NUMBER --executions 1`.

use fairhuman_fuzz::{TARGETS, target};

/// Executes a target; the number of the input that a panic belongs to is printed.
fn execute(name: &str, executions: u64) {
    let scratch = tempfile::tempdir().unwrap();
    let target = target(name).unwrap();
    let print = |number| println!("{name} {number}");
    let start = std::time::Instant::now();
    let clock = || start.elapsed().as_secs_f64();
    target.execute(scratch.path(), 0, (0, executions), &clock, print).unwrap();
}

macro_rules! short_runs {
    ($($name:ident: $executions:expr,)*) => {
        $(#[test]
        fn $name() {
            execute(stringify!($name), $executions);
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), run);
        }
    };
}

short_runs! {
    safetensors: 500,
    lora: 500,
    config: 1000,
    tokenizer: 100,
    metadata: 300,
    csv: 300,
    parquet: 300,
    coco: 300,
    kohya: 300,
    caption: 300,
    picture: 300,
    mask: 300,
    recipe: 1000,
    events: 500,
    checkpoint: 500,
    onnx: 300,
    tflite: 150,
}
