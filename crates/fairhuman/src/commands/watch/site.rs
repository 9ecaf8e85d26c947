//! The page's addresses, and who may ask for them.
//!
//! A web page of somebody else that is open in the same browser can send requests here, and can have its own
//! name resolve to this machine. So the host must be one of ours, everything needs the token (in the address
//! once, then in a cookie that other sites' requests do not carry), and what changes something needs it in a
//! header that no form can send. No path of a file comes from an address.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fairhuman_files::FolderLock;
use fairhuman_report::live;
use fairhuman_train::requests;
use serde_json::{Map, Value};

use super::follow::Followed;
use super::request::{self, Answer, Request, head};
use super::token::is_same;

/// Time between looks at the logs.
const PAUSE: Duration = Duration::from_millis(300);
/// Time after which a connection without news is used, to learn whether it is still there.
const SILENCE: Duration = Duration::from_secs(15);

/// The runs that are served.
pub struct Site {
    followed: Mutex<Followed>,
    /// The port that it is served at.
    pub port: u16,
    /// The secret.
    pub token: String,
}

/// An answer's status, type and content.
type Found = (&'static str, &'static str, String);

const HTML: &str = "text/html";
const TEXT: &str = "text/plain";

fn refused(status: &'static str, words: &str) -> Found {
    (status, TEXT, words.to_owned())
}

impl Site {
    /// A page of these runs.
    pub fn new(runs: &[PathBuf], names: &[String], port: u16, token: String) -> Self {
        Self { followed: Mutex::new(Followed::new(runs, names)), port, token }
    }

    /// Answers one request.
    pub fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let Some(request) = Request::read(&mut stream)? else {
            send(&mut stream, refused("400 Bad Request", "no request"), String::new())?;
            return request::drain(&mut stream);
        };
        if let Some(refusal) = self.refusal(&request) {
            return send(&mut stream, refusal, String::new());
        }
        if self.is_named(&request) {
            // From now on the cookie says it, and the address that is seen does not.
            let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", self.cookie(), self.token);
            let headers = format!("Location: /\r\nSet-Cookie: {cookie}\r\n");
            return send(&mut stream, refused("303 See Other", ""), headers);
        }
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/events") => self.events(&mut stream, request.header("last-event-id")),
            ("GET", path) => {
                let (found, version) = self.get(path);
                let header = version.map_or(String::new(), |version| format!("X-Version: {version}\r\n"));
                send(&mut stream, found, header)
            }
            ("POST", path) => send(&mut stream, self.post(path), String::new()),
            _ => send(
                &mut stream,
                refused("405 Method Not Allowed", "GET or POST"),
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
            return Some(refused("421 Misdirected Request", "this host is not served here"));
        };
        let site = request.header("sec-fetch-site").unwrap_or("none");
        if !["same-origin", "none"].contains(&site) {
            return Some(refused("403 Forbidden", "a request from another site"));
        }
        let is_known = request.cookie(&self.cookie()).is_some_and(|cookie| is_same(cookie, &self.token));
        if !is_known && !self.is_named(request) {
            return Some(refused(
                "403 Forbidden",
                "open the address that `fairhuman watch` prints, with its token",
            ));
        }
        if request.method == "POST" {
            let token = request.header("x-fairhuman-token").unwrap_or_default();
            let origin = request.header("origin").is_none_or(|origin| origin == format!("http://{host}"));
            if !origin || !is_same(token, &self.token) {
                return Some(refused("403 Forbidden", "without the page's token"));
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
        let found = |kind, text: &str| (("200 OK", kind, text.to_owned()), None);
        match path {
            "/" => {
                let mut followed = self.followed();
                followed.refresh();
                found(HTML, &live::html(&followed.title(), followed.parts(), &self.token))
            }
            "/page.css" => found("text/css", live::STYLE),
            "/page.js" => found("text/javascript", live::SCRIPT),
            path => {
                let mut followed = self.followed();
                followed.refresh();
                let part = path.strip_prefix("/part/");
                match followed.parts().iter().find(|(name, ..)| Some(*name) == part) {
                    Some((_, version, html)) => (("200 OK", HTML, html.clone()), Some(version.clone())),
                    None => (refused("404 Not Found", "there is no such page"), None),
                }
            }
        }
    }

    /// Asks a run's process for something: `/run/0/save`.
    fn post(&self, path: &str) -> Found {
        let none = || refused("404 Not Found", "there is no such run or request");
        let Some((run, action)) = path.strip_prefix("/run/").and_then(|rest| rest.split_once('/')) else {
            return none();
        };
        let followed = self.followed();
        let asked = requests::Request::ALL.into_iter().find(|request| request.name() == action);
        let run = run.parse().ok().and_then(|index| followed.run(index));
        let (Some((run, folder)), Some(asked)) = (run, asked) else { return none() };
        // Who trains holds the folder's lock.
        if FolderLock::take(folder).is_ok() {
            return refused("409 Conflict", "no process trains there now");
        }
        let draws = run.recipe.lines().any(|line| line.trim() == "[samples]");
        let words = match asked {
            requests::Request::Save => "a checkpoint is written after this step",
            requests::Request::Sample if !draws => {
                return refused("409 Conflict", "its recipe has no [samples]");
            }
            requests::Request::Sample => "pictures are drawn after this step",
            requests::Request::Stop => "it stops after this step; the same command goes on",
        };
        match asked.ask(folder) {
            Ok(()) => ("202 Accepted", TEXT, words.to_owned()),
            Err(error) => ("500 Internal Server Error", TEXT, error.to_string()),
        }
    }

    /// Tells the versions of all parts whenever a log has grown, until the browser is gone. One that comes
    /// back says what it has `seen`.
    fn events(&self, stream: &mut TcpStream, seen: Option<&str>) -> std::io::Result<()> {
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
            std::thread::sleep(PAUSE);
        }
    }
}

fn send(stream: &mut TcpStream, (status, kind, body): Found, headers: String) -> std::io::Result<()> {
    Answer { status, kind, headers, body: &body }.send(stream)
}
