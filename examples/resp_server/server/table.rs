//! All commands: their names, how many arguments they take, and who parses them.

use super::action::{Action, Keyspace, Read, Saving, Session};
use super::request::Request;
use super::wrong::Wrong;
use super::{parse_keys as keys, parse_saving as saving, parse_session as session, parse_writes as writes};

type Parse = for<'a> fn(&'a Request) -> Result<Action<'a>, Wrong>;

/// One command.
pub struct Spec {
    pub name: &'static str,
    /// How many arguments, the name included; less than zero: at least so many.
    pub arity: i32,
    /// As `COMMAND INFO` says.
    pub flags: &'static [&'static str],
    /// First key, last key, step between keys; zeroes: no key.
    pub keys: (i32, i32, i32),
    parse: Parse,
}

const READ: &[&str] = &["readonly", "fast"];
const SCAN: &[&str] = &["readonly"];
const WRITE: &[&str] = &["write", "denyoom", "fast"];
const REMOVE: &[&str] = &["write", "fast"];
const ADMIN: &[&str] = &["admin", "noscript"];
const OTHER: &[&str] = &["loading", "stale", "fast"];

const NO_KEY: (i32, i32, i32) = (0, 0, 0);
const ONE_KEY: (i32, i32, i32) = (1, 1, 1);
const ALL_KEYS: (i32, i32, i32) = (1, -1, 1);
const EVERY_OTHER: (i32, i32, i32) = (1, -1, 2);

const fn spec(
    name: &'static str,
    arity: i32,
    flags: &'static [&'static str],
    keys: (i32, i32, i32),
    parse: Parse,
) -> Spec {
    Spec { name, arity, flags, keys, parse }
}

/// In the order of their names.
pub static COMMANDS: [Spec; 47] = [
    spec("APPEND", 3, WRITE, ONE_KEY, writes::append),
    spec("BGREWRITEAOF", 1, ADMIN, NO_KEY, |_| Ok(Action::Saving(Saving::Rewrite))),
    spec("BGSAVE", -1, ADMIN, NO_KEY, saving::in_background),
    spec("CLIENT", -2, OTHER, NO_KEY, session::client),
    spec("COMMAND", -1, OTHER, NO_KEY, session::command),
    spec("CONFIG", -2, ADMIN, NO_KEY, session::config),
    spec("DBSIZE", 1, READ, NO_KEY, |_| Ok(Action::Keyspace(Keyspace::Size))),
    spec("DEBUG", -2, ADMIN, NO_KEY, session::debug),
    spec("DECR", 2, WRITE, ONE_KEY, |request| writes::increment(request, -1)),
    spec("DECRBY", 3, WRITE, ONE_KEY, writes::decrement_by),
    spec("DEL", -2, REMOVE, ALL_KEYS, writes::delete),
    spec("ECHO", 2, OTHER, NO_KEY, |request| Ok(Action::Session(Session::Echo(request.argument(1)?)))),
    spec("EXISTS", -2, READ, ALL_KEYS, |request| Ok(Action::Read(Read::Exists(request.rest(1).collect())))),
    spec("EXPIRE", -3, REMOVE, ONE_KEY, |request| writes::expire(request, "expire", 1_000)),
    spec("EXPIREAT", -3, REMOVE, ONE_KEY, writes::expire_at),
    spec("FLUSHALL", -1, REMOVE, NO_KEY, keys::flush),
    spec("FLUSHDB", -1, REMOVE, NO_KEY, keys::flush),
    spec("GET", 2, READ, ONE_KEY, |request| Ok(Action::Read(Read::Get(request.argument(1)?)))),
    spec("GETDEL", 2, REMOVE, ONE_KEY, writes::get_and_delete),
    spec("GETSET", 3, WRITE, ONE_KEY, writes::get_and_set),
    spec("HELLO", -1, OTHER, NO_KEY, session::hello),
    spec("INCR", 2, WRITE, ONE_KEY, |request| writes::increment(request, 1)),
    spec("INCRBY", 3, WRITE, ONE_KEY, writes::increment_by),
    spec("INFO", -1, OTHER, NO_KEY, |request| Ok(Action::Session(Session::Info(request.rest(1).collect())))),
    spec("KEYS", 2, SCAN, NO_KEY, |request| Ok(Action::Keyspace(Keyspace::Keys(request.argument(1)?)))),
    spec("LASTSAVE", 1, OTHER, NO_KEY, |_| Ok(Action::Saving(Saving::Last))),
    spec("MAINSTAY", -2, ADMIN, NO_KEY, saving::mainstay),
    spec("MGET", -2, READ, ALL_KEYS, |request| Ok(Action::Read(Read::GetMany(request.rest(1).collect())))),
    spec("MSET", -3, WRITE, EVERY_OTHER, writes::set_many),
    spec("PERSIST", 2, REMOVE, ONE_KEY, writes::persist),
    spec("PEXPIRE", -3, REMOVE, ONE_KEY, |request| writes::expire(request, "pexpire", 1)),
    spec("PING", -1, OTHER, NO_KEY, session::ping),
    spec("PSETEX", 4, WRITE, ONE_KEY, |request| writes::set_expiring(request, "psetex", 1)),
    spec("PTTL", 2, READ, ONE_KEY, |request| Ok(Action::Read(Read::Lifetime(request.argument(1)?, 1)))),
    spec("QUIT", -1, OTHER, NO_KEY, |_| Ok(Action::Session(Session::Quit))),
    spec("SAVE", 1, ADMIN, NO_KEY, |_| Ok(Action::Saving(Saving::Save))),
    spec("SCAN", -2, SCAN, NO_KEY, keys::scan),
    spec("SELECT", 2, OTHER, NO_KEY, session::select),
    spec("SET", -3, WRITE, ONE_KEY, writes::set),
    spec("SETEX", 4, WRITE, ONE_KEY, |request| writes::set_expiring(request, "setex", 1_000)),
    spec("SETNX", 3, WRITE, ONE_KEY, writes::set_if_absent),
    spec("SHUTDOWN", -1, ADMIN, NO_KEY, session::shutdown),
    spec("STRLEN", 2, READ, ONE_KEY, |request| Ok(Action::Read(Read::Length(request.argument(1)?)))),
    spec("TIME", 1, OTHER, NO_KEY, |_| Ok(Action::Session(Session::Time))),
    spec("TTL", 2, READ, ONE_KEY, |request| Ok(Action::Read(Read::Lifetime(request.argument(1)?, 1_000)))),
    spec("TYPE", 2, READ, ONE_KEY, |request| Ok(Action::Read(Read::Type(request.argument(1)?)))),
    spec("UNLINK", -2, REMOVE, ALL_KEYS, writes::delete),
];

/// The command of a name, in whatever case.
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    let mut upper = [0; 16];
    let upper = upper.get_mut(..name.len())?;
    upper.copy_from_slice(name);
    upper.make_ascii_uppercase();
    let at = COMMANDS.binary_search_by(|spec| spec.name.as_bytes().cmp(upper)).ok()?;
    COMMANDS.get(at)
}

/// What a request asks for.
pub fn parse(request: &Request) -> Result<Action<'_>, Wrong> {
    let Some(spec) = find(request.name()) else {
        return Err(unknown(request));
    };
    let count = i32::try_from(request.len()).unwrap_or(i32::MAX);
    if (spec.arity >= 0 && count != spec.arity) || count < -spec.arity {
        return Err(Wrong::Arity(spec.name.to_ascii_lowercase()));
    }
    (spec.parse)(request)
}

/// As Redis puts it, with as much of the arguments as it shows.
fn unknown(request: &Request) -> Wrong {
    let shown = |bytes: &[u8]| {
        let part = bytes.get(..128).unwrap_or(bytes);
        String::from_utf8_lossy(part).into_owned()
    };
    let mut arguments = String::new();
    for argument in request.rest(1) {
        if arguments.len() >= 128 {
            break;
        }
        arguments.push_str(&format!("'{}' ", shown(argument)));
    }
    let name = shown(request.name());
    Wrong::Other(format!("unknown command '{name}', with args beginning with: {arguments}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_in_order_and_found() {
        assert!(COMMANDS.is_sorted_by(|one, next| one.name < next.name));
        for spec in &COMMANDS {
            assert!(find(spec.name.to_lowercase().as_bytes()).is_some());
        }
        assert!(find(b"").is_none());
        assert!(find(b"A_NAME_THAT_IS_TOO_LONG").is_none());
    }
}
