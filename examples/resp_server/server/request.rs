//! One request: a command's name and its arguments, decoded by `redis-protocol` or split from a line.

use std::ops::Range;

use bytes::Bytes;
use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

use super::inline;
use super::input::Broken;
use super::wrong::Wrong;

/// A name and arguments. Slices of it share the bytes that were received.
pub struct Request {
    buffer: Bytes,
    arguments: Vec<RangeFrame>,
}

/// What a client sent.
pub enum Message {
    Request(Request),
    /// An empty line or an empty array: nothing to do.
    Nothing,
    /// A browser, or somebody who has one talk to this port.
    Http,
}

impl Message {
    /// Decodes what [`Input`](super::input::Input) has found.
    pub fn decode(received: &Bytes, range: Range<usize>) -> Result<Self, Broken> {
        let buffer = received.slice(range);
        if buffer.first() != Some(&b'*') {
            return Self::from_line(&buffer);
        }
        // Less than nothing counts as nothing, to Redis whatever the number is, to the decoder if it is -1.
        if buffer.starts_with(b"*-") {
            return Ok(Self::Nothing);
        }
        let frame = decode_range(&buffer).map_err(|error| Broken::Frame(error.to_string()))?;
        let arguments = match frame {
            Some((RangeFrame::Array(arguments), _)) => arguments,
            _ => return Err(Broken::Frame("not an array of strings".to_owned())),
        };
        Ok(Self::new(Request { buffer, arguments }))
    }

    fn from_line(line: &[u8]) -> Result<Self, Broken> {
        let words = inline::split(line).ok_or(Broken::Quotes)?;
        if inline::is_http(&words) {
            return Ok(Self::Http);
        }
        let mut start = 0;
        let arguments = words.iter().map(|word| {
            let range = (start, start + word.len());
            start = range.1;
            RangeFrame::BulkString(range)
        });
        let arguments = arguments.collect();
        Ok(Self::new(Request { buffer: words.concat().into(), arguments }))
    }

    fn new(request: Request) -> Self {
        if request.arguments.is_empty() { Self::Nothing } else { Self::Request(request) }
    }
}

impl Request {
    /// How many arguments, the name included.
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// The name; empty if it is missing.
    pub fn name(&self) -> &[u8] {
        self.get(0).unwrap_or_default()
    }

    pub fn get(&self, index: usize) -> Option<&[u8]> {
        match self.arguments.get(index)? {
            RangeFrame::BulkString((start, end)) => self.buffer.get(*start..*end),
            _ => None,
        }
    }

    /// An argument that has to be there.
    pub fn argument(&self, index: usize) -> Result<&[u8], Wrong> {
        self.get(index).ok_or(Wrong::Syntax)
    }

    /// An argument that has to be there, to be kept.
    pub fn owned(&self, index: usize) -> Result<Bytes, Wrong> {
        Ok(self.buffer.slice_ref(self.argument(index)?))
    }

    /// An argument that has to be there and to be a decimal integer, in the one way that Redis takes.
    pub fn integer(&self, index: usize) -> Result<i64, Wrong> {
        integer(self.argument(index)?)
    }

    /// The arguments from one on.
    pub fn rest(&self, from: usize) -> impl ExactSizeIterator<Item = &[u8]> {
        let count = self.len().saturating_sub(from);
        (from..from + count).map(|index| self.get(index).unwrap_or_default())
    }

    /// The arguments from one on, to be kept.
    pub fn rest_owned(&self, from: usize) -> impl ExactSizeIterator<Item = Bytes> {
        self.rest(from).map(|argument| self.buffer.slice_ref(argument))
    }
}

/// See [`Request::integer`].
pub fn integer(text: &[u8]) -> Result<i64, Wrong> {
    match text {
        [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => {
            std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Wrong::NotAnInteger)
        }
        _ => Err(Wrong::NotAnInteger),
    }
}
