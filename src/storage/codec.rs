//! The one place that names bincode: values to bytes and back, in one fixed configuration.
//!
//! # Format
//! bincode 2 "standard": little-endian; integers above one byte as varints (below 251 one byte, else a marker byte and
//! the number); enum variants by their index; `Option` as 0 or 1; sequences, maps, strings and byte strings with
//! their length in front; structs field by field, without names.
//! See <https://github.com/bincode-org/bincode/blob/v2.0.1/docs/spec.md>.
//!
//! Invariants: decoding reads at most [`BYTES_MAX`], allocates no more than it has read, and refuses trailing bytes.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use serde::Serialize;
use serde::de::DeserializeOwned;
use smallvec::SmallVec;

/// No encoded value is longer, in bytes: 256 MiB. Commands end long before, at
/// [`Options::command_bytes_max`](crate::Options::command_bytes_max).
pub const BYTES_MAX: usize = 256 * 1024 * 1024;

const CONFIGURATION: Configuration<LittleEndian, Varint, Limit<BYTES_MAX>> =
    bincode::config::standard().with_limit::<BYTES_MAX>();

/// So many bytes lie in place.
const IN_PLACE: usize = 128;

/// An encoded value. What fits lies in place: a command is encoded by one thread and freed by another, which costs more
/// in the allocator than to copy it.
pub type Encoded = SmallVec<[u8; IN_PLACE]>;

/// Bytes that do not mean what they should, or a value that cannot be encoded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(String);

impl CodecError {
    /// An error of the application's own `upcast_command` or `upcast_entity`.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// Refuses a schema that the code does not know.
    #[must_use]
    pub fn unknown_schema(found: u32, known: u32) -> Self {
        Self(format!("schema {found} is not known to this code, which has schema {known}"))
    }
}

/// Encodes a value.
///
/// # Errors
/// The value's `Serialize` failed, or it is longer than [`BYTES_MAX`].
pub fn encode<T: Serialize>(value: &T) -> Result<Encoded, CodecError> {
    // Most commands are short, and fields that are written one by one should not each ask for room.
    let mut in_place = [0; IN_PLACE];
    if let Ok(length) = bincode::serde::encode_into_slice(value, &mut in_place, CONFIGURATION) {
        return Ok(Encoded::from_buf_and_len(in_place, length));
    }
    let mut bytes = Encoded::new();
    bincode::serde::encode_into_std_write(value, &mut bytes, CONFIGURATION)
        .map_err(|error| CodecError(error.to_string()))?;
    if bytes.len() > BYTES_MAX {
        return Err(CodecError(format!("{} bytes are more than {BYTES_MAX}", bytes.len())));
    }
    Ok(bytes)
}

/// Decodes exactly one value from all of `bytes`.
///
/// # Errors
/// The bytes do not encode a `T`, or there are more of them than one `T` takes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) =
        bincode::serde::decode_from_slice(bytes, CONFIGURATION).map_err(|error| CodecError(error.to_string()))?;
    if used == bytes.len() {
        Ok(value)
    } else {
        Err(CodecError(format!("{} bytes follow the value", bytes.len() - used)))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_as_documented() {
        let value = (7u8, 300u64, Some("ab".to_owned()), vec![1u32, 70_000]);
        let bytes = encode(&value).unwrap();
        assert_eq!(bytes[..], [7, 251, 44, 1, 1, 2, 97, 98, 2, 1, 252, 112, 17, 1, 0]);
        assert_eq!(decode::<(u8, u64, Option<String>, Vec<u32>)>(&bytes).unwrap(), value);
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        let mut bytes = encode(&5u64).unwrap();
        bytes.push(0);
        assert!(decode::<u64>(&bytes).is_err());
        assert!(decode::<u64>(&[]).is_err());
    }

    #[test]
    fn a_huge_length_allocates_nothing() {
        let length = [253, 255, 255, 255, 255, 255, 255, 255, 127];
        assert!(decode::<Vec<u8>>(&length).is_err());
        assert!(decode::<Vec<u64>>(&length).is_err());
        assert!(decode::<String>(&length).is_err());
    }
}
