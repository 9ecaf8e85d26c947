//! Requests of other processes to a run in progress, such as of a page that follows it: empty files in
//! `RUN/requests/`, which the run takes away when it has heard them, after a step.

use std::io;
use std::path::{Path, PathBuf};

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A checkpoint.
    Save,
    /// The pictures of `[samples]`.
    Sample,
    /// The end of the command, as by Ctrl-C: what was learnt is saved, and the same command goes on.
    Stop,
}

impl Request {
    /// All of them.
    pub const ALL: [Request; 3] = [Request::Save, Request::Sample, Request::Stop];

    /// Its name, which is that of its file.
    pub fn name(self) -> &'static str {
        match self {
            Request::Save => "save",
            Request::Sample => "sample",
            Request::Stop => "stop",
        }
    }

    fn file(self, run: &Path) -> PathBuf {
        run.join("requests").join(self.name())
    }

    /// Asks the process that trains in a run folder. Twice is once.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn ask(self, run: &Path) -> io::Result<()> {
        let file = self.file(run);
        file.parent().map_or(Ok(()), fairhuman_files::make_folder)?;
        std::fs::write(file, b"")
    }

    /// True if it was asked for since this was last called.
    pub(crate) fn take(self, run: &Path) -> bool {
        std::fs::remove_file(self.file(run)).is_ok()
    }
}

/// Forgets what was asked of a process that is no more.
pub(crate) fn clear(run: &Path) {
    for request in Request::ALL {
        request.take(run);
    }
}
