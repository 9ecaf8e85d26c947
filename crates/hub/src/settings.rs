//! Where the cache and the Hub are, and who asks.

use std::path::{Path, PathBuf};

/// The address of the Hub.
const HUB: &str = "https://huggingface.co";

/// As the environment of a user says.
#[derive(Clone)]
pub struct Settings {
    /// The Hub's address, without a slash at the end.
    pub endpoint: String,
    /// The folder of all repositories.
    pub cache: PathBuf,
    /// The user's token.
    pub token: Option<String>,
    /// True if no request may be made.
    pub offline: bool,
}

impl Settings {
    /// From the variables that `huggingface_hub` knows: `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`,
    /// `XDG_CACHE_HOME`, `HF_TOKEN`, `HF_TOKEN_PATH`, `HF_HUB_DISABLE_IMPLICIT_TOKEN`, `HF_HUB_OFFLINE`, and
    /// the older names of two of them.
    pub fn from_variables(get: &dyn Fn(&str) -> Option<String>, home: &Path) -> Self {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let path = |text: String| match text.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => PathBuf::from(text),
        };
        let xdg = || get("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), path);
        let root = get("HF_HOME").map_or_else(|| xdg().join("huggingface"), path);
        let cache = get("HF_HUB_CACHE").or_else(|| get("HUGGINGFACE_HUB_CACHE"));
        let cache = cache.map_or_else(|| root.join("hub"), path);
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| HUB.into());
        let is_true = |name: &str| {
            get(name).is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true"))
        };
        let named = || get("HF_TOKEN").or_else(|| get("HUGGING_FACE_HUB_TOKEN"));
        let stored = || {
            let file = get("HF_TOKEN_PATH").map_or_else(|| root.join("token"), path);
            fairhuman_files::read_to_string(file).ok()
        };
        let token = match is_true("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
            true => None,
            false => named().or_else(stored),
        };
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token: token.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()),
            offline: is_true("HF_HUB_OFFLINE"),
        }
    }
}

impl std::fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Settings");
        shown.field("endpoint", &self.endpoint).field("cache", &self.cache).field("offline", &self.offline);
        shown.field("token", &self.token.as_ref().map(|_| "...")).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Settings {
        let get = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::from_variables(&get, Path::new("/home/me"))
    }

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        for (variables, expected) in [
            (&[][..], "/home/me/.cache/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/xdg")], "/xdg/huggingface/hub"),
            (&[("XDG_CACHE_HOME", "/xdg"), ("HF_HOME", "/hf")], "/hf/hub"),
            (&[("HF_HOME", "~/hf")], "/home/me/hf/hub"),
            (&[("HF_HOME", "/hf"), ("HUGGINGFACE_HUB_CACHE", "/old")], "/old"),
            (&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/new")], "/new"),
        ] {
            assert_eq!(of(variables).cache, Path::new(expected), "{variables:?}");
        }
    }

    #[test]
    fn tokens_are_taken_from_the_environment_and_never_shown() {
        let settings = of(&[("HF_TOKEN", " hf_secret\n")]);
        assert_eq!(settings.token.as_deref(), Some("hf_secret"));
        assert!(!format!("{settings:?}").contains("secret"));
        assert_eq!(of(&[("HF_TOKEN", "a"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).token, None);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("token"), "stored\n").expect("written");
        let home = folder.path().to_string_lossy();
        assert_eq!(of(&[("HF_HOME", &home)]).token.as_deref(), Some("stored"));
    }

    #[test]
    fn offline_and_endpoint() {
        assert!(of(&[("HF_HUB_OFFLINE", "YES")]).offline);
        assert!(!of(&[("HF_HUB_OFFLINE", "0")]).offline);
        assert_eq!(of(&[("HF_ENDPOINT", "http://mirror/")]).endpoint, "http://mirror");
    }
}
