//! The page's addresses, and who may ask for them.
//!
//! A web page of somebody else that is open in the same browser can send requests here, and can have its own
//! name resolve to this machine. So the host must be one of ours, everything needs the token (in the address
//! once, then in a cookie that other sites' requests do not carry), and what changes something needs it in a
//! header that no form can send. No path of a file comes from an address.

use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fairhuman_files::FolderLock;
use fairhuman_report::{dataset_page, live};
use fairhuman_train::requests;
use serde_json::{Map, Value};

use super::dataset::{Dataset, Place};
use super::few::{Few, One};
use super::follow::Followed;
use super::request::{self, Answer, NoBody, Request, head};
use super::token::is_same;

/// Time between looks at the logs.
const PAUSE: Duration = Duration::from_millis(300);
/// Time after which a connection without news is used, to learn whether it is still there.
const SILENCE: Duration = Duration::from_secs(5);
/// Streams of events at a time. A browser whose stream was closed opens another after two seconds.
const STREAMS: usize = 32;

/// Bytes of a request's body: what a hand paints in an hour.
const LONGEST: usize = 8 << 20;

/// The runs and datasets that are served.
pub struct Site {
    followed: Mutex<Followed>,
    datasets: Vec<Dataset>,
    is_of_runs: bool,
    streams: Few,
    /// The port that it is served at.
    pub port: u16,
    /// The secret.
    pub token: String,
}

/// An answer's status, type and content.
pub type Found = (&'static str, &'static str, Vec<u8>);

pub const HTML: &str = "text/html";
const TEXT: &str = "text/plain";

/// An answer in words.
pub fn in_words(status: &'static str, words: &str) -> Found {
    (status, TEXT, words.as_bytes().to_vec())
}

impl Site {
    /// A page of these runs.
    pub fn new(runs: &[PathBuf], names: &[String], port: u16, token: String) -> Self {
        let datasets = runs.iter().map(|run| Dataset::of_run(run.clone(), runs.to_vec())).collect();
        let (followed, streams) = (Mutex::new(Followed::new(runs, names)), Few::new(STREAMS));
        Self { followed, datasets, is_of_runs: true, streams, port, token }
    }

    /// A page of one dataset.
    pub fn of_dataset(dataset: Dataset, port: u16, token: String) -> Self {
        let (followed, streams) = (Mutex::new(Followed::new(&[], &[])), Few::new(STREAMS));
        Self { followed, datasets: vec![dataset], is_of_runs: false, streams, port, token }
    }

    /// Answers one request, of a connection that is a stranger's until it has shown the token.
    pub fn answer(&self, mut stream: TcpStream, stranger: One) -> std::io::Result<()> {
        let Some(mut request) = Request::read(&mut stream)? else {
            send(&mut stream, in_words("400 Bad Request", "no request"), String::new())?;
            return request::drain(&mut stream);
        };
        if let Some(refusal) = self.refusal(&request) {
            send(&mut stream, refusal, String::new())?;
            // What it came with is not read.
            return if request.method == "POST" { request::drain(&mut stream) } else { Ok(()) };
        }
        drop(stranger);
        if self.is_named(&request) {
            // From now on the cookie says it, and the address that is seen does not.
            let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie(), self.token);
            let first = if self.is_of_runs { "/" } else { "/data/0" };
            let headers = format!("Location: {first}\r\nSet-Cookie: {cookie}\r\n");
            return send(&mut stream, in_words("303 See Other", ""), headers);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/") if !self.is_of_runs => {
                send(&mut stream, in_words("303 See Other", ""), "Location: /data/0\r\n".into())
            }
            (method @ ("GET" | "POST"), path) if path.starts_with("/data/") => {
                let (is_change, path) = (method == "POST", path.to_owned());
                let content = match is_change {
                    false => Ok(None),
                    true => request.body(&mut stream, LONGEST)?.map(Some),
                };
                let found = match content {
                    Ok(content) => self.data(&path, &request.query, content.as_deref()),
                    Err(NoBody::TooLong) => {
                        in_words("413 Content Too Large", "too much was painted at once: save more often")
                    }
                    Err(NoBody::Unknown) => in_words("411 Length Required", "without its length"),
                };
                let is_read = !["411 Length Required", "413 Content Too Large"].contains(&found.0);
                send(&mut stream, found, String::new())?;
                if is_read { Ok(()) } else { request::drain(&mut stream) }
            }
            ("GET", "/events") => self.events(&mut stream, request.header("last-event-id")),
            ("GET", path) => {
                let (found, version) = self.get(path);
                let header = version.map_or(String::new(), |version| format!("X-Version: {version}\r\n"));
                send(&mut stream, found, header)
            }
            ("POST", path) => send(&mut stream, self.post(path), String::new()),
            _ => send(
                &mut stream,
                in_words("405 Method Not Allowed", "GET or POST"),
                "Allow: GET, POST\r\n".into(),
            ),
        }
    }

    fn cookie(&self) -> String {
        // Cookies do not know ports.
        format!("fairhuman_{}", self.port)
    }

    fn is_named(&self, request: &Request) -> bool {
        let token = request.query.strip_prefix("token=");
        request.method == "GET"
            && request.path == "/"
            && token.is_some_and(|token| is_same(token, &self.token))
    }

    /// Why a request is not heard.
    fn refusal(&self, request: &Request) -> Option<Found> {
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{}", self.port));
        let Some(host) = request.header("host").filter(|host| hosts.iter().any(|known| known == host)) else {
            return Some(in_words("421 Misdirected Request", "this host is not served here"));
        };
        let site = request.header("sec-fetch-site").unwrap_or("none");
        if !["same-origin", "none"].contains(&site) {
            return Some(in_words("403 Forbidden", "a request from another site"));
        }
        let is_known = request.cookie(&self.cookie()).is_some_and(|cookie| is_same(cookie, &self.token));
        if !is_known && !self.is_named(request) {
            return Some(in_words(
                "403 Forbidden",
                "open the address that the command printed, with its token",
            ));
        }
        if request.method == "POST" {
            let token = request.header("x-fairhuman-token").unwrap_or_default();
            let origin = request.header("origin").is_none_or(|origin| origin == format!("http://{host}"));
            if !origin || !is_same(token, &self.token) {
                return Some(in_words("403 Forbidden", "without the page's token"));
            }
        }
        None
    }

    fn followed(&self) -> MutexGuard<'_, Followed> {
        // What is read again at every look is not left half done for long.
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A page, script or part, and the version of a part.
    fn get(&self, path: &str) -> (Found, Option<String>) {
        let found = |kind, text: &str| (("200 OK", kind, text.as_bytes().to_vec()), None);
        match path {
            "/" => {
                let mut followed = self.followed();
                followed.refresh();
                found(HTML, &live::html(&followed.title(), followed.parts(), &self.token))
            }
            "/data.css" => found("text/css", dataset_page::STYLE),
            "/data.js" => found("text/javascript", dataset_page::SCRIPT),
            "/page.css" => found("text/css", live::STYLE),
            "/page.js" => found("text/javascript", live::SCRIPT),
            path => {
                let mut followed = self.followed();
                followed.refresh();
                let part = path.strip_prefix("/part/");
                match followed.parts().iter().find(|(name, ..)| Some(*name) == part) {
                    Some((_, version, html)) => {
                        (("200 OK", HTML, html.clone().into_bytes()), Some(version.clone()))
                    }
                    None => (in_words("404 Not Found", "there is no such page"), None),
                }
            }
        }
    }

    /// A page of a dataset or something of it, or what a change of it (`content`) comes to.
    fn data(&self, path: &str, query: &str, content: Option<&[u8]>) -> Found {
        let rest = path.strip_prefix("/data/").unwrap_or_default();
        let (number, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let found = number.parse().ok().and_then(|number: usize| Some((number, self.datasets.get(number)?)));
        let Some((number, dataset)) = found else {
            return in_words("404 Not Found", "there is no such dataset");
        };
        let parts: Vec<&str> = rest.split('/').collect();
        match (content, &parts[..]) {
            (None, [""]) => {
                let place = Place { address: format!("/data/{number}"), query, token: &self.token };
                dataset.page(&place, self.is_of_runs)
            }
            (None, [what, numbers @ ..]) => dataset.part(what, numbers),
            (Some(content), ["item", index]) => dataset.save(index, content),
            _ => in_words("404 Not Found", "there is no such page"),
        }
    }

    /// Asks a run's process for something: `/run/0/save`.
    fn post(&self, path: &str) -> Found {
        let none = || in_words("404 Not Found", "there is no such run or request");
        let Some((run, action)) = path.strip_prefix("/run/").and_then(|rest| rest.split_once('/')) else {
            return none();
        };
        let followed = self.followed();
        let asked = requests::Request::ALL.into_iter().find(|request| request.name() == action);
        let run = run.parse().ok().and_then(|index| followed.run(index));
        let (Some((run, folder)), Some(asked)) = (run, asked) else { return none() };
        // Who trains holds the folder's lock.
        if FolderLock::take(folder).is_ok() {
            return in_words("409 Conflict", "no process trains there now");
        }
        let draws = run.recipe.lines().any(|line| line.trim() == "[samples]");
        let words = match asked {
            requests::Request::Save => "a checkpoint is written after this step",
            requests::Request::Sample if !draws => {
                return in_words("409 Conflict", "its recipe has no [samples]");
            }
            requests::Request::Sample => "pictures are drawn after this step",
            requests::Request::Stop => "it stops after this step; the same command goes on",
        };
        match asked.ask(folder) {
            Ok(()) => in_words("202 Accepted", words),
            Err(error) => in_words("500 Internal Server Error", &error.to_string()),
        }
    }

    /// Tells the versions of all parts whenever a log has grown, until the browser is gone. One that comes
    /// back says what it has `seen`.
    fn events(&self, stream: &mut TcpStream, seen: Option<&str>) -> std::io::Result<()> {
        let _one = self.streams.add(stream)?;
        stream.set_read_timeout(Some(PAUSE))?;
        stream.write_all(head("200 OK", "text/event-stream", "").as_bytes())?;
        stream.write_all(b"retry: 2000\n\n")?;
        let mut seen = seen.map(str::to_owned);
        let mut spoke = Instant::now();
        loop {
            let (id, versions) = {
                let mut followed = self.followed();
                followed.refresh();
                let version = |(name, version, _): &(&str, String, String)| {
                    ((*name).to_owned(), Value::from(version.as_str()))
                };
                (followed.id(), followed.parts().iter().map(version).collect::<Map<_, _>>())
            };
            if seen.as_ref() != Some(&id) {
                let data = Value::Object(versions);
                stream.write_all(format!("id: {id}\nevent: change\ndata: {data}\n\n").as_bytes())?;
                (seen, spoke) = (Some(id), Instant::now());
            } else if spoke.elapsed() >= SILENCE {
                stream.write_all(b": \n\n")?;
                spoke = Instant::now();
            }
            stream.flush()?;
            // Nothing is to come from there but the end, which is seen at once.
            match stream.read(&mut [0; 256]) {
                Ok(0) => return Ok(()),
                Err(error) if !matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {
                    return Err(error);
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
}

fn send(stream: &mut TcpStream, (status, kind, body): Found, headers: String) -> std::io::Result<()> {
    Answer { status, kind, headers, body: &body }.send(stream)
}
