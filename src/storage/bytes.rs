//! Little-endian fields at fixed places of a header, without indexing.
//!
//! Offsets are constants of a format module; a field outside the header reads as zero and writes nothing, which the
//! golden-byte tests of the formats would show at once.

/// Reads `N` bytes at `at`.
pub fn array<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    header
        .get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or([0; N])
}

/// Reads a `u32` at `at`.
pub fn u32_at(header: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(header, at))
}

/// Reads a `u64` at `at`.
pub fn u64_at(header: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(header, at))
}

/// Writes `bytes` at `at`.
pub fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = header.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

/// Is every byte zero?
pub fn all_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
