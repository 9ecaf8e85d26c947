//! The depth of an ONNX file, before a reader that calls itself for every level sees it.
//!
//! An attribute of a node may be a graph, whose nodes have attributes: `If` and `Loop` are written so, two or
//! three deep. A file of a few kilobytes can nest a hundred thousand, and recursive readers then end the
//! program for want of stack. So does a chain of as many operators, which are put in order from the last to
//! the first. Here levels are walked with a list of their own, and operators counted.

/// Most levels of messages in each other; a graph in an attribute is three of them.
const MOST: usize = 100;

/// Most operators of a network. The largest YOLO networks have about a thousand. As PyTorch exports them,
/// timm's networks that taggers are made of have 892 (ConvNeXt-B), 961 (ViT-B), 1,885 (ViT-L), 4,961
/// (EVA02-L) and 7,442 (SwinV2-B), at 448 pixels.
const OPERATORS: usize = 20_000;
/// Most operators of all graphs in attributes, which are put in order on whatever stack the operator runs on.
pub(crate) const INNER: usize = 3_000;

/// Messages of `onnx.proto` that hold others of their kind, directly or not.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Value,
    Type,
    /// A sequence's or an optional's type.
    Element,
    Map,
    Function,
}

impl Message {
    /// The message in a field, if it is one of these.
    fn child(self, field: u64) -> Option<Message> {
        use Message::*;
        Some(match (self, field) {
            (Model, 7) | (Attribute, 6 | 11) => Graph,
            (Model, 25) => Function,
            (Graph, 1) | (Function, 7) => Node,
            (Graph, 11..=13) | (Function, 12) => Value,
            (Node, 5) | (Function, 11) => Attribute,
            (Attribute, 14 | 15) | (Value, 2) | (Element, 1) | (Map, 2) => Type,
            (Type, 4 | 9) => Element,
            (Type, 5) => Map,
            _ => return None,
        })
    }
}

/// Checks that no message of a file is nested too deeply, and that it has not too many operators; the number
/// of them. A damaged file passes: its reader says what is wrong.
pub(crate) fn check(file: &[u8]) -> Result<usize, String> {
    let mut open = vec![(Message::Model, file, 0, true)];
    let (mut operators, mut inner) = (0, 0);
    while let Some((message, mut rest, depth, is_outer)) = open.pop() {
        if depth > MOST {
            return Err(format!("its graphs are nested more than {} deep: no network is", MOST / 3));
        }
        if matches!(message, Message::Node) {
            operators += usize::from(is_outer);
            inner += usize::from(!is_outer);
        }
        if operators > OPERATORS {
            return Err(format!("it has more than {OPERATORS} operators: no network of this kind has"));
        }
        if inner > INNER {
            return Err(format!(
                "it has more than {INNER} operators in inner graphs: no network of this kind has"
            ));
        }
        while let Some(tag) = varint(&mut rest) {
            let length = match tag & 7 {
                0 => varint(&mut rest).map(|_| 0),
                1 => Some(8),
                2 => varint(&mut rest),
                5 => Some(4),
                // Groups, which ONNX does not have.
                3 | 4 => return Err("it is damaged: ONNX has no groups".into()),
                _ => None,
            };
            let content = length.and_then(|n| rest.split_at_checked(usize::try_from(n).ok()?));
            let Some((content, after)) = content else { break };
            if let Some(child) = message.child(tag >> 3).filter(|_| tag & 7 == 2) {
                let way = matches!(
                    (message, child),
                    (Message::Model, Message::Graph) | (Message::Graph, Message::Node)
                );
                open.push((child, content, depth + 1, is_outer && way));
            }
            rest = after;
        }
    }
    Ok(operators)
}

/// Takes a number of up to ten bytes, seven bits each.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::check;

    /// A message in a field of another.
    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut length = content.len();
        let mut out = vec![number << 3 | 2];
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        [out, content.to_vec()].concat()
    }

    #[test]
    fn graphs_in_graphs_are_bounded() {
        let nested = |levels: usize| {
            let graph = (0..levels).fold(Vec::new(), |graph, _| field(1, &field(5, &field(6, &graph))));
            field(7, &graph)
        };
        check(&nested(20)).expect("a few are read");
        assert!(check(&nested(3_000)).expect_err("deep").contains("nested"));
    }

    #[test]
    fn types_in_types_are_bounded_and_damage_passes() {
        let of_types = |levels: usize| {
            let kind = (0..levels).fold(Vec::new(), |kind, _| field(4, &field(1, &kind)));
            field(7, &field(11, &field(2, &kind)))
        };
        check(&of_types(10)).expect("a few are read");
        check(&of_types(3_000)).expect_err("deep");
        check(&[0x3a, 0xff, 0xff, 0x7f, 1, 2]).expect("left to the reader");
        check(&[0xff; 30]).expect("left to the reader");
        check(&[0x3b]).expect_err("a group");
    }
}
