//! What can be wrong with a request, in Redis's words, and what became of a command, on the wire.

use mainstay::kv::Refusal;
use mainstay::{NotExecuted, ReadError, VersionError};

/// An error reply. Its text starts with the code that clients look at.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR invalid expire time in '{0}' command")]
    ExpireTime(&'static str),
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(String),
    #[error("ERR {0}")]
    Other(String),
    #[error("NOPROTO unsupported protocol version")]
    Protocol,
}

/// The error reply for a command that was certainly not executed.
pub fn not_executed(reason: &NotExecuted) -> String {
    let code = match reason {
        NotExecuted::Busy | NotExecuted::DeadlineBeforeAccept => "BUSY",
        NotExecuted::Fenced | NotExecuted::Refused => "FENCED",
        NotExecuted::OutOfMemory { .. } => "OOM",
        _ => "ERR",
    };
    format!("{code} {reason}")
}

/// The error reply for a version that was certainly not made, or not given up; none if that is not known.
pub fn no_version(reason: &VersionError) -> Option<String> {
    match reason {
        VersionError::Indeterminate | VersionError::Stopped => None,
        VersionError::OutOfMemory { .. } => Some(format!("OOM {reason}")),
        VersionError::Busy | VersionError::Lapsed(_) | VersionError::Deadline => Some(format!("BUSY {reason}")),
        _ => Some(format!("ERR {reason}")),
    }
}

/// The error reply for a key that cannot be read now.
pub fn unreadable(error: ReadError) -> String {
    match error {
        ReadError::Stale { .. } => format!("BUSY {error}"),
        ReadError::Refused(_) => format!("FENCED {error}"),
        _ => format!("ERR {error}"),
    }
}

/// The error reply for a command that does not fit what is there.
pub fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NotAnInteger => "ERR value is not an integer or out of range",
        Refusal::Overflow => "ERR increment or decrement would overflow",
        Refusal::TooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        _ => "ERR the value does not allow this command",
    }
}
