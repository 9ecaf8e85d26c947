//! A run's log as it grows, and the parts of the page that follow from it.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fairhuman_report::{Run, live};
use fairhuman_train::events::Event;

/// Moments of training whose pictures are shown, for each run.
const SAMPLES: usize = 5;
/// Bytes before the place that a log was read to, by which it is known again.
const KNOWN: u64 = 64;

/// The place that a log was read to.
#[derive(Debug, Clone, Default)]
struct Place {
    offset: u64,
    /// The bytes before it.
    before: Vec<u8>,
}

/// Runs that are followed.
pub struct Followed {
    folders: Vec<PathBuf>,
    places: Vec<Place>,
    runs: Vec<Run>,
    /// Name, version and HTML of every part.
    parts: Vec<(&'static str, String, String)>,
}

impl Followed {
    /// The runs in these folders, read as far as they are. `names`: theirs, or none for those of the folders.
    pub fn new(folders: &[PathBuf], names: &[String]) -> Self {
        let named = |(i, folder): (usize, &PathBuf)| {
            let real = folder.canonicalize().unwrap_or(folder.clone());
            let own = real.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned());
            Run { name: names.get(i).cloned().unwrap_or(own), ..Run::default() }
        };
        let runs = folders.iter().enumerate().map(named).collect();
        let mut followed = Self {
            folders: folders.to_vec(),
            places: vec![Place::default(); folders.len()],
            runs,
            parts: Vec::new(),
        };
        followed.draw(true);
        followed.refresh();
        followed
    }

    /// The places of all logs: what a browser that comes back has seen.
    pub fn id(&self) -> String {
        let place = |place: &Place| format!("{}-{}", place.offset, &hash(&place.before)[..8]);
        self.places.iter().map(place).collect::<Vec<_>>().join(",")
    }

    /// The parts.
    pub fn parts(&self) -> &[(&'static str, String, String)] {
        &self.parts
    }

    /// A run and its folder.
    pub fn run(&self, index: usize) -> Option<(&Run, &Path)> {
        Some((self.runs.get(index)?, self.folders.get(index)?))
    }

    /// The heading of the page.
    pub fn title(&self) -> String {
        self.runs.iter().map(|run| run.name.as_str()).collect::<Vec<_>>().join(" and ")
    }

    /// Reads what has come, and draws the parts again that may have changed.
    pub fn refresh(&mut self) {
        let before = self.id();
        let mut pictures = false;
        for ((folder, place), run) in self.folders.iter().zip(&mut self.places).zip(&mut self.runs) {
            pictures |= read(folder, place, run);
        }
        if self.id() != before {
            self.draw(pictures);
        }
    }

    fn draw(&mut self, pictures: bool) {
        let mut parts = Vec::new();
        for name in live::PARTS {
            let old = self.parts.iter().find(|(other, ..)| *other == name);
            // Pictures take longer than all else, and seldom change.
            match old.filter(|_| name == "samples" && !pictures) {
                Some(old) => parts.push(old.clone()),
                None => {
                    let html = live::part(&self.runs, name);
                    parts.push((name, hash(html.as_bytes())[..16].to_owned(), html));
                }
            }
        }
        self.parts = parts;
    }
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Adds what a run's log has more than it had; true if there are new pictures. A log that was begun anew, or
/// is shorter because the run went on from an earlier step, is read from its beginning.
fn read(folder: &Path, place: &mut Place, run: &mut Run) -> bool {
    let Ok(more) = unread(&folder.join("events.jsonl"), place) else { return false };
    if more.begins {
        run.events.clear();
        run.samples.clear();
    }
    let mut pictures = false;
    for line in more.lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        // A line that is none was told when the run went on; here it is left out.
        let Ok(event) = serde_json::from_slice::<Event>(line) else { continue };
        pictures |= matches!(event, Event::Samples { .. });
        run.events.push(event);
    }
    if (more.begins || run.recipe.is_empty()) && !run.events.is_empty() {
        run.recipe = fairhuman_files::read_to_string(folder.join("recipe.toml")).unwrap_or_default();
    }
    if pictures {
        run.notes.clear();
        run.add_samples(folder, SAMPLES);
    }
    pictures || more.begins
}

/// Whole lines of a log that have not been read.
#[derive(Default)]
struct Unread {
    lines: Vec<u8>,
    /// True if they begin the log.
    begins: bool,
}

fn unread(path: &Path, place: &mut Place) -> std::io::Result<Unread> {
    let mut file = fairhuman_files::open(path)?;
    let known = place.before.len() as u64;
    let mut before = vec![0; place.before.len()];
    file.seek(SeekFrom::Start(place.offset - known))?;
    let is_same = file.read_exact(&mut before).is_ok() && before == place.before;
    let begins = place.offset == 0 || !is_same;
    if !is_same {
        *place = Place::default();
        file.seek(SeekFrom::Start(0))?;
    }
    let mut lines = Vec::new();
    file.read_to_end(&mut lines)?;
    // A line that is being written is read the next time.
    lines.truncate(lines.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1));
    place.offset += lines.len() as u64;
    place.before.extend_from_slice(&lines[lines.len().saturating_sub(KNOWN as usize)..]);
    let surplus = place.before.len().saturating_sub(KNOWN as usize);
    place.before.drain(..surplus);
    Ok(Unread { begins: begins && (!lines.is_empty() || !is_same), lines })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_it_grows_and_anew_where_it_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut place = Place::default();
        let mut next = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let more = unread(&path, &mut place).unwrap();
            (String::from_utf8(more.lines).unwrap(), more.begins)
        };
        let long = "x".repeat(100);
        assert_eq!(next(""), (String::new(), false));
        assert_eq!(next("a\nb"), ("a\n".into(), true));
        assert_eq!(next("a\nbc\n"), ("bc\n".into(), false));
        assert_eq!(next(&format!("a\nbc\n{long}\n")), (format!("{long}\n"), false));
        assert_eq!(next(&format!("a\nbc\n{long}\n")), (String::new(), false));
        // Shorter, and as long but another.
        assert_eq!(next("a\n"), ("a\n".into(), true));
        assert_eq!(next("b\n"), ("b\n".into(), true));
        assert_eq!(next(""), (String::new(), true));
    }
}
