//! HTTP as far as a browser on the same machine needs it: one request to a connection.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Bytes of a request's head.
const LONGEST: usize = 16 * 1024;
const HEADERS: usize = 64;
/// Time that a browser may take to say what it wants, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The parts of a request that are read.
#[derive(Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The query.
    pub query: String,
    headers: Vec<(String, String)>,
    /// The part of the body that came with the head.
    begun: Vec<u8>,
}

/// A body that is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoBody {
    /// Its length is not told.
    Unknown,
    /// It is longer than is taken.
    TooLong,
}

impl Request {
    /// Reads a request; none where what came is none, or too long, or too slow.
    pub fn read(stream: &mut TcpStream) -> std::io::Result<Option<Self>> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut head = Vec::new();
        let mut part = [0; 2048];
        while head.len() < LONGEST {
            let count = match stream.read(&mut part) {
                Ok(0) => return Ok(None),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            head.extend_from_slice(&part[..count]);
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(&head) {
                Ok(httparse::Status::Complete(end)) => {
                    let begun = head[end..].to_vec();
                    return Ok(Self::of(&request).map(|request| Self { begun, ..request }));
                }
                Ok(httparse::Status::Partial) => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn of(request: &httparse::Request<'_, '_>) -> Option<Self> {
        let (path, query) = request.path?.split_once('?').unwrap_or((request.path?, ""));
        let text = |header: &httparse::Header<'_>| {
            Some((header.name.to_ascii_lowercase(), std::str::from_utf8(header.value).ok()?.to_owned()))
        };
        Some(Self {
            method: request.method?.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: request.headers.iter().map(text).collect::<Option<_>>()?,
            begun: Vec::new(),
        })
    }

    /// Reads the body, of at most so many bytes.
    pub fn body(&mut self, stream: &mut TcpStream, most: usize) -> std::io::Result<Result<Vec<u8>, NoBody>> {
        let length = self.header("content-length").and_then(|text| text.parse::<usize>().ok());
        let Some(length) = length.filter(|_| self.header("transfer-encoding").is_none()) else {
            return Ok(Err(NoBody::Unknown));
        };
        if length > most {
            return Ok(Err(NoBody::TooLong));
        }
        let mut body = std::mem::take(&mut self.begun);
        body.truncate(length);
        let begun = body.len();
        body.resize(length, 0);
        stream.read_exact(&mut body[begun..])?;
        Ok(Ok(body))
    }

    /// A header's value, by its name in small letters; none where it is absent, or there twice.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// A cookie's value.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.header("cookie")?.split(';');
        cookies
            .filter_map(|cookie| cookie.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, v)| v)
    }
}

/// Reads what is left of a request that was too long: a connection that is closed before would be reset, and
/// the answer lost.
pub fn drain(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut rest = [0; 4096];
    for _ in 0..LONGEST / rest.len() {
        if stream.read(&mut rest)? == 0 {
            break;
        }
    }
    Ok(())
}

/// An answer.
pub struct Answer<'a> {
    /// Status and its words.
    pub status: &'static str,
    /// Its type.
    pub kind: &'static str,
    /// Further headers, each with its line's end.
    pub headers: String,
    /// The content.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Sends it.
    pub fn send(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let length = format!("Content-Length: {}\r\n{}", self.body.len(), self.headers);
        let mut bytes = head(self.status, self.kind, &length).into_bytes();
        bytes.extend_from_slice(self.body);
        stream.write_all(&bytes)?;
        stream.flush()
    }
}

/// The head of an answer. Nothing may be kept, framed, or loaded from elsewhere.
pub fn head(status: &str, kind: &str, more: &str) -> String {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let letters = if kind.starts_with("text/") { "; charset=utf-8" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}{letters}\r\nContent-Security-Policy: {POLICY}\r\n\
         X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Cross-Origin-Opener-Policy: same-origin\r\nCache-Control: no-store\r\nConnection: close\r\n{more}\r\n"
    )
}
