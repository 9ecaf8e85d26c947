//! `fairhuman watch` by plain sockets: who is answered, what a browser that comes back is told, and what a
//! run is asked for.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fairhuman_files::FolderLock;

use crate::world::World;

/// Longest wait for something that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn start(world: &World, arguments: &[&str]) -> Child {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("fairhuman"));
    command.current_dir(world.path("")).env("XDG_CACHE_HOME", world.path("user-cache")).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// A served page; the process ends with it.
pub struct Page {
    process: Child,
    pub port: u16,
    pub token: String,
}

impl Page {
    fn new(world: &World, port: &str) -> Self {
        Self::of(world, &["watch", "runs/recipe", "--port", port])
    }

    /// The page that a command serves.
    pub fn of(world: &World, arguments: &[&str]) -> Self {
        let mut process = start(world, arguments);
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (address, token) = line.trim().split_once("/?token=").unwrap();
        let port = address.strip_prefix("http://127.0.0.1:").unwrap().parse().unwrap();
        Self { process, port, token: token.to_owned() }
    }

    /// Opens a connection and sends a request with these headers.
    pub fn send(&self, line: &str, headers: &[&str]) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        stream.write_all(format!("{line} HTTP/1.1\r\n{headers}\r\n").as_bytes()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        BufReader::new(stream)
    }

    /// The whole answer.
    pub fn ask(&self, line: &str, headers: &[&str]) -> String {
        let mut answer = String::new();
        self.send(line, headers).read_to_string(&mut answer).unwrap();
        answer
    }

    pub fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}", self.port)
    }

    pub fn cookie(&self) -> String {
        format!("Cookie: other=1; fairhuman_{}={}", self.port, self.token)
    }

    /// The request of a browser that has opened the address.
    pub fn known(&self, line: &str, more: &[&str]) -> String {
        self.ask(line, &[&[self.host().as_str(), &self.cookie()], more].concat())
    }

    /// The next event of a stream, as its id and data; none if none comes in so long.
    fn next(stream: &mut BufReader<TcpStream>, wait: Duration) -> Option<(String, String)> {
        stream.get_ref().set_read_timeout(Some(wait)).unwrap();
        let (mut id, mut line) = (String::new(), String::new());
        loop {
            line.clear();
            match stream.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.trim().to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((id, data.trim().to_owned()));
            }
        }
    }

    fn events(&self, last: Option<&str>) -> BufReader<TcpStream> {
        let last = last.map(|id| format!("Last-Event-ID: {id}"));
        let (host, cookie) = (self.host(), self.cookie());
        let headers: Vec<&str> = [host.as_str(), &cookie].into_iter().chain(last.as_deref()).collect();
        self.send("GET /events", &headers)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn is(answer: &str, status: &str) -> bool {
    answer.starts_with(&format!("HTTP/1.1 {status}"))
}

#[test]
fn only_the_browser_that_was_given_the_address_is_answered() {
    let world = World::new(&[("steps = 6", "steps = 2")]);
    world.ok(&["train", "recipe.toml"]);
    let page = Page::new(&world, "0");
    let (host, cookie) = (page.host(), page.cookie());
    assert_eq!(page.token.len(), 32);

    // The host is one of ours: another site's name may resolve to this machine.
    for wrong in ["Host: evil.example", "Host: 127.0.0.1", "Host: 127.0.0.1:1", "X-Host: none"] {
        assert!(is(&page.ask("GET /", &[wrong, &cookie]), "421"), "{wrong}");
    }
    assert!(is(&page.ask("GET /", &[&host, "Host: evil.example", &cookie]), "421"));
    // Without the token nothing is told, not even which paths there are.
    for path in ["/", "/events", "/part/runs", "/page.js", "/absent"] {
        assert!(is(&page.ask(&format!("GET {path}"), &[&host]), "403"), "{path}");
    }
    let wrong = cookie.replace(&page.token, &"0".repeat(32));
    assert!(is(&page.ask("GET /", &[&host, &wrong]), "403"));
    assert!(is(&page.ask(&format!("GET /?token={}", "0".repeat(32)), &[&host]), "403"));
    assert!(is(&page.ask(&format!("GET /events?token={}", page.token), &[&host]), "403"));
    // Another site's request carries no cookie; if it did, its origin tells.
    assert!(is(&page.ask("GET /", &[&host, &cookie, "Sec-Fetch-Site: cross-site"]), "403"));

    let answer = page.ask(&format!("GET /?token={}", page.token), &[&host]);
    assert!(is(&answer, "303") && answer.contains("Location: /\r\n"), "{answer}");
    assert!(answer.contains("HttpOnly; SameSite=Strict"), "{answer}");
    let answer = page.known("GET /", &[]);
    assert!(
        is(&answer, "200") && answer.contains("fairhuman watch") && answer.contains("part-losses"),
        "{answer}"
    );
    for header in ["default-src 'none'", "frame-ancestors 'none'", "script-src 'self'", "no-store", "nosniff"]
    {
        assert!(answer.contains(header), "{header}");
    }
    assert!(!answer.contains("<script>"), "scripts are the server's own");
    for path in ["/part/losses", "/page.css", "/page.js"] {
        assert!(is(&page.known(&format!("GET {path}"), &[]), "200"), "{path}");
    }
    for path in ["/recipe.toml", "/../../etc/passwd", "/part/../recipe.toml", "/run/0/save", "/%2e%2e/"] {
        assert!(is(&page.known(&format!("GET {path}"), &[]), "404"), "{path}");
    }
    assert!(is(&page.known("PUT /", &[]), "405"));
    assert!(is(&page.ask("nonsense", &[]), "400"));
    assert!(is(&page.ask(&format!("GET /{}", "x".repeat(20_000)), &[&host]), "400"));
}

#[test]
fn what_changes_something_needs_the_token_in_a_header() {
    let world = World::new(&[("steps = 6", "steps = 2")]);
    world.ok(&["train", "recipe.toml"]);
    let page = Page::new(&world, "0");
    let token = format!("X-Fairhuman-Token: {}", page.token);
    let origin = format!("Origin: http://127.0.0.1:{}", page.port);
    assert!(is(&page.known("POST /run/0/save", &[]), "403"));
    assert!(is(&page.known("POST /run/0/save", &["X-Fairhuman-Token: 0"]), "403"));
    assert!(is(&page.known("POST /run/0/save", &[&token, "Origin: http://evil.example"]), "403"));
    assert!(is(&page.ask("POST /run/0/save", &[&page.host(), &token]), "403"), "the cookie, too");
    for path in ["/run/1/save", "/run/0/delete", "/run/-1/save", "/run/0", "/"] {
        assert!(is(&page.known(&format!("POST {path}"), &[&token, &origin]), "404"), "{path}");
    }
    let answer = page.known("POST /run/0/save", &[&token, &origin]);
    assert!(is(&answer, "409") && answer.contains("no process trains there"), "{answer}");
    assert!(!world.path("runs/recipe/requests/save").exists());
}

#[test]
fn a_browser_that_comes_back_is_told_what_it_has_not_seen() {
    let world = World::new(&[]);
    world.ok(&["train", "recipe.toml", "--steps", "2"]);
    let page = Page::new(&world, "0");
    let mut stream = page.events(None);
    let (first, data) = Page::next(&mut stream, PATIENCE).unwrap();
    assert!(data.contains("\"losses\":\""), "{data}");
    assert_eq!(Page::next(&mut stream, Duration::from_millis(900)), None, "nothing has changed");

    world.ok(&["train", "recipe.toml", "--steps", "4"]);
    let mut last = first.clone();
    while let Some((id, _)) = Page::next(&mut stream, Duration::from_millis(1500)) {
        assert_ne!(id, last);
        last = id;
    }
    assert_ne!(last, first);
    // With the newest id there is nothing to tell, with an older one there is.
    assert_eq!(Page::next(&mut page.events(Some(&last)), Duration::from_millis(900)), None);
    let (id, newer) = Page::next(&mut page.events(Some(&first)), PATIENCE).unwrap();
    assert_eq!(id, last);
    assert_ne!(newer, data);

    // The server is started again: the token, the ids and the versions are the same.
    let (port, token) = (page.port.to_string(), page.token.clone());
    drop(page);
    let page = Page::new(&world, &port);
    assert_eq!(page.token, token);
    assert_eq!(Page::next(&mut page.events(Some(&last)), Duration::from_millis(900)), None);
    assert_eq!(Page::next(&mut page.events(Some(&first)), PATIENCE).unwrap(), (last, newer));
}

#[test]
#[cfg(unix)]
fn a_run_is_told_to_save_to_draw_and_to_stop() {
    let samples = "steps = 100000\nsamples = { prompts = [\"a man\"], every = 50000, steps = 1 }";
    let world = World::new(&[("steps = 6", samples), ("every = 2, keep = 2", "every = 50000")]);
    let mut run = start(&world, &["train", "recipe.toml"]);
    let begin = Instant::now();
    let wait = |what: &dyn Fn() -> bool| {
        while !what() {
            assert!(begin.elapsed() < 4 * PATIENCE);
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait(&|| {
        std::fs::read_to_string(world.path("runs/recipe/events.jsonl"))
            .is_ok_and(|log| log.contains("\"step\","))
    });
    let page = Page::new(&world, "0");
    let token = format!("X-Fairhuman-Token: {}", page.token);
    for (request, words) in [("save", "a checkpoint"), ("sample", "pictures are drawn")] {
        let answer = page.known(&format!("POST /run/0/{request}"), &[&token]);
        assert!(is(&answer, "202") && answer.contains(words), "{answer}");
        wait(&|| !world.path(format!("runs/recipe/requests/{request}")).exists());
    }
    let folders =
        |name: &str| std::fs::read_dir(world.path("runs/recipe").join(name)).map_or(0, Iterator::count);
    wait(&|| folders("checkpoints") == 1 && folders("samples") == 2);
    assert!(page.known("GET /part/ask", &[]).contains("data-action=\"stop\""));
    assert!(is(&page.known("POST /run/0/stop", &[&token]), "202"));
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let log = String::from_utf8(world.bytes("runs/recipe/events.jsonl")).unwrap();
    assert!(log.contains("\"reason\":\"stopped\""), "{log}");
    wait(&|| !page.known("GET /part/ask", &[]).contains("data-action"));
}

#[test]
fn connections_that_are_left_open_lock_nobody_out() {
    let world = World::new(&[("steps = 6", "steps = 2")]);
    world.ok(&["train", "recipe.toml"]);
    let page = Page::new(&world, "0");
    // A page that was loaded again and again, and whose streams nobody reads.
    let mut streams: Vec<_> = (0..100).map(|_| page.events(None)).collect();
    assert!(is(&page.known("GET /", &[]), "200"));
    // The newest one is told what is new; the oldest was closed for it.
    assert!(Page::next(&mut streams[99], PATIENCE).is_some());
    if let Err(error) = streams[0].read_to_end(&mut Vec::new()) {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    }
    // Others that say nothing, not even the token.
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(("127.0.0.1", page.port)).unwrap()).collect();
    for path in ["/", "/page.js", "/part/losses"] {
        assert!(is(&page.known(&format!("GET {path}"), &[]), "200"), "{path}");
    }
    assert!(Page::next(&mut page.events(None), PATIENCE).is_some());
    drop(silent);
}

#[test]
fn a_folder_without_a_run_is_told_with_the_runs_below_it() {
    let world = World::new(&[("steps = 6", "steps = 1")]);
    assert!(world.fails(&["watch", "runs/nobody"]).contains("no such folder"));
    let error = world.fails(&["watch", "people"]);
    assert!(error.contains("people holds no run") && error.contains("events.jsonl"), "{error}");
    world.ok(&["train", "recipe.toml"]);
    for folder in ["runs", "."] {
        for command in ["watch", "report"] {
            let error = world.fails(&[command, folder]);
            assert!(error.contains("runs below it: runs/recipe\n"), "{command}: {error}");
        }
    }
    // One in which a process begins to train has no log yet.
    std::fs::remove_file(world.path("runs/recipe/events.jsonl")).unwrap();
    let _training = FolderLock::take(&world.path("runs/recipe")).unwrap();
    assert!(is(&Page::new(&world, "0").known("GET /", &[]), "200"));
}
