//! Integers as text, in the one way that a program prints them: no plus, no leading zeroes, no minus zero, no spaces.

use std::io::Write;

/// The integer that the text is, if it is one.
pub(super) fn parse(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [b'0'] | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..] => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

/// Prints a number without allocating.
pub(super) fn with_digits<T>(number: i64, with: impl FnOnce(&[u8]) -> T) -> T {
    let mut buffer = [0; 20];
    let mut rest = buffer.as_mut_slice();
    // The longest, i64::MIN, has 20 characters, so this cannot fail.
    let _ = write!(rest, "{number}");
    let unused = rest.len();
    with(buffer.get(..buffer.len() - unused).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_text_is_an_integer() {
        for number in [0, 7, -1, 10, i64::MAX, i64::MIN] {
            assert!(with_digits(number, |digits| parse(digits) == Some(number)));
        }
        for text in ["", "-", "+1", "01", "-0", " 1", "1 ", "1.0", "9223372036854775808", "x"] {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
    }
}
