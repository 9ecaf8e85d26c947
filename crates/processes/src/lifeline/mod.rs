//! Who lives, who waits for whom, and who was lost.
//!
//! Every process holds a connection to process 0, which sees at once when the system closes it, and tells the
//! others. Keep-alive probes notice within 30 s a machine that vanished; the system of a process that is
//! merely suspended or slow answers them, so such a process is told of and not given up.

mod message;
mod watch;

use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use message::Message;

use crate::settings::Settings;

/// Seconds in which an error reaches process 0, or all others hang up.
const FAREWELL: Duration = Duration::from_secs(2);

/// A process, by the names that messages call it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// Its rank.
    pub rank: usize,
    /// Its machine.
    pub host: String,
    /// Its number there.
    pub process: u32,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rank {} ({}, process {})", self.rank, self.host, self.process)
    }
}

/// This process's end of the connections.
pub struct Lifeline(Arc<Shared>);

/// State that the threads of connections share with those who wait.
struct Shared {
    own: Who,
    /// In process 0 all others, else process 0.
    peers: Vec<Peer>,
    settings: Settings,
    state: Mutex<State>,
    changed: Condvar,
}

struct Peer {
    who: Who,
    stream: TcpStream,
    /// Held while a message is written.
    writing: Mutex<()>,
}

struct State {
    /// The words for the first process that was lost.
    lost: Option<Lost>,
    /// The newest exchange of this process.
    reached: u64,
    /// The exchange that it waits for, and since when.
    waiting: Option<(u64, f64)>,
    /// The same of each peer, as told by it.
    peers: Vec<PeerState>,
    /// True once process 0 has told the others of the loss.
    told: bool,
    /// True once process 0 has this process's error.
    noted: bool,
    /// True once this process takes no more part.
    closed: bool,
}

#[derive(Debug, Clone)]
struct Lost {
    text: String,
    /// True if process 0 told it, so that it tells its user as well.
    is_told: bool,
}

#[derive(Debug, Clone, Copy)]
struct PeerState {
    reached: u64,
    heard: f64,
    /// True after its farewell, or when it hung up after this process did.
    left: bool,
}

impl Lifeline {
    /// Takes connections to peers over.
    pub fn new(own: Who, peers: Vec<(Who, TcpStream)>, settings: &Settings) -> std::io::Result<Self> {
        let now = (settings.clock)();
        let state = State {
            lost: None,
            reached: 0,
            waiting: None,
            peers: vec![PeerState { reached: 0, heard: now, left: false }; peers.len()],
            told: false,
            noted: false,
            closed: false,
        };
        let peer = |(who, stream)| Peer { who, stream, writing: Mutex::default() };
        let peers = peers.into_iter().map(peer).collect();
        let (state, changed) = (Mutex::new(state), Condvar::new());
        let shared = Arc::new(Shared { own, peers, settings: settings.clone(), state, changed });
        watch::start(&shared)?;
        Ok(Self(shared))
    }

    /// Begins an exchange; its number.
    pub fn next_exchange(&self) -> u64 {
        let mut state = self.0.state();
        state.reached += 1;
        state.reached
    }

    /// Says that this process waits for an exchange, until the result is dropped.
    pub fn waiting(&self, exchange: u64) -> Waiting<'_> {
        self.0.state().waiting = Some((exchange, (self.0.settings.clock)()));
        Waiting(&self.0)
    }

    /// An error if a process was lost, or has ended before this exchange.
    pub fn check(&self, exchange: u64) -> Result<(), String> {
        let state = self.0.state();
        if let Some(lost) = &state.lost {
            return Err(lost.text.clone());
        }
        let early = state.peers.iter().position(|peer| peer.left && peer.reached < exchange);
        match early {
            None => Ok(()),
            Some(i) => Err(format!(
                "{} ended after exchange {}, and this process is at exchange {exchange}: every process needs the \
                 same command",
                self.0.peers[i].who, state.peers[i].reached
            )),
        }
    }

    /// The reason of an exchange that failed: a process that was lost, as soon as that is known, or
    /// `problem`.
    pub fn reason(&self, problem: String) -> String {
        let state = self.0.wait(FAREWELL, |state| state.lost.is_some());
        state.lost.as_ref().map_or(problem, |lost| lost.text.clone())
    }

    /// Does something in a thread of its own once a process is lost; never if this process ends before.
    pub fn when_lost(&self, action: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let shared = self.0.clone();
        let wait = move || {
            let over = |state: &mut State| state.lost.is_some() || state.closed;
            let state = shared.changed.wait_while(shared.state(), |state| !over(state));
            let is_lost = state.unwrap_or_else(PoisonError::into_inner).lost.is_some();
            if is_lost {
                action();
            }
        };
        std::thread::Builder::new().name("loss".into()).spawn(wait).map(drop)
    }

    /// Ends with the group: waits for the others to be done as well.
    pub fn end(&self) -> Result<(), String> {
        let reached = self.0.state().reached;
        self.0.send_all(&Message::Bye(reached));
        loop {
            let state = self.0.wait(Duration::from_secs(3600), |state| {
                state.lost.is_some() || state.peers.iter().all(|peer| peer.left)
            });
            match &state.lost {
                Some(lost) => return Err(lost.text.clone()),
                None if state.peers.iter().all(|peer| peer.left) => return Ok(()),
                None => {}
            }
        }
    }

    /// Ends with an error of this process. True if process 0 has it and tells it.
    pub fn fail(&self, text: &str) -> bool {
        if self.0.state().lost.is_some() {
            // Process 0 tells the others first: they would take its own end for the loss.
            let state = self.0.wait(FAREWELL, |state| state.told || self.0.own.rank != 0);
            return state.lost.as_ref().is_some_and(|lost| lost.is_told);
        }
        if self.0.own.rank != 0 {
            self.0.send_all(&Message::Failed(text.to_owned()));
            let state = self.0.wait(FAREWELL, |state| state.noted || state.lost.is_some());
            return state.noted || state.lost.as_ref().is_some_and(|lost| lost.is_told);
        }
        self.0.state().closed = true;
        self.0.send_all(&Message::Lost(0, format!("{}: {text}", self.0.own)));
        drop(self.0.wait(FAREWELL, |state| state.peers.iter().all(|peer| peer.left)));
        false
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.changed.notify_all();
        for peer in &self.0.peers {
            // A connection that is closed already is what is wanted.
            let _ = peer.stream.shutdown(Shutdown::Both);
        }
    }
}

/// While held, this process waits.
pub struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting = None;
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something holds, or the time is over.
    fn wait(&self, time: Duration, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_timeout_while(self.state(), time, |state| !holds(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Changes the state and wakes those who wait for it.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Sends to one peer. One that is gone is noticed by its reader.
    fn send(&self, peer: usize, message: &Message) {
        let peer = &self.peers[peer];
        let _writing = peer.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = message.write(&mut &peer.stream);
    }

    fn send_all(&self, message: &Message) {
        (0..self.peers.len()).for_each(|peer| self.send(peer, message));
    }

    /// Notes the first loss, and in process 0 tells the others.
    fn lose(&self, rank: usize, text: String, is_told: bool) {
        let mut is_first = false;
        self.change(|state| {
            is_first = state.lost.is_none() && !state.closed;
            if is_first {
                state.lost = Some(Lost { text: text.clone(), is_told });
            }
        });
        if is_first && self.own.rank == 0 {
            let message = Message::Lost(u32::try_from(rank).unwrap_or(u32::MAX), text);
            let others = (0..self.peers.len()).filter(|&peer| self.peers[peer].who.rank != rank);
            others.for_each(|peer| self.send(peer, &message));
            self.change(|state| state.told = true);
        }
    }
}
