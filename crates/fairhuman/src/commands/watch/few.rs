//! Connections of a kind, of which a few may be open at once: the oldest is closed for the newest, so that no
//! number of forgotten ones locks anybody out.

use std::collections::VecDeque;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The open ones.
#[derive(Clone)]
pub struct Few {
    most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    /// Number of the next one.
    next: u64,
    /// The oldest first.
    streams: VecDeque<(u64, TcpStream)>,
}

/// One of them, until this is dropped.
pub struct One {
    number: u64,
    few: Few,
}

impl Few {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        Self { most, open: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one more.
    ///
    /// # Errors
    /// The system has no handle left for it.
    pub fn add(&self, stream: &TcpStream) -> std::io::Result<One> {
        let stream = stream.try_clone()?;
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.streams.push_back((number, stream));
        if open.streams.len() > self.most
            && let Some((_, oldest)) = open.streams.pop_front()
        {
            // One that its browser has closed already is what is wanted.
            let _ = oldest.shutdown(Shutdown::Both);
        }
        Ok(One { number, few: self.clone() })
    }
}

impl Drop for One {
    fn drop(&mut self) {
        self.few.open().streams.retain(|(number, _)| *number != self.number);
    }
}
