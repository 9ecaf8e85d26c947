//! Names of repositories and their files.

use std::fmt;

/// The branch that is meant where none is said.
const MAIN: &str = "main";

/// A repository of models, at a revision; or one file of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// `org/name`.
    pub id: String,
    /// Branch, tag or commit.
    pub revision: String,
    /// A file's path in the repository.
    pub file: Option<String>,
}

impl Name {
    /// Reads `org/name`, `org/name@revision`, either with the path of a `.safetensors` file behind it, and
    /// addresses of repositories and files (`https://huggingface.co/org/name/resolve/main/file.safetensors`,
    /// also `blob` and `tree`) at `endpoint` or at huggingface.co. None where the text is nothing of these.
    pub fn parse(text: &str, endpoint: &str) -> Option<Self> {
        let hosts = [endpoint.trim_end_matches('/'), "https://huggingface.co", "https://hf.co"];
        if let Some(rest) = hosts.iter().find_map(|host| text.strip_prefix(host)?.strip_prefix('/')) {
            return Self::of_address(rest);
        }
        let mut parts = text.splitn(3, '/');
        let (org, name, file) = (parts.next()?, parts.next()?, parts.next());
        let (name, revision) = name.split_once('@').unwrap_or((name, MAIN));
        Self::new(org, name, revision, file)
    }

    fn of_address(rest: &str) -> Option<Self> {
        let rest = rest.split(['?', '#']).next()?;
        let mut parts = rest.trim_end_matches('/').splitn(5, '/');
        let (org, name) = (parts.next()?, parts.next()?);
        match (parts.next(), parts.next(), parts.next()) {
            (None, ..) => Self::new(org, name, MAIN, None),
            (Some("tree"), Some(revision), None) => Self::new(org, name, revision, None),
            (Some("resolve" | "blob"), Some(revision), Some(file)) => {
                Self::new(org, name, revision, Some(file))
            }
            _ => None,
        }
    }

    fn new(org: &str, name: &str, revision: &str, file: Option<&str>) -> Option<Self> {
        let plain = |word: &str| {
            let known = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !word.is_empty() && word.len() <= 96 && word.chars().all(known) && !word.starts_with(['.', '-'])
        };
        let inside =
            |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\\');
        let is_file = |path: &str| inside(path) && path.ends_with(".safetensors");
        let known = plain(org)
            && plain(name)
            && !org.contains("--")
            && inside(revision)
            && file.is_none_or(is_file)
            // A file beside the recipe or the shell's folder, not a repository.
            && !(file.is_none() && name.ends_with(".safetensors"));
        known.then(|| Self {
            id: format!("{org}/{name}"),
            revision: revision.into(),
            file: file.map(str::to_owned),
        })
    }

    /// The folder's name in the cache.
    pub(crate) fn folder(&self) -> String {
        format!("models--{}", self.id.replace('/', "--"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        self.file.as_ref().map_or(Ok(()), |file| write!(f, "/{file}"))
    }
}
