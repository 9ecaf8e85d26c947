//! The log as a file: adding to it, going on with it after a crash, reading it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use fairhuman_diffusion::weights::write_atomically;
use fairhuman_files::ensure_file;
use serde::Deserialize;

use super::Event;

/// The open log. Every line is handed to the system at once, so that it can be followed.
pub struct EventLog {
    file: File,
}

impl EventLog {
    /// Opens the log for a run with `step` steps done: what came later, and a last line cut off by a crash,
    /// are removed. A run without a step begins an empty log. Also what the log says of that step.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn resume(path: &Path, step: u64) -> io::Result<(Self, Resumed)> {
        let mut resumed = Resumed::default();
        ensure_file(path)?;
        if path.exists() {
            let mut kept = Vec::new();
            let mut done = 0;
            let mut lines = BufReader::new(fairhuman_files::open(path)?).split(b'\n').enumerate().peekable();
            while let Some((number, line)) = lines.next() {
                let line = line?;
                // Only the last line can be one that was never finished.
                let last = lines.peek().is_none();
                let at = serde_json::from_slice::<At>(&line);
                if let Ok(At { event, step: at }) = &at
                    && event == "step"
                    && *at <= step
                {
                    resumed.irregular += usize::from(*at != done + 1);
                    if *at <= done {
                        continue;
                    }
                    done = *at;
                }
                match at {
                    Err(_) if last => continue,
                    Ok(at) if at.step > step => continue,
                    Ok(at) if at.step == step => resumed.see(&line),
                    Ok(At { step: 0, .. }) => resumed.see_first(&line),
                    Ok(_) => {}
                    Err(_) => {
                        resumed.damaged.push(number + 1);
                        continue;
                    }
                }
                if step > 0 {
                    kept.extend_from_slice(&line);
                    kept.push(b'\n');
                }
            }
            write_atomically(path, &kept)?;
            resumed.irregular += usize::from(done != step);
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok((Self { file }, if step > 0 { resumed } else { Resumed::default() }))
    }

    /// Adds a line.
    ///
    /// # Errors
    /// The system's error.
    pub fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event).map_err(io::Error::other)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// Waits until everything is on the disk.
    ///
    /// # Errors
    /// The system's error.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// True if the log at `path` tells of a checkpoint.
pub fn has_checkpoint(path: &Path) -> bool {
    let Ok(file) = fairhuman_files::open(path) else { return false };
    let events = BufReader::new(file).split(b'\n').map_while(Result::ok);
    events
        .flat_map(|line| serde_json::from_slice(&line))
        .any(|event| matches!(event, Event::Checkpoint { .. }))
}

/// The log's content about the step after which a run goes on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Resumed {
    /// True if the step's held-out losses are there.
    pub validated: bool,
    /// True if the step's previews are there.
    pub previewed: bool,
    /// The held-out losses that the run began with.
    pub first_losses: Option<Vec<f64>>,
    /// Numbers of lines that are no events.
    pub damaged: Vec<usize>,
    /// Places where steps before it are missing or were there again.
    pub irregular: usize,
}

impl Resumed {
    fn see(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Event::Validation(_)) => self.validated = true,
            Ok(Event::Samples { .. }) => self.previewed = true,
            _ => {}
        }
    }

    fn see_first(&mut self, line: &[u8]) {
        if let Ok(Event::Validation(validation)) = serde_json::from_slice(line) {
            self.first_losses = Some(validation.losses);
        }
    }
}

/// The keys that every line has.
#[derive(Deserialize)]
struct At {
    #[serde(default)]
    event: String,
    step: u64,
}

/// Reads a log; a last line that was cut off is left out.
///
/// # Errors
/// A file that cannot be read, a line that is no event.
pub fn read(path: &Path) -> io::Result<Vec<Event>> {
    ensure_file(path)?;
    let text = fairhuman_files::read_to_string(path)?;
    let complete = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(i, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| {
            let problem = format!("{} line {}: {e}", path.display(), i + 1);
            io::Error::new(io::ErrorKind::InvalidData, problem)
        })
    };
    complete.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Validation;
    use super::*;

    fn checkpoint(step: u64) -> Event {
        Event::Checkpoint { step, file: format!("{step}").into() }
    }

    fn validation(step: u64, losses: Vec<f64>, present: Vec<usize>) -> Validation {
        let (variants, measures, background, pictures) = Default::default();
        Validation { step, losses, present, background, pictures, seconds: 0.0, variants, measures }
    }

    #[test]
    fn resuming_removes_what_came_later_and_half_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut log, _) = EventLog::resume(&path, 0).unwrap();
        (1..=5).for_each(|step| log.write(&checkpoint(step)).unwrap());
        log.file.write_all(b"{\"event\":\"step\",\"st").unwrap();
        assert_eq!(read(&path).unwrap().len(), 5);

        let (mut log, resumed) = EventLog::resume(&path, 3).unwrap();
        assert_eq!(resumed, Resumed { irregular: 1, ..Resumed::default() }, "there is no step in it");
        log.write(&checkpoint(4)).unwrap();
        assert_eq!(read(&path).unwrap(), (1..=4).map(checkpoint).collect::<Vec<_>>());
        EventLog::resume(&path, 0).unwrap();
        assert_eq!(read(&path).unwrap(), []);
    }

    #[test]
    fn resuming_tells_what_the_step_has_and_which_lines_are_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let (mut log, _) = EventLog::resume(&path, 0).unwrap();
        log.write(&Event::Validation(validation(0, vec![2.5], vec![1]))).unwrap();
        log.file.write_all(b"{\"event\":\"ste\xff\x00\n").unwrap();
        let validation = validation(2, vec![1.5], vec![1]);
        log.write(&Event::Validation(validation)).unwrap();
        let (_, resumed) = EventLog::resume(&path, 2).unwrap();
        let (first_losses, damaged) = (Some(vec![2.5]), vec![2]);
        assert_eq!(
            resumed,
            Resumed { validated: true, previewed: false, first_losses, damaged, irregular: 1 }
        );
        assert_eq!(read(&path).unwrap().len(), 2, "the damaged line is gone");
    }

    #[test]
    fn steps_that_are_missing_or_there_twice_are_counted_and_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let irregular = |steps: &[u64]| {
            let line = |step: &u64| format!("{{\"event\":\"step\",\"step\":{step}}}\n");
            std::fs::write(&path, steps.iter().map(line).collect::<String>()).unwrap();
            let (_, resumed) = EventLog::resume(&path, 4).unwrap();
            (resumed.irregular, std::fs::read_to_string(&path).unwrap().lines().count())
        };
        assert_eq!(irregular(&[1, 2, 3, 4, 5]), (0, 4));
        assert_eq!(irregular(&[1, 2, 2, 3, 4]), (1, 4));
        assert_eq!(irregular(&[1, 3, 4]), (1, 3));
        assert_eq!(irregular(&[4, 3, 2, 1]), (4, 1));
        assert_eq!(irregular(&[]), (1, 0));
    }
}
