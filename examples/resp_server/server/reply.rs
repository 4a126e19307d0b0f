//! Replies as bytes, in the protocol version that the client chose with `HELLO`.
//!
//! Invariant: a reply that would be longer than the limit becomes an error, so what a connection holds is bounded by
//! the limit and one soft mark that `connection` watches.

use std::fmt::{Display, Write};

use bytes::{BufMut, BytesMut};

/// The version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Resp2,
    Resp3,
}

/// Replies that were not sent yet.
pub struct Output {
    pub buffer: BytesMut,
    pub protocol: Protocol,
    reply_bytes_max: usize,
}

impl Output {
    pub fn new(protocol: Protocol, reply_bytes_max: usize) -> Self {
        Self { buffer: BytesMut::new(), protocol, reply_bytes_max }
    }

    /// Another place for replies of the same connection.
    pub fn empty_like(&self) -> Self {
        Self::new(self.protocol, self.reply_bytes_max)
    }

    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    pub fn ok(&mut self) {
        self.buffer.put_slice(b"+OK\r\n");
    }

    pub fn simple(&mut self, text: impl Display) {
        self.print(format_args!("+{text}\r\n"));
    }

    /// An error; its first word is the code.
    pub fn error(&mut self, text: impl Display) {
        let line = text.to_string().replace(['\r', '\n'], " ");
        self.print(format_args!("-{line}\r\n"));
    }

    pub fn integer(&mut self, number: i64) {
        self.print(format_args!(":{number}\r\n"));
    }

    pub fn count(&mut self, count: usize) {
        self.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub fn bulk(&mut self, bytes: &[u8]) {
        if bytes.len() > self.reply_bytes_max {
            return self.too_long();
        }
        self.buffer.reserve(bytes.len() + 32);
        self.print(format_args!("${}\r\n", bytes.len()));
        self.buffer.put_slice(bytes);
        self.buffer.put_slice(b"\r\n");
    }

    /// A string or, if there is none, null.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    pub fn null(&mut self) {
        self.buffer.put_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// Text for people.
    pub fn text(&mut self, text: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => {
                self.print(format_args!("={}\r\ntxt:{text}\r\n", text.len() + 4));
            }
        }
    }

    /// So many values follow.
    pub fn array(&mut self, values: usize) {
        self.print(format_args!("*{values}\r\n"));
    }

    /// So many names, each with its value, follow.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.array(pairs * 2),
            Protocol::Resp3 => self.print(format_args!("%{pairs}\r\n")),
        }
    }

    /// An array of strings or nulls.
    pub fn bulks<'a>(&mut self, values: impl ExactSizeIterator<Item = Option<&'a [u8]>>) {
        let start = self.len();
        self.array(values.len());
        for value in values {
            self.bulk_or_null(value);
            if self.is_too_long(start) {
                return;
            }
        }
    }

    /// Whether the reply that begins there has grown too long. Then it is an error, and nothing may be added to it.
    pub fn is_too_long(&mut self, start: usize) -> bool {
        let is_too_long = self.len() - start > self.reply_bytes_max;
        if is_too_long {
            self.buffer.truncate(start);
            self.too_long();
        }
        is_too_long
    }

    fn too_long(&mut self) {
        let limit = self.reply_bytes_max;
        self.error(format_args!("ERR the reply is longer than {limit} bytes"));
    }

    fn print(&mut self, text: std::fmt::Arguments<'_>) {
        // Memory is all that could lack, and then the process ends anyhow.
        let _ = self.buffer.write_fmt(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_bounded() {
        let mut output = Output::new(Protocol::Resp3, 20);
        output.integer(7);
        output.bulks([Some(&b"0123456789"[..]), Some(b"0123456789"), None].into_iter());
        output.bulk(&[0; 21]);
        output.null();
        let error = "-ERR the reply is longer than 20 bytes\r\n";
        assert_eq!(output.buffer, format!(":7\r\n{error}{error}_\r\n"));
    }

    #[test]
    fn an_error_is_one_line() {
        let mut output = Output::new(Protocol::Resp2, 20);
        output.error("ERR a\r\nb");
        assert_eq!(output.buffer, "-ERR a  b\r\n");
    }
}
