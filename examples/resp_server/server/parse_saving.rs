//! Requests about snapshots and versions.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use mainstay::VersionId;

use super::action::{Action, Saving};
use super::parse_session::{subcommand, unknown};
use super::request::Request;
use super::wrong::Wrong;

type Parsed<'a> = Result<Action<'a>, Wrong>;

/// `BGSAVE [SCHEDULE]`: nothing has to be waited for here, so both begin at once.
pub fn in_background(request: &Request) -> Parsed<'_> {
    match (request.len(), request.get(1)) {
        (1, _) => {}
        (2, Some(how)) if how.eq_ignore_ascii_case(b"SCHEDULE") => {}
        _ => return Err(Wrong::Syntax),
    }
    Ok(Action::Saving(Saving::InBackground))
}

/// `MAINSTAY`, what Redis has no command for. A subcommand has a line here and one in [`HELP`](super::saving::HELP).
pub fn mainstay(request: &Request) -> Parsed<'_> {
    let saving = match (subcommand(request).as_str(), request.len()) {
        ("mark", 2) => Saving::Mark,
        ("versions", 2) => Saving::Versions,
        ("retire", 3) => Saving::Retire(version(request, 2)?),
        ("rollback", 3) => Saving::RollBack(version(request, 2)?),
        ("backup", 3) => Saving::Backup(request.get(2).map(OsStr::from_bytes).unwrap_or_default().into()),
        ("help", 2) => Saving::Help,
        (known @ ("mark" | "versions" | "retire" | "rollback" | "backup" | "help"), _) => {
            return Err(Wrong::Arity(format!("mainstay|{known}")));
        }
        _ => return Err(unknown(request, "MAINSTAY")),
    };
    Ok(Action::Saving(saving))
}

fn version(request: &Request, index: usize) -> Result<VersionId, Wrong> {
    u64::try_from(request.integer(index)?).map(VersionId).map_err(|_| Wrong::NotAnInteger)
}
