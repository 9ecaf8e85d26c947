//! `train --profile`: phases that add up to the steps, operations within them, and a run of the same bits.

use std::collections::BTreeMap;

use fairhuman_train::recorded::read_tensors;

use crate::world::World;

/// The table of the phases: seconds of each.
fn phases(printed: &str) -> BTreeMap<&str, f64> {
    let table = printed.split_once("seconds  ms a step  share").expect("a table").1;
    let lines = table.lines().skip(1).take_while(|line| !line.is_empty());
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            let name = words.next().unwrap();
            (name, words.next().unwrap().parse().unwrap())
        })
        .collect()
}

/// The table of the operations: phase (empty for what is none), name, milliseconds of a step, share.
fn operations(printed: &str) -> Vec<(&str, &str, f64, f64)> {
    let table = printed.split_once("phase     operation").expect("a table").1;
    let lines = table.lines().skip(1).take_while(|line| line.ends_with('%'));
    lines
        .map(|line| {
            let number = |from: usize, to: usize| line[from..to].trim().parse::<f64>();
            let share = line.trim_end_matches('%').rsplit(' ').next().unwrap().parse().unwrap();
            (line[..9].trim(), line[10..32].trim(), number(40, 49).unwrap(), share)
        })
        .collect()
}

#[test]
fn phases_add_up_to_the_steps_and_nothing_else_changes() {
    for more in ["", "\ngradients = \"twice\"", "\nactivation_checkpointing = true\naccumulation = 2"] {
        let world = World::new(&[("steps = 6", &format!("steps = 5{more}"))]);
        let printed = world.ok(&["train", "recipe.toml", "--out", "told", "--profile"]);
        let plain = world.ok(&["train", "recipe.toml", "--out", "plain"]);
        assert!(printed.contains("4 steps of ") && printed.contains("f32 peak "), "{printed}");
        assert!(!plain.contains("f32 peak"), "{plain}");
        // The files' titles are the runs' names.
        let values = |run: &str| read_tensors(&world.path(run).join("lora.safetensors")).unwrap().tensors;
        assert!(values("told") == values("plain"), "{more}");
        assert_eq!(world.steps("told"), world.steps("plain"), "{more}");

        let phases = phases(&printed);
        let names = ["backward", "data", "forward", "optimiser", "other", "solve", "step"];
        assert!(phases.keys().copied().eq(names), "{phases:?}");
        let sum: f64 = phases.iter().filter(|(name, _)| **name != "step").map(|(_, seconds)| seconds).sum();
        assert!((sum - phases["step"]).abs() < 0.004, "{phases:?}");
        for phase in ["forward", "backward", "solve", "optimiser"] {
            assert!(phases[phase] > 0.0, "{phases:?}");
        }
        assert!(phases["other"] < 0.2 * phases["step"], "{phases:?}");

        let operations = operations(&printed);
        let of = |phase: &str| operations.iter().filter(|row| row.0 == phase).map(|row| row.2).sum::<f64>();
        let each = |phase: &str| 1e3 * phases[phase] / 4.0;
        assert!(of("forward") > 0.3 * each("forward"), "{printed}");
        assert!(of("recompute") == 0.0 || more.contains("checkpointing"), "{printed}");
        assert!(more.contains("checkpointing") == (of("recompute") > 0.0), "{printed}");
        // Those of a second pass, which belongs to the backward phase, are forward ones, too.
        assert!(
            of("forward") + of("recompute") + of("backward") < each("forward") + each("backward") + 1.0,
            "{printed}"
        );
        let all: f64 = operations.iter().map(|row| row.2).sum();
        assert!((all - each("step")).abs() < 0.02 * each("step") + 0.5, "{printed}");
        let shares: f64 = operations.iter().map(|row| row.3).sum();
        assert!((shares - 100.0).abs() < 2.0, "{printed}");
    }
}

#[test]
fn a_single_step_has_no_profile() {
    let world = World::new(&[("steps = 6", "steps = 1")]);
    let output = world.run(&["train", "recipe.toml", "--out", "run", "--profile"]);
    assert!(output.status.success());
    let (said, printed) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("--profile leaves out a command's first step"), "{said}");
    assert!(!printed.contains("f32 peak"), "{printed}");
    assert!(world.run(&["train", "recipe.toml", "--dry-run", "--profile"]).status.code() == Some(2));
}
