//! The lifeline's threads: one reads each connection, one sends beats or, in process 0, tells who is slow.

use std::io::BufReader;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Message, Shared, State};

/// Bytes of a reader's stack: it does nothing deep, and process 0 has one for each other process.
const STACK: usize = 256 * 1024;
/// Time between beats, and between looks at who is slow.
const BEAT: Duration = Duration::from_secs(1);
/// Repetitions of a line about the same exchange: after this many times the first wait.
const AGAIN: f64 = 6.0;

/// Starts them.
pub fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    for peer in 0..shared.peers.len() {
        let shared = shared.clone();
        let name = format!("rank {}", shared.peers[peer].who.rank);
        let builder = thread::Builder::new().name(name).stack_size(STACK);
        builder.spawn(move || read(&shared, peer))?;
    }
    let shared = shared.clone();
    let own = thread::Builder::new().name("lifeline".into());
    match shared.own.rank {
        0 => own.spawn(move || tell(&shared))?,
        _ => own.spawn(move || beat(&shared))?,
    };
    Ok(())
}

/// Reads a peer's messages until it hangs up.
fn read(shared: &Shared, peer: usize) {
    let who = &shared.peers[peer].who;
    let mut stream = BufReader::new(&shared.peers[peer].stream);
    loop {
        match Message::read(&mut stream) {
            Ok(Message::Beat(exchange)) => {
                note(shared, peer, exchange, false);
                shared.send(peer, &Message::Heard);
            }
            Ok(Message::Failed(text)) => {
                shared.lose(who.rank, format!("{who}: {text}"), false);
                shared.send(peer, &Message::Noted);
            }
            Ok(Message::Bye(exchange)) => note(shared, peer, exchange, true),
            Ok(Message::Heard) => note(shared, peer, 0, false),
            Ok(Message::Noted) => shared.change(|state| state.noted = true),
            Ok(Message::Lost(rank, text)) => shared.lose(rank as usize, text, true),
            Ok(Message::Ready) => {}
            Err(error) => {
                let mut expected = false;
                shared.change(|state| {
                    expected = state.closed || state.peers[peer].left;
                    state.peers[peer].left |= state.closed;
                });
                return match (expected, error.kind()) {
                    (true, _) => {}
                    (false, std::io::ErrorKind::InvalidData) => {
                        shared.lose(who.rank, format!("{who} sent what is {error}"), false);
                    }
                    (false, std::io::ErrorKind::TimedOut) => {
                        shared.lose(who.rank, format!("{who} is gone: its machine does not answer"), false);
                    }
                    (false, _) => shared.lose(who.rank, format!("{who} is gone"), false),
                };
            }
        }
    }
}

/// Notes that a peer was heard of.
fn note(shared: &Shared, peer: usize, exchange: u64, left: bool) {
    let now = (shared.settings.clock)();
    shared.change(|state| {
        let peer = &mut state.peers[peer];
        (peer.heard, peer.reached) = (now, peer.reached.max(exchange));
        peer.left |= left;
    });
}

/// Sends beats to process 0, each after the one before was heard.
fn beat(shared: &Shared) {
    let mut sent = f64::NEG_INFINITY;
    loop {
        let state = shared.wait(BEAT, |state| state.closed);
        if state.closed {
            return;
        }
        let (heard, reached) = (state.peers[0].heard, state.reached);
        drop(state);
        if heard >= sent {
            sent = (shared.settings.clock)();
            shared.send(0, &Message::Beat(reached));
        }
    }
}

/// Tells the user for whom process 0 waits.
fn tell(shared: &Shared) {
    let mut told = Told { exchange: 0, at: 0.0 };
    loop {
        let state = shared.wait(BEAT, |state| state.closed || state.lost.is_some());
        if state.closed || state.lost.is_some() {
            return;
        }
        let line = line(shared, &state, (shared.settings.clock)(), &mut told);
        drop(state);
        if let Some(line) = line {
            (shared.settings.tell)(&line);
        }
    }
}

/// The exchange that the user was last told of, and when.
struct Told {
    exchange: u64,
    at: f64,
}

/// A line about the processes that an exchange waits for, if it is time for one.
fn line(shared: &Shared, state: &State, now: f64, told: &mut Told) -> Option<String> {
    let (exchange, since) = state.waiting?;
    let (after, seconds) = (shared.settings.told_after, now - since);
    let is_new = told.exchange != exchange;
    if seconds < after || !is_new && now - told.at < AGAIN * after {
        return None;
    }
    let of = |peer: usize| shared.peers[peer].who.to_string();
    let peers = || state.peers.iter().enumerate().filter(|(_, peer)| !peer.left);
    let slow: Vec<String> = peers().filter(|(_, peer)| peer.reached < exchange).map(|(i, _)| of(i)).collect();
    let silent: Vec<String> =
        peers().filter(|(_, peer)| now - peer.heard >= after).map(|(i, _)| of(i)).collect();
    *told = Told { exchange, at: now };
    let few = |list: &[String]| match list.len() {
        0..=4 => list.join(", "),
        many => format!("{} and {} more", list[..3].join(", "), many - 3),
    };
    Some(match (slow.is_empty(), silent.is_empty()) {
        (_, false) => format!(
            "{} has not been heard of for {after:.0} s (suspended, or its machine is overloaded?); the others wait \
             at exchange {exchange}",
            few(&silent)
        ),
        (false, true) => {
            format!("{} has not reached exchange {exchange} for {seconds:.0} s; the others wait", few(&slow))
        }
        (true, true) => format!(
            "all processes reached exchange {exchange}, which has not come to an end for {seconds:.0} s (a slow \
             network, or one that they cannot reach each other by?)"
        ),
    })
}
