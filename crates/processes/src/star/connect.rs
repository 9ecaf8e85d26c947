//! The other processes' side of the meeting: finds process 0, which may not be there yet.

use std::io::Error;
use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use super::Group;
use super::hello::{Answer, Hello, Purpose};
use super::socket::Timed;
use crate::address::Address;
use crate::lifeline::{Message, Who};
use crate::patience::Patience;
use crate::settings::{JoinError, Settings};

/// Time for one attempt at one address.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Time between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Time in which process 0 answers.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to process 0 for a purpose, at the first of its addresses that answers.
pub fn connect(
    addresses: &[Address],
    purpose: Purpose,
    group: &Group,
    settings: &Settings,
) -> Result<(Who, TcpStream), JoinError> {
    let address = || addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut patience = Patience::new(settings, settings.patience);
    loop {
        let mut cause = "it has no address".to_owned();
        for address in addresses {
            match attempt(address, purpose, group, settings) {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(refused)) => return Err(refused),
                Err(problem) => cause = problem.to_string(),
            }
        }
        if patience.is_over() {
            let (rank, address, seconds) = (group.who.rank, address(), patience.spent());
            return Err(JoinError::Connect { rank, address, seconds, cause });
        }
        // A warning: even of many processes on one screen, this one alone knows the cause.
        patience.tell(|| format!("warning: waits for rank 0 at {}: {cause}", address()));
        thread::park_timeout(PAUSE);
    }
}

/// One attempt: an error where it may be worth another.
fn attempt(
    address: &Address,
    purpose: Purpose,
    group: &Group,
    settings: &Settings,
) -> std::io::Result<Result<(Who, TcpStream), JoinError>> {
    let stream = open(address)?;
    stream.set_nodelay(true)?;
    let (who, size) = (group.who.clone(), group.size);
    Hello { purpose, who, size, token: group.token, program: settings.program }.write(&mut &stream)?;
    let answer = Answer::read(&mut Timed::new(&stream, ANSWER)?)?;
    stream.set_read_timeout(None)?;
    Ok(match answer {
        Answer::Welcome(who) => Ok((who, stream)),
        Answer::Refused(reason) => Err(JoinError::Refused(reason)),
    })
}

fn open(address: &Address) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the name has no address");
    let found: Vec<SocketAddr> = (address.host.as_str(), address.port).to_socket_addrs()?.collect();
    for address in found {
        match TcpStream::connect_timeout(&address, ATTEMPT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Waits until process 0 says that all are there.
pub fn wait_for_all(stream: &TcpStream, zero: &Who, settings: &Settings) -> Result<(), JoinError> {
    let lost = |cause: String| JoinError::Lost(format!("{zero} is gone: {cause}"));
    let failed = |error: Error| lost(error.to_string());
    // Process 0 gives up earlier.
    let mut patience = Patience::new(settings, settings.patience + ANSWER.as_secs_f64());
    loop {
        stream.set_read_timeout(Some(patience.pause())).map_err(failed)?;
        match stream.peek(&mut [0]) {
            Ok(_) => break,
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
            Err(error) => return Err(failed(error)),
        }
        if patience.is_over() {
            let seconds = patience.spent();
            return Err(JoinError::Lost(format!(
                "{zero} has not brought the group together in {seconds:.0} s"
            )));
        }
        patience.tell(|| format!("waits with {zero} for the others; rank 0 says for whom"));
    }
    stream.set_read_timeout(Some(ANSWER)).map_err(failed)?;
    let message = Message::read(&mut &*stream).map_err(failed)?;
    stream.set_read_timeout(None).map_err(failed)?;
    match message {
        Message::Ready => Ok(()),
        Message::Lost(_, text) => Err(JoinError::Told(text)),
        other => Err(lost(format!("it sent {other:?}"))),
    }
}
