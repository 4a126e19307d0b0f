//! `mainstay log`: the commands of a shard's log, one a line, as they are read.

use std::io::{self, Write};

use mainstay::model::{Batch, Epoch, Lsn, Manifest, ShardId};
use mainstay::storage::chain;
use mainstay::storage::recovery::{self, Wanted};
use mainstay::{LogError, Position};

use super::arguments::Log;
use super::directory::Directory;
use super::finding::Finding;
use super::text::{escaped, hex, utc};
use super::{Exit, Failure, amount, exit};

/// So many bytes of a command are shown.
const SHOWN_BYTES: usize = 48;

/// Prints a log.
pub fn run(dir: &Directory, asked: &Log, out: &mut dyn Write) -> Result<Exit, Failure> {
    let shard = ShardId(asked.shard);
    let manifest = dir.manifest()?;
    let record = manifest.shard(shard);
    let record = record.ok_or_else(|| Failure::Refused(format!("there is no shard {}", asked.shard)))?;
    if let Some(base) = record.base.filter(|base| base.end.0 > asked.from) {
        writeln!(out, "# what lies in front of lsn {} was dropped: snapshots hold it", base.end.0)?;
    }
    let mut printer = Printer { out, next: Lsn(asked.from), left: asked.limit, hex: asked.hex, failed: None };
    let read = dir.settled(&manifest, |manifest| read(dir, manifest, shard, &mut printer));
    dir.disk.finish();
    if let Some(error) = printer.failed {
        return Err(error.into());
    }
    let findings = read.err().unwrap_or_default();
    for finding in &findings {
        writeln!(printer.out, "{finding}")?;
    }
    Ok(exit(&findings))
}

/// Prints what was not printed yet.
fn read(dir: &Directory, manifest: &Manifest, shard: ShardId, printer: &mut Printer<'_>) -> Result<(), Vec<Finding>> {
    let finding = |error: &LogError| vec![Finding::from(error).of(shard)];
    let chain = chain::find(&dir.disk, &dir.layout, manifest, shard).map_err(|error| finding(&error))?;
    if chain.is_empty() || printer.is_done() {
        return Ok(());
    }
    dir.disk.expect(amount::log(dir, manifest, shard, printer.next));
    let wanted = Wanted { from: printer.next, known_end: None };
    let mut visit = |epoch, batch: Batch| printer.batch(epoch, &batch);
    match recovery::recover(&dir.disk, &dir.layout, manifest, shard, wanted, &mut visit) {
        Ok(_) => Ok(()),
        // It was stopped because nobody wants more.
        Err(_) if printer.is_done() => Ok(()),
        Err(error) => Err(finding(&error)),
    }
}

struct Printer<'a> {
    out: &'a mut dyn Write,
    /// The next lsn to be printed.
    next: Lsn,
    left: u64,
    hex: bool,
    failed: Option<io::Error>,
}

impl Printer<'_> {
    fn is_done(&self) -> bool {
        self.left == 0 || self.failed.is_some()
    }

    /// Prints a batch; an error ends the reading.
    fn batch(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), LogError> {
        let (commands, next) = ((batch.first.0..).map(Lsn).zip(batch.commands()), self.next);
        for (lsn, command) in commands.skip_while(|(lsn, _)| *lsn < next) {
            if !self.is_done() {
                self.failed = self.command(Position { epoch, lsn }, batch, command).err();
                self.left -= 1;
                self.next = lsn.plus(1);
            }
            if self.is_done() {
                let position = Position { epoch, lsn };
                return Err(LogError::Poison { position, reason: "enough".to_owned() });
            }
        }
        Ok(())
    }

    fn command(&mut self, position: Position, batch: &Batch, command: &[u8]) -> io::Result<()> {
        let (lsn, epoch, length) = (position.lsn.0, position.epoch.0, command.len());
        let bytes = if self.hex { hex(command) } else { shown(command) };
        let (time, schema) = (utc(batch.time), batch.schema);
        writeln!(self.out, "{lsn} epoch {epoch} {time} schema {schema} {length} bytes {bytes}")
    }
}

fn shown(command: &[u8]) -> String {
    match command.get(..SHOWN_BYTES) {
        Some(first) if first.len() < command.len() => escaped(first) + "...",
        _ => escaped(command),
    }
}
