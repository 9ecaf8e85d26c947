//! Names of what is being written, and removal of what a process that ended half-way left under such a name.
//!
//! Beside its target, because a rename does not cross file systems: `.NAME.PID-COUNTER.tmp` for files,
//! `.partial` and `.old` for folders. While its writer lives it is locked, because the same process id may
//! mean another process: in a container, or after it was given anew.

use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A file that is not complete.
pub(crate) const FILE: &str = "tmp";
/// A folder that is not complete.
pub(crate) const FOLDER: &str = "partial";
/// A folder that was there before, until its successor is in place.
pub(crate) const ASIDE: &str = "old";

/// Held from looking for leftovers until the new file or folder is locked: threads do not take each other's
/// for one.
static BEGINNING: Mutex<()> = Mutex::new(());

/// Clears what dead processes left of `target`, if `clear`, and begins a new file or folder for it: `create`
/// makes it under a name that nobody else uses, and locks it until its handle is closed.
pub(crate) fn begin<T>(
    target: &Path,
    kind: &str,
    clear: bool,
    create: impl Fn(&Path) -> Result<T>,
) -> Result<(PathBuf, T)> {
    let _guard = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    if clear {
        clear_of(target, kind);
    }
    loop {
        let path = new_name(target, kind)?;
        match create(&path) {
            // Left by a process of the same number, or begun by one in another container.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
            Ok(handle) => return Ok((path, handle)),
        }
    }
}

/// Locks what was begun until its handle is closed. Where that is not possible, the process id alone tells.
pub(crate) fn lock(handle: &File) {
    let _ = handle.try_lock();
}

/// A name beside `target` that this process has not used yet.
pub(crate) fn new_name(target: &Path, kind: &str) -> Result<PathBuf> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let Some(name) = target.file_name() else {
        return Err(Error::new(ErrorKind::InvalidInput, "not a file name"));
    };
    let mut hidden = OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}-{}.{kind}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    Ok(target.with_file_name(hidden))
}

/// Removes what dead processes left of `target`. That something cannot be removed is no reason not to write.
fn clear_of(target: &Path, kind: &str) {
    for path in leftovers(target, kind) {
        remove(&path);
    }
}

pub(crate) fn remove(path: &Path) {
    let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

/// Paths that dead processes left of `target`.
pub(crate) fn leftovers(target: &Path, kind: &str) -> Vec<PathBuf> {
    let Some(name) = target.file_name() else { return Vec::new() };
    all(folder_of(target), &[kind], |of| of == name.as_encoded_bytes())
}

/// Removes every temporary file and unfinished folder in `folder` whose process is dead, whatever it was to
/// become. For folders that hold nobody else's files.
///
/// # Errors
/// A folder that cannot be listed.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    std::fs::read_dir(folder)?;
    let _guard = BEGINNING.lock().unwrap_or_else(PoisonError::into_inner);
    all(folder, &[FILE, FOLDER], |_| true).iter().for_each(|path| remove(path));
    Ok(())
}

pub(crate) fn folder_of(target: &Path) -> &Path {
    target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Paths in `folder` that dead processes left, of the targets whose names are `wanted`.
fn all(folder: &Path, kinds: &[&str], wanted: impl Fn(&[u8]) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let dead = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        let (owner, of) = kinds.iter().find_map(|kind| parse(name.as_encoded_bytes(), kind))?;
        (wanted(of) && is_abandoned(&entry.path(), owner)).then(|| entry.path())
    };
    entries.flatten().filter_map(dead).collect()
}

/// Process id and target's name of `.NAME.PID-COUNTER.KIND`; a name without the counter is one, too.
fn parse<'a>(name: &'a [u8], kind: &str) -> Option<(u32, &'a [u8])> {
    let stem = name.strip_prefix(b".")?.strip_suffix(kind.as_bytes())?.strip_suffix(b".")?;
    let dot = stem.iter().rposition(|&byte| byte == b'.')?;
    let numbers = std::str::from_utf8(&stem[dot + 1..]).ok()?;
    let (owner, counter) = numbers.split_once('-').unwrap_or((numbers, "0"));
    counter.parse::<u64>().ok()?;
    Some((owner.parse().ok()?, &stem[..dot]))
}

fn is_abandoned(path: &Path, owner: u32) -> bool {
    let own = owner == std::process::id();
    if !own && lives(owner) {
        return false;
    }
    match File::open(path).map(|file| file.try_lock()) {
        Ok(Ok(())) => true,
        Ok(Err(TryLockError::WouldBlock)) => false,
        Ok(Err(TryLockError::Error(_))) | Err(_) => !own,
    }
}

#[cfg(unix)]
fn lives(process: u32) -> bool {
    let Ok(process) = libc::pid_t::try_from(process) else { return false };
    // SAFETY: signal 0 is sent to nobody; the call only asks if the process is there.
    let found = process > 0 && unsafe { libc::kill(process, 0) } == 0;
    found || Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[cfg(windows)]
fn lives(process: u32) -> bool {
    use windows_sys::Win32::Foundation::{CloseHandle, ERROR_INVALID_PARAMETER, STILL_ACTIVE};
    use windows_sys::Win32::System::Threading::{
        GetExitCodeProcess, OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION,
    };
    // SAFETY: the call only asks for the process.
    let handle = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, process) };
    if handle.is_null() {
        // That of somebody else may be there without being shown.
        return Error::last_os_error().raw_os_error() != Some(ERROR_INVALID_PARAMETER as i32);
    }
    let mut code = 0;
    // SAFETY: an open handle, closed once, and a number that may be written.
    let known = unsafe {
        let known = GetExitCodeProcess(handle, &mut code) != 0;
        CloseHandle(handle);
        known
    };
    // One that has ended is there as long as somebody holds it.
    !known || code == STILL_ACTIVE as u32
}

/// Nobody is taken for dead where that cannot be asked.
#[cfg(not(any(unix, windows)))]
fn lives(_process: u32) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_form_are_leftovers() {
        assert_eq!(parse(b".a.b.12-3.tmp", FILE), Some((12, &b"a.b"[..])));
        assert_eq!(parse(b".a.12.tmp", FILE), Some((12, &b"a"[..])));
        for other in [&b"a.12-3.tmp"[..], b".a.tmp", b".a.x.tmp", b".a.12-x.tmp", b".a.12-3.tmp2", b".12.tmp"]
        {
            assert_eq!(parse(other, FILE), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
