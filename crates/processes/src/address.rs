//! `HOST:PORT`.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or a number; one of version 6 without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// True if the host is this machine for itself only.
    pub fn is_loopback(&self) -> bool {
        let number = self.host.parse::<std::net::IpAddr>();
        number.map_or(self.host == "localhost", |number| number.is_loopback())
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let expected = "HOST:PORT, such as node1:29500 or [fe80::1]:29500";
        let (host, port) = text.rsplit_once(':').ok_or(expected)?;
        let port = port.parse().ok().filter(|&port| port != 0).ok_or(expected)?;
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        match inside {
            Some(inside) => inside.parse::<Ipv6Addr>().map_err(|_| expected).map(drop)?,
            None if host.is_empty() || host.contains([':', '[', ']', '/']) => return Err(expected),
            None => {}
        }
        Ok(Self { host: inside.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
