//! Bytes that were received, cut into whole requests.
//!
//! A request is looked at before it is decoded: its headers alone, each byte once however slowly it arrives. So the
//! decoder sees neither nested arrays, which would take it as deep as the sender likes, nor numbers beyond the
//! limits, and no request is decoded twice.
//!
//! Invariant: what is held is less than one request of the greatest length plus one read.

use std::ops::Range;

use bytes::{Bytes, BytesMut};

use super::request::integer;

/// The longest line that is not an array: as in Redis.
const INLINE_BYTES_MAX: usize = 64 * 1024;
/// A header is a mark, a number and a line end.
const HEADER_BYTES_MAX: usize = 32;
/// So much room is offered to each read.
const READ_BYTES: usize = 64 * 1024;

/// Limits of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    pub bytes: usize,
    pub arguments: usize,
}

/// The peer does not speak the protocol. There is no way on after this.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("ERR Protocol error: invalid multibulk length")]
    ArrayLength,
    #[error("ERR Protocol error: invalid bulk length")]
    BulkLength,
    #[error("ERR Protocol error: too big mbulk count string")]
    ArrayHeader,
    #[error("ERR Protocol error: too big bulk count string")]
    BulkHeader,
    #[error("ERR Protocol error: expected '$', got '{0}'")]
    NotABulk(char),
    #[error("ERR Protocol error: too big inline request")]
    Inline,
    #[error("ERR Protocol error: unbalanced quotes in request")]
    Quotes,
    #[error("ERR Protocol error: too big request")]
    Request,
    #[error("ERR Protocol error: {0}")]
    Frame(String),
}

/// See the module.
pub struct Input {
    pub buffer: BytesMut,
    limits: RequestLimits,
    progress: Option<Progress>,
}

/// How far an array was looked at: so many strings are missing, and the next one's header is at `at`.
#[derive(Clone, Copy)]
struct Progress {
    at: usize,
    missing: usize,
}

/// Whole requests, and perhaps a reason why nothing can follow.
pub struct Received {
    pub bytes: Bytes,
    pub requests: Vec<Range<usize>>,
    pub broken: Option<Broken>,
}

impl Input {
    pub fn new(limits: RequestLimits) -> Self {
        Self { buffer: BytesMut::new(), limits, progress: None }
    }

    /// Makes room for a read.
    pub fn reserve(&mut self) {
        if self.buffer.capacity() - self.buffer.len() < READ_BYTES / 4 {
            self.buffer.reserve(READ_BYTES);
        }
    }

    /// Takes what is complete.
    pub fn take(&mut self) -> Received {
        let mut requests = Vec::new();
        let mut start = 0;
        let broken = loop {
            match self.end(start) {
                Ok(Some(end)) => requests.push(start..end),
                Ok(None) => break None,
                Err(broken) => break Some(broken),
            }
            start = requests.last().map_or(start, |last| last.end);
            self.progress = None;
        };
        if let Some(progress) = &mut self.progress {
            progress.at -= start;
        }
        Received { bytes: self.buffer.split_to(start).freeze(), requests, broken }
    }

    /// Where the request that starts at `start` ends, if it is all there.
    fn end(&mut self, start: usize) -> Result<Option<usize>, Broken> {
        let Some(first) = self.buffer.get(start) else {
            return Ok(None);
        };
        if *first != b'*' {
            return self.inline_end(start);
        }
        let mut progress = match self.progress {
            Some(progress) => progress,
            None => match self.header(start, Broken::ArrayHeader)? {
                Some((count, at)) => Progress { at, missing: self.arguments(count)? },
                None => return Ok(None),
            },
        };
        while progress.missing > 0 {
            match self.buffer.get(progress.at) {
                None => break,
                Some(b'$') => {}
                Some(other) => return Err(Broken::NotABulk(char::from(*other))),
            }
            let Some((length, at)) = self.header(progress.at, Broken::BulkHeader)? else {
                break;
            };
            let length = usize::try_from(length).map_err(|_| Broken::BulkLength)?;
            if length > self.limits.bytes {
                return Err(Broken::BulkLength);
            }
            progress = Progress { at: at + length + 2, missing: progress.missing - 1 };
            if progress.at - start > self.limits.bytes {
                return Err(Broken::Request);
            }
        }
        self.progress = Some(progress);
        let complete = progress.missing == 0 && progress.at <= self.buffer.len();
        Ok(complete.then_some(progress.at))
    }

    fn arguments(&self, count: i64) -> Result<usize, Broken> {
        // Redis takes an array of less than nothing for one of nothing.
        let count = usize::try_from(count.max(0)).map_err(|_| Broken::ArrayLength)?;
        if count > self.limits.arguments { Err(Broken::ArrayLength) } else { Ok(count) }
    }

    /// The number in a header, and where the header ends.
    fn header(&self, start: usize, too_long: Broken) -> Result<Option<(i64, usize)>, Broken> {
        let rest = self.buffer.get(start + 1..).unwrap_or_default();
        let line = rest.iter().take(HEADER_BYTES_MAX).position(|byte| *byte == b'\n');
        let Some(line) = line else {
            return if rest.len() >= HEADER_BYTES_MAX { Err(too_long) } else { Ok(None) };
        };
        let digits = rest.get(..line).and_then(|text| text.strip_suffix(b"\r"));
        let number = digits.and_then(|digits| integer(digits).ok()).ok_or(match too_long {
            Broken::ArrayHeader => Broken::ArrayLength,
            _ => Broken::BulkLength,
        })?;
        Ok(Some((number, start + 1 + line + 1)))
    }

    fn inline_end(&self, start: usize) -> Result<Option<usize>, Broken> {
        let rest = self.buffer.get(start..).unwrap_or_default();
        match rest.iter().take(INLINE_BYTES_MAX).position(|byte| *byte == b'\n') {
            Some(line) => Ok(Some(start + line + 1)),
            None if rest.len() >= INLINE_BYTES_MAX => Err(Broken::Inline),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RequestLimits = RequestLimits { bytes: 100, arguments: 4 };

    fn received(bytes: &[u8]) -> (Vec<Range<usize>>, Option<Broken>) {
        let mut input = Input::new(LIMITS);
        input.buffer.extend_from_slice(bytes);
        let received = input.take();
        (received.requests, received.broken)
    }

    #[test]
    fn requests_are_found_however_they_arrive() {
        let bytes = b"*2\r\n$4\r\nECHO\r\n$2\r\n\r\n\r\nPING\r\n*0\r\n*1\r\n$4\r\nPING\r\n";
        let (at_once, broken) = received(bytes);
        assert_eq!(at_once.len(), 4);
        assert_eq!(broken, None);
        for step in 1..bytes.len() {
            let mut input = Input::new(LIMITS);
            let mut found = Vec::new();
            let mut before = 0;
            for part in bytes.chunks(step) {
                input.buffer.extend_from_slice(part);
                let received = input.take();
                let moved = |range: Range<usize>| range.start + before..range.end + before;
                found.extend(received.requests.into_iter().map(moved));
                before += received.bytes.len();
            }
            assert_eq!(found, at_once, "{step}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_at_once() {
        for (bytes, expected) in [
            ("*5\r\n", Broken::ArrayLength),
            ("*99999999999999999999\r\n", Broken::ArrayLength),
            ("*+1\r\n", Broken::ArrayLength),
            ("*01\r\n", Broken::ArrayLength),
            ("*-0\r\n", Broken::ArrayLength),
            ("*1\n", Broken::ArrayLength),
            ("*1\r\n$01\r\n", Broken::BulkLength),
            ("*1\r\n*1\r\n", Broken::NotABulk('*')),
            ("*1\r\n$-1\r\n", Broken::BulkLength),
            ("*1\r\n$101\r\n", Broken::BulkLength),
            ("*2\r\n$60\r\n", Broken::Request),
            ("*00000000000000000000000000000001\r\n", Broken::ArrayHeader),
            ("*1\r\n$00000000000000000000000000000001\r\n", Broken::BulkHeader),
        ] {
            let mut bytes = bytes.as_bytes().to_vec();
            if expected == Broken::Request {
                bytes.extend_from_slice(&[b'x'; 60]);
                bytes.extend_from_slice(b"\r\n$60\r\n");
            }
            let (requests, broken) = received(&bytes);
            assert!(requests.is_empty());
            assert_eq!(broken, Some(expected));
        }
        assert_eq!(received(&vec![b'x'; INLINE_BYTES_MAX]).1, Some(Broken::Inline));
    }

    #[test]
    fn what_came_before_is_still_served() {
        let (requests, broken) = received(b"PING\r\n*1\r\n:1\r\n");
        assert_eq!(requests.first(), Some(&(0..6)));
        assert_eq!(requests.len(), 1);
        assert_eq!(broken, Some(Broken::NotABulk(':')));
    }
}
