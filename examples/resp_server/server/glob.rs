//! Patterns of `KEYS` and `SCAN ... MATCH`, as Redis takes them: `*`, `?`, `[a-z]`, `[^a]` and `\` before any of
//! these.
//!
//! Only the last `*` is ever gone back to, so a pattern takes at most its length times the key's.

/// Whether a key matches a pattern.
pub fn matches(mut pattern: &[u8], mut key: &[u8]) -> bool {
    // The pattern after the last star, and the key from where that star ends so far.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', tail @ ..] = pattern {
            pattern = tail;
            retry = Some((tail, key));
            continue;
        }
        let step = match key {
            [] if pattern.is_empty() => return true,
            [] => None,
            [byte, key_tail @ ..] => one(pattern, *byte).map(|tail| (tail, key_tail)),
        };
        match (step, retry) {
            (Some((pattern_tail, key_tail)), _) => {
                pattern = pattern_tail;
                key = key_tail;
            }
            (None, Some((after_star, [_, longer @ ..]))) => {
                pattern = after_star;
                key = longer;
                retry = Some((after_star, longer));
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte with the first item of a pattern that is no star; returns the rest of the pattern.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', tail @ ..] => Some(tail),
        [b'[', tail @ ..] => class(tail, byte),
        [b'\\', escaped, tail @ ..] => (*escaped == byte).then_some(tail),
        [literal, tail @ ..] => (*literal == byte).then_some(tail),
        [] => None,
    }
}

/// A class after its opening bracket. One that is never closed ends with the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    let (negated, mut rest) = match pattern {
        [b'^', tail @ ..] => (true, tail),
        _ => (false, pattern),
    };
    let mut found = false;
    loop {
        let (from, to, tail) = match rest {
            [] => break,
            [b']', tail @ ..] => {
                rest = tail;
                break;
            }
            [b'\\', escaped, tail @ ..] => (*escaped, *escaped, tail),
            [from, b'-', to, tail @ ..] => (*from, *to, tail),
            [only, tail @ ..] => (*only, *only, tail),
        };
        found |= (from.min(to)..=from.max(to)).contains(&byte);
        rest = tail;
    }
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, key, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*b*c", "aXbXbXc", true),
            ("a*b*c", "aXbX", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hbllo", true),
            ("h[a-b]llo", "hcllo", false),
            (r"h\*llo", "h*llo", true),
            (r"h\*llo", "hello", false),
            (r"[\]]", "]", true),
            ("[a", "a", true),
            ("**a**", "bab", true),
            (r"a\", r"a\", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), key.as_bytes()), expected, "{pattern} {key}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let pattern = "a*".repeat(1_000) + "b";
        assert!(!matches(pattern.as_bytes(), &[b'a'; 10_000]));
    }
}
