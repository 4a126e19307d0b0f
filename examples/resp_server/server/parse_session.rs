//! Requests about the connection and the server.

use super::action::{Action, Hello, Keyspace, Session};
use super::request::{Request, integer};
use super::wrong::Wrong;

type Parsed<'a> = Result<Action<'a>, Wrong>;

pub fn ping(request: &Request) -> Parsed<'_> {
    if request.len() > 2 {
        return Err(Wrong::Arity("ping".to_owned()));
    }
    Ok(Action::Session(Session::Ping(request.get(1))))
}

/// `HELLO [version [SETNAME name]]`
pub fn hello(request: &Request) -> Parsed<'_> {
    let mut hello = Hello::default();
    if let Some(version) = request.get(1) {
        let wrong = "Protocol version is not an integer or out of range";
        let version = integer(version).map_err(|_| Wrong::Other(wrong.to_owned()))?;
        let known = u8::try_from(version).ok().filter(|version| matches!(version, 2 | 3));
        hello.version = Some(known.ok_or(Wrong::Protocol)?);
    }
    let mut index = 2;
    while let Some(option) = request.get(index) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("SETNAME") && request.len() > index + 1 {
            hello.name = Some(name(request, index + 1)?);
            index += 2;
        } else if is("AUTH") && request.len() > index + 2 {
            return Err(Wrong::Other("AUTH is not supported: there are no users".to_owned()));
        } else {
            let option = String::from_utf8_lossy(option);
            return Err(Wrong::Other(format!("Syntax error in HELLO option '{option}'")));
        }
    }
    Ok(Action::Session(Session::Hello(hello)))
}

/// A client's name, which must not break `CLIENT INFO`.
fn name(request: &Request, index: usize) -> Result<bytes::Bytes, Wrong> {
    let name = request.owned(index)?;
    if name.iter().all(u8::is_ascii_graphic) {
        return Ok(name);
    }
    let wrong = "Client names cannot contain spaces, newlines or special characters.";
    Err(Wrong::Other(wrong.to_owned()))
}

pub fn select(request: &Request) -> Parsed<'_> {
    match request.integer(1)? {
        0 => Ok(Action::Session(Session::Select)),
        _ => Err(Wrong::Other("DB index is out of range".to_owned())),
    }
}

pub fn client(request: &Request) -> Parsed<'_> {
    let session = match (subcommand(request).as_str(), request.len()) {
        ("id", 2) => Session::ClientId,
        ("getname", 2) => Session::ClientName,
        ("setname", 3) => Session::ClientSetName(name(request, 2)?),
        ("info", 2) => Session::ClientInfo,
        ("setinfo", 4) | ("no-evict" | "no-touch", 3) => Session::Granted,
        (known @ ("id" | "getname" | "setname" | "info" | "setinfo"), _) => {
            return Err(Wrong::Arity(format!("client|{known}")));
        }
        _ => return Err(unknown(request, "CLIENT")),
    };
    Ok(Action::Session(session))
}

pub fn config(request: &Request) -> Parsed<'_> {
    let session = match (subcommand(request).as_str(), request.len()) {
        ("get", 3..) => Session::ConfigGet(request.rest(2).collect()),
        ("resetstat", 2) => Session::Granted,
        (known @ ("get" | "resetstat"), _) => {
            return Err(Wrong::Arity(format!("config|{known}")));
        }
        ("set" | "rewrite", _) => {
            let reason = "options are given on the command line and do not change";
            return Err(Wrong::Other(reason.to_owned()));
        }
        _ => return Err(unknown(request, "CONFIG")),
    };
    Ok(Action::Session(session))
}

pub fn command(request: &Request) -> Parsed<'_> {
    let session = match (subcommand(request).as_str(), request.len()) {
        ("", _) => Session::CommandInfo(None),
        ("count", 2) => Session::CommandCount,
        ("info", 2) => Session::CommandInfo(None),
        ("info", _) => Session::CommandInfo(Some(request.rest(2).collect())),
        ("list", 2) => Session::CommandList,
        ("docs", _) => Session::CommandDocs,
        ("count", _) => return Err(Wrong::Arity("command|count".to_owned())),
        _ => return Err(unknown(request, "COMMAND")),
    };
    Ok(Action::Session(session))
}

pub fn debug(request: &Request) -> Parsed<'_> {
    match (subcommand(request).as_str(), request.len()) {
        ("digest", 2) => Ok(Action::Keyspace(Keyspace::Digest)),
        _ => Err(unknown(request, "DEBUG")),
    }
}

/// `SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE]`: everything answered is on the disk whatever is said.
pub fn shutdown(request: &Request) -> Parsed<'_> {
    for how in request.rest(1) {
        let is = |name: &str| how.eq_ignore_ascii_case(name.as_bytes());
        if is("ABORT") && request.len() == 2 {
            return Err(Wrong::Other("No shutdown in progress.".to_owned()));
        }
        if !(is("NOSAVE") || is("SAVE") || is("NOW") || is("FORCE")) {
            return Err(Wrong::Syntax);
        }
    }
    Ok(Action::Session(Session::Shutdown))
}

/// In lower case; empty if there is none.
pub fn subcommand(request: &Request) -> String {
    String::from_utf8_lossy(request.get(1).unwrap_or_default()).to_ascii_lowercase()
}

/// There is no such subcommand.
pub fn unknown(request: &Request, command: &str) -> Wrong {
    let name = request.get(1).unwrap_or_default();
    let name = String::from_utf8_lossy(name.get(..128).unwrap_or(name));
    Wrong::Other(format!("unknown subcommand '{name}'. Try {command} HELP."))
}
