//! Little-endian fields at fixed places of a header, without indexing.
//!
//! Offsets are constants of a format module; a field outside the header reads as zero and writes nothing, which the
//! golden-byte tests of the formats would show at once.

/// Reads `N` bytes at `at`.
pub fn array<const N: usize>(header: &[u8], at: usize) -> [u8; N] {
    header.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
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
    bytes.chunks(ZEROES.len()).all(is_zeroes)
}

/// What is left without the zeroes at the end.
pub fn trim_zeroes(bytes: &[u8]) -> &[u8] {
    let zeroes = bytes.rchunks(ZEROES.len()).take_while(|piece| is_zeroes(piece));
    let rest = bytes.len() - zeroes.map(<[u8]>::len).sum::<usize>();
    let rest = bytes.get(..rest).unwrap_or_default();
    let end = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    rest.get(..end).unwrap_or_default()
}

/// Whole pieces are compared at once: files are mostly zeroes, and they are looked at whenever one is opened.
const ZEROES: [u8; 4096] = [0; 4096];

fn is_zeroes(piece: &[u8]) -> bool {
    ZEROES.get(..piece.len()) == Some(piece)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn zeroes_are_told_from_everything_else() {
        for length in [0, 1, 4095, 4096, 4097, 10_000] {
            let mut bytes = vec![0; length];
            assert!(all_zero(&bytes));
            assert_eq!(trim_zeroes(&bytes), b"");
            for at in [0, length / 2, length.saturating_sub(1)] {
                let Some(byte) = bytes.get_mut(at) else { continue };
                *byte = 1;
                assert!(!all_zero(&bytes));
                assert_eq!(trim_zeroes(&bytes).len(), at + 1);
                bytes[at] = 0;
            }
        }
    }
}
