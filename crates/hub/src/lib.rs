//! Models of the Hugging Face Hub, by their names, in the cache folder that Python's `huggingface_hub` keeps:
//! finding what is there ([`Cache`]), and downloading what is not ([`download`]).
//!
//! Layout of the cache: `models--org--name/` with `refs/REVISION` (a commit), `blobs/ETAG` (the files'
//! contents) and `snapshots/COMMIT/PATH` (links to the contents).

mod cache;
mod download;
mod name;
mod remote;
mod settings;
mod wanted;

use std::path::PathBuf;

pub use cache::Cache;
pub use download::{Progress, download};
pub use name::Name;
pub use settings::Settings;
pub use wanted::{Listed, wanted};

/// Errors of finding and downloading.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// No request may be made.
    #[error("{name} is to be downloaded, and HF_HUB_OFFLINE forbids it")]
    Offline {
        /// The repository or file.
        name: String,
    },
    /// There is no such repository, or not for this user.
    #[error(
        "{endpoint} has no repository {id} that can be seen {}: the name is misspelt, or the repository is private",
        if *.with_token { "with this token" } else { "without a token (set HF_TOKEN, or run `hf auth login`)" }
    )]
    NoRepository {
        /// Where it was looked for.
        endpoint: String,
        /// Its name.
        id: String,
        /// True if a token was sent.
        with_token: bool,
    },
    /// The repository's licence has to be accepted first.
    #[error(
        "{id} is given to those only who accepted its licence: do so at {endpoint}/{id}, then set HF_TOKEN, or run `hf auth login`"
    )]
    Gated {
        /// Where it lies.
        endpoint: String,
        /// Its name.
        id: String,
    },
    /// There is no such revision.
    #[error("{id} has no revision {revision}")]
    NoRevision {
        /// The repository's name.
        id: String,
        /// The branch, tag or commit.
        revision: String,
    },
    /// The repository holds nothing that can be read, or too much.
    #[error("{id}: {problem}")]
    Unusable {
        /// The repository's name.
        id: String,
        /// Why, and what to do.
        problem: String,
    },
    /// A request failed.
    #[error("cannot get {url}: {reason}; the same command goes on where it was")]
    Request {
        /// The address.
        url: String,
        /// Why.
        reason: String,
    },
    /// A file is not what the Hub says it is.
    #[error(
        "{file} has the SHA-256 {found}; the Hub says {expected}: it was removed, the same command downloads it again"
    )]
    Checksum {
        /// Its path in the repository.
        file: String,
        /// As the Hub says.
        expected: String,
        /// As downloaded.
        found: String,
    },
    /// Another process downloads the same file.
    #[error("{file} is being downloaded by another process; when that has ended, the same command goes on")]
    Locked {
        /// Its path in the repository.
        file: String,
    },
    /// A file or folder of the cache.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
}
