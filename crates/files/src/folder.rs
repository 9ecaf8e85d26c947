//! Whole folders that appear under their name when they are complete, in place of an old one or not.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

use crate::leftover::{self, ASIDE, FOLDER};

/// A folder in the making, beside the one it is to become. Dropped before it was published, it is removed.
#[derive(Debug)]
pub struct PartialFolder {
    target: PathBuf,
    path: PathBuf,
    /// Locked while this process fills the folder.
    _handle: Option<File>,
}

impl PartialFolder {
    /// An empty folder that is to become `target`, whose parents are made. What processes that ended half-way
    /// left of `target` is removed, or put back where one died between taking the old folder away and putting
    /// the new one in its place.
    ///
    /// # Errors
    /// The system's error; a target that is a file, or has no name.
    pub fn new(target: &Path) -> Result<Self> {
        // A link stays one: what it points to is replaced.
        let target = if target.is_symlink() { target.canonicalize()? } else { target.to_path_buf() };
        if target.exists() && !target.is_dir() {
            return Err(Error::new(ErrorKind::NotADirectory, "is a file; expected a folder, or nothing"));
        }
        crate::make_folder(leftover::folder_of(&target))?;
        restore(&target);
        let (path, handle) = leftover::begin(&target, FOLDER, true, |path| {
            std::fs::create_dir(path)?;
            // Not every system opens folders.
            Ok(File::open(path).inspect(leftover::lock).ok())
        })?;
        Ok(Self { target, path, _handle: handle })
    }

    /// The folder to fill.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the folder in the place of the old one, which is then removed: in one step where the system can
    /// exchange two names, so that a reader finds one of them at any time.
    ///
    /// # Errors
    /// The system's error; the old folder is then where it was.
    pub fn replace(self) -> Result<()> {
        if !self.target.exists() {
            return std::fs::rename(&self.path, &self.target);
        }
        match exchange(&self.path, &self.target) {
            Err(e) if is_unsupported(&e) => self.replace_in_two_steps(),
            done => done,
        }
    }

    /// Puts the folder under its name if nothing but an empty folder is there.
    ///
    /// # Errors
    /// The system's error; [`ErrorKind::AlreadyExists`] where another process was faster.
    pub fn publish_new(self) -> Result<()> {
        // Windows renames no folder onto another one, not even onto an empty one.
        if cfg!(windows) {
            let _ = std::fs::remove_dir(&self.target);
        }
        match std::fs::rename(&self.path, &self.target) {
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty || cfg!(windows) && self.target.exists() => {
                Err(Error::new(ErrorKind::AlreadyExists, "is there already; another process made it"))
            }
            done => done,
        }
    }

    /// Old aside, new in, old away. [`restore`] puts right what a crash in between leaves.
    fn replace_in_two_steps(&self) -> Result<()> {
        let aside = leftover::new_name(&self.target, ASIDE)?;
        std::fs::rename(&self.target, &aside)?;
        if let Err(error) = std::fs::rename(&self.path, &self.target) {
            // The first error is the one to report.
            let _ = std::fs::rename(&aside, &self.target);
            return Err(error);
        }
        leftover::remove(&aside);
        Ok(())
    }
}

impl Drop for PartialFolder {
    /// Removes what is under the temporary name: an unfinished folder, or after an exchange the old one.
    fn drop(&mut self) {
        leftover::remove(&self.path);
    }
}

/// Puts a folder back that was taken aside by a process that died before the new one was in its place.
fn restore(target: &Path) {
    for aside in leftover::leftovers(target, ASIDE) {
        if target.exists() {
            leftover::remove(&aside);
        } else {
            // Where it cannot be put back, it stays for the user to see.
            let _ = std::fs::rename(aside, target);
        }
    }
}

fn is_unsupported(error: &Error) -> bool {
    // Of macOS the standard library knows it by its number alone.
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::ENOTSUP) {
        return true;
    }
    matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::InvalidInput)
}

/// Exchanges two names in one step.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(one: &Path, other: &Path) -> Result<()> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let [one, other] = [one, other].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (one, other) = (one?, other?);
    let (one, other) = (one.as_ptr(), other.as_ptr());
    // By its number: glibc has no function for it before 2.28.
    // SAFETY: both are NUL-terminated strings that outlive the call.
    #[cfg(target_os = "linux")]
    let result = unsafe {
        let (here, flags) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
        libc::syscall(libc::SYS_renameat2, here, one, here, other, flags)
    };
    // SAFETY: as above.
    #[cfg(target_os = "macos")]
    let result = unsafe { libc::renamex_np(one, other, libc::RENAME_SWAP) };
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_one: &Path, _other: &Path) -> Result<()> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that holds one file.
    fn fill(folder: &Path, text: &str) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("file"), text).unwrap();
    }

    fn text(folder: &Path) -> String {
        std::fs::read_to_string(folder.join("file")).unwrap()
    }

    /// Number of a process that has ended.
    fn dead() -> u32 {
        let (program, arguments) =
            if cfg!(windows) { ("cmd", ["/C", "exit"].as_slice()) } else { ("true", [].as_slice()) };
        let mut child = std::process::Command::new(program).args(arguments).spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    /// A process that does nothing.
    fn idle() -> std::process::Child {
        let (program, arguments) =
            if cfg!(windows) { ("cmd", ["/C", "pause"].as_slice()) } else { ("sleep", ["60"].as_slice()) };
        let mut command = std::process::Command::new(program);
        command.args(arguments).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        command.spawn().unwrap()
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn a_reader_finds_the_old_folder_or_the_new_one_at_any_time() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("model");
        fill(&target, "0");
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    text(&target);
                }
            });
            for i in 1..200 {
                let partial = PartialFolder::new(&target).unwrap();
                fill(partial.path(), &i.to_string());
                partial.replace().unwrap();
                assert_eq!(text(&target), i.to_string());
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(unix)]
    fn without_an_exchange_a_crash_between_the_steps_is_put_right_by_the_next_call() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("model");
        fill(&target, "old");
        let partial = PartialFolder::new(&target).unwrap();
        fill(partial.path(), "new");
        partial.replace_in_two_steps().unwrap();
        drop(partial);
        assert_eq!(text(&target), "new");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);

        let dead = dead();
        fill(&place.path().join(format!(".model.{dead}-0.partial")), "half");
        std::fs::rename(&target, place.path().join(format!(".model.{dead}-1.old"))).unwrap();
        drop(PartialFolder::new(&target).unwrap());
        assert_eq!(text(&target), "new");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_that_write_one_folder_do_not_share_theirs_and_the_second_is_told() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("model");
        let (one, other) = (PartialFolder::new(&target).unwrap(), PartialFolder::new(&target).unwrap());
        fill(one.path(), "one");
        fill(other.path(), "other");
        other.publish_new().unwrap();
        assert_eq!(one.publish_new().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(text(&target), "other");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_dead_processes_go_and_those_of_living_ones_stay() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("model");
        let mut child = idle();
        let names = [
            (format!(".model.{}-0.partial", dead()), false),
            (format!(".model.{}-0.partial", child.id()), true),
            (format!(".other.{}-0.partial", dead()), true),
            ("model.partial".into(), true),
        ];
        names.iter().for_each(|(name, _)| fill(&place.path().join(name), "half"));
        drop(PartialFolder::new(&target).unwrap());
        for (name, stays) in names {
            assert_eq!(place.path().join(&name).exists(), stays, "{name}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_file_is_not_replaced_by_a_folder_and_a_link_stays_one() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert_eq!(PartialFolder::new(&file).unwrap_err().kind(), ErrorKind::NotADirectory);
        #[cfg(unix)]
        {
            let (real, link) = (place.path().join("real"), place.path().join("link"));
            fill(&real, "old");
            std::os::unix::fs::symlink(&real, &link).unwrap();
            let partial = PartialFolder::new(&link).unwrap();
            fill(partial.path(), "new");
            partial.replace().unwrap();
            assert!(link.is_symlink());
            assert_eq!(text(&real), "new");
        }
    }
}
