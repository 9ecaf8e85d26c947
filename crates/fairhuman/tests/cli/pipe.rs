//! Whoever reads the output may leave early.

use std::io::Read;
use std::process::{Command, Stdio};

#[test]
#[cfg(unix)]
fn a_reader_that_leaves_ends_the_command_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fairhuman"))
        .arg("version")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    assert_eq!(said, "");
}
