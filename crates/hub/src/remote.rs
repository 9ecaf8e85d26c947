//! Requests to the Hub and to where it sends them.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{Response, StatusCode, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::WithoutBody;
use ureq::{Agent, Body, RequestBuilder};

use crate::{HubError, Listed, Name, Settings};

/// Time to connect, and longest silence of a server.
const TIMEOUT: Option<Duration> = Some(Duration::from_secs(60));
/// Longest answer in JSON, in bytes.
const LONGEST: u64 = 64 << 20;
/// Most hosts that one file is fetched through.
const HOPS: usize = 8;

/// The Hub, as one user sees it.
pub(crate) struct Remote<'a> {
    agent: Agent,
    settings: &'a Settings,
}

/// A repository at one commit.
pub(crate) struct Contents {
    pub commit: String,
    pub files: Vec<Listed>,
}

/// A file's content: its name among the cache's blobs, and its length.
pub(crate) struct Content {
    pub etag: String,
    pub size: u64,
}

#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    #[serde(default)]
    size: Option<u64>,
}

impl<'a> Remote<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        // The system's certificates, which may include those of a company's proxy.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config =
            Agent::config_builder().tls_config(tls).timeout_connect(TIMEOUT).timeout_per_read(TIMEOUT);
        // Redirects are followed here, so that the token goes to no other host.
        let agent = config.max_redirects(0).http_status_as_error(false).build().into();
        Self { agent, settings }
    }

    /// The repository's files at the name's revision.
    pub fn contents(&self, name: &Name) -> Result<Contents, HubError> {
        let revision = name.revision.replace('/', "%2F");
        let url = format!("{}/api/models/{}/revision/{revision}?blobs=true", self.settings.endpoint, name.id);
        let (_, mut response) = self.ask(name, &url, None)?;
        let failed = |reason: String| HubError::Request { url: url.clone(), reason };
        let text = response
            .body_mut()
            .with_config()
            .limit(LONGEST)
            .read_to_string()
            .map_err(|e| failed(e.to_string()))?;
        let info: Info =
            serde_json::from_str(&text).map_err(|e| failed(format!("not what the Hub answers: {e}")))?;
        if !crate::cache::is_commit(&info.sha) {
            return Err(failed(format!("{:?} is no commit", info.sha)));
        }
        let inside =
            |path: &str| path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains('\\');
        let files = info.siblings.into_iter().filter(|file| inside(&file.rfilename));
        let files = files.map(|file| Listed { path: file.rfilename, size: file.size.unwrap_or(0) }).collect();
        Ok(Contents { commit: info.sha, files })
    }

    /// The content of one file; asks for nothing of it.
    pub fn content(&self, name: &Name, commit: &str, path: &str) -> Result<Content, HubError> {
        let address = self.address(name, commit, path);
        // The Hub says with a redirection what it leads to: nobody else has to be asked.
        let is_told = |response: &Response<Body>| response.headers().contains_key("x-linked-etag");
        let (url, response) = self.follow(name, &address, |url| self.agent.head(url), is_told)?;
        let header = |key: &str| response.headers().get(key)?.to_str().ok().map(str::to_owned);
        let etag = header("x-linked-etag").or_else(|| header("etag"));
        let size = header("x-linked-size").or_else(|| header("content-length"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        // It becomes a file's name.
        let etag = etag.filter(|etag| !etag.is_empty() && etag.bytes().all(|b| b.is_ascii_alphanumeric()));
        match (etag, size.and_then(|size| size.parse().ok())) {
            (Some(etag), Some(size)) => Ok(Content { etag, size }),
            _ => Err(HubError::Request { url, reason: "the answer has no ETag or no length".into() }),
        }
    }

    /// The bytes of a file from `start` on; true beside them if they do begin there, and not at 0.
    pub fn bytes(
        &self,
        name: &Name,
        commit: &str,
        path: &str,
        start: u64,
    ) -> Result<(bool, impl Read + use<>), HubError> {
        let (url, response) = self.ask(name, &self.address(name, commit, path), Some(start))?;
        let from = || {
            let range = response.headers().get("content-range")?.to_str().ok()?;
            range.strip_prefix("bytes ")?.split('-').next()?.parse::<u64>().ok()
        };
        let continued = response.status() == StatusCode::PARTIAL_CONTENT;
        if continued && from() != Some(start) {
            return Err(HubError::Request {
                url,
                reason: "the server sent another part than was asked for".into(),
            });
        }
        Ok((continued && start > 0, response.into_body().into_reader()))
    }

    fn address(&self, name: &Name, commit: &str, path: &str) -> String {
        let encode = |c: char| match c {
            ' ' => "%20".to_owned(),
            '%' => "%25".to_owned(),
            '#' => "%23".to_owned(),
            '?' => "%3F".to_owned(),
            c => c.to_string(),
        };
        let path: String = path.chars().map(encode).collect();
        format!("{}/{}/resolve/{commit}/{path}", self.settings.endpoint, name.id)
    }

    /// A GET; from a byte on, if one is said. Gives the last address, too.
    fn ask(&self, name: &Name, url: &str, start: Option<u64>) -> Result<(String, Response<Body>), HubError> {
        let get = |url: &str| {
            let request = self.agent.get(url).header("Accept-Encoding", "identity");
            match start {
                Some(start) if start > 0 => request.header("Range", format!("bytes={start}-")),
                _ => request,
            }
        };
        self.follow(name, url, get, |_| false)
    }

    /// Makes a request, and again where redirections lead, until one `is_enough`. Gives the last address,
    /// too.
    fn follow(
        &self,
        name: &Name,
        url: &str,
        request: impl Fn(&str) -> RequestBuilder<WithoutBody>,
        is_enough: impl Fn(&Response<Body>) -> bool,
    ) -> Result<(String, Response<Body>), HubError> {
        let mut url = url.to_owned();
        for _ in 0..HOPS {
            let response = self.signed(request(&url), &url).call();
            let response =
                response.map_err(|e| HubError::Request { url: url.clone(), reason: e.to_string() })?;
            let to = response.headers().get("location").and_then(|to| to.to_str().ok()).map(str::to_owned);
            match to.filter(|_| response.status().is_redirection()) {
                Some(to) if !is_enough(&response) => url = onwards(&url, &to),
                _ => {
                    self.refused(name, &url, &response)?;
                    return Ok((url, response));
                }
            }
        }
        Err(HubError::Request { url, reason: format!("more than {HOPS} redirects") })
    }

    /// The request with the user's token, if it goes to the Hub itself.
    fn signed<B>(&self, request: RequestBuilder<B>, url: &str) -> RequestBuilder<B> {
        match &self.settings.token {
            Some(token) if authority(url) == authority(&self.settings.endpoint) => {
                request.header("Authorization", format!("Bearer {token}"))
            }
            _ => request,
        }
    }

    /// An error for a status that is not one of success.
    fn refused(&self, name: &Name, url: &str, response: &Response<Body>) -> Result<(), HubError> {
        let status = response.status();
        // A redirection is a success where the content's name came with it.
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok()).unwrap_or("");
        let (endpoint, id) = (self.settings.endpoint.clone(), name.id.clone());
        let here = authority(url) == authority(&self.settings.endpoint);
        Err(match (code, status.as_u16()) {
            ("GatedRepo", _) => HubError::Gated { endpoint, id },
            ("RevisionNotFound", _) => HubError::NoRevision { id, revision: name.revision.clone() },
            ("RepoNotFound", _) | (_, 401 | 404) if here && code != "EntryNotFound" => {
                HubError::NoRepository { endpoint, id, with_token: self.settings.token.is_some() }
            }
            _ => HubError::Request { url: url.into(), reason: format!("status {status}") },
        })
    }
}

/// Scheme, host and port: a token for one is none for another.
fn authority(url: &str) -> Option<(String, String)> {
    let uri: Uri = url.parse().ok()?;
    Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_ascii_lowercase()))
}

/// The address that a redirect from `url` leads to.
fn onwards(url: &str, to: &str) -> String {
    match (to.starts_with('/'), authority(url)) {
        (true, Some((scheme, host))) if !to.starts_with("//") => format!("{scheme}://{host}{to}"),
        (true, Some((scheme, _))) => format!("{scheme}:{to}"),
        _ => to.to_owned(),
    }
}
