//! The first words on a connection: who calls, for which group, with which program; and the answer.

use std::io::{self, Read, Write};

use crate::lifeline::Who;

/// The first bytes of both, and the version of all that follows on the connection.
const MAGIC: &[u8; 8] = b"fairhum\x01";
/// Bytes of a machine's name at most.
const MOST_NAME: usize = 255;
/// Bytes of a refusal at most.
const MOST_TEXT: usize = 8 * 1024;

/// Uses of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Signs of life.
    Lifeline = 1,
    /// Exchanges.
    Exchanges = 2,
}

/// The caller's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Use of the connection.
    pub purpose: Purpose,
    /// The caller.
    pub who: Who,
    /// Number of processes in its group.
    pub size: usize,
    /// Something that only processes of the group know.
    pub token: [u8; 32],
    /// Digest of its program.
    pub program: [u8; 32],
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Taken, by this process.
    Welcome(Who),
    /// Not taken, for this reason.
    Refused(String),
}

/// Bytes of a hello before the machine's name.
const FIXED: usize = 8 + 1 + 4 + 4 + 4 + 32 + 32 + 1;

impl Hello {
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let name = cut(&self.who.host, MOST_NAME);
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let mut bytes = MAGIC.to_vec();
        bytes.push(self.purpose as u8);
        bytes.extend(number(self.who.rank));
        bytes.extend(number(self.size));
        bytes.extend(self.who.process.to_le_bytes());
        bytes.extend(self.token);
        bytes.extend(self.program);
        bytes.push(name.len() as u8);
        bytes.extend(name.as_bytes());
        to.write_all(&bytes)
    }

    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; FIXED];
        read_after_magic(from, &mut bytes)?;
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let digest = |at: usize| std::array::from_fn(|i| bytes[at + i]);
        let purpose = match bytes[8] {
            1 => Purpose::Lifeline,
            2 => Purpose::Exchanges,
            _ => return Err(wrong()),
        };
        let mut name = vec![0; bytes[FIXED - 1].into()];
        from.read_exact(&mut name)?;
        let host = String::from_utf8_lossy(&name).into_owned();
        let who = Who { rank: number(9) as usize, host, process: number(17) };
        Ok(Self { purpose, who, size: number(13) as usize, token: digest(21), program: digest(53) })
    }
}

impl Answer {
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, process, text) = match self {
            Answer::Welcome(who) => (1, who.process, cut(&who.host, MOST_NAME)),
            Answer::Refused(reason) => (2, 0, cut(reason, MOST_TEXT)),
        };
        let mut bytes = MAGIC.to_vec();
        bytes.push(kind);
        bytes.extend(process.to_le_bytes());
        bytes.extend((text.len() as u32).to_le_bytes());
        bytes.extend(text.as_bytes());
        to.write_all(&bytes)
    }

    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; 17];
        read_after_magic(from, &mut bytes)?;
        let [.., a, b, c, d, e, f, g, h] = bytes;
        let length = u32::from_le_bytes([e, f, g, h]) as usize;
        if length > MOST_TEXT {
            return Err(wrong());
        }
        let mut text = vec![0; length];
        from.read_exact(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        match bytes[8] {
            1 => Ok(Answer::Welcome(Who { rank: 0, host: text, process: u32::from_le_bytes([a, b, c, d]) })),
            2 => Ok(Answer::Refused(text)),
            _ => Err(wrong()),
        }
    }
}

/// Fills `bytes`, looking at the first ones before it waits for more: a stranger may send less.
fn read_after_magic(from: &mut impl Read, bytes: &mut [u8]) -> io::Result<()> {
    let (magic, rest) = bytes.split_at_mut(MAGIC.len());
    from.read_exact(magic)?;
    if magic[..7] == MAGIC[..7] && magic[7] != MAGIC[7] {
        let (found, own) = (magic[7], MAGIC[7]);
        let text = format!("fairhuman with protocol {found}, where this one has {own}: use the same program");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    if *magic != MAGIC[..] {
        return Err(wrong());
    }
    from.read_exact(rest)
}

fn wrong() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no fairhuman")
}

fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        let who = Who { rank: 3, host: "node3".into(), process: 77 };
        Hello { purpose: Purpose::Exchanges, who, size: 4, token: [7; 32], program: [9; 32] }
    }

    #[test]
    fn both_are_read_as_written_and_every_part_of_them_is_an_error() {
        let mut bytes = Vec::new();
        hello().write(&mut bytes).unwrap();
        assert_eq!(Hello::read(&mut &bytes[..]).unwrap(), hello());
        (0..bytes.len()).for_each(|end| assert!(Hello::read(&mut &bytes[..end]).is_err(), "{end}"));
        let welcome = Answer::Welcome(Who { rank: 0, host: "node0".into(), process: 5 });
        for answer in [welcome, Answer::Refused("no".into())] {
            let mut bytes = Vec::new();
            answer.write(&mut bytes).unwrap();
            assert_eq!(Answer::read(&mut &bytes[..]).unwrap(), answer);
            (0..bytes.len()).for_each(|end| assert!(Answer::read(&mut &bytes[..end]).is_err(), "{end}"));
        }
    }

    #[test]
    fn strangers_and_other_versions_are_told_apart() {
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let error = Hello::read(&mut &request[..]).unwrap_err();
        assert_eq!(error.to_string(), "no fairhuman");
        let mut bytes = Vec::new();
        hello().write(&mut bytes).unwrap();
        bytes[7] = 9;
        let error = Hello::read(&mut &bytes[..]).unwrap_err().to_string();
        assert!(error.contains("protocol 9"), "{error}");
        bytes[7] = 1;
        bytes[8] = 3;
        assert!(Hello::read(&mut &bytes[..]).is_err());
    }
}
