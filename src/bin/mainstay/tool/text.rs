//! Bytes, numbers and times as text that a terminal can take.

use std::fmt::Write;
use std::path::Path;

use mainstay::Time;

const SECONDS_A_DAY: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01, and in 400 years.
const DAYS_BEFORE: u64 = 719_468;
const DAYS_AN_ERA: u64 = 146_097;

/// A text without anything that a terminal would act upon.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

/// A path as [`clean`] text.
pub fn shown(path: &Path) -> String {
    clean(&path.display().to_string())
}

/// What turns the direction of a line or hides in it.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Bytes as ASCII, everything else escaped.
pub fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// So much of a digest as tells it from another one to the eye.
pub fn short(digest: &[u8; 32]) -> String {
    hex(digest.first_chunk::<8>().map_or(&[], |first| first))
}

/// A number with a comma at every thousand.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time as UTC, in the form of RFC 3339.
pub fn utc(time: Time) -> String {
    let (seconds, micros) = (time.0 / 1_000_000, time.0 % 1_000_000);
    let (days, rest) = (seconds / SECONDS_A_DAY + DAYS_BEFORE, seconds % SECONDS_A_DAY);
    // Years begin with March here, so that the day that some of them have more is their last. See Howard Hinnant,
    // "chrono-Compatible Low-Level Date Algorithms".
    let (era, day) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}
