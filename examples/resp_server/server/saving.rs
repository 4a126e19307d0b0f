//! Snapshots and versions, carried out. Whoever waits for one waits on a connection of its own; others go on.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mainstay::kv::Kv;
use mainstay::{BackupFailed, Runtime, Version, VersionError};
use tokio::time::sleep;

use super::action::Saving;
use super::ledger::{Kind, Ledger};
use super::reply::Output;
use super::wrong::no_version;

/// A rewrite that was promised waits so long before it looks again whether a mark is over.
const MARK_PAUSE: Duration = Duration::from_millis(2);

/// `MAINSTAY HELP`, as Redis puts such things.
pub const HELP: [&str; 13] = [
    "MAINSTAY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "BACKUP <directory>",
    "    Make that directory a backup of this moment. It must not exist, or be empty. Return its version.",
    "MARK",
    "    Make a version: a consistent cut across all shards. Return its number.",
    "RETIRE <version>",
    "    Give a version up, and what only it needs.",
    "ROLLBACK <version>",
    "    Go back to a version: what came later is gone, in all shards at once.",
    "VERSIONS",
    "    Return number, time in microseconds and positions (epoch:lsn, one a shard) of each version, oldest first.",
    "HELP",
    "    Prints this help.",
];

/// Replies; `Break`: the outcome is not known, and the connection ends without a reply.
pub async fn respond(saving: Saving, ledger: &Arc<Ledger>, output: &mut Output) -> ControlFlow<()> {
    let runtime = ledger.runtime();
    match saving {
        Saving::Save => save(ledger, output).await,
        Saving::InBackground => match ledger.begin(Kind::InBackground) {
            Some(running) => {
                let runtime = runtime.clone();
                tokio::spawn(async move { running.end(runtime.snapshot().await.is_ok()) });
                output.simple("Background saving started");
            }
            None => output.error("ERR Background save already in progress"),
        },
        Saving::Rewrite => match ledger.begin(Kind::Rewrite) {
            Some(running) => {
                let runtime = runtime.clone();
                tokio::spawn(async move { running.end(rewrite(&runtime).await.is_ok()) });
                output.simple("Background append only file rewriting started");
            }
            None => output.error("ERR Background append only file rewriting already in progress"),
        },
        Saving::Last => output.integer(i64::try_from(ledger.look().last_save_s).unwrap_or(i64::MAX)),
        Saving::Mark => {
            let made = runtime.mark().await;
            return told(made, output, |version, output| output.integer(number(version.id.0)));
        }
        Saving::Versions => versions(&runtime.versions(), output),
        Saving::Retire(version) => {
            let retired = runtime.retire(version).await;
            return told(retired, output, |(), output| output.ok());
        }
        Saving::RollBack(version) => {
            let went_back = runtime.rollback(version).await;
            return told(went_back, output, |(), output| output.ok());
        }
        Saving::Backup(dir) => match runtime.backup(dir).await {
            Ok(version) => output.integer(number(version.id.0)),
            Err(BackupFailed::Version(error)) => return told::<()>(Err(error), output, |(), _| {}),
            Err(error) => output.error(format_args!("ERR {error}")),
        },
        Saving::Help => {
            output.array(HELP.len());
            HELP.iter().for_each(|line| output.simple(line));
        }
    }
    ControlFlow::Continue(())
}

/// `SAVE`: as in Redis not beside a `BGSAVE`. Another `SAVE` is no hindrance, nor is a snapshot that was due.
async fn save(ledger: &Arc<Ledger>, output: &mut Output) {
    let Some(running) = ledger.begin(Kind::Save) else {
        return output.error("ERR Background save already in progress");
    };
    let saved = ledger.runtime().snapshot().await;
    running.end(saved.is_ok());
    match saved {
        Ok(()) => output.ok(),
        Err(error) => output.error(format_args!("ERR {error}")),
    }
}

/// The client was told that it has begun, so a mark that is just being made is waited for.
async fn rewrite(runtime: &Runtime<Kv>) -> Result<Version, VersionError> {
    loop {
        match runtime.rewrite().await {
            Err(VersionError::Busy) => sleep(MARK_PAUSE).await,
            ended => return ended,
        }
    }
}

fn told<T>(
    result: Result<T, VersionError>,
    output: &mut Output,
    write: impl FnOnce(T, &mut Output),
) -> ControlFlow<()> {
    match result {
        Ok(value) => write(value, output),
        Err(error) => match no_version(&error) {
            Some(error) => output.error(error),
            None => return ControlFlow::Break(()),
        },
    }
    ControlFlow::Continue(())
}

fn versions(versions: &[Version], output: &mut Output) {
    let start = output.len();
    output.array(versions.len());
    for version in versions {
        output.array(3);
        output.integer(number(version.id.0));
        output.integer(number(version.time.0));
        output.array(version.ends.len());
        for end in &version.ends {
            output.bulk(format!("{}:{}", end.epoch.0, end.lsn.0).as_bytes());
        }
        if output.is_too_long(start) {
            return;
        }
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
