//! Messages of the lifeline: a byte for the kind, four for the length, and text or a number.

use std::io::{self, Read, Write};

/// Bytes of a message's content at most. Longer texts are cut.
const MOST: usize = 32 * 1024;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A process lives and has reached this exchange.
    Beat(u64),
    /// The answer to it: the next one may come. So no beats pile up before a process that is suspended.
    Heard,
    /// The group is complete.
    Ready,
    /// A process ends with this error.
    Failed(String),
    /// That was heard.
    Noted,
    /// A process is lost: its rank, and the text for it.
    Lost(u32, String),
    /// A process ends well, after this exchange.
    Bye(u64),
}

impl Message {
    /// Writes it.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let number = |number: &u64| number.to_le_bytes().to_vec();
        let (kind, content) = match self {
            Message::Beat(exchange) => (1, number(exchange)),
            Message::Heard => (2, Vec::new()),
            Message::Ready => (3, Vec::new()),
            Message::Failed(text) => (4, cut(text).into()),
            Message::Noted => (5, Vec::new()),
            Message::Lost(rank, text) => (6, [&rank.to_le_bytes(), cut(text).as_bytes()].concat()),
            Message::Bye(exchange) => (7, number(exchange)),
        };
        let mut bytes = vec![kind];
        // Texts are cut, so the length fits.
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(0).to_le_bytes());
        bytes.extend_from_slice(&content);
        to.write_all(&bytes)
    }

    /// Reads one.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "no message of a group");
        let mut head = [0; 5];
        from.read_exact(&mut head)?;
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        if length > MOST + 8 {
            return Err(wrong());
        }
        let mut content = vec![0; length];
        from.read_exact(&mut content)?;
        let number = || content[..].try_into().map(u64::from_le_bytes).map_err(|_| wrong());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match kind {
            1 => Message::Beat(number()?),
            2 => Message::Heard,
            3 => Message::Ready,
            4 => Message::Failed(text(&content)),
            5 => Message::Noted,
            6 => {
                let (rank, said) = content.split_first_chunk().ok_or_else(wrong)?;
                Message::Lost(u32::from_le_bytes(*rank), text(said))
            }
            7 => Message::Bye(number()?),
            _ => return Err(wrong()),
        })
    }
}

/// The text's beginning.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_written_and_long_texts_are_cut() {
        let long = "ä".repeat(MOST);
        for message in [
            Message::Beat(u64::MAX),
            Message::Heard,
            Message::Ready,
            Message::Failed("no such file".into()),
            Message::Noted,
            Message::Lost(3, "rank 3 is gone".into()),
            Message::Bye(41),
        ] {
            let mut bytes = Vec::new();
            message.write(&mut bytes).unwrap();
            assert_eq!(Message::read(&mut &bytes[..]).unwrap(), message);
            // Every part of it is an error, and none a panic.
            for end in 0..bytes.len() {
                assert!(Message::read(&mut &bytes[..end]).is_err());
            }
        }
        let mut bytes = Vec::new();
        Message::Lost(1, long.clone()).write(&mut bytes).unwrap();
        let Message::Lost(1, text) = Message::read(&mut &bytes[..]).unwrap() else { panic!() };
        assert!(text.len() <= MOST && long.starts_with(&text));
    }

    #[test]
    fn a_length_without_bounds_takes_no_memory() {
        for head in [[1, 255, 255, 255, 255], [9, 0, 0, 0, 0], [1, 3, 0, 0, 0], [6, 2, 0, 0, 0]] {
            let bytes = [&head[..], &[0; 64]].concat();
            let error = Message::read(&mut &bytes[..]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{head:?}");
        }
    }
}
