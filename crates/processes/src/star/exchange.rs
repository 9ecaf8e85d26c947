//! Exchanges by way of process 0: it takes every process's part in the order of the ranks, and sends the
//! results. Sums are made in that order.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::lifeline::Who;
use crate::worker::Collectives;

/// Bytes that a process may send at once in a [`Collectives::gather`].
const MOST_BYTES: u64 = 1 << 32;
/// Bytes read at a time.
const PIECE: usize = 1 << 20;

/// Exchanges of one process.
pub struct Star {
    own: Who,
    size: usize,
    /// In process 0 all others in the order of their ranks, else process 0.
    peers: Vec<(Who, TcpStream)>,
    number: u64,
}

/// Kinds of exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gather = 1,
    Sums = 2,
    Share = 3,
}

/// The head of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    kind: u8,
    number: u64,
    bytes: u64,
}

impl Star {
    pub fn new(own: Who, size: usize, peers: Vec<(Who, TcpStream)>) -> Self {
        Self { own, size, peers, number: 0 }
    }

    /// Sends a part to a peer.
    fn send(&self, peer: usize, kind: Kind, parts: &[&[u8]]) -> Result<(), String> {
        let (who, stream) = &self.peers[peer];
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        let head = Head { kind: kind as u8, number: self.number, bytes };
        let sent = head
            .write(&mut &*stream)
            .and_then(|()| parts.iter().try_for_each(|part| (&*stream).write_all(part)));
        sent.map_err(|error| format!("{who} cannot be sent to: {error}"))
    }

    /// The head of a peer's part: its length.
    fn head(&self, peer: usize, kind: Kind) -> Result<u64, String> {
        let (who, stream) = &self.peers[peer];
        let head = Head::read(&mut &*stream).map_err(|error| format!("{who} cannot be heard: {error}"))?;
        if (head.kind, head.number) != (kind as u8, self.number) {
            return Err(format!(
                "{who} is at exchange {} of kind {}, {} at {} of kind {}: every process needs the same command",
                head.number, head.kind, self.own, self.number, kind as u8
            ));
        }
        Ok(head.bytes)
    }

    /// A peer's part, whose length it says.
    fn receive(&self, peer: usize, kind: Kind) -> Result<Vec<u8>, String> {
        let bytes = self.head(peer, kind)?;
        let (who, stream) = &self.peers[peer];
        if bytes > MOST_BYTES {
            return Err(format!("{who} announces {bytes} bytes, expected at most {MOST_BYTES}"));
        }
        // Memory grows with what comes, not with what is announced.
        let mut part = Vec::new();
        let read = stream.take(bytes).read_to_end(&mut part);
        match read {
            Ok(read) if read as u64 == bytes => Ok(part),
            Ok(read) => Err(format!("{who} sent {read} of {bytes} bytes")),
            Err(error) => Err(format!("{who} cannot be heard: {error}")),
        }
    }

    /// A peer's part of as many values as are expected, piece by piece.
    fn receive_values(
        &self,
        peer: usize,
        kind: Kind,
        expected: usize,
        mut take: impl FnMut(usize, &[f32]),
    ) -> Result<(), String> {
        let bytes = self.head(peer, kind)?;
        let (who, stream) = &self.peers[peer];
        if bytes != 4 * expected as u64 {
            return Err(format!(
                "{who} sends {} values, expected {expected}: every process needs the same command",
                bytes / 4
            ));
        }
        let mut piece = vec![0_f32; expected.min(PIECE / 4)];
        let mut done = 0;
        while done < expected {
            let now = piece.len().min(expected - done);
            let read = (&*stream).read_exact(bytemuck::cast_slice_mut(&mut piece[..now]));
            read.map_err(|error| format!("{who} cannot be heard: {error}"))?;
            take(done, &piece[..now]);
            done += now;
        }
        Ok(())
    }

    /// All values, from process 0, which has them.
    fn spread(&self, values: Vec<f32>) -> Result<Vec<f32>, String> {
        for peer in 0..self.peers.len() {
            self.send(peer, Kind::Share, &[bytemuck::cast_slice(&values)])?;
        }
        Ok(values)
    }
}

impl Collectives for Star {
    fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        self.number += 1;
        if self.own.rank != 0 {
            self.send(0, Kind::Gather, &[own])?;
            return (0..self.size).map(|_| self.receive(0, Kind::Gather)).collect();
        }
        let mut all = vec![own.to_vec()];
        for peer in 0..self.peers.len() {
            all.push(self.receive(peer, Kind::Gather)?);
        }
        for peer in 0..self.peers.len() {
            all.iter().try_for_each(|part| self.send(peer, Kind::Gather, &[part]))?;
        }
        Ok(all)
    }

    fn gather_equal(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        self.gather(own)
    }

    fn reduce_scatter(&mut self, mut values: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>, String> {
        self.number += 1;
        if self.own.rank != 0 {
            self.send(0, Kind::Sums, &[bytemuck::cast_slice(&values)])?;
            values.truncate(lengths[self.own.rank]);
            self.receive_values(0, Kind::Sums, values.len(), |at, piece| {
                values[at..at + piece.len()].copy_from_slice(piece);
            })?;
            return Ok(values);
        }
        for peer in 0..self.peers.len() {
            self.receive_values(peer, Kind::Sums, values.len(), |at, piece| {
                values[at..].iter_mut().zip(piece).for_each(|(sum, value)| *sum += value);
            })?;
        }
        let mut rest = &values[lengths[0]..];
        for peer in 0..self.peers.len() {
            let (part, others) = rest.split_at(lengths[peer + 1]);
            self.send(peer, Kind::Sums, &[bytemuck::cast_slice(part)])?;
            rest = others;
        }
        values.truncate(lengths[0]);
        Ok(values)
    }

    fn all_gather(&mut self, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>, String> {
        self.number += 1;
        let mut all = own;
        if self.own.rank != 0 {
            self.send(0, Kind::Share, &[bytemuck::cast_slice(&all)])?;
            all.resize(lengths.iter().sum(), 0.0);
            self.receive_values(0, Kind::Share, all.len(), |at, piece| {
                all[at..at + piece.len()].copy_from_slice(piece);
            })?;
            return Ok(all);
        }
        for peer in 0..self.peers.len() {
            self.receive_values(peer, Kind::Share, lengths[peer + 1], |_, piece| {
                all.extend_from_slice(piece)
            })?;
        }
        self.spread(all)
    }

    fn end(&mut self) -> Result<(), String> {
        Ok(())
    }
}

impl Head {
    fn write(self, to: &mut impl Write) -> io::Result<()> {
        let mut bytes = [0; 17];
        bytes[0] = self.kind;
        bytes[1..9].copy_from_slice(&self.number.to_le_bytes());
        bytes[9..].copy_from_slice(&self.bytes.to_le_bytes());
        to.write_all(&bytes)
    }

    fn read(from: &mut impl Read) -> io::Result<Self> {
        let [kind, rest @ ..] = {
            let mut bytes = [0; 17];
            from.read_exact(&mut bytes)?;
            bytes
        };
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| rest[at + i]));
        Ok(Self { kind, number: number(0), bytes: number(8) })
    }
}
