//! The other processes' side of the meeting: finds process 0, which may not be there yet.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use super::Group;
use super::hello::{Answer, Hello, Purpose};
use super::socket::Timed;
use crate::address::Address;
use crate::lifeline::{Message, Who};
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
    let begin = (settings.clock)();
    loop {
        let mut cause = "it has no address".to_owned();
        for address in addresses {
            match attempt(address, purpose, group, settings) {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(refused)) => return Err(refused),
                Err(problem) => cause = problem.to_string(),
            }
        }
        let seconds = (settings.clock)() - begin;
        if seconds >= settings.patience {
            let address: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            let (rank, address) = (group.who.rank, address.join(", "));
            return Err(JoinError::Connect { rank, address, seconds, cause });
        }
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
    // Process 0 gives up earlier.
    let time = Duration::from_secs_f64(settings.patience) + ANSWER;
    stream.set_read_timeout(Some(time)).map_err(|error| lost(error.to_string()))?;
    let message = Message::read(&mut &*stream).map_err(|error| lost(error.to_string()))?;
    stream.set_read_timeout(None).map_err(|error| lost(error.to_string()))?;
    match message {
        Message::Ready => Ok(()),
        Message::Lost(_, text) => Err(JoinError::Lost(text)),
        other => Err(lost(format!("it sent {other:?}"))),
    }
}
