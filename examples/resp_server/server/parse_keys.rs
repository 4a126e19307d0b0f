//! Requests about the whole keyspace.

use super::action::{Action, Keyspace, Scan};
use super::request::Request;
use super::wrong::Wrong;

/// What `SCAN` looks at when it is not told.
const COUNT_DEFAULT: usize = 10;
/// What it looks at however much it is told: the count is a hint, and others want a turn.
const COUNT_MAX: usize = 10_000;

/// `FLUSHALL [ASYNC | SYNC]`
pub fn flush(request: &Request) -> Result<Action<'_>, Wrong> {
    let is = |name: &str| request.get(1).is_some_and(|how| how.eq_ignore_ascii_case(name.as_bytes()));
    match request.len() {
        1 => {}
        2 if is("ASYNC") || is("SYNC") => {}
        _ => return Err(Wrong::Syntax),
    }
    Ok(Action::Keyspace(Keyspace::Clear))
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub fn scan(request: &Request) -> Result<Action<'_>, Wrong> {
    let cursor = std::str::from_utf8(request.argument(1)?)
        .ok()
        .and_then(|cursor| cursor.parse().ok())
        .ok_or_else(|| Wrong::Other("invalid cursor".to_owned()))?;
    let mut scan = Scan { cursor, pattern: None, count: COUNT_DEFAULT, strings: true };
    let mut index = 2;
    while let Some(option) = request.get(index) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let value = request.argument(index + 1)?;
        if is("MATCH") {
            scan.pattern = Some(value);
        } else if is("COUNT") {
            let count = request.integer(index + 1)?;
            let count = usize::try_from(count).ok().filter(|count| *count > 0);
            scan.count = count.ok_or(Wrong::Syntax)?.min(COUNT_MAX);
        } else if is("TYPE") {
            scan.strings = value.eq_ignore_ascii_case(b"string");
        } else {
            return Err(Wrong::Syntax);
        }
        index += 2;
    }
    Ok(Action::Keyspace(Keyspace::Scan(scan)))
}
