//! Filling the cache.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use fairhuman_files::sha256_of;

use crate::cache::only_file;
use crate::remote::{Content, Remote};
use crate::{HubError, Listed, Name, Settings, wanted};

/// Times in a row without a byte after which a broken connection is given up.
const TRIES: u32 = 5;

/// News of a download.
#[derive(Debug)]
pub enum Progress<'a> {
    /// These files belong to the model.
    Files {
        /// All of them, those that are there already included.
        files: &'a [&'a Listed],
    },
    /// So many bytes are there, of all files together.
    Received {
        /// The count.
        bytes: u64,
    },
    /// The connection broke; it is tried again when the caller returns, who may wait.
    Again {
        /// Why.
        reason: String,
        /// Times in a row that nothing came.
        tries: u32,
    },
}

/// Downloads into the cache of `settings` what `name` has and the cache lacks; gives the snapshot's folder,
/// or the file in it. After an error the same call goes on where it was.
///
/// # Errors
/// See [`HubError`]. What was there before is left as it was.
pub fn download(
    settings: &Settings,
    name: &Name,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<PathBuf, HubError> {
    if settings.offline {
        return Err(HubError::Offline { name: name.to_string() });
    }
    let remote = Remote::new(settings);
    let contents = remote.contents(name)?;
    let files = wanted(name, &contents.files)?;
    progress(Progress::Files { files: &files });
    let repository = settings.cache.join(name.folder());
    let snapshot = repository.join("snapshots").join(&contents.commit);
    let mut done = 0;
    for file in &files {
        let place = snapshot.join(&file.path);
        // `is_file` follows the link: a link to nothing is downloaded again.
        if !place.is_file() {
            let content = remote.content(name, &contents.commit, &file.path)?;
            let blob = repository.join("blobs").join(&content.etag);
            if !blob.is_file() {
                let lock =
                    settings.cache.join(".locks").join(name.folder()).join(format!("{}.lock", content.etag));
                let _held = lock_file(&lock, &file.path)?;
                let one = One {
                    remote: &remote,
                    name,
                    commit: &contents.commit,
                    path: &file.path,
                    content: &content,
                };
                one.fetch(&blob, &mut |event| match event {
                    Progress::Received { bytes } => progress(Progress::Received { bytes: done + bytes }),
                    other => progress(other),
                })?;
            }
            link(&blob, &place, file.path.matches('/').count())
                .map_err(|source| HubError::Io { path: place, source })?;
        }
        done += file.size;
        progress(Progress::Received { bytes: done });
    }
    if name.revision != contents.commit {
        let reference = repository.join("refs").join(&name.revision);
        make_parent(&reference)?;
        fairhuman_files::write_atomically(&reference, contents.commit.as_bytes())
            .map_err(|source| HubError::Io { path: reference, source })?;
    }
    Ok(match &name.file {
        Some(file) => snapshot.join(file),
        None => only_file(&snapshot).unwrap_or(snapshot),
    })
}

/// One file on its way.
struct One<'a> {
    remote: &'a Remote<'a>,
    name: &'a Name,
    commit: &'a str,
    path: &'a str,
    content: &'a Content,
}

impl One<'_> {
    /// Downloads to `blob`, by way of `blob.incomplete`, which may hold the beginning.
    fn fetch(&self, blob: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), HubError> {
        make_parent(blob)?;
        let partial = blob.with_extension("incomplete");
        let io = |source| HubError::Io { path: partial.clone(), source };
        let mut file = OpenOptions::new().create(true).append(true).open(&partial).map_err(io)?;
        let mut tries = 0;
        loop {
            let have = file.metadata().map_err(io)?.len();
            if have > self.content.size {
                file.set_len(0).map_err(io)?;
                continue;
            }
            if have == self.content.size {
                break;
            }
            let reason = match self.append(&mut file, have, &partial, progress) {
                Ok(()) if file.metadata().map_err(io)?.len() == self.content.size => break,
                Ok(()) => "the connection ended early".to_owned(),
                Err(HubError::Request { reason, .. }) => reason,
                Err(error) => return Err(error),
            };
            let advanced = file.metadata().map_err(io)?.len() > have;
            tries = if advanced { 0 } else { tries + 1 };
            if tries == TRIES {
                return Err(HubError::Request { url: self.path.into(), reason });
            }
            progress(Progress::Again { reason, tries });
        }
        file.sync_all().map_err(io)?;
        drop(file);
        self.compare(&partial)?;
        fs::rename(&partial, blob).map_err(io)
    }

    fn append(
        &self,
        file: &mut File,
        start: u64,
        partial: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), HubError> {
        let io = |source| HubError::Io { path: partial.into(), source };
        let (continued, mut reader) = self.remote.bytes(self.name, self.commit, self.path, start)?;
        let mut bytes = start;
        if !continued {
            file.set_len(0).map_err(io)?;
            bytes = 0;
        }
        let mut piece = vec![0; 1 << 18];
        loop {
            let n = match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(HubError::Request { url: self.path.into(), reason: e.to_string() }),
            };
            bytes += n as u64;
            if bytes > self.content.size {
                let reason = format!("more than the {} bytes that were announced", self.content.size);
                return Err(HubError::Request { url: self.path.into(), reason });
            }
            file.write_all(&piece[..n]).map_err(io)?;
            progress(Progress::Received { bytes });
        }
    }

    /// Large files are named by their SHA-256; small ones by git's hash, of which the length has to do.
    fn compare(&self, partial: &Path) -> Result<(), HubError> {
        if self.content.etag.len() != 64 {
            return Ok(());
        }
        let io = |source| HubError::Io { path: partial.into(), source };
        let found = sha256_of(partial).map_err(io)?;
        if found == self.content.etag {
            return Ok(());
        }
        fs::remove_file(partial).map_err(io)?;
        Err(HubError::Checksum { file: self.path.into(), expected: self.content.etag.clone(), found })
    }
}

/// Locks as `huggingface_hub` does; the lock ends with the process.
fn lock_file(path: &Path, file: &str) -> Result<File, HubError> {
    make_parent(path)?;
    let io = |source| HubError::Io { path: path.into(), source };
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(HubError::Locked { file: file.into() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Puts a link to `blob` at `place`, `depth` folders below the snapshot; a second name or a copy where there
/// are no links.
fn link(blob: &Path, place: &Path, depth: usize) -> std::io::Result<()> {
    place.parent().map_or(Ok(()), fairhuman_files::make_folder)?;
    if place.is_symlink() {
        fs::remove_file(place)?;
    }
    #[cfg(unix)]
    {
        let name = blob.file_name().unwrap_or_default();
        let up: PathBuf = std::iter::repeat_n("..", depth + 2).collect();
        std::os::unix::fs::symlink(up.join("blobs").join(name), place)
    }
    #[cfg(not(unix))]
    {
        // Links are for administrators there. A second name of the same file needs no rights and no space.
        let _ = depth;
        if place.exists() {
            fs::remove_file(place)?;
        }
        fs::hard_link(blob, place)
            .or_else(|_| fairhuman_files::copy(blob, place).map_err(|e| std::io::Error::other(e.to_string())))
    }
}

fn make_parent(path: &Path) -> Result<(), HubError> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fairhuman_files::make_folder(parent).map_err(|source| HubError::Io { path: parent.into(), source })
}
