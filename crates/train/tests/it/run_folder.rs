//! The run folder: one process at a time, checkpoints that are whole or not there, the newest that stay.

use std::collections::BTreeMap;

use fairhuman_engine::{Backend, Cpu, Params};
use fairhuman_fairness::State;
use fairhuman_train::checkpoint::{self, CheckpointError, Identity, Progress};
use fairhuman_train::error::TrainError;
use fairhuman_train::folder::RunFolder;
use fairhuman_train::group::ShardedGroup;
use fairhuman_train::optimizer::Moments;
use fairhuman_train::sealed;

fn params(backend: &Cpu, value: f32) -> Params<Cpu> {
    let mut params = Params::default();
    params.add("lora.a", backend.tensor(&[2, 3], &[value; 6]));
    params.add("lora.b", backend.tensor(&[4], &[-value; 4]));
    params
}

fn values(backend: &Cpu, params: &Params<Cpu>) -> Vec<f32> {
    params.iter().flat_map(|p| backend.read(&p.value)).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn what_killed_processes_left_is_removed_under_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).unwrap();
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let leftover = checkpoints.join(format!(".step-00000009.safetensors.{}-3.tmp", gone.id()));
    let checkpoint = checkpoints.join("step-00000008.safetensors");
    for file in [&leftover, &checkpoint] {
        std::fs::write(file, b"half").unwrap();
    }
    RunFolder::lock(folder.path()).unwrap();
    assert!(!leftover.exists() && checkpoint.exists());
}

#[test]
fn two_runs_cannot_share_a_folder_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = RunFolder::lock(folder.path()).unwrap();
    assert!(matches!(RunFolder::lock(folder.path()), Err(TrainError::InUse { .. })));
    drop(first);
    RunFolder::lock(folder.path()).unwrap();
}

#[test]
fn a_checkpoint_gives_back_everything_that_was_saved() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Cpu::new(1).unwrap());
    let saved = params(&backend, 1.5);
    let mut moments = Moments::new(&backend, &saved, &ShardedGroup::single());
    moments.updates = 7;
    moments.second[1] = Some(backend.tensor(&[4], &[0.25; 4]));
    let mut weighting = State::default();
    weighting.set("mean", vec![0.1 + 0.2, f64::MIN_POSITIVE]);
    let progress = Progress { step: 9, bad_in_a_row: 2, weighting };
    let identity = Identity { recipe: "steps = 1\n".into(), dataset: "abc".into(), model: "def".into() };
    let path =
        checkpoint::save(&backend, folder.path(), &saved, None, &moments, &progress, &identity).unwrap();

    let opened = checkpoint::open(&path).unwrap();
    assert_eq!((&opened.progress, &opened.identity), (&progress, &identity));
    let mut other = params(&backend, 0.0);
    let restored = opened.restore(&backend, &mut other, None, &ShardedGroup::single()).unwrap();
    assert_eq!(values(&backend, &other), values(&backend, &saved));
    assert_eq!(restored.updates, 7);
    assert_eq!(backend.read(restored.second[1].as_ref().unwrap()), [0.25; 4]);

    // Another adapter: nothing is restored, and the message names the tensor.
    let mut smaller = Params::default();
    smaller.add("lora.a", backend.tensor(&[2, 3], &[0.0; 6]));
    let error = checkpoint::open(&path)
        .unwrap()
        .restore(&backend, &mut smaller, None, &ShardedGroup::single())
        .err()
        .unwrap();
    assert!(error.to_string().contains("lora.b"), "{error}");
    assert_eq!(values(&backend, &smaller), [0.0; 6]);
}

#[test]
fn values_that_are_not_finite_are_not_saved() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Cpu::new(1).unwrap());
    let params = params(&backend, f32::NAN);
    let (moments, progress) = (
        Moments::new(&backend, &params, &ShardedGroup::single()),
        Progress { step: 3, ..Progress::default() },
    );
    let error =
        checkpoint::save(&backend, folder.path(), &params, None, &moments, &progress, &Identity::default())
            .unwrap_err();
    assert!(error.to_string().contains("lora.a") && error.to_string().contains("step 3"), "{error}");
    assert_eq!(checkpoint::list(folder.path()).unwrap(), []);
}

#[test]
fn the_newest_checkpoints_stay_and_unfinished_ones_are_none() {
    let (folder, backend) = (tempfile::tempdir().unwrap(), Cpu::new(1).unwrap());
    let params = params(&backend, 1.0);
    let moments = Moments::new(&backend, &params, &ShardedGroup::single());
    for step in [2, 10, 4] {
        let progress = Progress { step, ..Progress::default() };
        checkpoint::save(&backend, folder.path(), &params, None, &moments, &progress, &Identity::default())
            .unwrap();
    }
    std::fs::write(folder.path().join(".step-00000099.safetensors.1.tmp"), b"half").unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    let steps = || checkpoint::list(folder.path()).unwrap().into_iter().map(|(s, _)| s).collect::<Vec<_>>();
    assert_eq!(steps(), [2, 4, 10]);
    checkpoint::prune(folder.path(), 0).unwrap();
    assert_eq!(steps(), [2, 4, 10]);
    checkpoint::prune(folder.path(), 2).unwrap();
    assert_eq!(steps(), [4, 10]);
    assert!(folder.path().join("notes.txt").exists());
    assert_eq!(checkpoint::list(&folder.path().join("absent")).unwrap(), []);
}

#[test]
fn a_file_that_is_no_checkpoint_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-00000001.safetensors");
    sealed::write(&path, &BTreeMap::new(), BTreeMap::new()).unwrap();
    assert!(matches!(checkpoint::open(&path), Err(CheckpointError::Foreign { .. })));
    fairhuman_diffusion::weights::write_safetensors(&path, &BTreeMap::new(), &BTreeMap::new()).unwrap();
    assert!(matches!(checkpoint::open(&path), Err(CheckpointError::File { .. })));
}
