//! A value and when it expires, small in memory: 32 bytes, which short values share.
//!
//! Invariant: a longer value has an allocation of its own and of its exact length. It never keeps alive the network
//! or log buffer that it came in.

use std::fmt;
use std::num::NonZeroU64;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use smallvec::SmallVec;

use crate::model::Time;

/// Values up to this length need no allocation of their own.
const INLINE_BYTES: usize = 16;

/// What is stored under a key.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entity {
    value: Value,
    expires_ms: Option<NonZeroU64>,
}

#[derive(Clone, PartialEq, Eq)]
struct Value(SmallVec<[u8; INLINE_BYTES]>);

impl Entity {
    /// An entity that is gone from `expires_ms` milliseconds after the Unix epoch on; `None`: it stays.
    #[must_use]
    pub fn new(value: &[u8], expires_ms: Option<u64>) -> Self {
        // The first millisecond of 1970 has passed as well as the moment before it.
        let expires_ms = expires_ms.map(|ms| NonZeroU64::new(ms).unwrap_or(NonZeroU64::MIN));
        Self { value: Value(SmallVec::from_slice(value)), expires_ms }
    }

    /// The value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value.0
    }

    /// When it expires, in milliseconds since the Unix epoch; `None`: never.
    #[must_use]
    pub fn expires_ms(&self) -> Option<u64> {
        self.expires_ms.map(NonZeroU64::get)
    }

    /// Whether it is gone at a time.
    #[must_use]
    pub fn is_expired(&self, now: Time) -> bool {
        self.expires_ms().is_some_and(|ms| Time::from_millis(ms) <= now)
    }

    /// The same value with another expiry.
    pub(super) fn with_expiry(&self, expires_ms: Option<u64>) -> Self {
        Self::new(self.value(), expires_ms)
    }

    /// The value with more behind it, and the same expiry.
    pub(super) fn extended(&self, suffix: &[u8]) -> Self {
        let mut value = SmallVec::with_capacity(self.value().len().saturating_add(suffix.len()));
        value.extend_from_slice(self.value());
        value.extend_from_slice(suffix);
        Self { value: Value(value), expires_ms: self.expires_ms }
    }

    /// Another value with the same expiry.
    pub(super) fn replaced(&self, value: &[u8]) -> Self {
        Self { value: Value(SmallVec::from_slice(value)), expires_ms: self.expires_ms }
    }

    /// Memory that it takes beyond its own size.
    pub(super) fn heap_bytes(&self) -> usize {
        if self.value.0.spilled() { self.value.0.capacity() } else { 0 }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value(SmallVec::from_slice(bytes)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut bytes: A) -> Result<Value, A::Error> {
        let mut value = SmallVec::new();
        while let Some(byte) = bytes.next_element()? {
            value.push(byte);
        }
        Ok(Value(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Entity>(), 32);
        assert_eq!((size_of::<Entity>(), Entity::new(&[7; 16], None).heap_bytes()), (32, 0));
        assert_eq!(Entity::new(&[7; 100], Some(1)).heap_bytes(), 100);
    }

    #[test]
    fn bytes_are_as_documented() {
        for (value, expires_ms, bytes) in
            [(b"ab".as_slice(), None, vec![2, 97, 98, 0]), (b"", Some(300), vec![0, 1, 251, 44, 1])]
        {
            let entity = Entity::new(value, expires_ms);
            assert_eq!(codec::encode(&entity).unwrap().to_vec(), bytes);
            assert_eq!(codec::decode::<Entity>(&bytes).unwrap(), entity);
        }
    }

    #[test]
    fn it_is_gone_from_its_millisecond_on() {
        let entity = Entity::new(b"", Some(5));
        assert!(!entity.is_expired(Time(4_999)));
        assert!(entity.is_expired(Time(5_000)));
        assert!(!Entity::new(b"", None).is_expired(Time(u64::MAX)));
        assert!(Entity::new(b"", Some(0)).is_expired(Time(1_000)));
    }
}
