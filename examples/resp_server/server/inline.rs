//! Requests typed by hand: words on a line, with quotes as Redis takes them; and how to tell a browser from a person.

/// Splits a line into words. `None`: quotes do not match.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?.trim_ascii_start();
        words.push(word);
    }
    Some(words)
}

/// Takes one word off the line; returns what follows.
fn take_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let [first, tail @ ..] = rest {
        match first {
            b'"' | b'\'' => {
                rest = take_quoted(*first, tail, word)?;
                // Nothing may stick to the closing quote.
                return rest.first().is_none_or(u8::is_ascii_whitespace).then_some(rest);
            }
            byte if byte.is_ascii_whitespace() => return Some(rest),
            byte => word.push(*byte),
        }
        rest = tail;
    }
    Some(rest)
}

/// Takes up to the closing quote.
fn take_quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, tail) = match rest {
            [first, tail @ ..] if *first == quote => return Some(tail),
            [b'\\', b'\'', tail @ ..] if quote == b'\'' => (b'\'', tail),
            [b'\\', b'x', high, low, tail @ ..] if quote == b'"' && is_hex(*high, *low) => {
                (hex(*high) << 4 | hex(*low), tail)
            }
            [b'\\', escaped, tail @ ..] if quote == b'"' => (unescaped(*escaped), tail),
            [first, tail @ ..] => (*first, tail),
            [] => return None,
        };
        word.push(byte);
        rest = tail;
    }
}

fn is_hex(high: u8, low: u8) -> bool {
    high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10),
    }
}

fn unescaped(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// Whether a line is part of a request of HTTP. A page in a browser can have any port of its machine sent one; what
/// its body says must never be executed.
pub fn is_http(words: &[Vec<u8>]) -> bool {
    let Some(first) = words.first() else {
        return false;
    };
    let is = |name: &str| first.eq_ignore_ascii_case(name.as_bytes());
    let path = words.get(1).is_some_and(|path| path.starts_with(b"/"));
    let version = words.get(2).is_some_and(|version| version.starts_with(b"HTTP/"));
    is("POST") || is("Host:") || (is("GET") && path) || version
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Option<Vec<String>> {
        let lossy = |word: Vec<u8>| word.escape_ascii().to_string();
        Some(split(line.as_bytes())?.into_iter().map(lossy).collect())
    }

    #[test]
    fn lines_are_split_as_redis_does() {
        for (line, expected) in [
            ("\r\n", Some(vec![])),
            (" set  a b \r\n", Some(vec!["set", "a", "b"])),
            (r#"set "a b" 'c "d'"#, Some(vec!["set", "a b", r#"c \"d"#])),
            (r#"echo "\x41\n\q\\""#, Some(vec!["echo", r"A\nq\\"])),
            (r"echo 'it\'s'", Some(vec!["echo", r"it\'s"])),
            (r#"echo """#, Some(vec!["echo", ""])),
            (r#"echo "a"b"#, None),
            (r#"echo "a"#, None),
            ("echo 'a", None),
        ] {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(words(line), expected, "{line}");
        }
    }

    #[test]
    fn a_browser_is_told_from_a_person() {
        let http = |line: &str| is_http(&split(line.as_bytes()).unwrap());
        for line in ["GET / HTTP/1.1", "get /x", "POST /a", "post", "Host: localhost", "PUT a HTTP/1.0"] {
            assert!(http(line), "{line}");
        }
        for line in ["", "GET a", "PING", "SET / HTTP", "ECHO Host:"] {
            assert!(!http(line), "{line}");
        }
    }
}
