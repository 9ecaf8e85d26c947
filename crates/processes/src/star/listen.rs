//! Process 0's side of the meeting: takes the connections of all other processes, and refuses those of
//! strangers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, atomic};
use std::thread;
use std::time::Duration;

use super::hello::{Answer, Hello, Purpose};
use super::{Group, socket};
use crate::address::Address;
use crate::lifeline::Who;
use crate::patience::Patience;
use crate::settings::{JoinError, Settings};

/// Seconds in which a caller says who it is.
const PATIENCE: Duration = Duration::from_secs(10);
/// Callers that are listened to at once, beside those that are expected.
const STRANGERS: usize = 64;
/// Refusals that are told.
const MOST_TOLD: usize = 5;

/// Waits for connections at an address; at every address of this machine, unless it is for itself only.
pub fn bind(address: &Address) -> Result<TcpListener, JoinError> {
    let port = address.port;
    let failed = |cause: std::io::Error| JoinError::Listen {
        address: address.to_string(),
        cause: match cause.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("another program listens at port {port}; take another port")
            }
            _ => cause.to_string(),
        },
    };
    if address.is_loopback() {
        return TcpListener::bind((address.host.as_str(), port)).map_err(failed);
    }
    everywhere(port).map_err(failed)
}

/// Listens at all addresses of this machine, of version 6 and 4; only of version 4 where that takes two
/// sockets.
pub fn everywhere(port: u16) -> std::io::Result<TcpListener> {
    let four = |port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port));
    let Ok(six) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) else { return four(port) };
    // The port is in use for version 4 where the first socket has it for both.
    Ok(four(six.local_addr()?.port()).unwrap_or(six))
}

/// A caller, as far as it could be understood.
enum Caller {
    Known(Hello, TcpStream),
    Unknown(SocketAddr, String),
}

/// The connections of a process: lifeline and, where wanted, exchanges.
#[derive(Default)]
struct Connections {
    who: Option<Who>,
    lifeline: Option<TcpStream>,
    exchanges: Option<TcpStream>,
}

/// Connections to all other processes, in the order of their ranks.
pub type Others = Vec<(Who, TcpStream, Option<TcpStream>)>;

/// Takes the connections of all other processes of the group.
pub fn meet(listener: &TcpListener, group: &Group, settings: &Settings) -> Result<Others, JoinError> {
    let (found, callers) = channel();
    let over = Arc::new(atomic::AtomicBool::new(false));
    let address = listener.local_addr().map_or_else(|_| "?".to_owned(), |address| address.to_string());
    let cause =
        |cause: std::io::Error| JoinError::Listen { address: address.clone(), cause: cause.to_string() };
    let accepting = listener.try_clone().map_err(cause)?;
    accepting.set_nonblocking(true).map_err(cause)?;
    let (most, ended) = (group.callers() + STRANGERS, over.clone());
    let accept = thread::Builder::new().name("meeting".into());
    accept.spawn(move || accept_until(&accepting, &ended, &found, most)).map_err(cause)?;
    let met = collect(&callers, group, settings, &address);
    over.store(true, atomic::Ordering::Relaxed);
    met
}

/// Accepts connections, each heard in a thread of its own, so that a silent one holds up nobody.
fn accept_until(listener: &TcpListener, over: &atomic::AtomicBool, found: &Sender<Caller>, most: usize) {
    let open = Arc::new(atomic::AtomicUsize::new(0));
    while !over.load(atomic::Ordering::Relaxed) {
        let Ok((stream, from)) = listener.accept() else {
            thread::park_timeout(Duration::from_millis(20));
            continue;
        };
        if open.load(atomic::Ordering::Relaxed) >= most {
            continue;
        }
        open.fetch_add(1, atomic::Ordering::Relaxed);
        let (found, open) = (found.clone(), open.clone());
        // A thread that the system refuses: the caller is not heard, and comes again.
        let _ = thread::Builder::new().stack_size(256 * 1024).spawn(move || {
            let caller = match hear(&stream) {
                Ok(hello) => Caller::Known(hello, stream),
                Err(problem) => Caller::Unknown(from, problem.to_string()),
            };
            open.fetch_sub(1, atomic::Ordering::Relaxed);
            let _ = found.send(caller);
        });
    }
}

fn hear(stream: &TcpStream) -> std::io::Result<Hello> {
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let hello = Hello::read(&mut socket::Timed::new(stream, PATIENCE)?)?;
    stream.set_read_timeout(None)?;
    Ok(hello)
}

/// Process 0's side of the meeting: the processes that are there, and the callers that were refused.
struct Meeting<'a> {
    group: &'a Group,
    settings: &'a Settings,
    there: BTreeMap<usize, Connections>,
    refused: Vec<String>,
}

impl Meeting<'_> {
    /// The ranks that have not come with all their connections.
    fn missing(&self) -> Vec<usize> {
        let is_whole =
            |one: &Connections| one.lifeline.is_some() && (one.exchanges.is_some() || !self.group.exchanges);
        (1..self.group.size).filter(|rank| !self.there.get(rank).is_some_and(is_whole)).collect()
    }

    /// Notes a caller that was refused, and tells the user of the first few.
    fn refuse(&mut self, line: String) {
        if self.refused.len() < MOST_TOLD {
            (self.settings.tell)(&format!("note: refused a connection: {line}"));
            self.refused.push(line);
        }
    }

    /// Answers a caller, and takes its connection if it is of the group and has a place in it.
    ///
    /// # Errors
    /// A process of the group that runs another program: there will be no group.
    fn admit(&mut self, hello: Hello, stream: TcpStream) -> Result<(), JoinError> {
        let (group, settings) = (self.group, self.settings);
        let answer = |answer: Answer| drop(answer.write(&mut &stream));
        if let Some(reason) = stranger(&hello, group) {
            answer(Answer::Refused(reason.clone()));
            self.refuse(reason);
            return Ok(());
        }
        if hello.program != settings.program {
            let error = JoinError::Unequal(format!(
                "{} runs another program than {} (digest {}, and {}): every process needs the same fairhuman",
                hello.who,
                group.who,
                short(&hello.program),
                short(&settings.program)
            ));
            answer(Answer::Refused(error.to_string()));
            return Err(error);
        }
        let one = self.there.entry(hello.who.rank).or_default();
        if [&one.lifeline, &one.exchanges].into_iter().flatten().any(socket::is_closed) {
            // It was ended while it waited, and was started again.
            *one = Connections::default();
        }
        let is_second = one.who.as_ref().is_some_and(|who| *who != hello.who);
        let place = match hello.purpose {
            Purpose::Lifeline => &mut one.lifeline,
            Purpose::Exchanges => &mut one.exchanges,
        };
        if is_second || place.is_some() {
            let first = one.who.as_ref().map(ToString::to_string).unwrap_or_default();
            let reason = format!("{} came after {first}: every process needs a rank of its own", hello.who);
            answer(Answer::Refused(reason.clone()));
            self.refuse(reason);
            return Ok(());
        }
        answer(Answer::Welcome(group.who.clone()));
        *place = Some(stream);
        one.who = Some(hello.who);
        Ok(())
    }

    /// The error of a group that has not come together in time.
    fn gives_up(&self, missing: &[usize], address: &str) -> JoinError {
        let refused = match self.refused.is_empty() {
            true => String::new(),
            false => format!("; refused: {}", self.refused.join("; ")),
        };
        let (seconds, address) = (self.settings.patience, address.to_owned());
        JoinError::Missing { missing: ranks(missing), seconds, address, refused }
    }
}

/// Takes callers until all are there; if there will be no group, tells those that wait.
fn collect(
    callers: &Receiver<Caller>,
    group: &Group,
    settings: &Settings,
    address: &str,
) -> Result<Others, JoinError> {
    let mut meeting = Meeting { group, settings, there: BTreeMap::new(), refused: Vec::new() };
    match take_all(&mut meeting, callers, address) {
        Ok(()) => {
            let all = meeting.there.into_values();
            Ok(all.filter_map(|one| Some((one.who?, one.lifeline?, one.exchanges))).collect())
        }
        Err(error) => {
            tell_those_who_wait(lifelines(&meeting.there), &error.to_string());
            Err(error)
        }
    }
}

fn take_all(meeting: &mut Meeting<'_>, callers: &Receiver<Caller>, address: &str) -> Result<(), JoinError> {
    let settings = meeting.settings;
    let mut patience = Patience::new(settings, settings.patience);
    loop {
        let missing = meeting.missing();
        if missing.is_empty() {
            return Ok(());
        }
        patience.tell(|| {
            let (few, others) = (missing.len(), meeting.group.size - 1);
            let others = format!("{others} other process{}", if others == 1 { "" } else { "es" });
            format!("rank 0 waits at {address} for {few} of {others}: {}", ranks(&missing))
        });
        match callers.recv_timeout(patience.pause()) {
            Ok(Caller::Known(hello, stream)) => meeting.admit(hello, stream)?,
            Ok(Caller::Unknown(from, problem)) => meeting.refuse(format!("{from} is {problem}")),
            Err(RecvTimeoutError::Timeout) if !patience.is_over() => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(meeting.gives_up(&missing, address));
            }
        }
    }
}

/// The reason for which a caller is of no group, or of another.
fn stranger(hello: &Hello, group: &Group) -> Option<String> {
    let Hello { who, size, token, .. } = hello;
    if *size != group.size {
        return Some(format!(
            "{who} was started as one of {size} processes, {} as one of {}",
            group.who, group.size
        ));
    }
    if *token != group.token {
        return Some(format!(
            "{who} is of another run than {} (the same FAIRHUMAN_TOKEN is needed, or none)",
            group.who
        ));
    }
    (who.rank == 0 || who.rank >= group.size)
        .then(|| format!("{who} has no rank from 1 to {}: process 0 is {}", group.size - 1, group.who))
}

/// The connections of those that wait for the group.
fn lifelines(there: &BTreeMap<usize, Connections>) -> impl Iterator<Item = &TcpStream> {
    there.values().filter_map(|one| one.lifeline.as_ref())
}

/// Tells the processes that wait for the group that there will be none.
pub fn tell_those_who_wait<'s>(lifelines: impl Iterator<Item = &'s TcpStream>, why: &str) {
    for mut stream in lifelines {
        let _ = crate::lifeline::Message::Lost(0, why.to_owned()).write(&mut stream);
    }
}

/// `rank 3`, or `ranks 1, 2, 5`.
fn ranks(list: &[usize]) -> String {
    const FEW: usize = 12;
    let shown: Vec<String> = list.iter().take(FEW).map(ToString::to_string).collect();
    let more = list.len().saturating_sub(FEW);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{} {}{more}", if list.len() == 1 { "rank" } else { "ranks" }, shown.join(", "))
}

/// A digest's beginning.
fn short(digest: &[u8; 32]) -> String {
    digest[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}
