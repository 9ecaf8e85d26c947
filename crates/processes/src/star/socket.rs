//! Sockets: reading within a time, and noticing a machine that vanished.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Duration;

/// Reads of a socket that together may take no longer than a time: a caller that sends a byte now and then
/// would outlive a limit for each read.
pub struct Timed<'a> {
    stream: &'a TcpStream,
    /// Bytes that may still be read; each read may take the whole time, so they are few.
    reads: u32,
}

impl<'a> Timed<'a> {
    /// Reads whose sum is at most twice `time`.
    pub fn new(stream: &'a TcpStream, time: Duration) -> io::Result<Self> {
        const READS: u32 = 32;
        stream.set_read_timeout(Some(time / (READS / 2)))?;
        Ok(Self { stream, reads: READS })
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let silent = || io::Error::new(io::ErrorKind::TimedOut, "silent");
        loop {
            self.reads = self.reads.checked_sub(1).ok_or_else(silent)?;
            match self.stream.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                read => return read,
            }
        }
    }
}

/// True if the other end has closed a connection on which nothing is to come yet.
pub fn is_closed(stream: &TcpStream) -> bool {
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let is_open = match looked {
        Ok(bytes) => bytes > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    };
    !is_open || stream.set_nonblocking(false).is_err()
}

/// Makes the system notice within 25 seconds that the other machine is gone. It answers for processes that
/// are suspended.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    use rustix::net::sockopt;

    let (pause, tries) = (Duration::from_secs(5), 4);
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, pause)?;
    sockopt::set_tcp_keepintvl(stream, pause)?;
    sockopt::set_tcp_keepcnt(stream, tries)?;
    // For what was sent and not received, which keeps the probes from being sent.
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, 1000 * 5 * (tries + 1))?;
    Ok(())
}

/// Elsewhere such a machine is told of as one that is silent.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)
}
