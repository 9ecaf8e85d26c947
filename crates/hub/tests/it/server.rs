//! The least of the Hub: one repository, large files behind a redirect to another host, and a connection that
//! breaks.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use sha2::{Digest, Sha256};

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// The contents of the server, and the wrongs that it does.
#[derive(Default)]
pub struct World {
    /// Contents by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Answers with contents that end after so many bytes, for each path as often as there are numbers.
    pub cuts: BTreeMap<String, Vec<usize>>,
    /// Contents that are not what their hash says.
    pub altered: Vec<String>,
    /// Ignores `Range`.
    pub whole_only: bool,
    /// Every request: method, address, range, and whether it carried a token.
    pub log: Vec<String>,
}

/// A server; it ends with the process.
pub struct Server {
    pub endpoint: String,
    pub world: Arc<Mutex<World>>,
}

impl Server {
    pub fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
        let world = Arc::new(Mutex::new(World { files, ..World::default() }));
        let shared = world.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = shared.clone();
                thread::spawn(move || answer(stream, port, &world));
            }
        });
        Self { endpoint: format!("http://127.0.0.1:{port}"), world }
    }

    /// Requests so far, and forgets them.
    pub fn log(&self) -> Vec<String> {
        std::mem::take(&mut self.world.lock().expect("the world").log)
    }
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn answer(mut stream: TcpStream, port: u16, world: &Mutex<World>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        lines.push(line.trim().to_owned());
    }
    let Some(first) = lines.first() else { return };
    let mut words = first.split(' ');
    let (method, address) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let header = |name: &str| {
        let found = lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        });
        found.unwrap_or_default()
    };
    let mut world = world.lock().expect("the world");
    let (range, token) = (header("range"), header("authorization"));
    let signed = if token.is_empty() { "" } else { " signed" };
    world.log.push(format!("{method} {address} {range}{signed}"));
    let mut send = |status: &str, headers: &[(&str, String)], body: &[u8], length: usize| {
        let mut head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n");
        headers.iter().for_each(|(key, value)| head += &format!("{key}: {value}\r\n"));
        let _ = stream.write_all((head + "\r\n").as_bytes());
        if method != "HEAD" {
            let _ = stream.write_all(body);
        }
    };
    let code = |code: &str| vec![("X-Error-Code", code.to_owned())];
    if address.starts_with("/api/models/org/people/revision/main") {
        let siblings: Vec<_> =
            world.files.iter().map(|(path, bytes)| json!({"rfilename": path, "size": bytes.len()})).collect();
        let body = json!({"sha": COMMIT, "siblings": siblings}).to_string();
        return send("200 OK", &[], body.as_bytes(), body.len());
    }
    if address.starts_with("/api/models/org/people/") {
        return send("404 Not Found", &code("RevisionNotFound"), b"", 0);
    }
    if address.starts_with("/api/models/org/gated/") {
        return send("403 Forbidden", &code("GatedRepo"), b"", 0);
    }
    if let Some(path) = address.strip_prefix(&format!("/org/people/resolve/{COMMIT}/")) {
        let Some(bytes) = world.files.get(path).cloned() else {
            return send("404 Not Found", &code("EntryNotFound"), b"", 0);
        };
        if path.ends_with(".safetensors") {
            // "localhost" is another host than "127.0.0.1": a token for one must not reach the other.
            let to = format!("http://localhost:{port}/cdn/{path}");
            let headers = [
                ("X-Linked-Etag", format!("\"{}\"", sum(&bytes))),
                ("X-Linked-Size", bytes.len().to_string()),
                ("Location", to),
            ];
            return send("302 Found", &headers, b"", 0);
        }
        let etag = format!("W/\"{}\"", &sum(&bytes)[..40]);
        return send("200 OK", &[("ETag", etag)], &bytes, bytes.len());
    }
    if let Some(path) = address.strip_prefix("/cdn/") {
        let mut bytes = world.files.get(path).cloned().unwrap_or_default();
        if world.altered.iter().any(|altered| altered == path) {
            bytes[0] ^= 1;
        }
        let start = range
            .strip_prefix("bytes=")
            .and_then(|r| r.split('-').next()?.parse::<usize>().ok())
            .unwrap_or(0);
        let start = if world.whole_only { 0 } else { start };
        let rest = &bytes[start..];
        let cut = world.cuts.get_mut(path).filter(|cuts| !cuts.is_empty()).map(|cuts| cuts.remove(0));
        let sent = &rest[..cut.unwrap_or(rest.len()).min(rest.len())];
        let part = [("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len()))];
        return match start {
            0 => send("200 OK", &[], sent, rest.len()),
            _ => send("206 Partial Content", &part, sent, rest.len()),
        };
    }
    send("404 Not Found", &code("RepoNotFound"), b"", 0);
}
