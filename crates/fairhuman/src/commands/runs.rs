//! Folders of runs, told from others.

use std::fs::DirEntry;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use fairhuman_files::FolderLock;

/// Depth below a folder, and number of folders, that are searched for runs.
const DEPTH: usize = 3;
const MOST: usize = 1000;
/// Runs that an error names.
const NAMED: usize = 8;

/// Fails for a folder without a run, with the runs below it. A run that only begins is one.
pub fn ensure_run(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    ensure!(folder.is_dir(), "{shown}: there is no such folder; expected a run's, such as runs/people");
    if is_run(folder) {
        return Ok(());
    }
    let (mut below, mut most) = (Vec::new(), MOST);
    find(folder, DEPTH, &mut most, &mut below);
    below.sort();
    let mut names: Vec<String> = below.iter().take(NAMED).map(|run| run.display().to_string()).collect();
    match below.len() {
        0 => bail!("{shown} holds no run: expected a run's folder, with events.jsonl, such as runs/people"),
        count if count > NAMED => names.push(format!("and {} more", count - NAMED)),
        _ => {}
    }
    bail!("{shown} is no run's folder (it has no events.jsonl); runs below it: {}", names.join(", "))
}

/// True for a folder with a run's log, and for one that a process has just begun to train in.
fn is_run(folder: &Path) -> bool {
    folder.join("events.jsonl").is_file() || FolderLock::is_taken(folder)
}

/// The runs below a folder, none of them in another.
fn find(folder: &Path, depth: usize, most: &mut usize, found: &mut Vec<PathBuf>) {
    let is_hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    // Behind a link there may be a folder, too.
    let may_be_one = |entry: &DirEntry| entry.file_type().is_ok_and(|kind| !kind.is_file());
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| may_be_one(entry) && !is_hidden(entry)) {
        if *most == 0 {
            return;
        }
        *most -= 1;
        let path = entry.path();
        // `./runs/people` as it would be typed.
        let path = path.strip_prefix(".").map_or(path.clone(), Path::to_path_buf);
        match is_run(&path) {
            true => found.push(path),
            false if depth > 1 => find(&path, depth - 1, most, found),
            false => {}
        }
    }
}
