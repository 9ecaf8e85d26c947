//! Bytes that this process sent, by kind.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of payload bytes that left this process for others: of sums the values that other processes own,
/// of shares and numbers the own values once for each other process. That is what any algorithm has to move;
/// some pass values on by way of third processes (over TCP all goes by process 0), which is not counted.
#[derive(Debug, Default)]
pub struct Traffic {
    numbers: AtomicU64,
    sums: AtomicU64,
    shares: AtomicU64,
}

/// Kinds of payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers and bytes: counts, losses, Gram matrices, digests.
    Numbers,
    /// Tensors to be summed.
    Sums,
    /// Tensors that their owner gives to the others.
    Shares,
}

impl Traffic {
    fn counter(&self, kind: Kind) -> &AtomicU64 {
        match kind {
            Kind::Numbers => &self.numbers,
            Kind::Sums => &self.sums,
            Kind::Shares => &self.shares,
        }
    }

    /// Counts bytes.
    pub fn add(&self, kind: Kind, bytes: usize) {
        self.counter(kind).fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes so far.
    pub fn sent(&self, kind: Kind) -> u64 {
        self.counter(kind).load(Ordering::Relaxed)
    }
}
