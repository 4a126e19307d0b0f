//! One line of a manifest file: `KIND:NUMBER:PAYLOAD:HASH` and a newline. Pure bytes.
//!
//! Nothing in a line is a zero byte, or one flipped bit away from one, and only its last byte is a newline. The format
//! is described in [`manifest_log`](super::manifest_log).

use std::fmt::Write;

/// A verified line.
#[derive(Debug)]
pub struct Line {
    /// What it is.
    pub kind: String,
    /// Its number.
    pub number: u64,
    /// Its decoded payload.
    pub payload: Vec<u8>,
    /// Its hash, which the next line's hash covers.
    pub hash: [u8; 32],
}

/// What stands at a place of a zero-filled file of lines, its trailing zeroes cut off.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the end.
    End,
    /// A line that was written completely; it has to verify.
    Line,
    /// The last line, cut short by a crash.
    Torn,
}

/// Encodes a line and returns it with its hash.
#[must_use]
pub fn encode(kind: &str, number: u64, payload: &[u8], previous: &[u8]) -> (Vec<u8>, [u8; 32]) {
    let mut text = format!("{kind}:{number:016x}:{}", hex(payload));
    let hash = hash(previous, text.as_bytes());
    text.push(':');
    text.push_str(&hex(&hash));
    text.push('\n');
    (text.into_bytes(), hash)
}

/// Says what stands at `at`. Each line is synced before the next is written, so only the last can be torn.
#[must_use]
pub fn find(content: &[u8], at: usize) -> Found {
    let rest = content.get(at..).unwrap_or_default();
    match rest.iter().position(|byte| *byte == b'\n') {
        _ if rest.is_empty() => Found::End,
        None => Found::Torn,
        // The first piece was lost and the last one kept: a hole in front of the only newline.
        Some(end) if end + 1 == rest.len() && rest.contains(&0) => Found::Torn,
        Some(_) => Found::Line,
    }
}

/// The kind of the line at `at`, unverified.
#[must_use]
pub fn peek_kind(content: &[u8], at: usize) -> Option<&str> {
    let rest = content.get(at..)?;
    let end = rest.iter().position(|byte| *byte == b':')?;
    std::str::from_utf8(rest.get(..end)?).ok()
}

/// Reads and verifies the line at `at`; returns it with the place of the next. A missing newline is forgiven: with
/// a hash that verifies, nothing else is missing.
///
/// # Errors
/// What is wrong, in words.
pub fn read(content: &[u8], at: usize, previous: &[u8]) -> Result<(Line, usize), &'static str> {
    let rest = content.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = rest.get(..end).unwrap_or_default();
    let text = std::str::from_utf8(line).map_err(|_| "this is not text")?;
    let (hashed, hash_hex) = text.rsplit_once(':').ok_or("the line has no hash")?;
    let mut fields = hashed.splitn(3, ':');
    let kind = fields.next().unwrap_or_default().to_owned();
    let number = fields.next().unwrap_or_default();
    let payload = fields.next().ok_or("the line is too short")?;
    let expected = hash(previous, hashed.as_bytes());
    if hash_hex != hex(&expected) {
        return Err("the hash does not match");
    }
    let number = u64::from_str_radix(number, 16).map_err(|_| "the number is not one")?;
    let payload = unhex(payload).ok_or("the payload is not hexadecimal")?;
    Ok((Line { kind, number, payload, hash: expected }, at + end + 1))
}

fn hash(previous: &[u8], text: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(previous).update(text).finalize().as_bytes()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes_and_round_trip() {
        let (bytes, hash) = encode("edit", 31, &[0, 171], b"before");
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.starts_with("edit:000000000000001f:00ab:"), "{text}");
        assert_eq!(text.len(), 27 + 64 + 1);
        let (line, next) = read(&bytes, 0, b"before").unwrap();
        assert_eq!((line.kind.as_str(), line.number, line.payload), ("edit", 31, vec![0, 171]));
        assert_eq!((next, line.hash), (bytes.len(), hash));
        assert!(read(&bytes, 0, b"other").is_err());
    }

    /// Guards F28: a flipped bit of a complete line is damage, never the end of the log.
    #[test]
    fn a_flipped_bit_never_looks_like_a_torn_line() {
        let (good, _) = encode("edit", 1, b"payload", b"");
        for at in 0..good.len() - 1 {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                assert_eq!(find(&bytes, 0), Found::Line, "byte {at} bit {bit}");
                assert!(read(&bytes, 0, b"").is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn every_prefix_and_every_lost_piece_is_torn() {
        let (good, _) = encode("edit", 1, &[5; 700], b"");
        for length in 1..good.len() {
            assert_eq!(find(&good[..length], 0), Found::Torn, "{length} bytes");
        }
        let mut hole = good.clone();
        hole[..512].fill(0);
        assert_eq!(find(&hole, 0), Found::Torn);
        assert_eq!(find(&good, good.len()), Found::End);
        let two = [hole, good].concat();
        assert_eq!(find(&two, 0), Found::Line, "a hole with another line behind it is damage");
    }
}
