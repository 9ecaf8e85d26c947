//! Processes that meet over TCP: all connect to process 0.

mod connect;
mod exchange;
mod hello;
mod listen;
mod socket;

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

pub use listen::everywhere;

use self::exchange::Star;
use self::hello::Purpose;
use crate::address::Address;
use crate::launch::Launch;
use crate::lifeline::{Lifeline, Message, Who};
use crate::processes::Joined;
use crate::settings::{JoinError, Settings};
use crate::worker::Worker;

/// Time for the start of a thread.
const LONG: Duration = Duration::from_secs(3600);

/// The group that a process belongs to.
pub struct Group {
    /// This process.
    pub who: Who,
    /// Number of processes.
    pub size: usize,
    /// Something that only its processes know.
    pub token: [u8; 32],
    /// True if exchanges go over TCP as well.
    pub exchanges: bool,
}

impl Group {
    /// Connections that process 0 waits for.
    fn callers(&self) -> usize {
        (self.size - 1) * (1 + usize::from(self.exchanges))
    }
}

/// This process, for messages.
pub fn who(launch: &Launch, settings: &Settings) -> Who {
    Who { rank: launch.rank, host: settings.host.clone(), process: std::process::id() }
}

/// Meets the others at `master`, for signs of life and exchanges.
pub fn join(launch: &Launch, master: &Address, settings: &Settings) -> Result<Joined, JoinError> {
    // Not to keep intruders out, which takes a secret, but processes of other runs.
    let token = format!("{}\n{}", launch.size, launch.secret);
    let token = *blake3::hash(token.as_bytes()).as_bytes();
    let group = Group { who: who(launch, settings), size: launch.size, token, exchanges: true };
    let met = match launch.rank {
        0 => Met::as_zero(&listen::bind(master)?, &group, settings)?,
        _ => Met::as_other(std::slice::from_ref(master), &group, settings)?,
    };
    let star = Star::new(group.who, group.size, met.exchanges);
    let open = move || Ok::<_, String>((star, ()));
    // It opens nothing that could take long.
    let (worker, ()) = Worker::start(open, || Ok(LONG)).map_err(JoinError::Lost)?;
    Ok(Joined { worker, lifeline: met.lifeline, about: "TCP".to_owned() })
}

/// Connections of a group that is together.
pub struct Met {
    pub lifeline: Lifeline,
    pub exchanges: Vec<(Who, TcpStream)>,
}

impl Met {
    /// Process 0: takes the connections of all others.
    pub fn as_zero(listener: &TcpListener, group: &Group, settings: &Settings) -> Result<Self, JoinError> {
        let (mut peers, mut exchanges) = (Vec::new(), Vec::new());
        for (who, lifeline, data) in listen::meet(listener, group, settings)? {
            exchanges.extend(data.map(|stream| (who.clone(), stream)));
            peers.push((who, lifeline));
        }
        for (who, stream) in &peers {
            let ready = socket::keep_alive(stream).and_then(|()| Message::Ready.write(&mut &*stream));
            if let Err(error) = ready {
                let lost = format!("{who} is gone: {error}");
                listen::tell_those_who_wait(peers.iter().map(|(_, stream)| stream), &lost);
                return Err(JoinError::Lost(lost));
            }
        }
        Self::new(peers, exchanges, group, settings)
    }

    /// The others: connect to process 0 at the first of its addresses that answers.
    pub fn as_other(addresses: &[Address], group: &Group, settings: &Settings) -> Result<Self, JoinError> {
        let (zero, lifeline) = connect::connect(addresses, Purpose::Lifeline, group, settings)?;
        let mut exchanges = Vec::new();
        if group.exchanges {
            exchanges.push(connect::connect(addresses, Purpose::Exchanges, group, settings)?);
        }
        socket::keep_alive(&lifeline).map_err(|error| JoinError::Lost(format!("{zero}: {error}")))?;
        connect::wait_for_all(&lifeline, &zero, settings)?;
        Self::new(vec![(zero, lifeline)], exchanges, group, settings)
    }

    fn new(
        peers: Vec<(Who, TcpStream)>,
        exchanges: Vec<(Who, TcpStream)>,
        group: &Group,
        settings: &Settings,
    ) -> Result<Self, JoinError> {
        let lifeline = Lifeline::new(group.who.clone(), peers, settings);
        let lifeline =
            lifeline.map_err(|error| JoinError::Lost(format!("cannot start a thread: {error}")))?;
        Ok(Self { lifeline, exchanges })
    }
}
