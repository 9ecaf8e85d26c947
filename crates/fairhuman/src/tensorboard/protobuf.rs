//! TensorBoard's messages in protobuf's encoding: `Event` of TensorFlow's event.proto, with as much of
//! `Summary` as is written here.

/// A value of a summary.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A point of a curve.
    Scalar(f32),
    /// The bytes of a PNG file.
    Picture(Vec<u8>),
    /// A text.
    Text(String),
}

/// The first event of a file.
pub fn version(time: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, time);
    event.bytes(3, b"brain.Event:2");
    event.0
}

/// Values of a step by their tags.
pub fn summary(time: f64, step: u64, values: &[(String, Value)]) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, value) in values {
        summary.message(1, &summary_value(tag, value));
    }
    let mut event = Message::default();
    event.double(1, time);
    event.varint(2, step);
    event.message(5, &summary);
    event.0
}

/// Tells a reader that events of `step` and later ones, which it may have, are void.
pub fn session_start(time: f64, step: u64) -> Vec<u8> {
    const START: u64 = 1;
    let mut session = Message::default();
    session.varint(1, START);
    let mut event = Message::default();
    event.double(1, time);
    event.varint(2, step);
    event.message(7, &session);
    event.0
}

fn summary_value(tag: &str, value: &Value) -> Message {
    let mut message = Message::default();
    message.bytes(1, tag.as_bytes());
    match value {
        Value::Scalar(value) => message.float(2, *value),
        Value::Picture(png) => message.message(4, &image(png)),
        Value::Text(text) => {
            const STRING: u64 = 7;
            let mut tensor = Message::default();
            tensor.varint(1, STRING);
            tensor.message(2, &Message::default());
            tensor.bytes(8, text.as_bytes());
            message.message(8, &tensor);
            let (mut plugin, mut about) = (Message::default(), Message::default());
            plugin.bytes(1, b"text");
            about.message(1, &plugin);
            message.message(9, &about);
        }
    }
    message
}

fn image(png: &[u8]) -> Message {
    const RGB: u64 = 3;
    // The first chunk of a PNG file is its header, which begins with the two sides.
    let side = |at: usize| png.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    let mut message = Message::default();
    message.varint(1, side(20).into());
    message.varint(2, side(16).into());
    message.varint(3, RGB);
    message.bytes(4, png);
    message
}

/// A message as it is written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, field: u64, value: u64) {
        self.number(field << 3);
        self.number(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.number(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u64, value: f32) {
        self.number(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.number(field << 3 | 2);
        self.number(value.len() as u64);
        self.0.extend(value);
    }

    fn message(&mut self, field: u64, value: &Message) {
        self.bytes(field, &value.0);
    }

    /// Seven bits a byte, the lowest first; the highest bit says that there are more.
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
